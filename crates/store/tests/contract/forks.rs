//! Forks: what they begin with is there for as long as they are, whatever
//! happens at once; and nothing of it for longer.

use std::sync::Arc;

use freehold_store::blobs::{self, BlobRef};
use freehold_store::deletion;
use freehold_store::forks::{self, Fork, ForkError, Lineage, MAX_GENERATIONS, Origin};
use freehold_store::sweeper::sweep_session;
use freehold_store::{journal, sessions};
use freehold_types::{Db, SessionId, TenantId, Unit};

use crate::deletion::counts;
use crate::samples::{
    Shelf, append, at, begin, bodies, event, get, held_back, new_session, session, unit, write_id,
};

async fn write(db: &dyn Db, tenant: &TenantId, session: SessionId, after: u64, texts: &[&str]) {
    let events: Vec<_> = texts.iter().map(|text| event(text)).collect();
    db.write(unit(&append(tenant, session, after, &events))).await.unwrap();
}

async fn lineage(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Option<Lineage> {
    forks::lineage(db, tenant, session, at(9)).await.unwrap()
}

fn creation(tenant: &TenantId, n: u32, fork: &Fork) -> Unit {
    let mut unit = Unit::new("fork");
    forks::create(&mut unit, &new_session(tenant, n), fork);
    let events = [event(&format!("own of {n}"))];
    journal::append(&mut unit, &append(tenant, session(n), fork.base, &events)).unwrap();
    unit
}

/// Forks a session after an offset, in all steps.
async fn fork(db: &dyn Db, tenant: &TenantId, of: &Lineage, base: u64, n: u32) -> Lineage {
    let key = Some(Arc::from(of.session().to_string().as_bytes()));
    let fork = of.fork(base, key, write_id()).unwrap();
    db.write(creation(tenant, n, &fork)).await.unwrap();
    let found = lineage(db, tenant, session(n)).await.unwrap();
    assert_eq!(found, fork.lineage(session(n)));
    found
}

async fn read(db: &dyn Db, tenant: &TenantId, of: &Lineage, range: (u64, u64)) -> Vec<String> {
    let (after, up_to) = range;
    let found = journal::read_through(db, tenant, of, after, up_to, usize::MAX).await.unwrap();
    let offsets: Vec<u64> = found.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (after + 1..).take(found.len()).collect::<Vec<_>>());
    found.iter().map(|event| String::from_utf8(event.body.to_vec()).unwrap()).collect()
}

pub(crate) async fn a_fork_reads_on_where_its_ancestors_stop(db: &dyn Db) {
    let main = TenantId::main();
    let a = begin(db, &main, 1).await;
    write(db, &main, a, 0, &["a1", "a2", "a3", "a4"]).await;
    let of_a = lineage(db, &main, a).await.unwrap();
    assert_eq!((of_a.base(), of_a.ancestors().len()), (0, 0));
    let of_b = fork(db, &main, &of_a, 3, 2).await;
    write(db, &main, session(2), 4, &["b5", "b6"]).await;
    let of_c = fork(db, &main, &of_b, 5, 3).await;
    // From before its own parent began: nothing of the parent is in it.
    let of_d = fork(db, &main, &of_c, 2, 4).await;
    let all = (0, u64::MAX);
    assert_eq!(read(db, &main, &of_a, all).await, ["a1", "a2", "a3", "a4"]);
    assert_eq!(read(db, &main, &of_b, all).await, ["a1", "a2", "a3", "own of 2", "b5", "b6"]);
    let of_three = ["a1", "a2", "a3", "own of 2", "b5", "own of 3"];
    assert_eq!(read(db, &main, &of_c, all).await, of_three);
    assert_eq!(read(db, &main, &of_d, all).await, ["a1", "a2", "own of 4"]);
    for after in 0..7_u32 {
        for up_to in after..7 {
            let (first, end) = (after as usize, up_to as usize);
            let expected: Vec<_> = of_three.iter().take(end).skip(first).copied().collect();
            let (after, up_to) = (u64::from(after), u64::from(up_to));
            assert_eq!(read(db, &main, &of_c, (after, up_to)).await, expected, "{after} {up_to}");
            let some = journal::read_through(db, &main, &of_c, after, up_to, 2).await.unwrap();
            assert_eq!(some.len(), expected.len().min(2));
        }
    }
    assert_eq!(get(db, &main, session(3)).await.head, 6);
    let key = |offset| of_c.ancestor_at(offset).map(|ancestor| ancestor.content_key.clone());
    assert_eq!(key(3), Some(Some(Arc::from(a.to_string().as_bytes()))));
    assert_eq!(key(4), Some(Some(Arc::from(session(2).to_string().as_bytes()))));
    assert_eq!(key(6), None, "its own");
    // What comes to the parent later is the parent's.
    write(db, &main, a, 4, &["a5"]).await;
    assert_eq!(read(db, &main, &of_c, all).await, of_three);
    let other = TenantId::new("other").unwrap();
    assert_eq!(lineage(db, &other, session(3)).await, None);
    assert!(read(db, &other, &of_c, all).await.is_empty(), "of another tenant");
}

