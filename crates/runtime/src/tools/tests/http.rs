//! An API behind a real socket, friendly and hostile.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::server::{Does, Server};
use super::world::{World, configured, text};
use crate::content::Settings;
use crate::decide::{Ended, Found};
use crate::event::Content;
use crate::tools::http::tests::document;
use crate::tools::{Performed, Tools as _};

fn shop(server: &Server, more: Value) -> (World, Arc<Settings>) {
    let mut options = json!({
        "kind": "http", "document": document().to_string(), "url": server.url(),
        "only": ["getOrder", "makeOrder", "pay"]
    });
    if let (Value::Object(options), Value::Object(more)) = (&mut options, more) {
        options.extend(more);
    }
    (World::new(&[("shop", options)]), configured(&["shop"]))
}

#[tokio::test]
async fn a_call_carries_its_key_and_brings_the_answer() {
    let server = Server::start("127.0.0.1", |asked| {
        Does::Answers(200, "application/json", format!("{{\"got\":{}}}", asked.body))
    })
    .await;
    let (world, settings) = shop(&server, json!({ "headers": { "x-team": "a" } }));
    let call = world.performing(&settings, "shop__makeOrder", &json!({ "body": { "n": 1 } }));
    let key = call.call.to_string();
    let performed = world.toolbox.call(call).await;
    assert_eq!(text(&performed), (true, "{\"got\":{\"n\":1}}".to_owned()));
    let asked = server.asked.lock().expect("no panic before")[0].clone();
    assert_eq!(asked.line, "POST /orders");
    assert_eq!(asked.header("idempotency-key"), Some(key.as_str()));
    assert_eq!(
        (asked.header("x-team"), asked.header("content-type")),
        (Some("a"), Some("application/json"))
    );
}

#[tokio::test]
async fn what_is_known_of_a_failed_call_is_told_apart_from_what_is_not() {
    let server = Server::start("127.0.0.1", |asked| match asked.line.as_str() {
        "POST /pay" => Does::Closes,
        "POST /orders" => Does::Breaks,
        _ => Does::Answers(500, "text/plain", "boom".into()),
    })
    .await;
    let (world, settings) = shop(&server, json!({}));
    let call = |tool: &'static str, arguments: Value| world.call(&settings, tool, arguments);
    let lost = Performed::Ended(Ended::Lost);
    assert_eq!(call("shop__pay", json!({})).await, lost);
    assert_eq!(call("shop__makeOrder", json!({ "body": {} })).await, lost);
    let (good, told) = text(&call("shop__getOrder", json!({ "id_path": "1" })).await);
    assert!(!good && told.contains("500") && told.contains("boom"), "{told}");

    // What never left did not run.
    let nobody = json!({ "url": "http://127.0.0.1:1" });
    let (world, settings) = shop(&server, nobody);
    let (good, told) = text(&world.call(&settings, "shop__pay", json!({})).await);
    assert!(!good && told.contains("was not called"), "{told}");
}

#[tokio::test]
async fn a_call_that_hangs_or_drips_ends_at_its_time() {
    for does in [Does::Hangs, Does::Drips] {
        let server = Server::start("127.0.0.1", move |_| does.clone()).await;
        let (world, settings) = shop(&server, json!({}));
        let mut call = world.performing(&settings, "shop__pay", &json!({}));
        call.timeout_ms = 300;
        let ended = tokio::time::timeout(Duration::from_secs(3), world.toolbox.call(call)).await;
        assert_eq!(ended.expect("in time"), Performed::Ended(Ended::Lost));
    }
}

#[tokio::test]
async fn a_huge_answer_is_read_to_its_bound_and_paged() {
    let server = Server::start("127.0.0.1", |_| {
        Does::Answers(200, "text/plain", "0123456789".repeat(50_000))
    })
    .await;
    let (world, settings) = shop(&server, json!({ "response_bytes_max": 100_000 }));
    let (good, shown) =
        text(&world.call(&settings, "shop__getOrder", json!({ "id_path": "1" })).await);
    assert!(good && shown.len() < 34_000, "{}", shown.len());
    let note = shown.rsplit("read_result: ").next().expect("a note").trim_end_matches(".]");
    let note = note.split(']').next().expect("an object");
    let mut arguments: Value = serde_json::from_str(note).expect("arguments");
    let mut read = arguments["offset"].as_u64().expect("an offset");
    loop {
        let (good, page) = text(&world.call(&settings, "read_result", arguments.clone()).await);
        assert!(good, "{page}");
        let Some((_, at)) = page.rsplit_once("read on at offset ") else {
            assert!(
                page.contains("too large to be read") && page.contains("[the end: 100"),
                "{page}"
            );
            break;
        };
        let next: u64 = at.trim_end_matches(']').parse().expect("an offset");
        assert!(next > read);
        read = next;
        arguments["offset"] = json!(next);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let inner =
        Server::start("127.0.0.1", |_| Does::Answers(200, "text/plain", "secret".into())).await;
    let to = format!("location: {}/latest/meta-data\r\n", inner.url());
    let server =
        Server::start("127.0.0.1", move |_| Does::AnswersWith(307, to.clone(), String::new()))
            .await;
    let (world, settings) = shop(&server, json!({}));
    let (good, told) =
        text(&world.call(&settings, "shop__getOrder", json!({ "id_path": "1" })).await);
    assert!(!good && told.contains("redirects are not followed"), "{told}");
    assert_eq!(inner.count(), 0);
}

#[tokio::test]
async fn a_call_in_doubt_is_asked_for_by_its_key() {
    let server = Server::start("127.0.0.1", |asked| {
        let known = asked.header("x-key").is_some_and(|key| key.ends_with('1'))
            || asked.line.contains("id=call_");
        if known {
            Does::Answers(200, "application/json", "{\"paid\":true}".into())
        } else {
            Does::Answers(404, "text/plain", "no".into())
        }
    })
    .await;
    let header = json!({ "tools": { "pay": { "query": { "header": "x-key" } } } });
    let (world, settings) = shop(&server, header);
    let call = world.performing(&settings, "shop__pay", &json!({}));
    let wanted = if call.call.to_string().ends_with('1') {
        Found::Ok(Content::text("{\"paid\":true}"))
    } else {
        Found::Nothing
    };
    assert_eq!(world.toolbox.query(call).await, wanted);
    assert_eq!(server.asked.lock().expect("no panic before")[0].line, "GET /pay");
    let by_tool = json!({ "tools": { "pay": { "retry": "query_by_key",
        "query": { "tool": "getOrder", "argument": "id_path" } } } });
    let (world, settings) = shop(&server, by_tool);
    let call = world.performing(&settings, "shop__pay", &json!({}));
    assert_eq!(world.toolbox.query(call).await, Found::Nothing);
    assert!(server.asked.lock().expect("no panic before")[1].line.starts_with("GET /orders/call_"));
}
