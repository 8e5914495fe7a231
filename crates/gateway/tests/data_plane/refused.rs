//! Requests that are refused before anything is sent.

use freehold_control::{NewKey, Routes};
use freehold_gateway::call::Endpoint;
use freehold_llm::Dialect;

use crate::samples::DIALECTS;
use crate::world::{World, new_key};

#[tokio::test]
async fn each_bad_body_is_told_in_the_callers_dialect() {
    let world = World::new("[routes.smart]\nto = \"chat/m\"").await;
    for (body, status, told) in [
        (&b"{\"model\": \"smart\", \"messages\": [}"[..], 400, "byte 32"),
        (b"{\"model\": \"smart\"", 400, ""),
        (b"", 400, ""),
        (b"[]", 400, "object"),
        (b"\"smart\"", 400, "object"),
        (b"{\"messages\":[]}", 400, "model"),
        (b"{\"model\":7}", 400, "model"),
        (b"{\"model\":null}", 400, "model"),
        (b"{\"model\":\"smart\",\"x\":\"\xff\xfe\"}", 400, "UTF-8"),
        (b"{\"model\":\"smart\xff\"}", 400, "UTF-8"),
        (b"{\"model\":\"smrat\"}", 404, "did you mean smart"),
        (b"{\"model\":\"smart\",\"stream\":\"yes\"}", 400, "stream"),
        (b"{\"model\":\"smart\"} trailing", 400, ""),
    ] {
        for dialect in DIALECTS {
            let heard = world.ask(dialect, body).await;
            let what = format!("{dialect:?} {}: {}", String::from_utf8_lossy(body), heard.text());
            assert_eq!(heard.status, status, "{what}");
            let error = &heard.json()["error"];
            let message = error["message"].as_str().unwrap_or_default();
            assert!(message.contains(told), "{what}");
            if dialect == Dialect::Messages {
                assert_eq!(heard.json()["type"], "error", "{what}");
            }
        }
    }
    assert!(world.wire.sent().is_empty());
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn a_wrong_name_tells_nothing_of_routes_that_the_key_may_not_use() {
    let routes = "[routes.secret]\nto = \"chat/m\"\n[routes.public]\nto = \"chat/m\"";
    let mut world = World::new(routes).await;
    let limited = NewKey { routes: Routes::only(&["public"]).unwrap(), ..new_key() };
    let issued = world.control.create_key(limited).await.unwrap();
    world.principal = world.control.authenticate(issued.secret.reveal()).unwrap();
    for (name, told) in [("publik", "did you mean public"), ("secrer", "routes here: public")] {
        let heard = world.ask(Dialect::Chat, format!("{{\"model\":\"{name}\"}}")).await;
        assert_eq!(heard.status, 404);
        assert!(heard.text().contains(told), "{}", heard.text());
        assert!(!heard.text().contains("secret"), "{}", heard.text());
    }
}

#[tokio::test]
async fn deep_nesting_is_refused() {
    let world = World::new("").await;
    for dialect in DIALECTS {
        let deep = format!("{{\"model\":\"chat/m\",\"x\":{}", "[".repeat(100_000));
        assert_eq!(world.ask(dialect, deep).await.status, 400);
    }
}

#[tokio::test]
async fn state_of_responses_is_refused_with_its_parameter() {
    let world = World::new("").await;
    for (field, value) in [
        ("store", "true"),
        ("background", "true"),
        ("conversation", "\"conv_1\""),
        ("conversation", "{\"id\":\"conv_1\"}"),
        ("previous_response_id", "\"resp_1\""),
    ] {
        let body = format!(r#"{{"model":"responses/m","input":"hi","{field}":{value}}}"#);
        let heard = world.ask(Dialect::Responses, body).await;
        assert_eq!(heard.status, 400, "{field}: {}", heard.text());
        assert_eq!(heard.json()["error"]["param"], field);
        assert!(heard.text().contains("later"));
    }
    for unset in ["\"store\":null", "\"background\":false", "\"conversation\":null"] {
        let act = crate::script::Act::json(200, crate::samples::answer(Dialect::Responses));
        world.script("responses", act);
        let body = format!(r#"{{"model":"responses/m","input":"hi",{unset}}}"#);
        let heard = world.ask(Dialect::Responses, body).await;
        assert_eq!(heard.status, 200, "{unset}: {}", heard.text());
        let sent = world.wire.sent().pop().unwrap();
        assert_eq!(sent.json()["store"], false, "{unset}");
        assert_eq!(sent.text().matches("\"store\"").count(), 1);
    }
}

#[tokio::test]
async fn what_no_deployment_can_is_refused() {
    let world = World::new(
        "[[routes.r.deployments]]\nprovider = \"chat\"\nmodel = \"m\"\ncontext = 100\n\
         capabilities = [\"json_schema\"]",
    )
    .await;
    let tools =
        r#"{"model":"r","messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}"#;
    let image = r#"{"model":"r","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://a.test/x.png"}}]}]}"#;
    for body in [tools, image] {
        let heard = world.chat(body).await;
        assert_eq!(heard.status, 400, "{}", heard.text());
        assert_eq!(heard.json()["error"]["code"], "unsupported_feature");
    }
    let long = format!(
        r#"{{"model":"r","messages":[{{"role":"user","content":"{}"}}]}}"#,
        "word ".repeat(500)
    );
    let heard = world.chat(long).await;
    assert_eq!(heard.json()["error"]["code"], "context_length_exceeded", "{}", heard.text());
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn other_endpoints_refuse_bad_bodies_without_an_open_book() {
    let world = World::new("").await;
    for endpoint in [Endpoint::Embeddings, Endpoint::Completions, Endpoint::CountTokens] {
        for (body, status) in [("{", 400), ("[]", 400), ("{}", 400), (r#"{"model":"nope"}"#, 404)] {
            let heard = world.hear(world.call(endpoint.clone(), body)).await;
            assert_eq!(heard.status, status, "{endpoint:?} {body}: {}", heard.text());
            assert!(heard.json()["error"]["message"].is_string());
        }
    }
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn a_pattern_takes_no_name_that_is_none() {
    let world = World::new("").await;
    for name in [&*"x".repeat(260), r"a\nlevel=error", r"a\u001b[2J", r"a\u0000"] {
        let body = format!(r#"{{"model":"chat/{name}","messages":[]}}"#);
        let heard = world.ask(Dialect::Chat, body).await;
        assert_eq!(heard.status, 404, "{}", heard.text());
        assert_eq!(heard.json()["error"]["code"], "model_not_found");
        assert!(heard.text().len() < 1_000);
    }
    assert!(world.wire.sent().is_empty());
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn a_trace_goes_on_to_whoever_is_asked() {
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut headers = http::HeaderMap::new();
    headers.insert("traceparent", traceparent.parse().unwrap());
    headers.insert("tracestate", "a=1".parse().unwrap());
    let trace = freehold_gateway::trace::Trace::of_client(&headers).map(std::sync::Arc::new);
    let endpoints = DIALECTS.map(Endpoint::Model).into_iter();
    for endpoint in endpoints.chain([
        Endpoint::Embeddings,
        Endpoint::Completions,
        Endpoint::CountTokens,
        Endpoint::Other { method: http::Method::GET, path: "/files".into() },
    ]) {
        for trace in [None, trace.clone()] {
            let world = World::new("[routes.r]\nretries = { max = 0 }\n[[routes.r.deployments]]\nprovider = \"messages\"\nmodel = \"a\"\n[[routes.r.deployments]]\nprovider = \"responses\"\nmodel = \"a\"").await;
            let body = r#"{"model":"r","input":"a","prompt":"a","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#;
            let mut call = world.call(endpoint.clone(), body);
            call.headers.insert("x-freehold-provider", "responses".parse().unwrap());
            // The gateway sends what it is told, and not what the client wrote.
            call.headers.insert("traceparent", "nonsense".parse().unwrap());
            let expected = trace.as_ref().map(|_| traceparent);
            call.trace = trace;
            world.hear(call).await;
            let sent = world.wire.sent();
            assert!(!sent.is_empty(), "{endpoint:?}");
            for sent in sent {
                assert_eq!(sent.header("traceparent"), expected, "{endpoint:?}");
                assert_eq!(sent.header("tracestate"), expected.map(|_| "a=1"), "{endpoint:?}");
            }
        }
    }
}
