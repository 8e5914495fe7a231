//! A model in this process behind every dialect.

use std::sync::Arc;

use freehold_control::Limits;
use freehold_gateway::call::{Endpoint, ReplyBody};
use freehold_gateway::engine::{Embedded, Engine, EngineStream};
use freehold_llm::Dialect;
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Event, Request};
use freehold_types::{BoxFuture, Code};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;

use crate::samples::{DIALECTS, ends_in_error, request, stream, text_of, text_of_stream};
use crate::world::World;

#[derive(Clone, Copy, PartialEq)]
enum Play {
    Whole,
    /// It ends in the middle.
    Silent,
    /// An error in the middle.
    Fails,
    Busy,
    Hangs,
}

struct Scripted(Play);

fn events() -> Vec<Event> {
    let mut events = Vec::new();
    let mut decoder = codec(Dialect::Chat).stream_decoder();
    decoder.feed(stream(Dialect::Chat).concat().as_bytes(), &mut events).unwrap();
    decoder.finish(&mut events).unwrap();
    events
}

impl Engine for Scripted {
    fn generate(
        &self,
        _: Arc<Request>,
        _: &str,
        _: i64,
        _: u64,
    ) -> BoxFuture<'_, Result<EngineStream, Box<ApiError>>> {
        let half = events().len() / 2;
        let error = || ApiError::new(Code::LocalEngine, "it broke");
        let played: EngineStream = match self.0 {
            Play::Whole => Box::pin(futures_util::stream::iter(events())),
            Play::Silent => Box::pin(futures_util::stream::iter(events()).take(half)),
            Play::Fails => {
                let begun = futures_util::stream::iter(events()).take(half);
                Box::pin(begun.chain(futures_util::stream::iter([Event::Error(error())])))
            }
            Play::Hangs => {
                let begun = futures_util::stream::iter(events()).take(half);
                Box::pin(begun.chain(futures_util::stream::pending()))
            }
            Play::Busy => {
                let mut busy = ApiError::new(Code::ModelBusy, "it is busy");
                busy.retry_after_ms = Some(9_000);
                return Box::pin(std::future::ready(Err(Box::new(busy))));
            }
        };
        Box::pin(std::future::ready(Ok(played)))
    }

    fn count_tokens(&self, _: Arc<Request>, _: &str) -> BoxFuture<'_, Result<u64, Box<ApiError>>> {
        Box::pin(std::future::ready(Ok(42)))
    }

    fn embed(
        &self,
        model: &str,
        texts: Vec<String>,
    ) -> BoxFuture<'_, Result<Embedded, Box<ApiError>>> {
        let vectors = texts.iter().map(|_| vec![0.5, -1.0]).collect();
        let model = model.to_owned();
        Box::pin(std::future::ready(Ok(Embedded { model, vectors, tokens: 7 })))
    }

    fn models(&self) -> Vec<String> {
        vec!["m".to_owned()]
    }
}

async fn world(play: Play) -> World {
    World::with("", Limits::default(), Some(Arc::new(Scripted(play)))).await
}

#[tokio::test]
async fn every_dialect_gets_its_answer() {
    for dialect in DIALECTS {
        for streamed in [false, true] {
            let world = world(Play::Whole).await;
            let heard = world.ask(dialect, request(dialect, "local", streamed)).await;
            assert_eq!(heard.status, 200, "{}", heard.text());
            let text = if streamed {
                text_of_stream(dialect, heard.text())
            } else {
                text_of(dialect, &heard.json())
            };
            assert_eq!(text, "Hello there", "{dialect:?}");
            assert_eq!(heard.header("x-freehold-deployment"), Some("local/default"));
            let book = world.book().await;
            assert_eq!((book.tokens.input, book.tokens.output, book.estimated), (10, 5, false));
        }
    }
}

