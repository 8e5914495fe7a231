//! The books over a real store: nothing lost, nothing twice, and what happens
//! when it is down.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use freehold_store::budgets::Period;
use freehold_store::exchanges::State;
use freehold_store::usage::{By, Only, Query};
use freehold_types::{Code, ErrorKind, ExchangeId, Money, PageRequest, TenantId};

use super::*;
use crate::identity::Principal;
use crate::testing::{Fault, Node, new_key};
use crate::{Ask, Budget, NewBudget, Refusal, Scope, Settings, Ticket};

/// Gathers for so short that a test does not wait for it.
fn settings() -> Settings {
    let usage = UsageSettings { gather: Duration::from_millis(1), ..UsageSettings::default() };
    Settings { usage, ..Settings::default() }
}

/// Gathers until it is told to stop.
fn patient() -> Settings {
    let usage = UsageSettings { gather: Duration::from_secs(3_600), ..UsageSettings::default() };
    Settings { usage, ..Settings::default() }
}

fn sync(when_store_down: WhenStoreDown) -> Settings {
    let mut settings = settings();
    settings.usage.durability = Durability::Sync;
    settings.usage.when_store_down = when_store_down;
    settings
}

fn money(nanos: i128) -> Money {
    Money::from_nanos(nanos).unwrap()
}

fn cost(nanos: i128) -> Settlement {
    let tokens = Tokens { input: 10, output: 5, ..Tokens::default() };
    Settlement {
        provider: Some("p".into()),
        status: 200,
        attempts: 1,
        tokens,
        cost: Some(money(nanos)),
        ..Settlement::default()
    }
}

async fn client(node: &Node) -> Arc<Principal> {
    let issued = node.control.create_key(new_key("ci")).await.unwrap();
    node.control.authenticate(issued.secret.reveal()).unwrap()
}

fn admit(node: &Node, client: &Arc<Principal>, reserve: i128) -> Result<Ticket, Refusal> {
    let ask = Ask {
        route: &"local".into(),
        dialect: &"chat".into(),
        stream: false,
        input_tokens_upper: 1,
        output_tokens_upper: 1,
        reserve: Some(money(reserve)),
    };
    node.control.admission().admit(client, &ask)
}

async fn begun(node: &Node, client: &Arc<Principal>, reserve: i128) -> Ticket {
    let mut ticket = admit(node, client, reserve).unwrap();
    ticket.begin().await.unwrap();
    ticket
}

/// Waits until the writer has nothing left to do.
async fn written(node: &Node) {
    while node.control.usage_counts().queued > 0 || node.control.usage_counts().places_taken > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn ids(node: &Node, state: Option<State>) -> BTreeSet<ExchangeId> {
    let page = PageRequest::first();
    let found = node.control.exchanges(&TenantId::main(), state, None, &page).await.unwrap();
    found.items.iter().map(|exchange| exchange.opened.id).collect()
}

async fn budget(node: &Node, amount: i128, period: Period) -> Budget {
    let scope = Scope::Tenant(TenantId::main());
    node.control.create_budget(NewBudget { scope, amount: money(amount), period }).await.unwrap()
}

fn spent(node: &Node, budget: &Budget) -> Money {
    node.control.budget(&TenantId::main(), budget.id).unwrap().1.spent
}

#[tokio::test]
async fn a_clean_stop_loses_nothing_and_writes_short_exchanges_once() {
    let node = Node::new(patient()).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000_000, Period::Total).await;
    let before = node.db.writes.load(Ordering::Relaxed);
    let mut expected = BTreeSet::new();
    for n in 0..100 {
        let ticket = begun(&node, &client, 100).await;
        expected.insert(ticket.exchange());
        ticket.settle(cost(n)).flush.done().await.unwrap();
    }
    assert_eq!(node.db.writes.load(Ordering::Relaxed), before, "nothing waits for the store");
    node.control.close().await;
    let counts = node.control.usage_counts();
    assert_eq!((counts.written, counts.coalesced, counts.places_taken), (100, 100, 0));
    assert_eq!(node.db.writes.load(Ordering::Relaxed), before + 1);
    assert_eq!(ids(&node, Some(State::Closed)).await, expected);
    let node = node.kill_and_restart(settings()).await;
    assert!(node.interrupted.is_empty());
    assert_eq!(spent(&node, &budget), money((0..100).sum()));
}