pub(crate) async fn forks_of_forks_end_at_their_bound(db: &dyn Db) {
    let main = TenantId::main();
    let first = begin(db, &main, 0).await;
    write(db, &main, first, 0, &["start"]).await;
    let mut last = lineage(db, &main, first).await.unwrap();
    assert_eq!(last.fork(0, None, write_id()), Err(ForkError::Empty));
    for n in 1..=MAX_GENERATIONS {
        last = fork(db, &main, &last, u64::from(n), n).await;
    }
    assert_eq!(last.ancestors().len(), MAX_GENERATIONS as usize);
    let events = read(db, &main, &last, (0, u64::MAX)).await;
    assert_eq!(events.len(), MAX_GENERATIONS as usize + 1);
    assert_eq!(events[40], "own of 40");
    assert_eq!(last.fork(1, None, write_id()), Err(ForkError::TooDeep));
}

pub(crate) async fn a_fork_is_of_a_session_that_is_there_and_has_come_so_far(db: &dyn Db) {
    let main = TenantId::main();
    let parent = begin(db, &main, 1).await;
    write(db, &main, parent, 0, &["1", "2"]).await;
    let too_far = lineage(db, &main, parent).await.unwrap().fork(3, None, write_id()).unwrap();
    db.write(creation(&main, 2, &too_far)).await.unwrap();
    let unmade = too_far.lineage(session(2));
    assert!(read(db, &main, &unmade, (0, 9)).await.is_empty(), "it is not confirmed");
    assert_eq!(lineage(db, &main, session(2)).await, None);
    assert_eq!(sessions::get(db, &main, session(2)).await.unwrap(), None, "given up");
    assert!(held_back(db, creation(&main, 1, &too_far)).await, "the id is taken");
    assert_eq!(lineage(db, &main, session(99)).await, None);
}

