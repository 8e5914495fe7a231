//! Sessions: their beginning, their lists, and who does not see them.

use freehold_store::sessions::{self, NewSession};
use freehold_store::{deletion, idempotency, journal, leases, timelines, timers, waits};
use freehold_types::{Db, PageRequest, TenantId, Unit};

use crate::samples::{
    append, at, begin, bodies, event, get, held_back, id, new_session, session, unit, write_id,
};

pub(crate) async fn a_session_begins_once_with_its_first_events(db: &dyn Db) {
    let main = TenantId::main();
    let mut new = new_session(&main, 1);
    (new.node, new.due_at) = (Some(id("node_", 1)), Some(at(7)));
    let events = [event("created"), event("input")];
    let whole = |text: &str| {
        let events = [event(text), events[1].clone()];
        let mut unit = Unit::new("begin");
        sessions::create(&mut unit, &new);
        journal::append(&mut unit, &append(&main, new.id, 0, &events)).unwrap();
        assert!(unit.proof().is_some());
        unit
    };
    db.write(whole("created")).await.unwrap();
    assert!(held_back(db, whole("again")).await, "the id is taken");
    let found = get(db, &main, new.id).await;
    assert_eq!((found.head, found.epoch, found.timeline), (2, NewSession::EPOCH, 1));
    assert_eq!((found.node, found.due_at, found.created_at), (new.node, new.due_at, at(1)));
    assert_eq!(bodies(db, &main, new.id).await, ["created", "input"]);
    let profile = sessions::profile(db, &main, new.id).await.unwrap().unwrap();
    assert_eq!((profile.about, profile.content_key), (new.about.clone(), new.content_key.clone()));
    let mut described = Unit::new("describe");
    sessions::describe(&mut described, &main, new.id, new.about.clone(), "{}".into());
    db.write(described).await.unwrap();
    let profile = sessions::profile(db, &main, new.id).await.unwrap().unwrap();
    assert_eq!((&*profile.about, profile.content_key), ("{}", new.content_key.clone()));
}

