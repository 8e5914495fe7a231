//! Attempts that gave no answer and may be billed all the same: posted as
//! lines of their own, once, and paid for by what is reserved.

use std::pin::pin;
use std::task::Poll;

use freehold_control::{NewBudget, Period, Scope};
use freehold_gateway::call::Endpoint;
use freehold_llm::Dialect;
use freehold_store::exchanges::Closed;
use freehold_types::{Money, TenantId, TransportFault};

use crate::samples::{answer, request, stream};
use crate::script::{Act, Piece};
use crate::world::World;

/// The first costs a dollar per million of input and two of output, the second
/// a hundred and a thousand.
const TWO: &str = r#"
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    price = { input = "1", output = "2" }
    [[routes.r.deployments]]
    provider = "chat2"
    model = "b"
    price = { input = "100", output = "1000" }
"#;

/// The first alone, asked once.
const ONE: &str = r#"
    [routes.r]
    retries = { max = 0 }
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    price = { input = "1", output = "2" }
"#;

fn good() -> Act {
    Act::json(200, answer(Dialect::Chat))
}

fn error(status: u16) -> Act {
    Act::json(status, r#"{"error":{"message":"it failed","type":"t","code":null}}"#)
}

async fn asked(world: &World) -> u16 {
    world.chat(request(Dialect::Chat, "r", false)).await.status.as_u16()
}

/// The first deployment's lines: input at 1,000 nano-dollars, output at 2,000.
fn check_lines(book: &Closed, name: &str) {
    for lost in &book.lost {
        assert_eq!((&*lost.provider, &*lost.deployment, &*lost.model), ("chat", "chat/a", "a"));
        assert!(lost.input_tokens > 0, "{name}");
        let nanos = lost.input_tokens * 1_000 + lost.output_tokens * 2_000;
        assert_eq!(lost.cost, Money::from_nanos(nanos.into()).unwrap(), "{name}");
        assert!(book.estimated && !lost.unpriced, "{name}");
    }
}

#[tokio::test]
async fn what_may_be_billed_is_posted_and_nothing_else() {
    let half = answer(Dialect::Chat);
    let (half, _) = half.split_at(half.len() / 2);
    for (name, act, lines, output) in [
        ("connect", Act::Fail(TransportFault::Connect), 0, false),
        ("connect timeout", Act::Fail(TransportFault::ConnectTimeout), 0, false),
        ("headers timeout", Act::Fail(TransportFault::HeadersTimeout), 1, false),
        ("broken", Act::Fail(TransportFault::Broken), 1, false),
        ("429", error(429), 0, false),
        ("500", error(500), 0, false),
        ("401", error(401), 0, false),
        ("200 with an error", error(200), 0, false),
        ("a proxy's page", Act::json(200, "<html>"), 0, false),
        ("empty", Act::json(200, ""), 0, false),
        ("truncated", Act::json(200, half), 1, true),
        ("truncated at a brace", Act::json(200, r#"{"id":"x","choices":[{"a":1}"#), 1, true),
        ("broken body", Act::json(200, half).then(Piece::Broken), 1, true),
        ("stalled body", Act::json(200, half).then(Piece::Stalled), 1, true),
    ] {
        let world = World::new(TWO).await;
        world.script("chat", act.clone());
        world.script("chat2", good());
        assert_eq!(asked(&world).await, 200, "{name}");
        let book = world.book().await;
        assert_eq!(book.lost.len(), lines, "{name}");
        check_lines(&book, name);
        assert!(book.lost.iter().all(|lost| (lost.output_tokens > 0) == output), "{name}");
        // The answer's own: 10 of input and 5 of output, by the second's price.
        let own = Money::from_nanos(10 * 100_000 + 5 * 1_000_000).unwrap();
        let all = book.lost.iter().fold(own, |sum, lost| sum.saturating_add(lost.cost));
        assert_eq!(book.cost, all, "{name}");
        assert_eq!((book.tokens.input, book.tokens.output), (10, 5), "{name}");

        // Without another one the client hears the failure, and the line is
        // there all the same.
        let world = World::new(ONE).await;
        world.script("chat", act);
        assert_ne!(asked(&world).await, 200, "{name}");
        let book = world.book().await;
        assert_eq!((book.lost.len(), book.tokens.input, book.tokens.output), (lines, 0, 0));
        check_lines(&book, name);
        let all = book.lost.iter().fold(Money::ZERO, |sum, lost| sum.saturating_add(lost.cost));
        assert_eq!(book.cost, all, "{name}");
    }
}

#[tokio::test]
async fn a_stream_that_broke_before_its_first_event_is_posted() {
    for piece in [Piece::Broken, Piece::Stalled] {
        let world = World::new(TWO).await;
        world.script("chat", Act::sse([": hello\n\n"]).then(piece));
        world.script("chat2", Act::sse(stream(Dialect::Chat)));
        world.chat(request(Dialect::Chat, "r", true)).await;
        let book = world.book().await;
        assert_eq!((book.attempts, book.lost.len(), book.tokens.output), (2, 1, 5));
        check_lines(&book, "stream");
    }
}

#[tokio::test]
async fn each_retry_is_a_line() {
    let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { max = 2 }").await;
    for _ in 0..2 {
        world.script("chat", Act::Fail(TransportFault::Broken));
    }
    world.script("chat", good());
    assert_eq!(asked(&world).await, 200);
    let book = world.book().await;
    assert_eq!((book.attempts, book.lost.len()), (3, 2));
    assert!(book.unpriced && book.lost.iter().all(|lost| lost.unpriced));
}

#[tokio::test]
async fn completions_and_embeddings_are_posted_and_counts_are_free() {
    for (endpoint, lines) in
        [(Endpoint::Completions, 1), (Endpoint::Embeddings, 1), (Endpoint::CountTokens, 0)]
    {
        let to = if endpoint == Endpoint::CountTokens { "messages/a" } else { "chat/a" };
        let route = format!("[routes.r]\nto = \"{to}\"\nretries = {{ max = 0 }}");
        let world = World::new(&route).await;
        let half = || Act::json(200, r#"{"data":[0.5,"#).then(Piece::Broken);
        world.script("chat", half());
        world.script("messages", half());
        let body = r#"{"model":"r","input":"a","prompt":"a","messages":[]}"#;
        assert_eq!(world.hear(world.call(endpoint.clone(), body)).await.status, 502);
        let book = world.book().await;
        assert_eq!(book.lost.len(), lines, "{endpoint:?}");
        let outputs = book.lost.iter().filter(|lost| lost.output_tokens > 0).count();
        assert_eq!(outputs, usize::from(endpoint == Endpoint::Completions), "{endpoint:?}");
    }
}

/// Lets an exchange run until it waits, and drops it.
async fn gone(world: &World, ms: &[u64]) {
    let call = world.call(Endpoint::Model(Dialect::Chat), request(Dialect::Chat, "r", false));
    let mut exchange = pin!(Box::pin(world.gateway.exchange(call)));
    for step in ms {
        std::future::poll_fn(|cx| {
            assert!(exchange.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        world.pass(*step);
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_charged_for_each_attempt_once() {
    // While a refused attempt's retry is waited for: nothing is under way.
    let world = World::new("[routes.r]\nto = \"chat/a\"").await;
    world.script("chat", error(429).header("retry-after", "3"));
    gone(&world, &[0]).await;
    let book = world.book().await;
    assert_eq!((book.status, book.tokens.input, book.lost.len()), (499, 0, 0));

    // The same after one that may be billed: its line, and no more.
    let world = World::new("[routes.r]\nto = \"chat/a\"\nretries = { base_ms = 5000 }").await;
    world.script("chat", Act::Fail(TransportFault::Broken));
    world.script("chat", Act::Hang);
    gone(&world, &[0]).await;
    let book = world.book().await;
    assert_eq!((book.attempts, book.tokens.input, book.lost.len()), (1, 0, 1));

    // While both of a hedge are under way: one is the exchange's, one a line.
    let world = World::new(&format!("[routes.r]\nhedge_after_ms = 500\n{TWO}")).await;
    world.script("chat", Act::Hang);
    world.script("chat2", Act::Hang);
    gone(&world, &[500, 0]).await;
    let book = world.book().await;
    assert_eq!((book.attempts, book.lost.len()), (2, 1));
    assert_eq!(book.deployment.as_deref(), Some("chat2/b"));
    assert!(book.tokens.input > 0);
    check_lines(&book, "hedge");

    // Where the first of them has failed: it is a line only if it may be billed.
    let world = World::new(&format!("[routes.r]\nhedge_after_ms = 500\n{TWO}")).await;
    world.script("chat", error(500).after(600));
    world.script("chat2", Act::Hang);
    gone(&world, &[500, 100, 0]).await;
    let book = world.book().await;
    assert_eq!((book.attempts, book.lost.len()), (2, 0));
    assert!(book.tokens.input > 0);
}

#[tokio::test]
async fn of_a_hedge_each_attempt_is_posted_once() {
    let route = format!("[routes.r]\nhedge_after_ms = 500\nretries = {{ max = 1 }}\n{TWO}");
    let broken = || Act::Fail(TransportFault::Broken);
    for (first, second, status, lost) in [
        (Act::Hang, good(), 200, vec!["chat/a"]),
        (good().after(900), Act::Hang, 200, vec!["chat2/b"]),
        (good().after(900), error(500), 200, vec![]),
        (good().after(900), broken(), 200, vec!["chat2/b"]),
        (broken().after(600), good().after(300), 200, vec!["chat/a"]),
        (error(500).after(600), good().after(300), 200, vec![]),
        (broken().after(600), broken().after(300), 502, vec!["chat/a", "chat2/b"]),
        (broken().after(900), broken(), 502, vec!["chat2/b", "chat/a"]),
        (error(500).after(900), broken(), 500, vec!["chat2/b"]),
    ] {
        let world = World::new(&route).await;
        world.script("chat", first);
        world.script("chat2", second);
        assert_eq!(asked(&world).await, status);
        let book = world.book().await;
        let lines: Vec<_> = book.lost.iter().map(|lost| &*lost.deployment).collect();
        assert_eq!(lines, lost);
        assert_eq!(book.attempts, 2);
    }
}

async fn budget(world: &World, amount: Money) -> freehold_control::Budget {
    let scope = Scope::Tenant(TenantId::main());
    let new = NewBudget { scope, amount, period: Period::Total };
    world.control.create_budget(new).await.unwrap()
}

#[tokio::test]
async fn a_budget_that_cannot_pay_for_a_second_attempt_stops_at_the_first() {
    // What one attempt reserves.
    let world = World::new(TWO).await;
    budget(&world, Money::from_units(1_000)).await;
    world.script("chat", good());
    asked(&world).await;
    world.book().await;
    let reserved = world.reserved().await;

    let lost = || Act::Fail(TransportFault::HeadersTimeout);
    let world = World::new(TWO).await;
    let exact = budget(&world, reserved).await;
    world.script("chat", lost());
    world.script("chat2", good());
    assert_eq!(asked(&world).await, 504);
    assert_eq!(world.wire.sent().len(), 1, "the second would not be paid for");
    let book = world.book().await;
    let spent = world.control.budget(&TenantId::main(), exact.id).unwrap().1.spent;
    assert_eq!((book.lost.len(), book.cost), (1, spent));
    assert!(spent > Money::ZERO);

    // With room for the line beside the attempt it goes on.
    let more = reserved.saturating_add(book.cost);
    let world = World::new(TWO).await;
    let roomy = budget(&world, more).await;
    world.script("chat", lost());
    world.script("chat2", good());
    assert_eq!(asked(&world).await, 200);
    let book = world.book().await;
    assert_eq!(world.reserved().await, more);
    assert_eq!(world.control.budget(&TenantId::main(), roomy.id).unwrap().1.spent, book.cost);
    assert!(book.cost <= more);
}

#[tokio::test]
async fn a_budget_that_cannot_pay_for_a_hedge_has_none() {
    let route = format!("[routes.r]\nhedge_after_ms = 500\n{TWO}");
    let world = World::new(&route).await;
    budget(&world, Money::from_units(1_000)).await;
    world.script("chat", good());
    asked(&world).await;
    world.book().await;
    let reserved = world.reserved().await;
    let world = World::new(&route).await;
    budget(&world, reserved).await;
    world.script("chat", good().after(900));
    world.script("chat2", good());
    assert_eq!(asked(&world).await, 200);
    assert_eq!(world.wire.sent().len(), 1);
    world.book().await;
}
