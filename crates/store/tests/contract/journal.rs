//! Journals: one writer, one order, no gap, no doubt.

use std::sync::Arc;

use freehold_store::journal::{self, Append, AppendError, MAX_BODY, MAX_EVENTS, MAX_SNAPSHOT};
use freehold_store::timers::{self, Timer};
use freehold_store::{leases, waits};
use freehold_types::{Db, DbError, TenantId, Unit};

use crate::samples::{
    append, at, begin, bodies, event, get, held_back, id, session, unit, write_id,
};

fn main() -> TenantId {
    TenantId::main()
}

pub(crate) async fn events_come_back_as_they_were_written_and_by_range(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    let first = [event("a"), event("b"), event("c")];
    let mut with_phase = append(&main, session, 0, &first);
    with_phase.phase = Some("running");
    db.write(unit(&with_phase)).await.unwrap();
    let last = [event("d")];
    let mut binary = append(&main, session, 3, &last);
    binary.at = at(9);
    db.write(unit(&binary)).await.unwrap();
    let found = get(db, &main, session).await;
    assert_eq!((found.head, &*found.phase, found.updated_at), (4, "running", at(9)));
    assert_eq!(bodies(db, &main, session).await, ["a", "b", "c", "d"]);

    let range = async |after, up_to, limit| -> Vec<u64> {
        let events = journal::read(db, &main, session, after, up_to, limit).await.unwrap();
        events.iter().map(|event| event.offset).collect()
    };
    assert_eq!(range(1, 3, 10).await, [2, 3]);
    assert_eq!(range(0, u64::MAX, 2).await, [1, 2]);
    assert!(range(4, 10, 10).await.is_empty());
    let event = &journal::read(db, &main, session, 3, 4, 1).await.unwrap()[0];
    assert_eq!((&*event.kind, event.version, event.at), ("test", 1, at(1)));
}

pub(crate) async fn of_two_writers_in_one_place_exactly_one_wins(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    for round in 0..20 {
        let texts: Vec<_> = (0..8).map(|n| [event(&format!("{round} {n}"))]).collect();
        let appends: Vec<_> =
            texts.iter().map(|text| append(&main, session, round, text)).collect();
        let writes: Vec<_> = appends.iter().map(|append| db.write(unit(append))).collect();
        let mut winners = Vec::new();
        for (append, write) in appends.iter().zip(writes) {
            match write.await {
                Ok(_) => winners.push(append.events[0].body.to_vec()),
                Err(error) => assert!(matches!(error, DbError::GuardFailed { .. }), "{error}"),
            }
        }
        let kept = journal::read(db, &main, session, round, u64::MAX, 10).await.unwrap();
        let kept: Vec<_> = kept.iter().map(|event| event.body.to_vec()).collect();
        assert_eq!((winners.len(), &kept), (1, &winners));
    }
}

pub(crate) async fn a_writer_of_a_past_epoch_is_refused(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    let events = [event("x")];
    let claim =
        leases::Claim { tenant: &main, session, epoch: 1, node: id("node_", 1), id: write_id() };
    db.write(leases::claim(&claim)).await.unwrap();
    let mut writer = append(&main, session, 0, &events);
    assert!(held_back(db, unit(&writer)).await);
    writer.epoch = 3;
    assert!(held_back(db, unit(&writer)).await, "an epoch that is still to come");
    writer.epoch = 2;
    writer.after = 1;
    assert!(held_back(db, unit(&writer)).await, "an offset that is still to come");
    writer.after = 0;
    db.write(unit(&writer)).await.unwrap();
    assert_eq!(bodies(db, &main, session).await, ["x"]);
}

pub(crate) async fn a_failed_guard_undoes_the_events_and_all_projections(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    let events = [event("x"), event("y")];
    let timer = Timer { tenant: main.clone(), session, id: "t".into(), due_at: at(5), offset: 1 };
    let mut whole = unit(&append(&main, session, 0, &events));
    timers::set(&mut whole, &timer);
    waits::close(&mut whole, &main, session, "nobody asked");
    assert!(held_back(db, whole).await);
    let found = get(db, &main, session).await;
    assert_eq!(found.head, 0);
    assert!(bodies(db, &main, session).await.is_empty());
    assert!(timers::due(db, &main, at(9), 10).await.unwrap().is_empty());
}