#[tokio::test]
async fn an_engine_that_fails_midway_is_told() {
    for play in [Play::Silent, Play::Fails] {
        for dialect in DIALECTS {
            let streamed = world(play).await;
            let heard = streamed.ask(dialect, request(dialect, "local", true)).await;
            assert!(ends_in_error(dialect, heard.text()), "{dialect:?}: {}", heard.text());
            let book = streamed.book().await;
            assert!(book.error.is_some() && book.estimated);

            let whole = world(play).await;
            let heard = whole.ask(dialect, request(dialect, "local", false)).await;
            assert!(heard.status.is_server_error(), "{}", heard.text());
            assert!(heard.json()["error"]["message"].is_string());
            whole.book().await;
        }
    }
}

#[tokio::test]
async fn a_busy_engine_says_when_to_come_back() {
    let world = world(Play::Busy).await;
    let heard = world.chat(request(Dialect::Chat, "local", true)).await;
    assert_eq!(heard.status, 503);
    assert_eq!(heard.header("retry-after"), Some("9"));
    assert_eq!(world.book().await.status, 503);
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_work() {
    let world = world(Play::Hangs).await;
    let call =
        world.call(Endpoint::Model(Dialect::Messages), request(Dialect::Messages, "local", true));
    let reply = Box::pin(world.gateway.exchange(call)).await;
    let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
    relay.frame().await.unwrap().unwrap();
    drop(relay);
    let book = world.book().await;
    assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
}

#[tokio::test]
async fn a_silent_stream_of_ours_pings() {
    let world = world(Play::Hangs).await;
    let call =
        world.call(Endpoint::Model(Dialect::Messages), request(Dialect::Messages, "local", true));
    let reply = Box::pin(world.gateway.exchange(call)).await;
    let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
    let mut seen = String::new();
    for _ in 0..40 {
        let frame = world.skipping(relay.frame()).await.unwrap().unwrap();
        seen.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
        if seen.matches("event: ping").count() >= 3 {
            break;
        }
    }
    assert!(seen.matches("event: ping").count() >= 3, "{seen}");
    drop(relay);
    world.book().await;
}

#[tokio::test]
async fn tokens_and_vectors_are_its_own() {
    let world = world(Play::Whole).await;
    let body = r#"{"model":"local","messages":[{"role":"user","content":"hi"}]}"#;
    let heard = world.hear(world.call(Endpoint::CountTokens, body)).await;
    assert_eq!(heard.json()["input_tokens"], 42);
    let body = r#"{"model":"local","input":["a","b"],"encoding_format":"base64"}"#;
    let heard = world.hear(world.call(Endpoint::Embeddings, body)).await;
    assert_eq!(heard.json()["data"][1]["embedding"], "AAAAPwAAgL8=");
    assert_eq!(heard.json()["usage"]["prompt_tokens"], 7);
    for bad in [
        r#"{"model":"local","input":7}"#,
        r#"{"model":"local","input":[]}"#,
        r#"{"model":"local"}"#,
    ] {
        let heard = world.hear(world.call(Endpoint::Embeddings, bad)).await;
        assert_eq!(heard.status, 400, "{}", heard.text());
    }
    let heard =
        world.hear(world.call(Endpoint::CountTokens, r#"{"model":"local","messages":7}"#)).await;
    assert_eq!(heard.status, 400);
    let books = world.books().await;
    assert!(books.iter().all(|b| b.status == 200 || b.status == 400), "{books:?}");
}

#[tokio::test]
async fn a_build_without_an_engine_says_so() {
    let world = World::new("").await;
    for dialect in DIALECTS {
        let heard = world.ask(dialect, request(dialect, "local", false)).await;
        assert_eq!(heard.status, 404, "{}", heard.text());
        assert!(heard.text().contains("local"));
    }
    let call = world.call(Endpoint::Embeddings, r#"{"model":"local","input":"a"}"#);
    assert_eq!(world.hear(call).await.status, 404);
    assert!(world.books().await.iter().all(|b| b.status == 404));
}