#[tokio::test]
async fn after_a_kill_exactly_what_was_open_is_settled_at_its_reservation() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000_000, Period::Day).await;
    let done = begun(&node, &client, 1_000).await;
    let _ = done.settle(cost(7));
    written(&node).await;
    let open = [begun(&node, &client, 300).await, begun(&node, &client, 40).await];
    let expected: BTreeSet<_> = open.iter().map(Ticket::exchange).collect();
    while node.control.usage_counts().queued > 0 || ids(&node, Some(State::Open)).await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // Their ends never reach the store.
    node.db.set(Fault::Down);
    drop(open);
    let node = node.kill_and_restart(settings()).await;
    let listed: BTreeSet<_> = node.interrupted.iter().map(|opened| opened.id).collect();
    assert_eq!(listed, expected);
    assert_eq!(ids(&node, Some(State::Interrupted)).await, expected);
    assert!(ids(&node, Some(State::Open)).await.is_empty());
    assert_eq!(spent(&node, &budget), money(347));
    let node = node.kill_and_restart(settings()).await;
    assert!(node.interrupted.is_empty(), "settled once");
    assert_eq!(spent(&node, &budget), money(347));
}

#[tokio::test]
async fn spending_is_restored_for_the_period_that_is_on() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let day = budget(&node, 1_000, Period::Day).await;
    let month = budget(&node, 10_000, Period::Month).await;
    let _ = begun(&node, &client, 900).await.settle(cost(900));
    assert_eq!(admit(&node, &client, 101).unwrap_err().code, Code::BudgetExhausted);
    // Begun today, to be lost; the next process starts tomorrow.
    let lost = begun(&node, &client, 50).await;
    while ids(&node, Some(State::Open)).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.db.set(Fault::Down);
    drop(lost);
    node.env.advance(Duration::from_secs(24 * 3_600));
    let node = node.kill_and_restart(settings()).await;
    assert_eq!(spent(&node, &day), Money::ZERO, "it was of yesterday");
    assert_eq!(spent(&node, &month), money(950));
}

#[tokio::test]
async fn a_budget_does_not_pay_for_what_began_before_it() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let before = budget(&node, 1_000, Period::Total).await;
    let (settled, lost) = (begun(&node, &client, 30).await, begun(&node, &client, 40).await);
    node.env.advance(Duration::from_secs(1));
    let after = budget(&node, 1_000, Period::Total).await;
    let _ = settled.settle(cost(30));
    while ids(&node, None).await.len() < 2 || node.control.usage_counts().queued > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!((spent(&node, &before), spent(&node, &after)), (money(30), Money::ZERO));
    node.db.set(Fault::Down);
    drop(lost);
    let node = node.kill_and_restart(settings()).await;
    assert_eq!(node.interrupted.len(), 1);
    assert_eq!((spent(&node, &before), spent(&node, &after)), (money(70), Money::ZERO));
}

#[tokio::test]
async fn a_lost_ticket_is_recorded_as_interrupted_and_one_without_an_attempt_is_free() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000, Period::Total).await;
    drop(admit(&node, &client, 10).unwrap());
    let mut extended = begun(&node, &client, 100).await;
    extended.extend(money(11)).unwrap();
    let lost = extended.exchange();
    drop(extended);
    node.control.close().await;
    assert_eq!(ids(&node, None).await, BTreeSet::from([lost]));
    assert_eq!(ids(&node, Some(State::Interrupted)).await, BTreeSet::from([lost]));
    let node = node.kill_and_restart(settings()).await;
    assert_eq!(spent(&node, &budget), money(111));
}

