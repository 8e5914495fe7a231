//! Leases: one holder, and nothing left of the one before.

use freehold_store::journal::Due;
use freehold_store::leases::{self, Claim};
use freehold_store::nodes::{self, Node};
use freehold_types::{Db, NodeId, SessionId, TenantId, Unit};

use crate::samples::{append, at, begin, bodies, event, get, held_back, id, unit, write_id};

fn claim(tenant: &TenantId, session: SessionId, epoch: u64, node: u32) -> Claim<'_> {
    Claim { tenant, session, epoch, node: id("node_", node), id: write_id() }
}

fn node(n: u32) -> Node {
    let (name, address) = ("a".into(), "http://127.0.0.1:1".into());
    Node { id: id("node_", n), name, address, started_at: at(0), beat: 0 }
}

pub(crate) async fn of_many_who_claim_a_session_one_gets_it(db: &dyn Db) {
    let main = TenantId::main();
    for round in 0..10 {
        let session = begin(db, &main, round).await;
        let claims: Vec<_> = (0..16).map(|n| claim(&main, session, 1, n)).collect();
        let writes: Vec<_> = claims.iter().map(|claim| db.write(leases::claim(claim))).collect();
        let mut winners = Vec::new();
        for (claim, write) in claims.iter().zip(writes) {
            if write.await.is_ok() {
                winners.push(claim.node);
            }
        }
        let found = get(db, &main, session).await;
        assert_eq!((found.epoch, winners), (2, vec![found.node.unwrap()]));
    }
}

pub(crate) async fn nothing_of_an_old_holder_takes_effect_after_a_claim(db: &dyn Db) {
    let main = TenantId::main();
    for round in 0..30 {
        let session = begin(db, &main, round).await;
        let events = [event("old")];
        let old = append(&main, session, 0, &events);
        let taking = claim(&main, session, 1, 1);
        // Under way together, in either order.
        let (append, claim) = if round % 2 == 0 {
            let append = db.write(unit(&old));
            (append, db.write(leases::claim(&taking)))
        } else {
            let claim = db.write(leases::claim(&taking));
            (db.write(unit(&old)), claim)
        };
        claim.await.unwrap();
        // What the new holder reads now is all that there will ever be.
        let head = get(db, &main, session).await.head;
        assert_eq!(append.await.is_ok(), head == 1, "{round}");
        assert!(held_back(db, unit(&old)).await);
        let mut new = old.clone();
        (new.after, new.epoch, new.id) = (head, 2, write_id());
        db.write(unit(&new)).await.unwrap();
        assert_eq!(bodies(db, &main, session).await.len() as u64, head + 1);
    }
}

pub(crate) async fn a_session_is_not_let_go_of_while_work_comes_in(db: &dyn Db) {
    let (main, session) = (TenantId::main(), begin(db, &TenantId::main(), 1).await);
    let mut held = claim(&main, session, 1, 1);
    db.write(leases::claim(&held)).await.unwrap();
    held.epoch = 2;
    let release = |head| {
        let mut unit = Unit::new("release");
        leases::release(&mut unit, &held, head, None);
        unit
    };
    // Another node accepts an input under the holder's epoch.
    let events = [event("input")];
    let mut input = append(&main, session, 0, &events);
    (input.epoch, input.due) = (2, Due::At(Some(at(5))));
    db.write(unit(&input)).await.unwrap();
    assert!(held_back(db, release(0)).await);
    assert_eq!(get(db, &main, session).await.due_at, Some(at(5)));
    db.write(release(1)).await.unwrap();
    let found = get(db, &main, session).await;
    assert_eq!((found.node, found.due_at, found.epoch), (None, None, 2));
    assert!(held_back(db, release(1)).await, "only once");
}

