//! Embeddings, legacy completions and token counts move on as chat does.

use freehold_control::Limits;
use freehold_gateway::call::Endpoint;
use freehold_types::{Env as _, TransportFault};

use crate::script::{Act, Piece};
use crate::world::{Heard, PROVIDERS, World};

const TWO: &str = r#"
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    [[routes.r.deployments]]
    provider = "chat2"
    model = "b"
"#;

const DONE: &str = r#"{"object":"list","data":[],"choices":[{"text":"x"}],
    "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

const PASSED: [Endpoint; 2] = [Endpoint::Embeddings, Endpoint::Completions];

async fn asked(world: &World, endpoint: &Endpoint) -> Heard {
    let body = r#"{"model":"r","input":"a","prompt":"a"}"#;
    world.hear(world.call(endpoint.clone(), body)).await
}

fn error(status: u16) -> Act {
    Act::json(status, r#"{"error":{"message":"it failed","type":"t","code":null}}"#)
}

#[tokio::test]
async fn another_deployment_makes_good_what_one_fails_at() {
    for endpoint in PASSED {
        for act in [
            Act::Fail(TransportFault::Connect),
            Act::Fail(TransportFault::HeadersTimeout),
            error(500),
            error(429).header("retry-after", "9"),
            error(401),
            error(404),
            error(302),
            error(200),
            Act::json(200, "<html>"),
            Act::json(200, "{").then(Piece::Broken),
        ] {
            let world = World::new(TWO).await;
            world.script("chat", act.clone());
            world.script("chat2", Act::json(200, DONE));
            let heard = asked(&world, &endpoint).await;
            assert_eq!((heard.status.as_u16(), heard.text()), (200, DONE), "{act:?}");
            assert_eq!(heard.header("x-freehold-deployment"), Some("chat2/b"));
            assert_eq!(heard.header("x-freehold-attempts"), Some("2"));
            assert_eq!(world.wire.sent()[1].json()["model"], "b");
            let book = world.book().await;
            assert_eq!((book.attempts, book.deployment.as_deref()), (2, Some("chat2/b")));
            assert_eq!(book.tokens.input, 3, "{act:?}");
        }
    }
}

#[tokio::test]
async fn faults_are_told_apart() {
    for endpoint in PASSED {
        // The client's own moves nothing and trips nothing.
        let world = World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 1")).await;
        world.script("chat", error(400));
        let heard = asked(&world, &endpoint).await;
        assert_eq!((heard.status.as_u16(), world.wire.sent().len()), (400, 1));
        assert_eq!(heard.json()["error"]["message"], "it failed");
        // A server's opens its breaker: it is not asked again.
        world.script("chat", error(500));
        for _ in 0..2 {
            world.script("chat2", Act::json(200, DONE));
            assert_eq!(asked(&world, &endpoint).await.status, 200);
        }
        let pools: Vec<_> = world.wire.sent().into_iter().map(|s| s.pool).collect();
        assert_eq!(pools, ["chat", "chat", "chat2", "chat2"]);
        // A refused credential is left alone.
        let world = World::new(TWO).await;
        world.script("chat", error(401));
        for _ in 0..2 {
            world.script("chat2", Act::json(200, DONE));
            assert_eq!(asked(&world, &endpoint).await.status, 200);
        }
        assert_eq!(world.wire.sent().len(), 3);
    }
}

#[tokio::test]
async fn the_only_deployment_is_tried_again_after_what_it_asks_for() {
    for endpoint in PASSED {
        let world = World::new("[routes.r]\nto = \"chat/a\"").await;
        world.script("chat", error(429).header("retry-after", "2"));
        world.script("chat", Act::json(200, DONE));
        let before = world.clock.monotonic();
        assert_eq!(asked(&world, &endpoint).await.status, 200);
        assert!(world.clock.monotonic().saturating_sub(before).as_secs() >= 2);
        // And the client hears the provider's own words in the end.
        for _ in 0..3 {
            world.script("chat", error(429).header("retry-after", "60"));
        }
        let heard = asked(&world, &endpoint).await;
        assert_eq!((heard.status.as_u16(), heard.header("retry-after")), (429, Some("60")));
        assert_eq!(world.books().await.len(), 2);
    }
}

#[tokio::test]
async fn a_stream_that_begins_with_an_error_is_replaced() {
    let world = World::new(TWO).await;
    world.script("chat", Act::sse(["data: {\"error\":{\"message\":\"overloaded\"}}\n\n"]));
    let chunks = [
        "data: {\"choices\":[{\"text\":\"x\",\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    ];
    world.script("chat2", Act::sse(chunks));
    let body = r#"{"model":"r","prompt":"hi","stream":true}"#;
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert_eq!(heard.text(), chunks.concat());
    assert_eq!(world.book().await.attempts, 2);
}

#[tokio::test]
async fn a_count_moves_on_too() {
    let config = format!(
        "{PROVIDERS}\n[providers.messages2]\nkind = \"anthropic\"\n\
         base_url = \"http://messages2.test/v1\"\nkey = {{ env = \"KEY\" }}\n\
         [[routes.r.deployments]]\nprovider = \"messages\"\nmodel = \"a\"\n\
         [[routes.r.deployments]]\nprovider = \"messages2\"\nmodel = \"b\""
    );
    let world = World::with(&config, Limits::default(), None).await;
    world.script("messages", error(529));
    world.script("messages2", Act::json(200, r#"{"input_tokens":11}"#));
    let body = r#"{"model":"r","messages":[{"role":"user","content":"hi"}]}"#;
    let heard = world.hear(world.call(Endpoint::CountTokens, body)).await;
    assert_eq!(heard.text(), r#"{"input_tokens":11}"#);
    let book = world.book().await;
    assert_eq!((book.attempts, book.tokens.input), (2, 0), "counting is free");
}

#[tokio::test]
async fn a_completion_reserves_for_each_of_its_prompts_and_choices() {
    use freehold_control::{NewBudget, Period, Scope};
    use freehold_types::{Money, TenantId};
    let priced = "[[routes.r.deployments]]\nprovider = \"chat\"\nmodel = \"a\"\n\
         price = { input = \"0\", output = \"1\" }";
    for (asked, tokens) in [
        (r#""prompt":"a""#, 7_000),
        (r#""prompt":[1,2,3]"#, 7_000),
        (r#""prompt":["a","b"],"n":3"#, 42_000),
        (r#""prompt":[[1,2],[3]],"best_of":5"#, 70_000),
    ] {
        let world = World::new(priced).await;
        let scope = Scope::Tenant(TenantId::main());
        let amount = Money::from_nanos(1_000_000_000).unwrap();
        world
            .control
            .create_budget(NewBudget { scope, amount, period: Period::Total })
            .await
            .unwrap();
        world.script("chat", Act::json(200, DONE));
        let body = format!(r#"{{"model":"r","max_tokens":7,{asked}}}"#);
        assert_eq!(world.hear(world.call(Endpoint::Completions, body)).await.status, 200);
        world.book().await;
        assert_eq!(world.reserved().await, Money::from_nanos(tokens).unwrap(), "{asked}");
    }
}
