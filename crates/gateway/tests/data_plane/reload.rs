//! What outlives a new configuration, and what does not.

use freehold_gateway::call::{Endpoint, ReplyBody};
use freehold_llm::Dialect;
use http_body_util::BodyExt as _;

use crate::samples::{answer, request, stream};
use crate::script::Act;
use crate::world::World;

const TWO: &str = r#"
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    [[routes.r.deployments]]
    provider = "chat2"
    model = "b"
    [routes.s]
    to = "chat/a"
"#;

fn error() -> Act {
    Act::json(500, "{}")
}

fn good() -> Act {
    Act::json(200, answer(Dialect::Chat))
}

async fn asked(world: &World) -> Option<String> {
    let heard = world.chat(request(Dialect::Chat, "r", false)).await;
    heard.header("x-freehold-deployment").map(str::to_owned)
}

#[tokio::test]
async fn an_open_breaker_stays_open() {
    let world = World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 1")).await;
    world.script("chat", error());
    world.script("chat2", good());
    world.script("chat2", good());
    assert_eq!(asked(&world).await.as_deref(), Some("chat2/b"));
    world.reload(&format!("{TWO}\n[gateway.breaker]\nfailures = 1"));
    assert_eq!(asked(&world).await.as_deref(), Some("chat2/b"));
    assert_eq!(world.wire.sent().len(), 3);
}

#[tokio::test]
async fn a_new_rule_of_the_breaker_is_in_force() {
    let world = World::new(TWO).await;
    world.reload(&format!("{TWO}\n[gateway.breaker]\nfailures = 1"));
    world.script("chat", error());
    world.script("chat2", good());
    world.script("chat2", good());
    asked(&world).await;
    asked(&world).await;
    assert_eq!(world.wire.sent().len(), 3, "one failure was enough");
}

#[tokio::test]
async fn routes_to_one_deployment_share_what_is_known_of_it() {
    let world = World::new(&format!("{TWO}\n[gateway.breaker]\nfailures = 1")).await;
    world.script("chat", error());
    world.chat(request(Dialect::Chat, "s", false)).await;
    world.script("chat2", good());
    assert_eq!(asked(&world).await.as_deref(), Some("chat2/b"));
    let pools: Vec<_> = world.wire.sent().into_iter().map(|s| s.pool).collect();
    assert_eq!(pools, ["chat", "chat2"]);
}

#[tokio::test]
async fn a_stream_under_way_ends_by_the_old_configuration() {
    let world = World::new("[routes.r]\nto = \"chat/a\"").await;
    world.script("chat", Act::sse(stream(Dialect::Chat)));
    let call = world.call(Endpoint::Model(Dialect::Chat), request(Dialect::Chat, "r", true));
    let reply = Box::pin(world.gateway.exchange(call)).await;
    let ReplyBody::Stream(mut relay) = reply.body else { panic!("it is no stream") };
    let first = relay.frame().await.unwrap().unwrap().into_data().unwrap();
    world.reload("[routes.other]\nto = \"chat2/b\"");
    let (rest, torn) = crate::world::drain(relay).await;
    assert!(!torn && [&first[..], &rest].concat().ends_with(b"[DONE]\n\n"));
    assert_eq!(world.chat(request(Dialect::Chat, "r", false)).await.status, 404);
    let book = world.book().await;
    assert_eq!((book.status, book.tokens.output), (200, 5));
}