pub(crate) async fn a_parents_events_stay_until_the_last_fork_is_deleted(db: &dyn Db) {
    let (main, removed) = (TenantId::main(), Shelf::default());
    let parent = begin(db, &main, 1).await;
    let mut whole = unit(&append(&main, parent, 0, &[event("1"), event("2"), event("3")]));
    blobs::refer(&mut whole, &main, parent, &BlobRef { hash: Arc::from([1; 32]), size: 1 });
    db.write(whole).await.unwrap();
    removed.lay(&main, parent, 1);
    let of_parent = lineage(db, &main, parent).await.unwrap();
    let of_child = fork(db, &main, &of_parent, 2, 2).await;
    let of_other = fork(db, &main, &of_parent, 1, 3).await;
    let of_grandchild = fork(db, &main, &of_child, 3, 4).await;
    db.write(deletion::delete(&main, parent, at(5))).await.unwrap();
    assert!(bodies(db, &main, parent).await.is_empty(), "gone for all who ask");
    assert!(read(db, &main, &of_parent, (0, 9)).await.is_empty());
    assert_eq!(lineage(db, &main, parent).await, None);
    let late = of_parent.fork(1, None, write_id()).unwrap();
    db.write(creation(&main, 5, &late)).await.unwrap();
    assert_eq!(lineage(db, &main, session(5)).await, None, "nobody forks it any more");
    assert!(sweep_session(db, &removed, &main, parent).await.unwrap().is_none());
    assert_eq!(counts(db, &main, parent).await[2], 2, "what nobody has in common is gone");
    assert_eq!(read(db, &main, &of_child, (0, 9)).await, ["1", "2", "own of 2"]);
    // The middle one goes, and still holds what its own fork needs.
    db.write(deletion::delete(&main, session(2), at(6))).await.unwrap();
    db.write(deletion::delete(&main, session(3), at(6))).await.unwrap();
    assert!(sweep_session(db, &removed, &main, session(2)).await.unwrap().is_none());
    assert!(sweep_session(db, &removed, &main, session(3)).await.unwrap().is_some());
    assert!(sweep_session(db, &removed, &main, parent).await.unwrap().is_none());
    assert!(read(db, &main, &of_child, (0, 9)).await.is_empty());
    assert!(read(db, &main, &of_other, (0, 9)).await.is_empty());
    assert_eq!(read(db, &main, &of_grandchild, (0, 9)).await, ["1", "2", "own of 2", "own of 4"]);
    assert_eq!(removed.len(), 1, "blobs stay as well");
    db.write(deletion::delete(&main, session(4), at(7))).await.unwrap();
    for n in [4, 2, 1, 5] {
        assert!(sweep_session(db, &removed, &main, session(n)).await.unwrap().is_some(), "{n}");
    }
    assert_eq!(removed.len(), 0);
    for n in 1..=5 {
        assert_eq!(counts(db, &main, session(n)).await.iter().sum::<i64>(), 0, "{n}");
    }
}

pub(crate) async fn a_hold_of_a_fork_that_is_gone_is_found_from_its_parent(db: &dyn Db) {
    let (main, removed) = (TenantId::main(), Shelf::default());
    let parent = begin(db, &main, 1).await;
    write(db, &main, parent, 0, &["1"]).await;
    let fork = lineage(db, &main, parent).await.unwrap().fork(1, None, write_id()).unwrap();
    // It comes after all is over, for instance from a node that was paused.
    db.write(forks::hold(&main, session(2), &Origin::from(&fork))).await.unwrap();
    db.write(deletion::delete(&main, parent, at(5))).await.unwrap();
    assert!(sweep_session(db, &removed, &main, parent).await.unwrap().is_some());
}

/// Who does the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Makes the fork, has it held, confirms it or gives it up.
    Maker,
    /// Deletes the parent, and sweeps.
    Parent,
    /// Deletes the fork, and sweeps.
    Child,
    /// Asks for the fork.
    Asker,
}

/// All orders of so many steps of each.
fn orders(left: &[(Who, usize)]) -> Vec<Vec<Who>> {
    if left.iter().all(|(_, steps)| *steps == 0) {
        return vec![Vec::new()];
    }
    let mut orders_of_all = Vec::new();
    for (index, (who, steps)) in left.iter().enumerate() {
        if *steps > 0 {
            let mut rest = left.to_vec();
            rest[index].1 -= 1;
            for mut order in orders(&rest) {
                order.insert(0, *who);
                orders_of_all.push(order);
            }
        }
    }
    orders_of_all
}

struct Story<'a> {
    db: &'a dyn Db,
    tenant: TenantId,
    child: u32,
    parent: SessionId,
    fork: Fork,
    steps: [usize; 4],
    held: bool,
    removed: Shelf,
}

