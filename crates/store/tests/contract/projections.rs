//! What is projected from journals, to be found across sessions.

use std::sync::Arc;

use freehold_store::idempotency::{self, Accepted};
use freehold_store::timers::{self, Timer};
use freehold_store::waits::{self, Wait};
use freehold_types::{Db, PageRequest, SessionId, TenantId, Unit};

use crate::samples::{append, at, begin, bodies, event, held_back, unit};

fn timer(tenant: &TenantId, session: SessionId, id: &str, due: i64) -> Timer {
    Timer { tenant: tenant.clone(), session, id: id.into(), due_at: at(due), offset: 1 }
}

async fn set(db: &dyn Db, timer: &Timer) {
    let mut unit = Unit::new("set");
    timers::set(&mut unit, timer);
    db.write(unit).await.unwrap();
}

pub(crate) async fn a_timer_fires_once(db: &dyn Db) {
    let (main, session) = (TenantId::main(), begin(db, &TenantId::main(), 1).await);
    let fired = [event("fired")];
    let fire = |after| {
        let mut whole = unit(&append(&main, session, after, &fired));
        timers::clear(&mut whole, &main, session, "t");
        whole
    };
    set(db, &timer(&main, session, "t", 10)).await;
    set(db, &timer(&main, session, "t", 20)).await;
    assert!(timers::due(db, &main, at(15), 9).await.unwrap().is_empty(), "it was set anew");
    assert_eq!(timers::due(db, &main, at(20), 9).await.unwrap(), [timer(&main, session, "t", 20)]);
    // Many find it due at once; then one comes late and knows the new head.
    let writes: Vec<_> = (0..8).map(|_| db.write(fire(0))).collect();
    let mut fires = 0;
    for write in writes {
        fires += u32::from(write.await.is_ok());
    }
    assert_eq!(fires, 1);
    assert!(held_back(db, fire(1)).await);
    assert_eq!(bodies(db, &main, session).await, ["fired"]);
    assert!(timers::due(db, &main, at(99), 9).await.unwrap().is_empty());
}

pub(crate) async fn due_timers_are_found_tenant_by_tenant(db: &dyn Db) {
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    let (one, two) = (begin(db, &a, 1).await, begin(db, &a, 2).await);
    begin(db, &b, 1).await;
    for timer in [
        timer(&a, one, "x", 30),
        timer(&a, two, "x", 10),
        timer(&a, two, "y", 99),
        timer(&b, one, "x", 99),
    ] {
        set(db, &timer).await;
    }
    assert_eq!(timers::next_tenant(db, None, at(50)).await.unwrap(), Some(a.clone()));
    assert_eq!(timers::next_tenant(db, Some(&a), at(50)).await.unwrap(), None);
    assert_eq!(timers::next_tenant(db, Some(&a), at(99)).await.unwrap(), Some(b));
    let due = timers::due(db, &a, at(50), 9).await.unwrap();
    assert_eq!(due, [timer(&a, two, "x", 10), timer(&a, one, "x", 30)]);
    assert_eq!(timers::due(db, &a, at(50), 1).await.unwrap().len(), 1);
    let page = timers::of_session(db, &a, two, &PageRequest::new(None, 1)).await.unwrap();
    assert_eq!((&*page.items[0].id, page.next.as_deref()), ("x", Some("x")));
    let page = timers::of_session(db, &a, two, &PageRequest::new(page.next, 1)).await.unwrap();
    assert_eq!((&*page.items[0].id, page.next), ("y", None));
}

pub(crate) async fn the_inbox_is_listed_by_age_and_an_answer_counts_once(db: &dyn Db) {
    let main = TenantId::main();
    let (one, two) = (begin(db, &main, 1).await, begin(db, &main, 2).await);
    let wait = |session, id: &str, kind: &str, since| Wait {
        tenant: main.clone(),
        session,
        id: id.into(),
        kind: kind.into(),
        since: at(since),
        expires_at: Some(at(since + 100)),
        offset: 1,
    };
    let waits = [
        wait(two, "a/1", "approval", 1),
        wait(one, "b", "approval", 1),
        wait(one, "c", "call", 2),
        wait(one, "d", "approval", 3),
    ];
    for wait in &waits {
        let mut open = Unit::new("open");
        waits::open(&mut open, wait);
        db.write(open.clone()).await.unwrap();
        assert!(held_back(db, open).await, "it waits for that already");
    }
    let mut after = None;
    let mut inbox = Vec::new();
    loop {
        let page = PageRequest::new(after, 1);
        let page = waits::list(db, &main, "approval", &page).await.unwrap();
        inbox.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(inbox, [waits[1].clone(), waits[0].clone(), waits[3].clone()]);
    let garbage = PageRequest::new(Some("nonsense".into()), 9);
    assert_eq!(waits::list(db, &main, "approval", &garbage).await.unwrap().items.len(), 3);

    assert_eq!(waits::get(db, &main, one, "c").await.unwrap().as_ref(), Some(&waits[2]));
    let mut close = Unit::new("close");
    waits::close(&mut close, &main, one, "c");
    db.write(close.clone()).await.unwrap();
    assert!(held_back(db, close).await);
    assert_eq!(waits::get(db, &main, one, "c").await.unwrap(), None);
}

pub(crate) async fn a_request_is_accepted_once(db: &dyn Db) {
    let (main, session) = (TenantId::main(), begin(db, &TenantId::main(), 1).await);
    let input = [event("input")];
    let accepted = |n: u8| Accepted { request_hash: Arc::from([n; 32]), offset: 1 };
    let accept = |after, n| {
        let mut whole = unit(&append(&main, session, after, &input));
        idempotency::accept(&mut whole, &main, session, "key", &accepted(n));
        whole
    };
    let writes: Vec<_> = (0..8).map(|n| db.write(accept(0, n))).collect();
    let mut winner = None;
    for (n, write) in (0..8).zip(writes) {
        if write.await.is_ok() {
            assert_eq!(winner.replace(n), None);
        }
    }
    assert!(held_back(db, accept(1, 9)).await, "whoever knows the head now");
    let found = idempotency::find(db, &main, session, "key").await.unwrap();
    assert_eq!(found, winner.map(accepted));
    assert_eq!(idempotency::find(db, &main, session, "other").await.unwrap(), None);
    assert_eq!(bodies(db, &main, session).await, ["input"]);
}
