//! From each dialect to each other, plain and streamed.

use freehold_llm::Dialect;
use serde_json::json;

use crate::samples::{DIALECTS, answer, payloads, pool, request, stream, text_of, text_of_stream};
use crate::script::Act;
use crate::world::World;

fn pairs() -> impl Iterator<Item = (Dialect, Dialect)> {
    DIALECTS
        .into_iter()
        .flat_map(|from| DIALECTS.into_iter().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}

#[tokio::test]
async fn whole_answers_cross() {
    for (from, to) in pairs() {
        let world = World::new("").await;
        world.script(pool(to), Act::json(200, answer(to)));
        let model = format!("{}/m", pool(to));
        let heard = world.ask(from, request(from, &model, false)).await;
        let what = format!("{from:?} over {to:?}: {}", heard.text());
        assert_eq!(heard.status, 200, "{what}");
        assert_eq!(heard.header("content-type"), Some("application/json"), "{what}");
        let said = heard.json();
        assert_eq!(text_of(from, &said), "Hello there", "{what}");
        assert_eq!(said["model"], json!(model), "the name that was asked for: {what}");
        let (input, output) = match from {
            Dialect::Chat => (&said["usage"]["prompt_tokens"], &said["usage"]["completion_tokens"]),
            _ => (&said["usage"]["input_tokens"], &said["usage"]["output_tokens"]),
        };
        let input_told = if from == Dialect::Messages { 6 } else { 10 };
        assert_eq!((input, output), (&json!(input_told), &json!(5)), "{what}");
        let sent = world.wire.sent().remove(0);
        assert_eq!(sent.json()["model"], "m", "{what}");
        assert!(sent.uri.starts_with(&format!("http://{}.test/v1/", pool(to))), "{}", sent.uri);
        if to == Dialect::Messages {
            assert!(sent.json()["max_tokens"].is_u64(), "{what}");
        }
        if to == Dialect::Responses {
            assert_eq!(sent.json()["store"], false, "{what}");
        }
        let book = world.book().await;
        assert_eq!((book.tokens.input, book.tokens.output), (10, 5), "{what}");
        assert_eq!((book.tokens.cache_read, book.estimated), (4, false), "{what}");
    }
}

#[tokio::test]
async fn streams_cross_however_they_are_split() {
    for (from, to) in pairs() {
        let whole = stream(to).concat();
        let bytes: Vec<String> = whole.chars().map(String::from).collect();
        let mut told = Vec::new();
        for pieces in [stream(to), vec![whole], bytes] {
            let world = World::new("").await;
            world.script(pool(to), Act::sse(&pieces));
            let heard = world.ask(from, request(from, &format!("{}/m", pool(to)), true)).await;
            let what = format!("{from:?} over {to:?}: {}", heard.text());
            assert_eq!(heard.header("content-type"), Some("text/event-stream; charset=utf-8"));
            assert_eq!(text_of_stream(from, heard.text()), "Hello there", "{what}");
            let end = match from {
                Dialect::Chat => "data: [DONE]\n\n",
                Dialect::Responses => "response.completed",
                Dialect::Messages => "message_stop",
            };
            assert!(heard.text().contains(end), "{what}");
            if from == Dialect::Chat {
                assert!(!heard.text().contains("\"usage\":{"), "not asked for: {what}");
            }
            let book = world.book().await;
            assert_eq!((book.tokens.input, book.tokens.output), (10, 5), "{what}");
            assert_eq!((book.estimated, book.error), (false, None), "{what}");
            told.push(payloads(heard.text()).len());
        }
        assert!(told.windows(2).all(|w| w[0] == w[1]), "{told:?}");
    }
}

#[tokio::test]
async fn a_chat_client_that_asks_for_usage_gets_it_across() {
    for to in [Dialect::Responses, Dialect::Messages] {
        let world = World::new("").await;
        world.script(pool(to), Act::sse(stream(to)));
        let mut body = request(Dialect::Chat, &format!("{}/m", pool(to)), true);
        body.pop();
        body.push_str(r#","stream_options":{"include_usage":true}}"#);
        let heard = world.chat(body).await;
        let last = payloads(heard.text()).pop().unwrap();
        assert_eq!(last["usage"]["prompt_tokens"], 10, "{}", heard.text());
    }
}

const LOSSY: &str = r#"{"model":"MODEL","seed":7,"logit_bias":{"5":1},
    "messages":[{"role":"user","content":"hi"}]}"#;

#[tokio::test]
async fn what_did_not_cross_is_told() {
    let world = World::new("").await;
    world.script("messages", Act::json(200, answer(Dialect::Messages)));
    let heard = world.chat(LOSSY.replace("MODEL", "messages/m")).await;
    assert_eq!(heard.status, 200);
    let losses = heard.header("x-freehold-losses").unwrap();
    assert!(losses.contains("seed") && losses.contains("logit_bias"), "{losses}");
}

#[tokio::test]
async fn a_loss_with_an_odd_name_is_told_all_the_same() {
    let world = World::new("").await;
    world.script("messages", Act::json(200, answer(Dialect::Messages)));
    let body =
        LOSSY.replace("MODEL", "messages/m").replace("logit_bias", "gr\u{f6}\\u0000\\r\\n\u{df}e");
    let heard = world.chat(body).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    let losses = heard.header("x-freehold-losses").unwrap();
    assert!(losses.contains("seed") && losses.contains("gr"), "{losses}");
}

#[tokio::test]
async fn strict_refuses_what_would_be_lost() {
    for (route, header) in [
        ("[routes.r]\nto = \"messages/m\"\nstrict = true", false),
        ("[routes.r]\nto = \"messages/m\"", true),
    ] {
        let world = World::new(route).await;
        let mut call = world.call(
            freehold_gateway::call::Endpoint::Model(Dialect::Chat),
            LOSSY.replace("MODEL", "r"),
        );
        call.strict = header;
        let heard = world.hear(call).await;
        assert_eq!(heard.status, 400, "{}", heard.text());
        assert_eq!(heard.json()["error"]["code"], "strict_loss");
        assert!(heard.text().contains("seed"));
        assert!(world.wire.sent().is_empty());
        let book = world.book().await;
        assert_eq!((book.status, book.error.as_deref()), (400, Some("invalid")));
        // What loses nothing passes.
    }
    let world = World::new("[routes.r]\nto = \"messages/m\"\nstrict = true").await;
    world.script("messages", Act::json(200, answer(Dialect::Messages)));
    assert_eq!(world.chat(request(Dialect::Chat, "r", false)).await.status, 200);
}

#[tokio::test]
async fn strict_goes_to_the_deployment_that_loses_nothing() {
    let world = World::new(
        "[routes.r]\nstrict = true\n\
         [[routes.r.deployments]]\nprovider = \"messages\"\nmodel = \"a\"\n\
         [[routes.r.deployments]]\nprovider = \"chat\"\nmodel = \"b\"",
    )
    .await;
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    let heard = world.chat(LOSSY.replace("MODEL", "r")).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    assert_eq!(world.wire.sent().len(), 1);
}