#[tokio::test]
async fn an_exchange_that_ends_without_an_attempt_is_recorded_too() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let ticket = admit(&node, &client, 10).unwrap();
    let id = ticket.exchange();
    let settlement = Settlement { status: 503, error: Some("unavailable".into()), ..cost(0) };
    let _ = ticket.settle(settlement);
    node.control.close().await;
    assert_eq!(ids(&node, Some(State::Closed)).await, BTreeSet::from([id]));
}

#[tokio::test]
async fn with_sync_both_records_are_durable_when_the_call_returns() {
    let node = Node::new(sync(WhenStoreDown::Refuse)).await;
    let client = client(&node).await;
    let ticket = begun(&node, &client, 10).await;
    let id = ticket.exchange();
    assert_eq!(ids(&node, Some(State::Open)).await, BTreeSet::from([id]));
    ticket.settle(cost(3)).flush.done().await.unwrap();
    assert_eq!(ids(&node, Some(State::Closed)).await, BTreeSet::from([id]));
}

#[tokio::test]
async fn with_sync_and_refuse_a_store_that_is_down_stops_new_exchanges_at_no_cost() {
    let node = Node::new(sync(WhenStoreDown::Refuse)).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000, Period::Total).await;
    node.db.set(Fault::Down);
    for _ in 0..3 {
        let mut ticket = admit(&node, &client, 100).unwrap();
        let refusal = ticket.begin().await.unwrap_err();
        assert_eq!(
            (refusal.code, refusal.kind),
            (Code::UsageUnrecordable, ErrorKind::Unavailable,)
        );
        assert!(refusal.retry_after_ms.is_some());
    }
    assert_eq!(spent(&node, &budget), Money::ZERO);
    assert!(node.control.usage_counts().down.is_some());
    node.db.set(Fault::None);
    written(&node).await;
    begun(&node, &client, 100).await.settle(cost(5)).flush.done().await.unwrap();
    assert_eq!(spent(&node, &budget), money(5));
    assert_eq!(node.control.usage_counts().down, None);
}

#[tokio::test]
async fn with_sync_and_serve_a_store_that_is_down_is_caught_up_with() {
    let node = Node::new(sync(WhenStoreDown::Serve)).await;
    let client = client(&node).await;
    node.db.set(Fault::Down);
    let mut expected = BTreeSet::new();
    for _ in 0..3 {
        let ticket = begun(&node, &client, 100).await;
        expected.insert(ticket.exchange());
        ticket.settle(cost(5)).flush.done().await.unwrap();
    }
    node.db.set(Fault::None);
    written(&node).await;
    assert_eq!(ids(&node, Some(State::Closed)).await, expected);
}

#[tokio::test]
async fn a_full_queue_refuses_or_counts_as_the_operator_says() {
    for mode in [WhenStoreDown::Refuse, WhenStoreDown::Serve] {
        let mut settings = settings();
        settings.usage.places = 2;
        settings.usage.when_store_down = mode;
        let node = Node::new(settings).await;
        let client = client(&node).await;
        node.db.set(Fault::Down);
        let kept = [begun(&node, &client, 1).await, begun(&node, &client, 1).await];
        let expected: BTreeSet<_> = kept.iter().map(Ticket::exchange).collect();
        for ticket in kept {
            let _ = ticket.settle(cost(1));
        }
        let mut third = admit(&node, &client, 1).unwrap();
        let begun = third.begin().await;
        match mode {
            WhenStoreDown::Refuse => {
                assert_eq!(begun.unwrap_err().code, Code::UsageUnrecordable);
                drop(third);
            }
            WhenStoreDown::Serve => {
                begun.unwrap();
                let _ = third.settle(cost(1));
            }
        }
        assert_eq!(node.control.usage_counts().unrecorded, 1, "{mode:?}: it is counted");
        node.db.set(Fault::None);
        written(&node).await;
        assert_eq!(ids(&node, Some(State::Closed)).await, expected, "what was kept is kept");
        assert_eq!(node.control.admission().in_flight(), 0);
    }
}