pub(crate) async fn sessions_are_listed_newest_first_by_the_page(db: &dyn Db) {
    let main = TenantId::main();
    for n in 1..=5 {
        begin(db, &main, n).await;
    }
    let events = [event("x")];
    let mut running = append(&main, session(2), 0, &events);
    running.phase = Some("running");
    db.write(unit(&running)).await.unwrap();
    let mut after = None;
    let mut seen = Vec::new();
    loop {
        let page = PageRequest::new(after, 2);
        let page = sessions::list(db, &main, None, &page).await.unwrap();
        seen.extend(page.items.iter().map(|session| session.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(seen, [5, 4, 3, 2, 1].map(session));
    let page = sessions::list(db, &main, Some("running"), &PageRequest::first()).await.unwrap();
    assert_eq!(page.items.iter().map(|session| session.id).collect::<Vec<_>>(), [session(2)]);
}

pub(crate) async fn heads_of_many_are_read_at_once(db: &dyn Db) {
    let (main, other) = (TenantId::main(), TenantId::new("other").unwrap());
    for n in 1..=70 {
        begin(db, &main, n).await;
    }
    begin(db, &other, 71).await;
    let events = [event("x"), event("y")];
    db.write(unit(&append(&main, session(2), 0, &events))).await.unwrap();
    db.write(deletion::delete(&main, session(3), at(9))).await.unwrap();
    let asked = [2, 3, 4, 71, 99].map(session);
    let mut found = sessions::heads(db, &main, &asked).await.unwrap();
    found.sort_unstable();
    assert_eq!(found, [(session(2), 2), (session(4), 0)], "neither deleted nor another's");
    assert_eq!(sessions::heads(db, &main, &[]).await.unwrap(), []);
    let all: Vec<_> = (5..=70).map(session).collect();
    let found = sessions::heads(db, &main, &all).await.unwrap();
    assert_eq!(found.len(), sessions::HEADS_MAX, "no more than it says");
}

pub(crate) async fn a_tenant_neither_sees_nor_touches_anothers_sessions(db: &dyn Db) {
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    // The same id in two tenants, and one that only `a` has.
    let both = begin(db, &a, 1).await;
    begin(db, &b, 1).await;
    let own = begin(db, &a, 2).await;
    let events = [event("of a")];
    for session in [both, own] {
        let mut whole = unit(&append(&a, session, 0, &events));
        let timer =
            timers::Timer { tenant: a.clone(), session, id: "t".into(), due_at: at(1), offset: 1 };
        timers::set(&mut whole, &timer);
        let hash = [1_u8].as_slice().into();
        let accepted = idempotency::Accepted { request_hash: hash, offset: 1 };
        idempotency::accept(&mut whole, &a, session, "key", &accepted);
        db.write(whole).await.unwrap();
    }
    assert_eq!(get(db, &b, both).await.head, 0);
    assert!(bodies(db, &b, both).await.is_empty());
    assert_eq!(sessions::get(db, &b, own).await.unwrap(), None);
    assert_eq!(sessions::profile(db, &b, own).await.unwrap(), None);
    assert!(bodies(db, &b, own).await.is_empty());
    assert_eq!(idempotency::find(db, &b, own, "key").await.unwrap(), None);
    assert!(timers::due(db, &b, at(9), 9).await.unwrap().is_empty());
    assert_eq!(waits::get(db, &b, own, "t").await.unwrap(), None);
    let page = sessions::list(db, &b, None, &PageRequest::first()).await.unwrap();
    assert_eq!(page.items.len(), 1);

    assert!(held_back(db, unit(&append(&b, own, 1, &events))).await);
    let claim =
        leases::Claim { tenant: &b, session: own, epoch: 1, node: id("node_", 1), id: write_id() };
    assert!(held_back(db, leases::claim(&claim)).await);
    assert!(held_back(db, deletion::delete(&b, own, at(1))).await);
    let mut clear = Unit::new("clear");
    timers::clear(&mut clear, &b, own, "t");
    assert!(held_back(db, clear).await);
    assert_eq!(bodies(db, &a, own).await, ["of a"]);
}

pub(crate) async fn a_sealed_session_takes_nothing_until_its_cell_gives_it_back(db: &dyn Db) {
    let (main, session) = (TenantId::main(), begin(db, &TenantId::main(), 1).await);
    let events = [event("sealed")];
    let mut sealing = unit(&append(&main, session, 0, &events));
    sessions::seal(&mut sealing, &main, session, 1, "eu");
    db.write(sealing).await.unwrap();
    let found = get(db, &main, session).await;
    assert_eq!((found.epoch, found.sealed_for.as_deref()), (2, Some("eu")));
    for epoch in [1, 2] {
        let mut late = append(&main, session, 1, &events);
        late.epoch = epoch;
        assert!(held_back(db, unit(&late)).await, "epoch {epoch}");
        let (node, write) = (id("node_", 1), write_id());
        let claim = leases::Claim { tenant: &main, session, epoch, node, id: write };
        assert!(held_back(db, leases::claim(&claim)).await, "epoch {epoch}");
    }
    let unseal = |cell| {
        let mut unit = Unit::new("unseal");
        sessions::unseal(&mut unit, &main, session, 2, cell, Some(at(3)));
        let mut back = append(&main, session, 1, &events);
        back.epoch = 3;
        journal::append(&mut unit, &back).unwrap();
        unit
    };
    assert!(held_back(db, unseal("us")).await, "another cell");
    db.write(unseal("eu")).await.unwrap();
    assert!(held_back(db, unseal("eu")).await, "only once");
    let found = get(db, &main, session).await;
    assert_eq!((found.epoch, found.head, found.sealed_for), (3, 2, None));
    assert_eq!(found.due_at, Some(at(3)));
}

pub(crate) async fn a_cursor_of_a_lost_timeline_hears_what_is_common(db: &dyn Db) {
    let (main, session) = (TenantId::main(), begin(db, &TenantId::main(), 1).await);
    let three = [event("a"), event("b"), event("c")];
    let common =
        async |timeline| timelines::last_common(db, &main, session, timeline).await.unwrap();
    db.write(unit(&append(&main, session, 0, &three))).await.unwrap();
    assert_eq!((common(1).await, common(2).await), (Some(3), None));
    db.write(timelines::begin(&main, session, 20)).await.unwrap();
    assert!(held_back(db, timelines::begin(&main, session, 20)).await);
    assert!(held_back(db, unit(&append(&main, session, 3, &three))).await, "the epoch is over");
    let mut on = append(&main, session, 3, &three);
    on.epoch = 2;
    db.write(unit(&on)).await.unwrap();
    db.write(timelines::begin(&main, session, 30)).await.unwrap();
    let known = [common(1).await, common(20).await, common(30).await];
    assert_eq!(known, [Some(3), Some(6), Some(6)]);
    assert_eq!(common(25).await, None, "one that was lost with the backup's successor");
    assert_eq!(get(db, &main, session).await.timeline, 30);
}
