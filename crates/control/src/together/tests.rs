//! Several nodes in one process over one store.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use freehold_store::budgets::Period;
use freehold_store::exchanges::{self, State};
use freehold_store::membership::{Membership, MembershipOptions};
use freehold_types::{Code, Env, Money, NodeId, PageRequest, TenantId};

use super::Spenders;
use crate::testing::{Fault, FaultyDb, Node, TestEnv, new_key};
use crate::{
    Ask, Control, KeyChange, NewBudget, Principal, Refusal, Scope, Settings, Settlement, Ticket,
};

/// Nodes beside a first one, all over its store.
struct Nodes {
    first: Node,
    controls: Vec<Arc<Control>>,
    ids: Vec<NodeId>,
}

impl Nodes {
    async fn new(count: usize) -> Self {
        let first = Node::new(Settings::default()).await;
        let (mut controls, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let id = NodeId::new(&*first.env);
            controls.push(open(&first.db, &first.env, Some(id)).await);
            ids.push(id);
        }
        Self { first, controls, ids }
    }

    async fn share(&self, index: usize) {
        let all: BTreeSet<NodeId> = self.ids.iter().copied().collect();
        let spenders = Spenders { me: self.ids[index], alive: &self.ids, all: &all };
        self.controls[index].share_budgets(spenders).await.unwrap();
    }

    async fn share_all(&self) {
        for index in 0..self.ids.len() {
            self.share(index).await;
        }
    }
}

async fn open(db: &Arc<FaultyDb>, env: &Arc<TestEnv>, node: Option<NodeId>) -> Arc<Control> {
    let settings = Settings { shared: true, node, ..Settings::default() };
    let (db, env): (Arc<FaultyDb>, Arc<dyn Env>) = (Arc::clone(db), env.clone());
    let started = Control::open(db, env, settings).await.unwrap();
    tokio::spawn(started.writer.run());
    Arc::new(started.control)
}

fn code(outcome: Result<Arc<Principal>, Refusal>) -> Option<Code> {
    outcome.err().map(|refusal| refusal.code)
}

fn money(nanos: i128) -> Money {
    Money::from_nanos(nanos).unwrap()
}

fn admit(control: &Control, principal: &Arc<Principal>, nanos: i128) -> Result<Ticket, Refusal> {
    let ask = Ask {
        route: &"local".into(),
        dialect: &"chat".into(),
        stream: false,
        input_tokens_upper: 1,
        output_tokens_upper: 1,
        reserve: Some(money(nanos)),
    };
    control.admission().admit(principal, &ask)
}

async fn settle(mut ticket: Ticket, nanos: i128) {
    ticket.begin().await.unwrap();
    drop(ticket.settle(Settlement { cost: Some(money(nanos)), ..Settlement::default() }));
}

async fn budget(nodes: &Nodes, nanos: i128) -> freehold_types::BudgetId {
    let scope = Scope::Tenant(TenantId::main());
    let new = NewBudget { scope, amount: money(nanos), period: Period::Day };
    nodes.controls[0].create_budget(new).await.unwrap().id
}

#[tokio::test]
async fn what_one_node_changes_the_others_hear() {
    let nodes = Nodes::new(2).await;
    let [a, b] = [&nodes.controls[0], &nodes.controls[1]];
    let issued = a.create_key(new_key("ci")).await.unwrap();
    let secret = issued.secret.reveal();
    assert_eq!(code(b.authenticate(secret)), Some(Code::KeyUnknown));
    assert!(b.refresh().await.unwrap());
    assert!(!b.refresh().await.unwrap(), "nothing more");
    assert_eq!(code(b.authenticate(secret)), None);
    let change = KeyChange { admin: Some(true), ..KeyChange::default() };
    a.update_key(&TenantId::main(), issued.key.id, change).await.unwrap();
    b.refresh().await.unwrap();
    assert!(b.authenticate(secret).unwrap().key().admin);
    a.revoke_key(&TenantId::main(), issued.key.id).await.unwrap();
    b.refresh().await.unwrap();
    assert_eq!(code(b.authenticate(secret)), Some(Code::KeyRevoked));
    let id = budget(&nodes, 5).await;
    b.refresh().await.unwrap();
    assert_eq!(b.budget(&TenantId::main(), id).unwrap().0.amount, money(5));
    a.remove_budget(&TenantId::main(), id).await.unwrap();
    b.refresh().await.unwrap();
    assert!(b.budget(&TenantId::main(), id).is_err());
}