#[tokio::test]
async fn a_lost_answer_is_neither_lost_nor_counted_twice() {
    for fault in [Fault::LoseAnswer, Fault::LoseWrite] {
        let node = Node::new(patient()).await;
        let client = client(&node).await;
        let budget = budget(&node, 1_000_000, Period::Total).await;
        for _ in 0..10 {
            let _ = begun(&node, &client, 100).await.settle(cost(9));
        }
        node.db.set(fault);
        node.control.close().await;
        let counts = node.control.usage_counts();
        assert_eq!((counts.written, counts.rejected, counts.retries), (10, 0, 1), "{fault:?}");
        let (query, node) = (today(&node), node.kill_and_restart(settings()).await);
        assert_eq!(spent(&node, &budget), money(90), "{fault:?}");
        let report = node.control.usage(&query).await.unwrap();
        assert_eq!(report.rows[0].1.exchanges, 10, "{fault:?}");
        assert_eq!(report.rows[0].1.cost, money(90), "{fault:?}");
    }
}

#[tokio::test]
async fn one_bad_record_does_not_keep_the_others_out() {
    let node = Node::new(patient()).await;
    let client = client(&node).await;
    let twice = begun(&node, &client, 100).await;
    let key = client.key();
    let opened = Arc::new(freehold_store::exchanges::Opened {
        tenant: key.tenant.clone(),
        id: twice.exchange(),
        group: None,
        key: key.id,
        route: "local".into(),
        dialect: "chat".into(),
        stream: false,
        opened_at: twice.opened_at(),
        reserved: money(100),
    });
    let closed = cost(1).into_closed(twice.opened_at());
    let posts = Vec::new();
    // A defect that must not happen: the same exchange ends twice.
    node.control.record_for_test(Ending { opened, how: How::Closed(closed), posts });
    let good = begun(&node, &client, 100).await;
    let expected = BTreeSet::from([twice.exchange(), good.exchange()]);
    let _ = (twice.settle(cost(1)), good.settle(cost(1)));
    node.control.close().await;
    let counts = node.control.usage_counts();
    assert_eq!((counts.written, counts.rejected), (2, 1));
    assert_eq!(ids(&node, Some(State::Closed)).await, expected);
}

fn today(node: &Node) -> Query {
    use freehold_types::Env;
    let day = node.env.now().to_zoned(jiff::tz::TimeZone::UTC).date();
    Query { tenant: None, only: Only::default(), from: day, to: day, by: By::default() }
}

#[tokio::test]
async fn a_client_that_goes_while_its_record_is_on_its_way_pays_nothing() {
    let node = Node::new(sync(WhenStoreDown::Refuse)).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000, Period::Total).await;
    let mut ticket = admit(&node, &client, 100).unwrap();
    let id = ticket.exchange();
    {
        let mut begin = std::pin::pin!(ticket.begin());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(begin.as_mut().poll(&mut context).is_pending());
    }
    drop(ticket);
    written(&node).await;
    assert_eq!(ids(&node, Some(State::Closed)).await, BTreeSet::from([id]));
    assert_eq!(spent(&node, &budget), Money::ZERO);
    assert_eq!(node.control.admission().in_flight(), 0);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever_and_tells_what_is_left() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    node.db.set(Fault::Down);
    for _ in 0..3 {
        let _ = begun(&node, &client, 100).await.settle(cost(5));
    }
    while node.control.usage_counts().down.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    node.control.give_up_for_test();
    assert!(node.control.close().await > 0);
    assert_eq!(node.control.usage_counts().places_taken, 3);
    let node = node.kill_and_restart(settings()).await;
    assert!(ids(&node, None).await.is_empty());
}

