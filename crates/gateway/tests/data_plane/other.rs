//! Endpoints that are no model call.

use freehold_control::{Limits, NewKey};
use freehold_gateway::call::{Call, Endpoint};
use freehold_llm::Dialect;
use freehold_types::TenantId;
use http::{HeaderValue, Method};

use crate::samples::stream;
use crate::script::{Act, Piece};
use crate::world::{PROVIDERS, UPSTREAM_KEY, World, new_key};

fn other(world: &World, path: &str, provider: Option<&'static str>) -> Call {
    let endpoint = Endpoint::Other { method: Method::GET, path: path.to_owned() };
    let mut call = world.call(endpoint, "");
    if let Some(provider) = provider {
        call.headers.insert("x-freehold-provider", HeaderValue::from_static(provider));
    }
    call
}

#[tokio::test]
async fn files_pass_as_bytes_with_the_providers_key() {
    let world = World::new("").await;
    let bytes = vec![0_u8, 255, 13, 10, 7];
    let act = Act::Answer {
        status: 200,
        headers: vec![("content-type", "application/pdf".to_owned())],
        body: vec![Piece::Data(bytes.clone().into())],
    };
    world.script("responses", act);
    let heard = world.hear(other(&world, "/files/f-1/content?x=1", Some("responses"))).await;
    assert_eq!((heard.status.as_u16(), &heard.body), (200, &bytes));
    assert_eq!(heard.header("content-type"), Some("application/pdf"));
    let sent = world.wire.sent().remove(0);
    assert_eq!(sent.uri, "http://responses.test/v1/files/f-1/content?x=1");
    assert_eq!(sent.header("authorization"), Some(format!("Bearer {UPSTREAM_KEY}").as_str()));
    assert_eq!(sent.header("cookie"), None);
    assert_eq!(sent.header("x-freehold-provider"), None);
    let book = world.book().await;
    assert!(book.unpriced && book.error.is_none());
    assert_eq!((book.status, book.tokens.output), (200, 0));
}

#[tokio::test]
async fn what_a_provider_keeps_is_for_the_tenants_it_is_kept_for() {
    let keeping = format!(
        "{PROVIDERS}\n[providers.theirs]\nkind = \"openai\"\n\
        base_url = \"http://theirs.test/v1\"\nobjects_for = [\"acme\"]\n"
    );
    let mut world = World::with(&keeping, Limits::default(), None).await;
    let new = NewKey { tenant: TenantId::new("acme").unwrap(), ..new_key() };
    let acme = world.control.create_key(new).await.unwrap();
    let acme = world.control.authenticate(acme.secret.reveal()).unwrap();
    let main = std::mem::replace(&mut world.principal, acme);
    for (path, provider, status) in [
        ("/files", "responses", 403),
        ("/batches/b/cancel", "responses", 403),
        ("/images/generations", "responses", 200),
        ("/files", "theirs", 200),
    ] {
        world.script(provider, Act::json(200, "{}"));
        let heard = world.hear(other(&world, path, Some(provider))).await;
        assert_eq!(heard.status, status, "{path} of {provider}: {}", heard.text());
    }
    world.principal = main;
    assert_eq!(world.hear(other(&world, "/files", Some("theirs"))).await.status, 403);
}

#[tokio::test]
async fn a_body_that_breaks_off_breaks_the_clients() {
    let world = World::new("").await;
    world.script("responses", Act::json(200, "abc").then(Piece::Broken));
    let heard = world.hear(other(&world, "/files/f", Some("responses"))).await;
    assert!(heard.torn);
    assert!(world.book().await.error.is_some());
}

#[tokio::test]
async fn which_provider_is_told_or_the_only_one() {
    let world = World::new("").await;
    let heard = world.hear(other(&world, "/files", None)).await;
    assert_eq!(heard.status, 400);
    assert_eq!(heard.json()["error"]["code"], "provider_ambiguous");
    assert!(heard.text().contains("chat2"));
    let heard = world.hear(other(&world, "/files", Some("nobody"))).await;
    assert_eq!(heard.json()["error"]["code"], "provider_unknown");
    let heard = world.hear(other(&world, "/vector_stores", Some("chat"))).await;
    assert_eq!(heard.json()["error"]["code"], "endpoint_not_offered");
    for path in ["/files/../admin", "/files/..%2f..%2fadmin", "/files/%2E%2e/x", "/nothing"] {
        for provider in [None, Some("responses")] {
            let heard = world.hear(other(&world, path, provider)).await;
            assert_eq!(heard.status, 404, "{path}: {}", heard.text());
        }
    }
    assert!(world.wire.sent().is_empty());
    world.script("responses", Act::json(200, "{}"));
    assert_eq!(world.hear(other(&world, "/vector_stores", None)).await.status, 200);
    assert_eq!(world.books().await.len(), 1);
}

