//! What moves a request on to another deployment, and what does not.

use std::time::Duration;

use freehold_llm::Dialect;
use freehold_types::{Env as _, TransportFault};
use serde_json::json;

use crate::samples::{DIALECTS, answer, pool, request, stream, text_of, text_of_stream};
use crate::script::{Act, Piece};
use crate::world::{Heard, UPSTREAM_KEY, World};

const TWO: &str = r#"
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    [[routes.r.deployments]]
    provider = "chat2"
    model = "b"
"#;

/// One deployment, no retries.
const ONE: &str = "[routes.r]\nto = \"chat/a\"\nretries = { max = 0 }";

fn error(status: u16) -> Act {
    Act::json(status, r#"{"error":{"message":"it failed","type":"t","code":null}}"#)
}

fn error_event() -> &'static str {
    "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\"code\":null}}\n\n"
}

async fn asked(world: &World, stream: bool) -> Heard {
    world.chat(request(Dialect::Chat, "r", stream)).await
}

/// Everything that another deployment can make good, and what the client
/// hears if there is none.
fn failures() -> Vec<(&'static str, Act, u16)> {
    let html = Act::Answer {
        status: 200,
        headers: vec![("content-type", "text/html".to_owned())],
        body: vec![Piece::Data("<html>sign in</html>".into())],
    };
    let half = answer(Dialect::Chat);
    let (half, _) = half.split_at(half.len() / 2);
    vec![
        ("connect", Act::Fail(TransportFault::Connect), 502),
        ("connect timeout", Act::Fail(TransportFault::ConnectTimeout), 504),
        ("headers timeout", Act::Fail(TransportFault::HeadersTimeout), 504),
        ("broken", Act::Fail(TransportFault::Broken), 502),
        ("429", error(429).header("retry-after", "2"), 429),
        ("500", error(500), 500),
        ("503", error(503), 503),
        ("529", error(529), 529),
        ("401", error(401), 502),
        ("402", error(402), 502),
        ("403", error(403), 502),
        ("404", error(404), 404),
        ("redirect", error(302).header("location", "http://127.0.0.1/"), 502),
        (
            "context",
            Act::json(
                400,
                r#"{"error":{"message":"m","type":"t","code":"context_length_exceeded"}}"#,
            ),
            400,
        ),
        ("200 with an error", error(200), 502),
        ("html", html, 502),
        ("empty", Act::json(200, ""), 502),
        ("truncated", Act::json(200, half), 502),
        ("truncated at a brace", Act::json(200, r#"{"id":"x","choices":[{"a":1}"#), 502),
        ("broken body", Act::json(200, half).then(Piece::Broken), 502),
        ("stalled body", Act::json(200, half).then(Piece::Stalled), 504),
    ]
}

#[tokio::test]
async fn another_deployment_makes_good_what_one_fails_at() {
    for (name, act, _) in failures() {
        let world = World::new(TWO).await;
        world.script("chat", act);
        world.script("chat2", Act::json(200, answer(Dialect::Chat)));
        let heard = asked(&world, false).await;
        assert_eq!(heard.status, 200, "{name}: {}", heard.text());
        assert_eq!(text_of(Dialect::Chat, &heard.json()), "Hello there");
        assert_eq!(heard.header("x-freehold-deployment"), Some("chat2/b"), "{name}");
        assert_eq!(heard.header("x-freehold-attempts"), Some("2"), "{name}");
        assert_eq!(world.wire.sent()[1].json()["model"], "b");
        let book = world.book().await;
        assert_eq!((book.attempts, book.status), (2, 200), "{name}");
        assert_eq!(book.deployment.as_deref(), Some("chat2/b"), "{name}");
        assert_eq!(book.tokens.output, 5, "{name}");
    }
}

#[tokio::test]
async fn without_another_the_client_hears_whose_fault_it_was() {
    for (name, act, status) in failures() {
        let world = World::new(ONE).await;
        world.script("chat", act);
        let heard = asked(&world, false).await;
        assert_eq!(heard.status, status, "{name}: {}", heard.text());
        let error = &heard.json()["error"];
        assert!(error["message"].is_string(), "{name}: {}", heard.text());
        assert!(!heard.text().contains("sk-upstream"), "{name}");
        if matches!(name, "401" | "402" | "403") {
            assert_eq!(error["code"], "upstream_credential");
        }
        if name == "429" {
            assert_eq!(heard.header("retry-after"), Some("2"));
        }
        let book = world.book().await;
        assert_eq!((book.status, book.attempts), (status, 1), "{name}");
        assert!(book.error.is_some(), "{name}");
        assert_eq!(book.tokens.output, 0, "{name}");
    }
}

#[tokio::test]
async fn errors_reach_each_dialect_in_its_own_shape() {
    for from in DIALECTS {
        for to in DIALECTS {
            for (act, status) in [(error(500), 500), (error(429), 429), (error(401), 502)] {
                let route = format!("[routes.r]\nto = \"{}/m\"\nretries = {{ max = 0 }}", pool(to));
                let world = World::new(&route).await;
                world.script(pool(to), act);
                let heard = world.ask(from, request(from, "r", false)).await;
                let what = format!("{from:?} over {to:?}: {}", heard.text());
                assert_eq!(heard.status, status, "{what}");
                assert!(heard.json()["error"]["message"].is_string(), "{what}");
                // The upstream's own body goes through as it is in its dialect.
                if from == Dialect::Messages && to != from {
                    assert_eq!(heard.json()["type"], "error", "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_replaced() {
    let whole = error_event();
    let (a, b) = whole.split_at(9);
    let comment = ": connected\n\n";
    for pieces in [vec![whole], vec![a, b], vec![comment, whole], vec!["", comment, a, b], vec![]] {
        let world = World::new(TWO).await;
        world.script("chat", Act::sse(&pieces));
        world.script("chat2", Act::sse(stream(Dialect::Chat)));
        let heard = asked(&world, true).await;
        assert_eq!(text_of_stream(Dialect::Chat, heard.text()), "Hello there", "{pieces:?}");
        assert!(!heard.text().contains("overloaded"), "{pieces:?}: {}", heard.text());
        assert_eq!(world.book().await.attempts, 2);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_first_byte_is_replaced() {
    for piece in [Piece::Broken, Piece::Stalled] {
        let world = World::new(TWO).await;
        world.script("chat", Act::sse([""; 0]).then(piece));
        world.script("chat2", Act::sse(stream(Dialect::Chat)));
        let heard = asked(&world, true).await;
        assert_eq!(text_of_stream(Dialect::Chat, heard.text()), "Hello there");
    }
}

#[tokio::test]
async fn an_error_at_the_start_of_each_dialects_stream_is_replaced() {
    let event = |dialect| match dialect {
        Dialect::Chat => error_event().to_owned(),
        Dialect::Responses => "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\
             \"message\":\"overloaded\",\"param\":null,\"sequence_number\":0}\n\n"
            .to_owned(),
        Dialect::Messages => "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\
             \"overloaded_error\",\"message\":\"overloaded\"}}\n\n"
            .to_owned(),
    };
    for to in DIALECTS {
        let route = format!(
            "[[routes.r.deployments]]\nprovider = \"{}\"\nmodel = \"a\"\n\
             [[routes.r.deployments]]\nprovider = \"chat2\"\nmodel = \"b\"",
            pool(to)
        );
        let world = World::new(&route).await;
        world.script(pool(to), Act::sse([event(to)]));
        world.script("chat2", Act::sse(stream(Dialect::Chat)));
        let heard = asked(&world, true).await;
        assert_eq!(text_of_stream(Dialect::Chat, heard.text()), "Hello there", "{to:?}");
    }
}

#[tokio::test]
async fn a_fault_of_the_client_moves_nothing_and_trips_nothing() {
    for status in [400, 413, 422] {
        let world = World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 1")).await;
        world.script("chat", error(status));
        let heard = asked(&world, false).await;
        assert_eq!(heard.status, status);
        assert_eq!(heard.json()["error"]["message"], "it failed");
        assert_eq!(world.wire.sent().len(), 1);
        world.script("chat", Act::json(200, answer(Dialect::Chat)));
        let again = asked(&world, false).await;
        assert_eq!(again.header("x-freehold-deployment"), Some("chat/a"));
    }
}

#[tokio::test]
async fn a_refused_credential_is_left_alone_until_it_rests() {
    let world = World::new(TWO).await;
    world.script("chat", error(401));
    world.script("chat2", Act::json(200, answer(Dialect::Chat)));
    world.script("chat2", Act::json(200, answer(Dialect::Chat)));
    asked(&world, false).await;
    asked(&world, false).await;
    let pools: Vec<_> = world.wire.sent().into_iter().map(|s| s.pool).collect();
    assert_eq!(pools, ["chat", "chat2", "chat2"]);
    world.pass(61_000);
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    let heard = asked(&world, false).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat/a"));
}

#[tokio::test]
async fn a_429_rests_its_deployment_for_as_long_as_it_asked() {
    let world = World::new(TWO).await;
    world.script("chat", error(429).header("retry-after", "30"));
    for _ in 0..3 {
        world.script("chat2", Act::json(200, answer(Dialect::Chat)));
    }
    asked(&world, false).await;
    world.pass(29_000);
    assert_eq!(asked(&world, false).await.header("x-freehold-deployment"), Some("chat2/b"));
    world.pass(1_500);
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    assert_eq!(asked(&world, false).await.header("x-freehold-deployment"), Some("chat/a"));
}

#[tokio::test]
async fn the_same_deployment_is_tried_again_within_the_rule() {
    let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { max = 2 }").await;
    world.script("chat", error(500));
    world.script("chat", error(429).header("retry-after", "2"));
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    let before = world.clock.monotonic();
    let heard = asked(&world, false).await;
    assert_eq!(heard.status, 200);
    assert_eq!(heard.header("x-freehold-attempts"), Some("3"));
    let waited = world.clock.monotonic().saturating_sub(before);
    assert!(waited >= Duration::from_secs(2), "Retry-After is heeded");
    // No further than the rule goes.
    for _ in 0..4 {
        world.script("chat", error(500));
    }
    assert_eq!(asked(&world, false).await.status, 500);
    assert_eq!(world.wire.sent().len(), 6);
}

#[tokio::test]
async fn a_429_that_asks_for_no_time_is_tried_again() {
    let world = World::new("[routes.r]\nto = \"chat/a\"").await;
    world.script("chat", error(429));
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    assert_eq!(asked(&world, false).await.status, 200);
}

/// Its only deployment speaks another dialect: what goes there is all that is
/// held of the request between the attempts.
#[tokio::test]
async fn what_crosses_is_sent_again_as_it_was() {
    for stream in [false, true] {
        let world =
            World::new("[routes.r]\nto = \"messages/a\"\nretries = { max = 2, base_ms = 1 }").await;
        world.script("messages", error(429));
        world.script("messages", error(429));
        world.script("messages", Act::json(200, answer(Dialect::Messages)));
        let heard = asked(&world, stream).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        let sent = world.wire.sent();
        assert_eq!(sent.len(), 3);
        let first = sent[0].text();
        assert!(first.contains("\"max_tokens\""), "{first}");
        assert_eq!((sent[1].text(), sent[2].text()), (first, first));
    }
}

/// Two deployments in turn, of which the one speaks another dialect: the
/// client's own bytes are there for the next.
#[tokio::test]
async fn what_crossed_in_vain_goes_on_as_bytes() {
    let routes = TWO.replace("provider = \"chat\"", "provider = \"messages\"");
    let world = World::new(&routes).await;
    world.script("messages", error(500));
    world.script("chat2", Act::json(200, answer(Dialect::Chat)));
    let heard = asked(&world, false).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    let sent = world.wire.sent();
    let text = sent[1].text();
    assert!(text.contains("\"model\":\"b\"") && text.contains("\"content\":\"hi\""), "{text}");
}

#[tokio::test]
async fn a_sick_next_deployment_does_not_keep_from_a_retry() {
    let world = World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 1")).await;
    // The second one's breaker opens.
    world.script("chat", error(404));
    world.script("chat2", error(500));
    asked(&world, false).await;
    world.script("chat", error(429).header("retry-after-ms", "10"));
    world.script("chat", Act::json(200, answer(Dialect::Chat)));
    let heard = asked(&world, false).await;
    assert_eq!(heard.status, 200, "{}", heard.text());
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat/a"));
}

#[tokio::test]
async fn retries_are_a_bounded_share_of_requests() {
    let world = World::new(
        "[routes.r]\nto = \"chat/a\"\nretries = { max = 5, budget_percent = 10, base_ms = 1 }",
    )
    .await;
    for _ in 0..40 {
        for _ in 0..2 {
            world.script("chat", error(429).header("retry-after-ms", "1"));
        }
        world.script("chat", Act::json(200, answer(Dialect::Chat)));
        asked(&world, false).await;
    }
    // Ten in hand, and a tenth of forty.
    let retries = world.wire.sent().len() - 40;
    assert!((13..=15).contains(&retries), "{retries}");
}

#[tokio::test]
async fn a_breaker_opens_lets_one_probe_through_and_closes() {
    let world =
        World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 2\nopen_ms = 5000")).await;
    let good = || Act::json(200, answer(Dialect::Chat));
    for _ in 0..2 {
        world.script("chat", error(500));
        world.script("chat2", good());
        asked(&world, false).await;
    }
    world.script("chat2", good());
    asked(&world, false).await;
    assert_eq!(world.wire.sent().len(), 5, "the open one is not asked");

    // The probe fails: it stays open for twice as long.
    world.pass(5_001);
    world.script("chat", error(500));
    world.script("chat2", good());
    asked(&world, false).await;
    world.pass(9_000);
    world.script("chat2", good());
    assert_eq!(asked(&world, false).await.header("x-freehold-attempts"), None);

    // One probe at a time, and a good one closes it.
    world.pass(1_001);
    world.script("chat", good().after(1_000));
    world.script("chat2", good());
    let probe = world.call(
        freehold_gateway::call::Endpoint::Model(Dialect::Chat),
        request(Dialect::Chat, "r", false),
    );
    let gateway = world.gateway.clone();
    let probe = tokio::spawn(async move { Box::pin(gateway.exchange(probe)).await });
    tokio::task::yield_now().await;
    let call = world.call(
        freehold_gateway::call::Endpoint::Model(Dialect::Chat),
        request(Dialect::Chat, "r", false),
    );
    let beside = Box::pin(world.gateway.exchange(call)).await;
    assert_eq!(beside.headers["x-freehold-deployment"], "chat2/b");
    world.pass(1_000);
    assert_eq!(probe.await.unwrap().headers["x-freehold-deployment"], "chat/a");
    world.script("chat", good());
    assert_eq!(asked(&world, false).await.header("x-freehold-deployment"), Some("chat/a"));
}

#[tokio::test]
async fn a_dead_last_resort_is_asked_once_a_second_and_found_alive_at_once() {
    const ONE: &str = "[routes.r]\nto = \"chat/a\"\nretries = { max = 0 }";
    let all = format!("[routes.r]\nretries = {{ max = 0 }}\n{TWO}");
    // The second one has its share of failures to show as well.
    for (config, pools, failures) in
        [(ONE, ["chat"].as_slice(), 40), (&all, &["chat", "chat2"], 55)]
    {
        let world = World::new(config).await;
        let fail = || pools.iter().for_each(|pool| world.script(pool, error(500)));
        // Two seconds of nothing but failures, which the client hears as such.
        for _ in 0..failures {
            fail();
            assert_eq!(asked(&world, false).await.status, 500);
            world.pass(50);
        }
        let mut asked_upstream = 0;
        for _ in 0..100 {
            fail();
            let before = world.wire.sent().len();
            let heard = asked(&world, false).await;
            if world.wire.sent().len() > before {
                asked_upstream += 1;
            } else {
                assert_eq!(heard.status, 503);
                assert_eq!(heard.header("retry-after"), Some("1"));
                let ms: u64 = heard.header("retry-after-ms").unwrap().parse().unwrap();
                assert!((1..=1_000).contains(&ms), "{ms}");
                assert_eq!(heard.json()["error"]["code"], "no_deployment");
            }
            world.pass(50);
        }
        // One a second, and the breaker's own probes.
        let most = 7 * pools.len();
        assert!((4..=most).contains(&asked_upstream), "{pools:?}: {asked_upstream} in 5 s");
    }
}

#[tokio::test]
async fn a_last_resort_that_recovers_serves_everybody_again() {
    let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { max = 0 }").await;
    for _ in 0..40 {
        world.script("chat", error(500));
        asked(&world, false).await;
        world.pass(50);
    }
    world.script("chat", error(500));
    assert_eq!(asked(&world, false).await.status, 500);
    assert_eq!(asked(&world, false).await.status, 503);
    world.pass(1_000);
    for _ in 0..10 {
        world.script("chat", Act::json(200, answer(Dialect::Chat)));
        assert_eq!(asked(&world, false).await.status, 200);
    }
}

#[tokio::test]
async fn a_last_resort_that_answers_some_is_asked_by_all() {
    let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { max = 0 }").await;
    for n in 0..200 {
        let good = n % 10 == 0;
        let act = if good { Act::json(200, answer(Dialect::Chat)) } else { error(503) };
        world.script("chat", act);
        assert_eq!(asked(&world, false).await.status, if good { 200 } else { 503 });
        world.pass(50);
    }
    assert_eq!(world.wire.sent().len(), 200);
}

#[tokio::test]
async fn only_the_listed_faults_move_a_request_on() {
    let world = World::new(&format!(
        "[routes.r]\nfallback_on = [\"timeout\"]\nretries = {{ max = 0 }}\n{TWO}"
    ))
    .await;
    world.script("chat", error(500));
    assert_eq!(asked(&world, false).await.status, 500);
    assert_eq!(world.wire.sent().len(), 1);
}

#[tokio::test]
async fn requests_that_begin_alike_stay_at_one_deployment() {
    let world = World::new(&format!(
        "[routes.r]\nstrategy = \"weighted\"\naffinity = \"prompt-cache\"\n{TWO}"
    ))
    .await;
    for user in 0..8 {
        for _ in 0..4 {
            let good = || Act::json(200, answer(Dialect::Chat));
            world.script("chat", good());
            world.script("chat2", good());
            let body = format!(
                r#"{{"model":"r","user":"u{user}","messages":[{{"role":"user","content":"hi"}}]}}"#
            );
            world.chat(body).await;
        }
    }
    let pools: Vec<String> = world.wire.sent().into_iter().map(|s| s.pool).collect();
    let homes: Vec<&[String]> = pools.chunks(4).collect();
    assert!(homes.iter().all(|c| c.iter().all(|p| *p == c[0])), "{pools:?}");
    assert!(homes.iter().any(|c| c[0] != homes[0][0]), "all users at one place");
}

#[tokio::test]
async fn a_provider_that_repeats_our_key_repeats_it_to_nobody() {
    use freehold_gateway::call::Endpoint;
    let said = format!("bad key {UPSTREAM_KEY}: sk-upst****cret");
    let body = json!({"error": {"message": said, "type": said, "param": said, "code": null}});
    for status in [200, 400, 401, 403, 404, 429, 500] {
        for dialect in DIALECTS {
            let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { max = 0 }").await;
            for stream in [false, true] {
                world.script("chat", Act::json(status, body.to_string()));
                let heard = world.ask(dialect, request(dialect, "r", stream)).await;
                assert!(heard.status.is_client_error() || heard.status.is_server_error());
                assert!(!heard.text().contains(UPSTREAM_KEY), "{status}: {}", heard.text());
                // Of a refused key not even what the provider leaves of it.
                if matches!(status, 401 | 403) {
                    assert!(!heard.text().contains("****"), "{status}: {}", heard.text());
                }
                world.pass(3_600_000);
            }
        }
        let world = World::new("[routes.r]\nto = \"responses/a\"\nretries = { max = 0 }").await;
        let other = Endpoint::Other { method: http::Method::GET, path: "/files".into() };
        for endpoint in [Endpoint::Embeddings, Endpoint::Completions, other] {
            // An endpoint that passes through knows no errors under a 200.
            if status == 200 && matches!(endpoint, Endpoint::Other { .. }) {
                continue;
            }
            world.script("responses", Act::json(status, body.to_string()));
            let asked = r#"{"model":"r","input":"a","prompt":"a"}"#;
            let mut call = world.call(endpoint.clone(), asked);
            call.headers.insert("x-freehold-provider", "responses".parse().unwrap());
            let heard = world.hear(call).await;
            assert!(!heard.text().contains(UPSTREAM_KEY), "{endpoint:?}: {}", heard.text());
            world.pass(3_600_000);
        }
    }
}
