//! Deletion: at once, whole, and nothing else's.

use std::sync::Arc;

use freehold_store::blobs::{self, BlobRef};
use freehold_store::deletion::{self, is_gone};
use freehold_store::idempotency::{self, Accepted};
use freehold_store::journal::Due;
use freehold_store::timers::{self, Timer};
use freehold_store::waits::{self, Wait};
use freehold_store::{journal, leases, sessions, timelines};
use freehold_types::{Db, PageRequest, SessionId, TenantId, args};

use crate::samples::{
    append, at, begin, bodies, event, get, held_back, id, session, unit, write_id,
};

/// Rows of a session in each table that has any; in the order of
/// `sessions::TABLES`.
const COUNTS: &str = "
    SELECT COUNT(*) FROM sessions WHERE tenant = $1 AND id = $2
    UNION ALL SELECT COUNT(*) FROM profiles WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM events WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM snapshots WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM timelines WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM timers WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM waits WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM idempotency_keys WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM blob_refs WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM forks WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM ancestors WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM holds WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM session_secrets WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM imports WHERE tenant = $1 AND session = $2
    UNION ALL SELECT COUNT(*) FROM bundles WHERE tenant = $1 AND session = $2";

pub(crate) async fn counts(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Vec<i64> {
    let rows = db.read(COUNTS, args![tenant.shared(), session.to_string()]).await.unwrap();
    let counts: Vec<i64> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    assert_eq!(counts.len(), sessions::TABLES.len());
    counts
}

fn blob() -> BlobRef {
    BlobRef { hash: Arc::from([7; 32]), size: 5 }
}

/// A session with something in every table.
async fn full(db: &dyn Db, tenant: &TenantId, n: u32) -> SessionId {
    let session = begin(db, tenant, n).await;
    db.write(timelines::begin(tenant, session, 2)).await.unwrap();
    let events = vec![event("x"); 25];
    let mut all = append(tenant, session, 0, &events);
    (all.epoch, all.due) = (2, Due::At(Some(at(1))));
    all.snapshot = Some(Arc::from([1]));
    let mut whole = unit(&all);
    let timer = Timer { tenant: tenant.clone(), session, id: "t".into(), due_at: at(1), offset: 1 };
    timers::set(&mut whole, &timer);
    let wait = Wait {
        tenant: tenant.clone(),
        session,
        id: "w".into(),
        kind: "approval".into(),
        since: at(1),
        expires_at: None,
        offset: 1,
    };
    waits::open(&mut whole, &wait);
    for key in 0..15 {
        let accepted = Accepted { request_hash: Arc::from([key]), offset: 1 };
        idempotency::accept(&mut whole, tenant, session, &key.to_string(), &accepted);
    }
    blobs::refer(&mut whole, tenant, session, &blob());
    blobs::refer(&mut whole, tenant, session, &blob());
    db.write(whole).await.unwrap();
    assert!(counts(db, tenant, session).await.iter().take(9).all(|rows| *rows > 0));
    session
}

pub(crate) async fn a_deleted_session_is_gone_at_once(db: &dyn Db) {
    let (main, session) = (TenantId::main(), full(db, &TenantId::main(), 1).await);
    db.write(deletion::delete(&main, session, at(5))).await.unwrap();
    assert!(held_back(db, deletion::delete(&main, session, at(6))).await, "only once");
    assert_eq!(sessions::get(db, &main, session).await.unwrap(), None);
    assert_eq!(sessions::profile(db, &main, session).await.unwrap(), None, "with its key");
    let page = PageRequest::first();
    assert!(sessions::list(db, &main, None, &page).await.unwrap().items.is_empty());
    assert!(bodies(db, &main, session).await.is_empty());
    assert_eq!(journal::snapshot(db, &main, session).await.unwrap(), None);
    assert_eq!(idempotency::find(db, &main, session, "1").await.unwrap(), None);
    assert_eq!(timelines::last_common(db, &main, session, 2).await.unwrap(), None);
    assert!(waits::list(db, &main, "approval", &page).await.unwrap().items.is_empty());
    assert!(timers::due(db, &main, at(99), 9).await.unwrap().is_empty());
    assert!(leases::due(db, &main, at(99), 9).await.unwrap().is_empty());
    let events = [event("late")];
    for epoch in [2, 3] {
        let mut late = append(&main, session, 25, &events);
        late.epoch = epoch;
        assert!(held_back(db, unit(&late)).await, "epoch {epoch}");
        let (node, write) = (id("node_", 1), write_id());
        let claim = leases::Claim { tenant: &main, session, epoch, node, id: write };
        assert!(held_back(db, leases::claim(&claim)).await, "epoch {epoch}");
    }
}

pub(crate) async fn sweeping_takes_all_of_a_session_and_nothing_of_others(db: &dyn Db) {
    let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
    let gone = full(db, &a, 2).await;
    // Its neighbours in order, and its namesake.
    let others =
        [(&a, full(db, &a, 1).await), (&a, full(db, &a, 3).await), (&b, full(db, &b, 2).await)];
    let mut before = Vec::new();
    for (tenant, session) in others {
        before.push((counts(db, tenant, session).await, get(db, tenant, session).await));
    }
    assert!(held_back(db, deletion::sweep(&a, gone, 10)).await, "it is not deleted");
    db.write(deletion::delete(&a, gone, at(5))).await.unwrap();
    assert_eq!(deletion::deleted(db, None, 9).await.unwrap(), [(a.clone(), gone)]);
    for _ in 0..5 {
        let swept = db.write(deletion::sweep(&a, gone, 10)).await.unwrap();
        assert!(swept.changed[1] <= 10 && !is_gone(&swept), "its blob is still there");
    }
    assert_eq!(counts(db, &a, gone).await, [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    let blobs = blobs::list(db, &a, gone, None, 9).await.unwrap();
    assert_eq!(blobs, [blob()]);
    assert!(blobs::list(db, &a, gone, blobs.last(), 9).await.unwrap().is_empty());
    db.write(blobs::forget(&a, gone, &blobs)).await.unwrap();
    assert!(is_gone(&db.write(deletion::sweep(&a, gone, 10)).await.unwrap()));
    assert_eq!(counts(db, &a, gone).await, [0; 15]);
    assert!(held_back(db, deletion::sweep(&a, gone, 10)).await, "gone");
    assert!(deletion::deleted(db, None, 9).await.unwrap().is_empty());
    for ((tenant, session), (rows, row)) in others.into_iter().zip(before) {
        assert_eq!(counts(db, tenant, session).await, rows);
        assert_eq!(get(db, tenant, session).await, row);
    }
}

pub(crate) async fn an_append_and_a_deletion_never_both_hold(db: &dyn Db) {
    let main = TenantId::main();
    for round in 0..30 {
        begin(db, &main, round).await;
        let session = session(round);
        let events = [event("x")];
        let mut whole = unit(&append(&main, session, 0, &events));
        let timer =
            Timer { tenant: main.clone(), session, id: "t".into(), due_at: at(1), offset: 1 };
        timers::set(&mut whole, &timer);
        let (append, delete) = if round % 2 == 0 {
            let append = db.write(whole);
            (append, db.write(deletion::delete(&main, session, at(5))))
        } else {
            let delete = db.write(deletion::delete(&main, session, at(5)));
            (db.write(whole), delete)
        };
        let appended = append.await.is_ok();
        delete.await.unwrap();
        // Whichever came first: what the deletion takes at once is not there.
        assert_eq!(counts(db, &main, session).await[5], 0, "{round}: a timer");
        assert_eq!(counts(db, &main, session).await[2], i64::from(appended));
        let swept = db.write(deletion::sweep(&main, session, 10)).await.unwrap();
        assert!(is_gone(&swept), "{round}");
    }
}