#[tokio::test]
async fn a_key_made_elsewhere_is_found_when_it_is_used() {
    let nodes = Nodes::new(2).await;
    let [a, b] = [&nodes.controls[0], &nodes.controls[1]];
    let issued = a.create_key(new_key("ci")).await.unwrap();
    let secret = issued.secret.reveal();
    let many = (0..200).map(|_| b.authenticate_anywhere(secret));
    let answers = futures_join(many).await;
    // More may not wait; all who did were let in.
    assert!(answers.iter().filter(|answer| answer.is_ok()).count() >= 64);
    assert_eq!(code(b.authenticate(secret)), None);
    assert_eq!(code(b.authenticate_anywhere("fh-made-up").await), Some(Code::KeyUnknown));
    nodes.first.db.set(Fault::Down);
    assert_eq!(code(b.authenticate_anywhere("fh-made-up-too").await), Some(Code::KeyUnknown));
    assert_eq!(code(b.authenticate_anywhere(secret).await), None);
}

/// All at once, in one task.
async fn futures_join<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut open = false;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(done) => *output = Some(done),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    pending.into_iter().map(|(_, output)| output.unwrap()).collect()
}

#[tokio::test]
async fn a_node_has_nothing_of_an_old_budget_before_it_has_a_share() {
    let mut nodes = Nodes::new(1).await;
    let issued = nodes.controls[0].create_key(new_key("ci")).await.unwrap();
    budget(&nodes, 1_000).await;
    nodes.share_all().await;
    let (late, me) = open_one(&nodes).await;
    nodes.controls.push(Arc::clone(&late));
    nodes.ids.push(me);
    let principal = late.authenticate(issued.secret.reveal()).unwrap();
    let refusal = admit(&late, &principal, 10).unwrap_err();
    assert_eq!(refusal.code, Code::BudgetExhausted);
    assert_eq!(refusal.retry_after_ms, Some(1_000), "it has one soon");
    nodes.share(1).await;
    assert!(admit(&late, &principal, 10).is_err(), "the other one has it all");
    nodes.share_all().await;
    assert!(admit(&late, &principal, 400).is_ok(), "two fifths");
    assert!(admit(&late, &principal, 401).is_err());
}

#[tokio::test]
async fn a_new_budget_is_open_everywhere_at_once() {
    let nodes = Nodes::new(2).await;
    let issued = nodes.controls[0].create_key(new_key("ci")).await.unwrap();
    nodes.share_all().await;
    budget(&nodes, 1_000).await;
    for control in &nodes.controls {
        control.refresh().await.unwrap();
        let principal = control.authenticate(issued.secret.reveal()).unwrap();
        drop(admit(control, &principal, 400).unwrap());
        assert!(admit(control, &principal, 401).is_err());
    }
}

#[tokio::test]
async fn nodes_that_spend_at_once_keep_to_one_budget_and_use_it_up() {
    const AMOUNT: i128 = 100_000;
    let nodes = Nodes::new(3).await;
    let issued = nodes.controls[0].create_key(new_key("ci")).await.unwrap();
    let id = budget(&nodes, AMOUNT).await;
    let mut principals = Vec::new();
    for control in &nodes.controls {
        control.refresh().await.unwrap();
        principals.push(control.authenticate(issued.secret.reveal()).unwrap());
    }
    let mut random = [0; 4_000];
    nodes.first.env.fill_random(&mut random);
    let mut open: Vec<(Ticket, i128)> = Vec::new();
    let mut spent = 0;
    for chunk in random.chunks(2) {
        let (what, amount) = (chunk[0], i128::from(chunk[1]) * 4);
        let index = usize::from(what) % 3;
        match what / 32 {
            0..5 => {
                if let Ok(ticket) = admit(&nodes.controls[index], &principals[index], amount) {
                    open.push((ticket, amount));
                }
            }
            5 | 6 if !open.is_empty() => {
                let (ticket, reserved) = open.swap_remove(usize::from(chunk[1]) % open.len());
                spent += reserved / 2;
                settle(ticket, reserved / 2).await;
            }
            _ => nodes.share(index).await,
        }
        let taken: i128 = open.iter().map(|(_, reserved)| reserved).sum();
        assert!(spent + taken <= AMOUNT, "{spent} and {taken}");
    }
    for (ticket, reserved) in open {
        spent += reserved;
        settle(ticket, reserved).await;
    }
    // What is left is used up, in ever smaller parts.
    for _ in 0..60 {
        nodes.share_all().await;
        for (control, principal) in nodes.controls.iter().zip(&principals) {
            for amount in [1_000, 100, 10, 1] {
                while let Ok(ticket) = admit(control, principal, amount) {
                    spent += amount;
                    settle(ticket, amount).await;
                }
            }
        }
    }
    assert!((AMOUNT - 10..=AMOUNT).contains(&spent), "{spent} of {AMOUNT}");
    for control in &nodes.controls {
        control.close().await;
    }
    // The store has it all, and whoever leaves gives back what it had.
    for (control, me) in nodes.controls.iter().zip(&nodes.ids) {
        control.leave_budgets(*me).await.unwrap();
    }
    let late = open_one(&nodes).await;
    let alone = [late.1];
    let spenders = Spenders { me: late.1, alive: &alone, all: &BTreeSet::from(alone) };
    late.0.share_budgets(spenders).await.unwrap();
    assert_eq!(late.0.budget(&TenantId::main(), id).unwrap().1.spent, money(spent));
}

