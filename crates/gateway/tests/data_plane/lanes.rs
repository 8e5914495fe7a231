//! The byte lane: what is touched of a request and an answer, and that
//! nothing else is.

use freehold_gateway::call::{Endpoint, ReplyBody};
use freehold_llm::Dialect;
use freehold_types::Money;
use http_body_util::BodyExt as _;

use crate::samples::{DIALECTS, answer, pool, request, stream};
use crate::script::{Act, Piece};
use crate::world::{UPSTREAM_KEY, World};

#[tokio::test]
async fn only_the_model_and_what_policy_needs_is_spliced() {
    let world = World::new("").await;
    for (dialect, body, sent) in [
        (
            Dialect::Chat,
            r#"{ "messages":[{"role":"user","content":"hi \u00e4"}], "model" : "chat/m", "x":1e2 }"#,
            r#"{ "messages":[{"role":"user","content":"hi \u00e4"}], "model" : "m", "x":1e2 }"#,
        ),
        (
            Dialect::Responses,
            r#"{ "input":"hi",  "model":"responses/m","x":{"y":[1, 2]}}"#,
            r#"{"store":false, "input":"hi",  "model":"m","x":{"y":[1, 2]}}"#,
        ),
        (
            Dialect::Messages,
            r#"{"model":"messages/m", "max_tokens":5,"messages":[{"role":"user","content":"hi"}], "x":null}"#,
            r#"{"model":"m", "max_tokens":5,"messages":[{"role":"user","content":"hi"}], "x":null}"#,
        ),
    ] {
        world.script(pool(dialect), Act::json(200, answer(dialect)));
        let heard = world.ask(dialect, body).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        let last = world.wire.sent().pop().unwrap();
        if dialect == Dialect::Responses {
            // Where `store` is put is not ours to say, that it is there is.
            assert_eq!(last.json()["store"], false);
            assert!(last.text().contains(r#""input":"hi",  "model":"m","x":{"y":[1, 2]}"#));
        } else {
            assert_eq!(last.text(), sent);
        }
    }
}

#[tokio::test]
async fn answers_go_back_as_they_came() {
    let world = World::new("").await;
    for dialect in DIALECTS {
        let model = format!("{}/m", pool(dialect));
        let odd = answer(dialect).replacen('{', "{ \"odd\" :\t[1.0e1],", 1);
        world.script(pool(dialect), Act::json(200, odd.clone()));
        let heard = world.ask(dialect, request(dialect, &model, false)).await;
        assert_eq!(heard.text(), odd);
        assert_eq!(heard.header("content-type"), Some("application/json"));
        assert_eq!(
            heard.header("x-freehold-deployment"),
            Some(format!("{}/*", pool(dialect)).as_str())
        );

        let mut body = request(dialect, &model, true);
        if dialect == Dialect::Chat {
            body.pop();
            body.push_str(r#","stream_options":{"include_usage":true}}"#);
        }
        world.script(pool(dialect), Act::sse(stream(dialect)));
        let heard = world.ask(dialect, body).await;
        assert_eq!(heard.text(), stream(dialect).concat());
    }
    for book in world.books().await {
        assert_eq!((book.tokens.input, book.tokens.output), (10, 5));
        assert_eq!(book.tokens.cache_read, 4);
        assert!(!book.estimated);
        assert_eq!((book.status, book.error, book.attempts), (200, None, 1));
    }
}

#[tokio::test]
async fn streams_split_at_every_byte_go_back_whole() {
    for dialect in DIALECTS {
        let world = World::new("").await;
        let bytes = stream(dialect).concat();
        let pieces: Vec<&str> = bytes.split_inclusive(|_: char| true).collect();
        world.script(pool(dialect), Act::sse(&pieces));
        let heard =
            world.ask(dialect, request(dialect, &format!("{}/m", pool(dialect)), true)).await;
        let usage =
            |event: &String| !(dialect == Dialect::Chat && event.contains("\"choices\":[]"));
        let kept: String = stream(dialect).into_iter().filter(usage).collect();
        assert_eq!(heard.text(), kept);
        let book = world.book().await;
        assert_eq!((book.tokens.input, book.tokens.output, book.estimated), (10, 5, false));
    }
}

#[tokio::test]
async fn chunks_that_come_turn_by_turn_go_out_together() {
    for from in DIALECTS {
        for to in DIALECTS {
            let world = World::new("").await;
            let mut act = Act::sse(std::iter::empty::<&str>());
            for event in stream(to) {
                act = act.then(Piece::Data(event.clone().into())).then(Piece::Turn);
            }
            world.script(pool(to), act);
            let body = request(from, &format!("{}/m", pool(to)), true);
            let reply =
                Box::pin(world.gateway.exchange(world.call(Endpoint::Model(from), body))).await;
            let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
            let mut frames = 0;
            while let Some(frame) = relay.frame().await {
                frame.unwrap();
                frames += 1;
            }
            assert!(stream(to).len() > 4 && frames <= 2, "{from:?} over {to:?}: {frames} frames");
        }
    }
}

#[tokio::test]
async fn a_chat_stream_is_asked_for_usage_and_the_chunk_is_cut_again() {
    let world = World::new("").await;
    world.script("chat", Act::sse(stream(Dialect::Chat)));
    let heard = world.chat(request(Dialect::Chat, "chat/m", true)).await;
    assert_eq!(world.wire.sent()[0].json()["stream_options"]["include_usage"], true);
    assert!(!heard.text().contains("\"usage\""), "{}", heard.text());
    assert!(heard.text().ends_with("data: [DONE]\n\n"));
    let book = world.book().await;
    assert_eq!((book.tokens.input, book.tokens.output), (10, 5));
    assert!(book.unpriced);
    assert_eq!(book.cost, Money::ZERO);
}

#[tokio::test]
async fn no_credential_and_no_hop_header_of_the_client_crosses() {
    let world = World::new("").await;
    for dialect in DIALECTS {
        world.script(pool(dialect), Act::json(200, answer(dialect)));
        let model = format!("{}/m", pool(dialect));
        world.ask(dialect, request(dialect, &model, false)).await;
        let sent = world.wire.sent().pop().unwrap();
        for (name, value) in &sent.headers {
            assert!(!value.as_bytes().windows(9).any(|w| w == b"fh-client"), "{name} leaks");
        }
        for name in ["cookie", "connection", "x-hop", "api-key"] {
            assert_eq!(sent.header(name), None);
        }
        let messages = dialect == Dialect::Messages;
        assert_eq!(sent.header("anthropic-beta"), messages.then_some("beta-1"));
        if messages {
            assert_eq!(sent.header("x-api-key"), Some(UPSTREAM_KEY));
            assert_eq!(sent.header("authorization"), None);
            assert_eq!(sent.header("anthropic-version"), Some("2023-06-01"));
        } else {
            assert_eq!(sent.header("x-api-key"), None);
            assert_eq!(sent.header("authorization"), Some("Bearer sk-upstream-secret"));
        }
    }
}

#[tokio::test]
async fn headers_of_the_upstreams_hop_are_dropped_and_others_kept() {
    let world = World::new("").await;
    let act = Act::json(200, answer(Dialect::Chat))
        .header("connection", "keep-alive, x-nominated")
        .header("x-nominated", "1")
        .header("keep-alive", "timeout=5")
        .header("transfer-encoding", "chunked")
        .header("set-cookie", "a=b")
        .header("x-ratelimit-remaining-requests", "7");
    world.script("chat", act);
    let heard = world.chat(request(Dialect::Chat, "chat/m", false)).await;
    for name in ["connection", "x-nominated", "keep-alive", "transfer-encoding", "set-cookie"] {
        assert_eq!(heard.header(name), None, "{name}");
    }
    assert_eq!(heard.header("x-ratelimit-remaining-requests"), Some("7"));
}

#[tokio::test]
async fn an_upstream_that_answers_a_stream_whole_is_streamed_on() {
    for dialect in DIALECTS {
        let world = World::new("").await;
        world.script(pool(dialect), Act::json(200, answer(dialect)));
        let heard =
            world.ask(dialect, request(dialect, &format!("{}/m", pool(dialect)), true)).await;
        assert_eq!(crate::samples::text_of_stream(dialect, heard.text()), "Hello there");
        let kind = heard.header("content-type").unwrap();
        assert!(kind.starts_with("text/event-stream"));
        assert_eq!(world.book().await.tokens.output, 5);
    }
}

#[tokio::test]
async fn a_string_content_quirk_sees_lists_however_they_are_spaced() {
    let world = World::with(
        "[providers.old]\nkind = \"compatible\"\nbase_url = \"http://old.test/v1\"\n\
         quirks = [\"string_content\"]",
        freehold_control::Limits::default(),
        None,
    )
    .await;
    for list in ["\"content\":[", "\"content\": [", "\"content\" :\n ["] {
        world.script("old", Act::json(200, answer(Dialect::Chat)));
        let body = format!(
            r#"{{"model":"old/m","messages":[{{"role":"user",{list}{{"type":"text","text":"hi"}}]}}]}}"#
        );
        let heard = world.chat(body).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        let sent = world.wire.sent().pop().unwrap();
        assert_eq!(sent.json()["messages"][0]["content"], "hi", "{list}");
    }
}