pub(crate) async fn due_sessions_are_found_tenant_by_tenant(db: &dyn Db) {
    let tenants = ["a", "b", "c", "d"].map(|name| TenantId::new(name).unwrap());
    let events = [event("x")];
    let dues = [("a", 1, 30), ("a", 2, 10), ("a", 3, 99), ("b", 1, 99), ("d", 1, 5)];
    for (name, n, due) in dues {
        let tenant = TenantId::new(name).unwrap();
        let session = begin(db, &tenant, n).await;
        let mut append = append(&tenant, session, 0, &events);
        append.due = Due::At(Some(at(due)));
        db.write(unit(&append)).await.unwrap();
    }
    begin(db, &tenants[2], 1).await;
    let mut with_work = Vec::new();
    let mut after = None;
    while let Some(tenant) = leases::next_tenant(db, after.as_ref(), at(50)).await.unwrap() {
        with_work.push(tenant.clone());
        after = Some(tenant);
    }
    assert_eq!(with_work, [tenants[0].clone(), tenants[3].clone()]);
    let due = leases::due(db, &tenants[0], at(50), 10).await.unwrap();
    let found: Vec<SessionId> = due.iter().map(|due| due.session).collect();
    assert_eq!(found, [id("sess_", 2), id("sess_", 1)], "the longest due first");
    assert_eq!(leases::due(db, &tenants[0], at(50), 1).await.unwrap().len(), 1);
    // Who is claimed is no longer due.
    let first = &due[0];
    db.write(leases::claim(&claim(&tenants[0], first.session, first.epoch, 1))).await.unwrap();
    assert_eq!(leases::due(db, &tenants[0], at(50), 10).await.unwrap().len(), 1);
}

pub(crate) async fn what_a_dead_node_held_is_found(db: &dyn Db) {
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    for (tenant, n, holder) in [(&a, 1, 7), (&a, 2, 8), (&b, 1, 7), (&b, 3, 7)] {
        let session = begin(db, tenant, n).await;
        db.write(leases::claim(&claim(tenant, session, 1, holder))).await.unwrap();
    }
    begin(db, &b, 4).await;
    let first: NodeId = id("node_", 7);
    assert_eq!(leases::next_holder(db, None).await.unwrap(), Some(first));
    assert_eq!(leases::next_holder(db, Some(first)).await.unwrap(), Some(id("node_", 8)));
    assert_eq!(leases::next_holder(db, Some(id("node_", 8))).await.unwrap(), None);
    let some = leases::held(db, first, None, None, 2).await.unwrap();
    let last = some.last().map(|held| (&held.tenant, held.session));
    let rest = leases::held(db, first, None, last, 2).await.unwrap();
    let all: Vec<_> = some.iter().chain(&rest).map(|held| (&held.tenant, held.session)).collect();
    assert_eq!(all, [(&a, id("sess_", 1)), (&b, id("sess_", 1)), (&b, id("sess_", 3))]);
    // Taken over, it is found no more under the dead one's name.
    db.write(leases::claim(&claim(&a, all[0].1, some[0].epoch, 9))).await.unwrap();
    assert_eq!(leases::held(db, first, None, None, 9).await.unwrap().len(), 2);
    let events = [event("at work")];
    let mut running = append(&b, id("sess_", 3), 0, &events);
    (running.phase, running.epoch) = (Some("running"), 2);
    db.write(unit(&running)).await.unwrap();
    let at_work = leases::held(db, first, Some("running"), None, 9).await.unwrap();
    let at_work: Vec<_> = at_work.iter().map(|held| held.session).collect();
    assert_eq!(at_work, [id("sess_", 3)], "those at work are found before the others");
}

pub(crate) async fn a_node_that_beats_is_not_forgotten(db: &dyn Db) {
    for n in [1, 2] {
        db.write(nodes::join(&node(n))).await.unwrap();
    }
    let seen = nodes::list(db, None, 10).await.unwrap();
    assert_eq!(seen, [node(1), node(2)]);
    db.write(nodes::beat(seen[0].id)).await.unwrap();
    assert!(held_back(db, nodes::forget(&seen[0])).await, "it has beaten since");
    db.write(nodes::forget(&seen[1])).await.unwrap();
    assert!(held_back(db, nodes::beat(seen[1].id)).await, "and so it hears of it");
    let left = nodes::list(db, None, 10).await.unwrap();
    assert_eq!((left.len(), left[0].beat), (1, 1));
}
