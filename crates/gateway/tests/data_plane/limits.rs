//! What limits do to a request on its way.

use freehold_control::Limits;
use freehold_gateway::call::Endpoint;
use freehold_llm::Dialect;

use crate::samples::{DIALECTS, answer, pool, request};
use crate::script::Act;
use crate::world::{PROVIDERS, World};

async fn with_tokens(per_minute: u64, routes: &str) -> World {
    let limits = Limits { tokens_per_minute: Some(per_minute), ..Limits::default() };
    World::with(&format!("{PROVIDERS}\n{routes}"), limits, None).await
}

#[tokio::test]
async fn an_output_limit_is_sent_where_the_key_reserves_and_the_client_set_none() {
    for (dialect, field) in
        [(Dialect::Chat, "max_completion_tokens"), (Dialect::Responses, "max_output_tokens")]
    {
        for (written, value) in [("", 300), (",\"FIELD\":null", 300), (",\"FIELD\":70", 70)] {
            let route =
                format!("[routes.r]\nto = \"{}/m\"\ndefault_max_tokens = 300", pool(dialect));
            let world = with_tokens(100_000, &route).await;
            world.script(pool(dialect), Act::json(200, answer(dialect)));
            let mut body = request(dialect, "r", false);
            body.pop();
            body.push_str(&written.replace("FIELD", field));
            body.push('}');
            let heard = world.ask(dialect, body).await;
            assert_eq!(heard.status, 200, "{}", heard.text());
            let sent = world.wire.sent().remove(0);
            assert_eq!(sent.json()[field], value, "{}", sent.text());
            assert_eq!(sent.text().matches(field).count(), 1);
        }
    }
}

#[tokio::test]
async fn an_output_limit_crosses_to_every_dialect() {
    for from in DIALECTS {
        for to in DIALECTS {
            let route = format!("[routes.r]\nto = \"{}/m\"\ndefault_max_tokens = 300", pool(to));
            let world = with_tokens(100_000, &route).await;
            world.script(pool(to), Act::json(200, answer(to)));
            let heard = world.ask(from, request(from, "r", false)).await;
            assert_eq!(heard.status, 200, "{}", heard.text());
            let sent = world.wire.sent().remove(0).json();
            let field = match to {
                Dialect::Chat if sent.get("max_tokens").is_some() => "max_tokens",
                Dialect::Chat => "max_completion_tokens",
                Dialect::Responses => "max_output_tokens",
                Dialect::Messages => "max_tokens",
            };
            let value = if from == Dialect::Messages { 50 } else { 300 };
            assert_eq!(sent[field], value, "{from:?} over {to:?}: {sent}");
        }
    }
}

#[tokio::test]
async fn a_key_without_reservations_sends_what_the_client_sent() {
    let world = World::new("").await;
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    world.chat(request(Dialect::Chat, "chat/m", false)).await;
    let sent = world.wire.sent().remove(0).json();
    assert_eq!(sent.as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn every_choice_counts() {
    let body = |n: &str| {
        format!(
            r#"{{"model":"chat/m","max_tokens":100,"n":{n},"messages":[{{"role":"user","content":"hi"}}]}}"#
        )
    };
    let world = with_tokens(2_000, "").await;
    for n in ["11", "18446744073709551615"] {
        let heard = world.chat(body(n)).await;
        assert_eq!(heard.status, 413, "{n}: {}", heard.text());
    }
    assert!(world.wire.sent().is_empty());
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    assert_eq!(world.chat(body("5")).await.status, 200);
}

#[tokio::test]
async fn completions_reserve_for_every_choice_too() {
    let world = with_tokens(2_000, "").await;
    let body = r#"{"model":"chat/m","max_tokens":100,"n":11,"prompt":"hi"}"#;
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert_eq!(heard.status, 413, "{}", heard.text());
    // Without a limit, one is sent.
    let done = r#"{"id":"c","object":"text_completion","choices":[{"text":"x"}],
        "usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;
    world.script("chat", Act::json(200, done));
    let body = r#"{"model":"chat/m","prompt":"hi"}"#;
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    assert!(world.wire.sent()[0].json()["max_tokens"].is_u64());
}

#[tokio::test]
async fn a_refusal_says_when_to_come_back() {
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    for dialect in DIALECTS {
        let world = World::with(PROVIDERS, limits, None).await;
        world.script(pool(dialect), Act::json(200, answer(dialect)));
        let model = format!("{}/m", pool(dialect));
        assert_eq!(world.ask(dialect, request(dialect, &model, false)).await.status, 200);
        let heard = world.ask(dialect, request(dialect, &model, false)).await;
        assert_eq!(heard.status, 429);
        let wait: u64 = heard.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait));
        assert_eq!(world.books().await.len(), 1);
    }
}

#[tokio::test]
async fn a_limit_that_the_dialect_does_not_know_reserves_nothing_less() {
    for (dialect, decoy) in [
        (Dialect::Chat, "max_output_tokens"),
        (Dialect::Responses, "max_completion_tokens"),
        (Dialect::Responses, "max_tokens"),
    ] {
        let route = format!("[routes.r]\nto = \"{}/m\"\ndefault_max_tokens = 300", pool(dialect));
        let world = with_tokens(100_000, &route).await;
        world.script(pool(dialect), Act::json(200, answer(dialect)));
        let mut body = request(dialect, "r", false);
        body.pop();
        body.push_str(&[",\"", decoy, "\":1}"].concat());
        world.ask(dialect, body).await;
        let sent = world.wire.sent().remove(0).json();
        let known = match dialect {
            Dialect::Chat => "max_completion_tokens",
            _ => "max_output_tokens",
        };
        assert_eq!(sent[known], 300, "{decoy}: {sent}");
    }
    // Of two that both may count, the larger is reserved.
    let world = with_tokens(2_000, "").await;
    let body = r#"{"model":"chat/m","max_completion_tokens":1,"max_tokens":5000,
        "messages":[{"role":"user","content":"hi"}]}"#;
    assert_eq!(world.chat(body).await.status, 413);
}