impl Story<'_> {
    async fn step(&mut self, who: Who) {
        let step = self.steps[who as usize];
        self.steps[who as usize] += 1;
        let (db, tenant, child) = (self.db, &self.tenant, session(self.child));
        match (who, step) {
            (Who::Maker, 0) => {
                db.write(creation(tenant, self.child, &self.fork)).await.unwrap();
            }
            (Who::Maker, 1) => {
                let hold = forks::hold(tenant, child, &Origin::from(&self.fork));
                self.held = !held_back(db, hold).await;
            }
            (Who::Maker, _) if self.held => {
                held_back(db, forks::confirm(tenant, child)).await;
            }
            (Who::Maker, _) => {
                held_back(db, forks::give_up(tenant, child, at(7))).await;
            }
            (Who::Parent, 0) => self.delete(self.parent).await,
            (Who::Child, 0) => self.delete(child).await,
            (Who::Parent, _) => self.sweep(self.parent).await,
            (Who::Child, _) => self.sweep(child).await,
            (Who::Asker, _) => drop(lineage(db, tenant, child).await),
        }
    }

    async fn delete(&self, session: SessionId) {
        held_back(self.db, deletion::delete(&self.tenant, session, at(5))).await;
    }

    /// Only what is deleted.
    async fn sweep(&self, session: SessionId) {
        if sessions::get(self.db, &self.tenant, session).await.unwrap().is_none() {
            sweep_session(self.db, &self.removed, &self.tenant, session).await.unwrap();
        }
    }
}

pub(crate) async fn in_whatever_order_a_fork_that_is_there_is_whole(db: &dyn Db) {
    let plots = [
        vec![(Who::Maker, 3), (Who::Parent, 2), (Who::Child, 2)],
        vec![(Who::Maker, 3), (Who::Parent, 2), (Who::Asker, 2)],
    ];
    let main = TenantId::main();
    let mut number = 0;
    let (mut there, mut not) = (0, 0);
    for order in plots.iter().flat_map(|plot| orders(plot)) {
        number += 2;
        let parent = begin(db, &main, number).await;
        write(db, &main, parent, 0, &["1", "2"]).await;
        let fork = Lineage::of(parent).fork(1, None, write_id()).unwrap();
        let child = number + 1;
        let (steps, removed) = ([0; 4], Shelf::default());
        let tenant = main.clone();
        let mut story = Story { db, tenant, child, parent, fork, steps, held: false, removed };
        let of_child = story.fork.lineage(session(child));
        for who in &order {
            story.step(*who).await;
            // It is whole, or it is not there; anything else is an error here.
            let found = read(db, &main, &of_child, (0, 9)).await;
            if !found.is_empty() {
                assert_eq!(found, ["1", &format!("own of {child}")], "{order:?}");
            }
        }
        match lineage(db, &main, session(child)).await {
            Some(of_child) => {
                there += 1;
                assert_eq!(read(db, &main, &of_child, (0, 9)).await.len(), 2, "{order:?}");
            }
            None => not += 1,
        }
        for session in [parent, session(child)] {
            story.delete(session).await;
        }
        for session in [session(child), parent, session(child), parent] {
            story.sweep(session).await;
        }
        for session in [parent, session(child)] {
            assert_eq!(counts(db, &main, session).await.iter().sum::<i64>(), 0, "{order:?}");
        }
    }
    assert!(there > 10 && not > 10, "{there} and {not}");
}

pub(crate) async fn a_fork_and_a_deletion_at_once_leave_all_or_nothing(db: &dyn Db) {
    let main = TenantId::main();
    for round in 0..30 {
        let (parent, child) = (begin(db, &main, 2 * round).await, 2 * round + 1);
        write(db, &main, parent, 0, &["1", "2"]).await;
        let fork = Lineage::of(parent).fork(1, None, write_id()).unwrap();
        db.write(creation(&main, child, &fork)).await.unwrap();
        // Queued together, in either order.
        let hold = || db.write(forks::hold(&main, session(child), &Origin::from(&fork)));
        let delete = || db.write(deletion::delete(&main, parent, at(5)));
        let (hold, delete) = if round % 2 == 0 {
            let hold = hold();
            (hold, delete())
        } else {
            let delete = delete();
            (hold(), delete)
        };
        let held = hold.await.is_ok();
        delete.await.unwrap();
        let swept = sweep_session(db, &Shelf::default(), &main, parent).await.unwrap();
        assert_eq!(swept.is_some(), !held, "{round}");
        assert_eq!(counts(db, &main, parent).await[2], i64::from(held));
    }
}