pub(crate) async fn an_append_in_doubt_is_found_by_its_id(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    let (mine, theirs) = ([event("mine"), event("too")], [event("theirs"), event("too")]);
    let (mine, theirs) = (append(&main, session, 0, &mine), append(&main, session, 0, &theirs));
    let is_in = async |append: &Append<'_>| {
        journal::is_in(db, &main, session, append.after + 1, append.id).await.unwrap()
    };
    assert!(!is_in(&mine).await);
    db.write(unit(&mine)).await.unwrap();
    assert!(is_in(&mine).await && !is_in(&theirs).await);
    // Sent again, it is refused, by itself.
    assert!(held_back(db, unit(&mine)).await);
    assert!(held_back(db, unit(&theirs)).await);
    let more = [event("more")];
    db.write(unit(&append(&main, session, 2, &more))).await.unwrap();
    assert!(is_in(&mine).await && !is_in(&theirs).await, "whatever came after");
    assert_eq!(bodies(db, &main, session).await, ["mine", "too", "more"]);
}

pub(crate) async fn what_is_too_large_is_refused_and_adds_nothing(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    let refusal = |append: &Append<'_>| {
        let mut unit = Unit::new("append");
        let refused = journal::append(&mut unit, append).unwrap_err();
        assert!(unit.is_empty());
        refused
    };
    let many = vec![event("x"); MAX_EVENTS + 1];
    assert_eq!(refusal(&append(&main, session, 0, &many)), AppendError::Count(MAX_EVENTS + 1));
    assert_eq!(refusal(&append(&main, session, 0, &[])), AppendError::Count(0));
    let large = [event(&"x".repeat(MAX_BODY + 1))];
    assert_eq!(refusal(&append(&main, session, 0, &large)), AppendError::Body(MAX_BODY + 1));
    let small = [event("x")];
    let mut fat = append(&main, session, 0, &small);
    fat.snapshot = Some(vec![0; MAX_SNAPSHOT + 1].into());
    assert_eq!(refusal(&fat), AppendError::Snapshot(MAX_SNAPSHOT + 1));

    let largest = vec![event(&"x".repeat(MAX_BODY)); 3];
    let mut largest = append(&main, session, 0, &largest);
    largest.snapshot = Some(vec![7; MAX_SNAPSHOT].into());
    db.write(unit(&largest)).await.unwrap();
    let most = vec![event("x"); MAX_EVENTS];
    db.write(unit(&append(&main, session, 3, &most))).await.unwrap();
    assert_eq!(get(db, &main, session).await.head, 3 + MAX_EVENTS as u64);
}

pub(crate) async fn the_newest_snapshot_is_kept(db: &dyn Db) {
    let (main, session) = (main(), begin(db, &main(), 1).await);
    assert_eq!(journal::snapshot(db, &main, session).await.unwrap(), None);
    let events = [event("x")];
    for (after, body) in [(0, None), (1, Some("one")), (2, None), (3, Some("two"))] {
        let mut append = append(&main, session, after, &events);
        append.snapshot = body.map(|body| Arc::from(body.as_bytes()));
        db.write(unit(&append)).await.unwrap();
    }
    let snapshot = journal::snapshot(db, &main, session).await.unwrap().unwrap();
    assert_eq!((snapshot.offset, &*snapshot.body), (4, b"two".as_slice()));
}

pub(crate) async fn many_who_write_leave_no_gap_and_lose_nothing(db: &dyn Db) {
    let main = main();
    begin(db, &main, 1).await;
    // Each knows nothing of the others, and looks again when it is refused.
    let writer = async |n: u32| {
        for nth in 0..10 {
            let events = [event(&format!("{n} {nth}")), event("and more")];
            loop {
                let head = get(db, &main, session(1)).await.head;
                let append = append(&main, session(1), head, &events);
                if !held_back(db, unit(&append)).await {
                    break;
                }
            }
        }
    };
    futures_util::future::join_all((0..8).map(writer)).await;
    let kept = bodies(db, &main, session(1)).await;
    assert_eq!(get(db, &main, session(1)).await.head, 160);
    for n in 0..8 {
        let own: Vec<_> =
            kept.iter().step_by(2).filter(|b| b.starts_with(&format!("{n} "))).collect();
        let expected: Vec<_> = (0..10).map(|nth| format!("{n} {nth}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "each writer's own order");
    }
}
