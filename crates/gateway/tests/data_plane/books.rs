//! What the books say: once, exact, flagged.

use freehold_control::{Limits, NewBudget, Period, Scope};
use freehold_llm::Dialect;
use freehold_types::{Money, TenantId};

use crate::samples::{DIALECTS, answer, pool, request, stream};
use crate::script::Act;
use crate::world::{PROVIDERS, World};

/// Dollars per million: 2 in, 0.5 cached, 10 out.
fn priced(dialect: Dialect) -> String {
    format!(
        "[[routes.r.deployments]]\nprovider = \"{}\"\nmodel = \"m\"\n\
         price = {{ input = \"2\", cache_read = \"0.50\", output = \"10\" }}",
        pool(dialect)
    )
}

#[tokio::test]
async fn costs_are_exact() {
    for to in DIALECTS {
        for from in DIALECTS {
            for streamed in [false, true] {
                let world = World::new(&priced(to)).await;
                let act = if streamed { Act::sse(stream(to)) } else { Act::json(200, answer(to)) };
                world.script(pool(to), act);
                world.ask(from, request(from, "r", streamed)).await;
                let book = world.book().await;
                // 6 * 2,000 + 4 * 500 + 5 * 10,000 nano-dollars.
                assert_eq!(book.cost, Money::from_nanos(64_000).unwrap(), "{from:?} over {to:?}");
                assert!(!book.unpriced && !book.estimated);
            }
        }
    }
}

#[tokio::test]
async fn no_less_is_reserved_than_is_spent() {
    for (body, tokens) in [
        (r#"{"model":"r","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}"#, 5),
        (r#"{"model":"r","max_tokens":5,"n":3,"messages":[{"role":"user","content":"hi"}]}"#, 15),
        (r#"{"model":"r","messages":[{"role":"user","content":"hi"}]}"#, 4_096),
    ] {
        let world = World::new(&priced(Dialect::Chat)).await;
        let budget = NewBudget {
            scope: Scope::Tenant(TenantId::main()),
            amount: Money::from_nanos(1_000_000_000).unwrap(),
            period: Period::Total,
        };
        world.control.create_budget(budget).await.unwrap();
        let reply = answer(Dialect::Chat)
            .replace("\"completion_tokens\":5", &format!("\"completion_tokens\":{tokens}"));
        world.script("chat", Act::json(200, reply));
        let heard = world.chat(body).await;
        assert_eq!(heard.status, 200, "{}", heard.text());
        let sent = world.wire.sent().remove(0).json();
        let limit = sent.get("max_tokens").or(sent.get("max_completion_tokens")).unwrap();
        assert!(limit.is_u64(), "{sent}");
        let cost = world.book().await.cost;
        let reserved = world.reserved().await;
        assert!(reserved >= cost, "{reserved} < {cost}");
        assert!(reserved > Money::ZERO);
    }
}

#[tokio::test]
async fn a_budget_that_cannot_pay_refuses_before_anything_is_sent() {
    let world = World::new(&priced(Dialect::Chat)).await;
    let budget = NewBudget {
        scope: Scope::Tenant(TenantId::main()),
        amount: Money::from_nanos(1).unwrap(),
        period: Period::Total,
    };
    world.control.create_budget(budget).await.unwrap();
    for dialect in DIALECTS {
        let heard = world.ask(dialect, request(dialect, "r", true)).await;
        assert_eq!(heard.status, 402, "{}", heard.text());
    }
    assert!(world.wire.sent().is_empty());
    assert!(world.books().await.is_empty());
}

#[tokio::test]
async fn without_usage_tokens_are_estimated_and_flagged() {
    let plain =
        r#"{"id":"x","choices":[{"message":{"role":"assistant","content":"Hello there, you"}}]}"#;
    let streamed: Vec<String> =
        stream(Dialect::Chat).into_iter().filter(|e| !e.contains("\"usage\"")).collect();
    for act in [Act::json(200, plain), Act::sse(&streamed)] {
        let streams = matches!(&act, Act::Answer { headers, .. } if headers[0].1.contains("event"));
        let world = World::new("").await;
        world.script("chat", act);
        world.chat(request(Dialect::Chat, "chat/m", streams)).await;
        let book = world.book().await;
        assert!(book.estimated && book.unpriced);
        assert!(book.tokens.input > 0 && book.tokens.output > 0, "{book:?}");
        assert_eq!(book.error, None);
    }
}

#[tokio::test]
async fn every_exchange_is_in_the_books_once() {
    let world = World::with(PROVIDERS, Limits::default(), None).await;
    let mut asked = 0;
    for dialect in DIALECTS {
        for streamed in [false, true] {
            for act in [
                Act::json(200, answer(dialect)),
                Act::sse(stream(dialect)),
                Act::sse(stream(dialect).into_iter().take(3)),
                Act::json(500, "{}"),
                Act::json(400, "{}"),
                Act::json(401, "{}"),
                Act::json(200, "<html>"),
                Act::Fail(freehold_types::TransportFault::Connect),
            ] {
                world.script(pool(dialect), act);
                let body = request(dialect, &format!("{}/m", pool(dialect)), streamed);
                world.ask(dialect, body).await;
                asked += 1;
                // What opened is closed again.
                world.pass(3_600_000);
            }
        }
    }
    let books = world.books().await;
    assert_eq!(books.len(), asked);
    assert!(books.iter().all(|b| b.attempts >= 1 && b.provider.is_some()));
}