#[tokio::test]
async fn errors_of_passed_through_endpoints() {
    for (act, status, code) in [
        (Act::json(401, r#"{"error":{"message":"bad key"}}"#), 502, Some("upstream_credential")),
        (Act::json(404, r#"{"error":{"message":"no file","code":"nope"}}"#), 404, Some("nope")),
        (Act::json(502, "<html>bad gateway</html>"), 502, None),
        (Act::Fail(freehold_types::TransportFault::Connect), 502, Some("upstream_unreachable")),
    ] {
        let world = World::new("").await;
        world.script("responses", act);
        let heard = world.hear(other(&world, "/files/f", Some("responses"))).await;
        assert_eq!(heard.status, status);
        let error = &heard.json()["error"];
        assert!(error["message"].is_string());
        if let Some(code) = code {
            assert_eq!(error["code"], code);
        }
        let book = world.book().await;
        assert_eq!((book.status, book.attempts), (status, 1));
    }
}

#[tokio::test]
async fn completions_pass_and_stream() {
    let world = World::new("").await;
    let done = r#"{"id":"c","choices":[{"text":"x"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;
    world.script("chat", Act::json(200, done));
    let body = r#"{"model":"chat/m", "prompt":"hi"}"#;
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert_eq!(heard.text(), done);
    assert_eq!(world.wire.sent()[0].text(), r#"{"model":"m", "prompt":"hi"}"#);
    assert_eq!(world.wire.sent()[0].uri, "http://chat.test/v1/completions");

    let chunks = [
        "data: {\"choices\":[{\"text\":\"x\",\"finish_reason\":null}]}\n\n",
        "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\n",
        "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
        "data: [DONE]\n\n",
    ];
    world.script("chat", Act::sse(chunks));
    let body = r#"{"model":"chat/m","prompt":"hi","stream":true}"#;
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert_eq!(heard.text(), [chunks[0], chunks[1], chunks[3]].concat());
    // Cut off: told, and estimated.
    world.script("chat", Act::sse(&chunks[..1]).then(Piece::Broken));
    let heard = world.hear(world.call(Endpoint::Completions, body)).await;
    assert!(heard.text().contains("\"error\":{"), "{}", heard.text());
    let books = world.books().await;
    assert_eq!(books.iter().map(|b| b.tokens.output).take(2).collect::<Vec<_>>(), [2, 2]);
    assert_eq!((books[0].tokens.input, books[0].estimated), (3, false));
    assert!(books[2].estimated && books[2].error.is_some());
}

#[tokio::test]
async fn a_completion_without_usage_is_estimated() {
    let world = World::new("").await;
    world.script("chat", Act::json(200, r#"{"choices":[{"text":"one two three four"}]}"#));
    let body = r#"{"model":"chat/m","prompt":"hi"}"#;
    world.hear(world.call(Endpoint::Completions, body)).await;
    let book = world.book().await;
    assert!(book.estimated && book.tokens.output > 0, "{book:?}");
}

#[tokio::test]
async fn embeddings_pass_as_bytes() {
    let world = World::new("").await;
    let done = r#"{"object":"list", "data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}"#;
    world.script("responses", Act::json(200, done));
    let body = r#"{"model":"responses/e","input":["a", "b"],"dimensions":8}"#;
    let heard = world.hear(world.call(Endpoint::Embeddings, body)).await;
    assert_eq!(heard.text(), done);
    assert_eq!(world.wire.sent()[0].text(), r#"{"model":"e","input":["a", "b"],"dimensions":8}"#);
    let book = world.book().await;
    assert_eq!((book.tokens.input, book.tokens.output, book.estimated), (3, 0, false));
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error() {
    for endpoint in [Endpoint::Embeddings, Endpoint::Completions] {
        for body in ["<html>", "", r#"{"error":{"message":"overloaded","type":"server_error"}}"#] {
            let world = World::new("").await;
            world.script("responses", Act::json(200, body));
            let asked = r#"{"model":"responses/e","input":"a","prompt":"a"}"#;
            let heard = world.hear(world.call(endpoint.clone(), asked)).await;
            assert!(heard.status.is_server_error(), "{body}: {}", heard.text());
            assert!(world.book().await.error.is_some());
        }
    }
}

#[tokio::test]
async fn tokens_are_counted_by_the_provider_or_estimated() {
    let world = World::new("").await;
    world.script("messages", Act::json(200, r#"{"input_tokens":11}"#));
    let body = r#"{"model":"messages/m","messages":[{"role":"user","content":"hi"}]}"#;
    let heard = world.hear(world.call(Endpoint::CountTokens, body)).await;
    assert_eq!(heard.text(), r#"{"input_tokens":11}"#);
    let sent = world.wire.sent().remove(0);
    assert_eq!(sent.uri, "http://messages.test/v1/messages/count_tokens");
    assert_eq!(sent.header("anthropic-beta"), Some("beta-1"));

    let body = body.replace("messages/m", "chat/m");
    let heard = world.hear(world.call(Endpoint::CountTokens, body)).await;
    assert!(heard.json()["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(heard.header("x-freehold-estimated"), Some("true"));
    let bad = r#"{"model":"chat/m","messages":7}"#;
    let heard = world.hear(world.call(Endpoint::CountTokens, bad)).await;
    assert_eq!((heard.status.as_u16(), &heard.json()["type"]), (400, &"error".into()));
    world.script("messages", Act::json(401, "{}"));
    let heard = world
        .hear(world.call(Endpoint::CountTokens, r#"{"model":"messages/m","messages":[]}"#))
        .await;
    assert_eq!((heard.status.as_u16(), &heard.json()["type"]), (502, &"error".into()));
    world.books().await;
}

#[tokio::test]
async fn a_key_is_held_to_its_limits_everywhere() {
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let world = World::with(PROVIDERS, limits, None).await;
    world.script("responses", Act::json(200, "{}"));
    assert_eq!(world.hear(other(&world, "/files", Some("responses"))).await.status, 200);
    assert_eq!(world.hear(other(&world, "/files", Some("responses"))).await.status, 429);
    for endpoint in [Endpoint::Embeddings, Endpoint::Completions] {
        let call = world.call(endpoint, r#"{"model":"responses/m","input":"a","prompt":"a"}"#);
        assert_eq!(world.hear(call).await.status, 429);
    }
    assert_eq!(world.wire.sent().len(), 1);
}

#[tokio::test]
async fn what_a_deployment_has_no_room_for_is_shed_and_booked_so() {
    let world = World::new("").await;
    // As many as an upstream is taken to bear before it has answered.
    let mut held = Vec::new();
    let full = loop {
        world.script("responses", Act::Hang);
        let call = other(&world, "/files", Some("responses"));
        let gateway = world.gateway.clone();
        let mut future = Box::pin(async move { gateway.exchange(call).await });
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        match polled {
            std::task::Poll::Pending => held.push(future),
            std::task::Poll::Ready(reply) => break reply,
        }
        assert!(held.len() < 2_000, "there is always room");
    };
    assert_eq!(full.status, 503);
    assert!(full.headers.contains_key("retry-after"));
    let call = world.call(Endpoint::Embeddings, r#"{"model":"responses/*","input":"a"}"#);
    assert_eq!(Box::pin(world.gateway.exchange(call)).await.status, 503);
    drop(held);
    let books = world.books().await;
    let shed: Vec<_> = books.iter().filter(|b| b.status == 503).collect();
    assert_eq!(shed.len(), 2);
    assert!(shed.iter().all(|b| b.attempts == 0 && b.error.as_deref() == Some("unavailable")));
    let plan = world.gateway.plan();
    let (route, _) = plan.route("responses/x").unwrap();
    let count = route.cell.metrics.count(freehold_gateway::metrics::Outcome::Shed);
    assert_eq!(count, 2);
}

#[tokio::test]
async fn a_full_deployment_is_passed_over_for_another() {
    let world = World::new(
        "[[routes.r.deployments]]\nprovider = \"chat\"\nmodel = \"a\"\n\
         [[routes.r.deployments]]\nprovider = \"chat2\"\nmodel = \"b\"",
    )
    .await;
    let mut held = Vec::new();
    loop {
        world.script("chat", Act::Hang);
        world.script("chat2", Act::sse(stream(Dialect::Chat)));
        let body = crate::samples::request(Dialect::Chat, "r", true);
        let call = world.call(Endpoint::Model(Dialect::Chat), body);
        let gateway = world.gateway.clone();
        let mut future = Box::pin(async move { gateway.exchange(call).await });
        let polled =
            std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        match polled {
            std::task::Poll::Pending => held.push(future),
            std::task::Poll::Ready(reply) => {
                assert_eq!(reply.headers["x-freehold-deployment"], "chat2/b");
                assert_eq!(world.read(reply).await.status, 200);
                break;
            }
        }
        assert!(held.len() < 2_000, "there is always room");
    }
    drop(held);
    let books = world.books().await;
    assert_eq!(books.iter().filter(|b| b.status == 200).count(), 1);
}