#[tokio::test]
async fn what_is_older_than_it_is_kept_is_forgotten_and_stays_in_the_sums() {
    let day = Duration::from_secs(24 * 3_600);
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let budget = budget(&node, 1_000_000, Period::Total).await;
    let still_open = begun(&node, &client, 1).await;
    // More than one batch.
    for n in 0..501 {
        let _ = begun(&node, &client, 100).await.settle(cost(n));
    }
    let query = today(&node);
    node.env.advance(3 * day);
    let young = begun(&node, &client, 100).await;
    let expected = BTreeSet::from([still_open.exchange(), young.exchange()]);
    let _ = young.settle(cost(7));
    while node.control.usage_counts().places_taken > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let before = node.control.usage(&query).await.unwrap();
    assert_eq!(before.rows[0].1.exchanges, 501);
    assert_eq!(node.control.forget_old_exchanges().await.unwrap(), 0, "kept for ever");
    let usage = UsageSettings { keep: Some(2 * day), ..settings().usage };
    node.control.set_usage(usage);
    assert_eq!(node.control.forget_old_exchanges().await.unwrap(), 501);
    let writes = node.db.writes.load(Ordering::Relaxed);
    assert_eq!(node.control.forget_old_exchanges().await.unwrap(), 0);
    assert!(node.db.writes.load(Ordering::Relaxed) <= writes + 1);
    assert_eq!(ids(&node, None).await, expected);
    assert_eq!(node.control.usage(&query).await.unwrap(), before);
    let _ = still_open.settle(cost(5));
    let node = node.restart(settings()).await;
    assert_eq!(spent(&node, &budget), money((0..501).sum::<i128>() + 7 + 5));
    assert!(node.interrupted.is_empty());
}

#[tokio::test]
async fn new_settings_are_in_force_with_the_next_record() {
    let node = Node::new(patient()).await;
    let client = client(&node).await;
    let first = begun(&node, &client, 10).await;
    assert!(ids(&node, None).await.is_empty(), "it is gathered for an hour");
    node.control.set_usage(sync(WhenStoreDown::Refuse).usage);
    let second = begun(&node, &client, 10).await;
    assert_eq!(
        ids(&node, Some(State::Open)).await,
        BTreeSet::from([first.exchange(), second.exchange()])
    );
    node.control.set_usage(settings().usage);
    node.db.set(Fault::Down);
    begun(&node, &client, 10).await.settle(cost(1)).flush.done().await.unwrap();
}

#[tokio::test]
async fn a_shorter_flush_window_does_not_wait_for_the_longer_one() {
    let node = Node::new(patient()).await;
    let client = client(&node).await;
    let ticket = begun(&node, &client, 10).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    node.control.set_usage(settings().usage);
    while ids(&node, Some(State::Open)).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(ticket);
}

/// 64 clients under a budget, a store that comes and goes, and in the end the
/// store, the memory and the clients agree to the nano.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn store_memory_and_clients_agree_in_the_end() {
    let node = Node::new(settings()).await;
    let client = client(&node).await;
    let budget = budget(&node, 200_000, Period::Total).await;
    let clients: Vec<_> = (0..64_i128)
        .map(|n| {
            let (control, client) = (Arc::clone(&node.control), Arc::clone(&client));
            tokio::spawn(async move {
                let mut spent = 0;
                for round in 0..60 {
                    let ask = Ask {
                        route: &"local".into(),
                        dialect: &"chat".into(),
                        stream: false,
                        input_tokens_upper: 1,
                        output_tokens_upper: 1,
                        reserve: Some(money(100)),
                    };
                    let Ok(mut ticket) = control.admission().admit(&client, &ask) else { continue };
                    ticket.begin().await.unwrap();
                    tokio::task::yield_now().await;
                    if (n + round) % 10 == 0 {
                        drop(ticket);
                        spent += 100;
                    } else {
                        let _ = ticket.settle(cost(100 - (n + round) % 3));
                        spent += 100 - (n + round) % 3;
                    }
                }
                spent
            })
        })
        .collect();
    for fault in [Fault::LoseAnswer, Fault::Down, Fault::LoseWrite, Fault::None] {
        node.db.set(fault);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut total = 0;
    for client in clients {
        total += client.await.unwrap();
    }
    assert_eq!(spent(&node, &budget), money(total));
    assert!((199_900..=200_000).contains(&total), "{total}");
    node.control.close().await;
    let query = today(&node);
    let node = node.kill_and_restart(settings()).await;
    assert!(node.interrupted.is_empty());
    assert_eq!(spent(&node, &budget), money(total));
    assert_eq!(node.control.usage(&query).await.unwrap().rows[0].1.cost, money(total));
}
