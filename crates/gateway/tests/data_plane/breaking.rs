//! Streams that fail in the middle.

use std::time::Duration;

use freehold_llm::Dialect;

use crate::samples::{DIALECTS, ends_in_error, pool, request, stream, text_of_stream, until_hello};
use crate::script::{Act, Piece};
use crate::world::World;

/// A stream of `from` that goes as far as "Hello".
fn begun(from: Dialect) -> Act {
    Act::sse(stream(from).into_iter().take(until_hello(from)))
}

async fn every_pair(name: &str, act: impl Fn(Dialect) -> Act) {
    for from in DIALECTS {
        for to in DIALECTS {
            let world = World::new("").await;
            world.script(pool(to), act(to));
            let heard = world.ask(from, request(from, &format!("{}/m", pool(to)), true)).await;
            let what = format!("{name}, {from:?} over {to:?}: {}", heard.text());
            assert_eq!(heard.status, 200, "{what}");
            assert!(!heard.torn, "{what}");
            assert!(ends_in_error(from, heard.text()), "{what}");
            assert_eq!(text_of_stream(from, heard.text()), "Hello", "{what}");
            let book = world.book().await;
            assert_eq!(book.status, 200, "{what}");
            assert!(book.error.is_some(), "{what}");
            assert!(book.estimated, "{what}");
            assert!(book.tokens.input > 0 && book.tokens.output > 0, "{what} {book:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_closes_early_ends_with_an_error_event() {
    every_pair("closed", begun).await;
}

#[tokio::test]
async fn a_stream_whose_connection_breaks_ends_with_an_error_event() {
    every_pair("broken", |to| begun(to).then(Piece::Broken)).await;
}

#[tokio::test]
async fn a_stream_that_stalls_ends_with_an_error_event() {
    every_pair("stalled", |to| begun(to).then(Piece::Stalled)).await;
}

#[tokio::test]
async fn a_stream_cut_within_an_event_ends_with_an_error_event() {
    every_pair("cut", |to| {
        let next = stream(to)[until_hello(to)].clone();
        let half = next.as_bytes()[..next.len() / 2].to_vec();
        begun(to).then(Piece::Data(half.into())).then(Piece::Broken)
    })
    .await;
}

#[tokio::test]
async fn a_stream_that_ends_within_an_event_ends_with_an_error_event() {
    every_pair("ended", |to| {
        let next = stream(to)[until_hello(to)].clone();
        let half = next.as_bytes()[..next.len() / 2].to_vec();
        begun(to).then(Piece::Data(half.into()))
    })
    .await;
}

#[tokio::test]
async fn an_error_event_of_the_provider_is_the_last_thing() {
    for end in [None, Some(Piece::Broken)] {
        every_pair("error event", |to| {
            let event = match to {
                Dialect::Chat => {
                    "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\",\
                     \"code\":null}}\n\n"
                }
                Dialect::Responses => {
                    "event: error\ndata: {\"type\":\"error\",\"code\":\"server_error\",\
                     \"message\":\"overloaded\",\"param\":null,\"sequence_number\":9}\n\n"
                }
                Dialect::Messages => {
                    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\
                     \"overloaded_error\",\"message\":\"overloaded\"}}\n\n"
                }
            };
            let act = begun(to).then(Piece::Data(event.into()));
            match end.clone() {
                Some(end) => act.then(end),
                None => act,
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_error_event_is_sent_once() {
    let world = World::new("").await;
    let event = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\
                 \"overloaded_error\",\"message\":\"overloaded\"}}\n\n";
    let act = begun(Dialect::Messages).then(Piece::Data(event.into())).then(Piece::Broken);
    world.script("messages", act);
    let heard = world.ask(Dialect::Messages, request(Dialect::Messages, "messages/m", true)).await;
    assert_eq!(heard.text().matches("event: error").count(), 1, "{}", heard.text());
}

#[tokio::test]
async fn what_comes_after_the_end_spoils_nothing() {
    for from in DIALECTS {
        for to in DIALECTS {
            for end in [Piece::Broken, Piece::Stalled] {
                let world = World::new("").await;
                world.script(pool(to), Act::sse(stream(to)).then(end));
                let body = request(from, &format!("{}/m", pool(to)), true);
                let heard = world.ask(from, body).await;
                let what = format!("{from:?} over {to:?}: {}", heard.text());
                assert!(!heard.text().contains("\"error\":{"), "{what}");
                let book = world.book().await;
                assert_eq!((book.error, book.estimated), (None, false), "{what}");
                assert_eq!(book.tokens.output, 5, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn a_broken_stream_counts_against_its_deployment() {
    let world = World::new("[gateway.breaker]\nfailures = 1").await;
    world.script("chat", begun(Dialect::Chat).then(Piece::Broken));
    world.chat(request(Dialect::Chat, "chat/m", true)).await;
    let plan = world.gateway.plan();
    let (route, _) = plan.route("chat/m").unwrap();
    let now = freehold_types::Env::monotonic(&world.clock);
    assert!(route.deployments[0].cell.health().is_open(now));
    assert!(!route.deployments[0].cell.health().is_open(now + Duration::from_secs(3_600)));
}

#[tokio::test]
async fn garbage_in_a_crossed_stream_ends_with_an_error_event() {
    for from in [Dialect::Responses, Dialect::Messages] {
        let world = World::new("").await;
        let act = begun(Dialect::Chat).then(Piece::Data("data: {\"choices\":[}\n\n".into()));
        world.script("chat", act);
        let heard = world.ask(from, request(from, "chat/m", true)).await;
        assert!(ends_in_error(from, heard.text()), "{from:?}: {}", heard.text());
        assert!(world.book().await.error.is_some());
    }
}
