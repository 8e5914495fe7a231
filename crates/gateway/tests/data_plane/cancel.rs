//! Clients that go away, at every stage.

use std::pin::pin;
use std::task::Poll;

use freehold_control::Limits;
use freehold_gateway::call::{Endpoint, ReplyBody};
use freehold_llm::Dialect;
use http_body_util::BodyExt as _;

use crate::samples::{DIALECTS, pool, request, stream, until_hello};
use crate::script::{Act, Piece};
use crate::world::{PROVIDERS, World};

/// Polls a future once and drops it.
async fn poll_once<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

async fn limited(limits: Limits) -> World {
    World::with(PROVIDERS, limits, None).await
}

#[tokio::test]
async fn before_the_first_poll_nothing_is_opened() {
    let world = World::new("").await;
    let call = world.call(Endpoint::Model(Dialect::Chat), request(Dialect::Chat, "chat/m", false));
    drop(world.gateway.exchange(call));
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn while_the_head_is_awaited() {
    for stream in [false, true] {
        let world = limited(Limits { concurrency: Some(1), ..Limits::default() }).await;
        world.script("chat", Act::Hang);
        let body = request(Dialect::Chat, "chat/m", stream);
        poll_once(Box::pin(
            world.gateway.exchange(world.call(Endpoint::Model(Dialect::Chat), body)),
        ))
        .await;
        assert_eq!(world.wire.sent().len(), 1);
        let book = world.book().await;
        assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
        assert_eq!((book.attempts, book.tokens.output), (1, 0));
        assert!(book.estimated && book.tokens.input > 0);
        assert_eq!(world.control.left(&world.principal).concurrency, Some(1));
    }
}

#[tokio::test]
async fn while_the_body_is_awaited() {
    let world = World::new("").await;
    world.script("chat", Act::json(200, "{").then(Piece::Hang));
    let body = request(Dialect::Chat, "chat/m", false);
    poll_once(Box::pin(world.gateway.exchange(world.call(Endpoint::Model(Dialect::Chat), body))))
        .await;
    let book = world.book().await;
    assert_eq!((book.status, book.attempts), (499, 1));
}

#[tokio::test]
async fn while_a_retry_is_awaited() {
    let world = World::new("[routes.r]\nto = \"chat/m\"").await;
    world.script("chat", Act::json(429, "{}").header("retry-after", "3"));
    let body = request(Dialect::Chat, "r", false);
    poll_once(Box::pin(world.gateway.exchange(world.call(Endpoint::Model(Dialect::Chat), body))))
        .await;
    assert_eq!(world.book().await.status, 499);
}

#[tokio::test]
async fn before_the_stream_is_read() {
    for from in DIALECTS {
        for to in DIALECTS {
            let world = World::new("").await;
            world.script(pool(to), Act::sse(stream(to)));
            let body = request(from, &format!("{}/m", pool(to)), true);
            let reply =
                Box::pin(world.gateway.exchange(world.call(Endpoint::Model(from), body))).await;
            assert_eq!(reply.status, 200);
            drop(reply);
            let book = world.book().await;
            assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
            assert!(book.estimated);
        }
    }
}

#[tokio::test]
async fn in_the_middle_of_a_stream() {
    for from in DIALECTS {
        for to in DIALECTS {
            let world = limited(Limits { concurrency: Some(1), ..Limits::default() }).await;
            let begun = stream(to).into_iter().take(until_hello(to));
            world.script(pool(to), Act::sse(begun).then(Piece::Hang));
            let body = request(from, &format!("{}/m", pool(to)), true);
            let reply =
                Box::pin(world.gateway.exchange(world.call(Endpoint::Model(from), body))).await;
            let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
            let mut seen = String::new();
            while !seen.contains("Hello") {
                let data = relay.frame().await.unwrap().unwrap().into_data().unwrap();
                seen.push_str(std::str::from_utf8(&data).unwrap());
            }
            poll_once(relay.frame()).await;
            assert_eq!(world.wire.live(), 1);
            drop(relay);
            let book = world.book().await;
            assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
            assert!(book.estimated && book.tokens.output > 0, "{book:?}");
            assert_eq!(world.control.left(&world.principal).concurrency, Some(1));
        }
    }
}

#[tokio::test]
async fn after_the_last_event_it_is_no_cancellation() {
    for from in DIALECTS {
        for to in DIALECTS {
            let world = World::new("").await;
            world.script(pool(to), Act::sse(stream(to)).then(Piece::Hang));
            let body = request(from, &format!("{}/m", pool(to)), true);
            let reply =
                Box::pin(world.gateway.exchange(world.call(Endpoint::Model(from), body))).await;
            let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
            let mut seen = String::new();
            while !["[DONE]", "response.completed", "message_stop"].iter().any(|e| seen.contains(e))
            {
                let data = relay.frame().await.unwrap().unwrap().into_data().unwrap();
                seen.push_str(std::str::from_utf8(&data).unwrap());
            }
            drop(relay);
            let book = world.book().await;
            assert_eq!((book.status, book.error, book.estimated), (200, None, false));
            assert_eq!(book.tokens.output, 5, "{from:?} over {to:?}");
        }
    }
}

#[tokio::test]
async fn in_the_middle_of_an_opaque_body() {
    let world = World::new("").await;
    world.script("chat", Act::json(200, "abc").then(Piece::Hang));
    let endpoint = Endpoint::Other { method: http::Method::GET, path: "/files/f".to_owned() };
    let mut call = world.call(endpoint, "");
    call.headers.insert("x-freehold-provider", http::HeaderValue::from_static("chat"));
    let reply = Box::pin(world.gateway.exchange(call)).await;
    let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
    relay.frame().await.unwrap().unwrap();
    drop(relay);
    let book = world.book().await;
    assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
}
