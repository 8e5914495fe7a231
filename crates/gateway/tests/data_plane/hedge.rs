//! A second deployment asked beside a slow one.

use freehold_llm::Dialect;
use freehold_types::{Money, TransportFault};

use crate::samples::{answer, request, stream};
use crate::script::{Act, Piece};
use crate::world::World;

const ROUTE: &str = r#"
    [routes.r]
    hedge_after_ms = 500
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    price = { input = "1000", output = "1000" }
    [[routes.r.deployments]]
    provider = "chat2"
    model = "b"
    price = { input = "1", output = "1" }
"#;

async fn hedged(first: Act, second: Act) -> (World, crate::world::Heard) {
    let world = World::new(ROUTE).await;
    world.script("chat", first);
    world.script("chat2", second);
    let heard = world.chat(request(Dialect::Chat, "r", false)).await;
    (world, heard)
}

fn good() -> Act {
    Act::json(200, answer(Dialect::Chat))
}

#[tokio::test]
async fn a_fast_answer_needs_no_second() {
    let (world, heard) = hedged(good().after(400), good()).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat/a"));
    assert_eq!(world.wire.sent().len(), 1);
    world.book().await;
}

#[tokio::test]
async fn the_second_wins_and_the_first_is_cancelled_and_posted() {
    let (world, heard) = hedged(Act::Hang, good().after(100)).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat2/b"));
    let book = world.book().await;
    assert_eq!((book.attempts, book.deployment.as_deref()), (2, Some("chat2/b")));
    assert_eq!(book.model.as_deref(), Some("b"), "the winner's model");
    // The winner's 15 tokens at 1,000 nano-dollars, and the loser's input.
    assert!(book.cost > Money::from_nanos(15_000 + 1_000_000).unwrap(), "{}", book.cost);
}

#[tokio::test]
async fn the_first_wins_after_all_and_is_in_the_books_by_its_own_name() {
    let (world, heard) = hedged(good().after(700), Act::Hang).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat/a"));
    let book = world.book().await;
    assert_eq!(book.attempts, 2);
    assert_eq!(book.deployment.as_deref(), Some("chat/a"));
    assert_eq!(book.model.as_deref(), Some("a"));
    assert_eq!(book.tokens.output, 5);
}

#[tokio::test]
async fn the_loser_of_a_stream_is_cancelled() {
    let world = World::new(ROUTE).await;
    world.script("chat", Act::sse([""; 0]).then(Piece::Hang));
    world.script("chat2", Act::sse(stream(Dialect::Chat)));
    let heard = world.chat(request(Dialect::Chat, "r", true)).await;
    assert!(heard.text().ends_with("[DONE]\n\n"));
    world.book().await;
}

#[tokio::test]
async fn one_that_fails_leaves_the_other_to_answer() {
    let fail = || Act::Fail(TransportFault::Broken).after(600);
    let (world, heard) = hedged(fail(), good().after(300)).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat2/b"));
    world.book().await;
    let (world, heard) = hedged(good().after(900), Act::Fail(TransportFault::Broken)).await;
    assert_eq!(heard.header("x-freehold-deployment"), Some("chat/a"));
    let book = world.book().await;
    assert_eq!(book.deployment.as_deref(), Some("chat/a"));
    assert_eq!(book.model.as_deref(), Some("a"));
}

#[tokio::test]
async fn both_fail() {
    let fail = || Act::Fail(TransportFault::Broken).after(600);
    let (world, heard) = hedged(fail(), fail()).await;
    assert_eq!(heard.status, 502);
    assert!(world.wire.sent().len() <= 3, "no more than the rule allows");
    world.book().await;
}

#[tokio::test]
async fn a_pair_that_failed_is_followed_by_the_third_or_by_the_first_again() {
    let fail = || Act::Fail(TransportFault::Broken).after(600);
    let third = "[[routes.r.deployments]]\nprovider = \"messages\"\nmodel = \"c\"";
    for (route, expected) in [
        (ROUTE.to_owned(), ["chat", "chat2", "chat"]),
        (format!("{ROUTE}\n{third}"), ["chat", "chat2", "messages"]),
    ] {
        let world = World::new(&route).await;
        // The second fails first, and would be well if it were asked again.
        world.script("chat", fail());
        world.script("chat2", Act::Fail(TransportFault::Broken));
        world.script("chat", good());
        world.script("chat2", good());
        world.script("messages", Act::json(200, answer(Dialect::Messages)));
        let heard = world.chat(request(Dialect::Chat, "r", false)).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        let pools: Vec<_> = world.wire.sent().into_iter().map(|s| s.pool).collect();
        assert_eq!(pools, expected);
        assert_eq!(world.book().await.attempts, 3);
    }
}