async fn open_one(nodes: &Nodes) -> (Arc<Control>, NodeId) {
    let id = NodeId::new(&*nodes.first.env);
    (open(&nodes.first.db, &nodes.first.env, Some(id)).await, id)
}

#[tokio::test]
async fn a_new_day_begins_with_a_part_for_each() {
    let nodes = Nodes::new(2).await;
    let issued = nodes.controls[0].create_key(new_key("ci")).await.unwrap();
    budget(&nodes, 1_000).await;
    let mut principals = Vec::new();
    for control in &nodes.controls {
        control.refresh().await.unwrap();
        principals.push(control.authenticate(issued.secret.reveal()).unwrap());
    }
    nodes.share_all().await;
    nodes.first.env.advance(Duration::from_secs(86_400));
    // Before anybody has shared it out.
    let mut held = Vec::new();
    for (control, principal) in nodes.controls.iter().zip(&principals) {
        held.push(admit(control, principal, 400).unwrap());
        assert!(admit(control, principal, 1).is_err());
    }
    // In the first round each still sees what the other could have taken.
    nodes.share_all().await;
    nodes.share_all().await;
    for (control, principal) in nodes.controls.iter().zip(&principals) {
        held.extend(admit(control, principal, 80));
        assert!(admit(control, principal, 100).is_err());
    }
}

async fn join(nodes: &Nodes) -> Membership {
    let (db, env) = (nodes.first.db.clone(), nodes.first.env.clone());
    let options = MembershipOptions::default();
    Membership::join(db, env, options, "n".into(), "x".into()).await.unwrap()
}

#[tokio::test]
async fn what_a_dead_node_left_open_is_settled_by_another_once() {
    let nodes = Nodes::new(1).await;
    let (dying, living) = (join(&nodes).await, join(&nodes).await);
    let (db, env) = (&nodes.first.db, &nodes.first.env);
    let issued = nodes.controls[0].create_key(new_key("ci")).await.unwrap();
    let doomed = open(db, env, Some(dying.me())).await;
    let survivor = open(db, env, Some(living.me())).await;
    let principal = doomed.authenticate(issued.secret.reveal()).unwrap();
    let mut ticket = admit(&doomed, &principal, 700).unwrap();
    ticket.begin().await.unwrap();
    let found = |state| async move {
        let page = PageRequest::first();
        exchanges::list(&**db, &TenantId::main(), Some(state), None, &page).await.unwrap().items
    };
    while found(State::Open).await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for second in 0..60 {
        env.advance(Duration::from_millis(500));
        living.beat().await.unwrap();
        if second < 10 {
            dying.beat().await.unwrap();
        }
        let settled = survivor.settle_the_dead(&living).await.unwrap();
        assert!(settled.is_empty() || second >= 29, "after {second} halves of a second");
        if !settled.is_empty() {
            break;
        }
    }
    let interrupted = found(State::Interrupted).await;
    assert_eq!(interrupted.len(), 1);
    assert_eq!(interrupted[0].closed.as_ref().unwrap().cost, money(700));
    assert!(survivor.settle_the_dead(&living).await.unwrap().is_empty());
    for _ in 0..60 {
        env.advance(Duration::from_millis(500));
        living.beat().await.unwrap();
        survivor.settle_the_dead(&living).await.unwrap();
    }
    assert!(living.is_missing(dying.me()), "and forgotten");
    let before = dying.me();
    assert!(!dying.beat().await.unwrap(), "it begins another life");
    assert_ne!(dying.me(), before);
    std::mem::forget(ticket);
}
