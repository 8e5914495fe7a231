//! Sessions that come from other cells: laid down unseen, then there at once.

use std::sync::Arc;

use freehold_store::blobs::{self, BlobRef};
use freehold_store::fsck::{Fsck, Underived};
use freehold_store::idempotency::{self, Accepted};
use freehold_store::imports::{self, Import, Outcome, Taken};
use freehold_store::journal::{Append, NewEvent};
use freehold_store::sessions::NewSession;
use freehold_store::{deletion, journal, sessions, settle, timelines};
use freehold_types::{Db, DbError, PageRequest, SessionId, TenantId, Unit, UnitId};

use crate::deletion::counts;
use crate::samples::{
    Shelf, append, at, begin, bodies, event, get, held_back, new_session, session, write_id,
};

fn import(tenant: &TenantId, n: u32) -> Import {
    Import {
        tenant: tenant.clone(),
        session: session(n),
        bundle: Arc::from([7; 32]),
        token: write_id().as_bytes().into(),
        content_key: Arc::from([9; 32]),
        beat_at: at(0),
    }
}

fn written(texts: &[&str]) -> Vec<(UnitId, NewEvent)> {
    texts.iter().map(|text| (write_id(), event(text))).collect()
}

fn last(import: &Import, head: u64) -> Unit {
    let mut unit = Unit::new("finish");
    let new = NewSession { timeline: 3, ..new_session(&import.tenant, 1) };
    import.finish(&mut unit, &NewSession { id: import.session, ..new }, (head, 4), at(5));
    let events = [event("arrived")];
    let append = Append { epoch: 4, ..append(&import.tenant, import.session, head, &events) };
    journal::append(&mut unit, &append).unwrap();
    unit
}

/// Begins, and lays two events and what else moves.
async fn laid(db: &dyn Db, import: &Import) {
    settle(db, imports::begin(import)).await.unwrap();
    let mut unit = import.unit(0, 0, at(1));
    import.timeline(&mut unit, 2, 1);
    let accepted = Accepted { request_hash: Arc::from([1; 32]), offset: 1 };
    import.accepted(&mut unit, "key", &accepted);
    let blob = BlobRef { hash: Arc::from([3; 32]), size: 5 };
    blobs::refer(&mut unit, &import.tenant, import.session, &blob);
    settle(db, unit).await.unwrap();
    settle(db, import.lay(0, &written(&["one", "two"]), at(2)).unwrap()).await.unwrap();
}

async fn nowhere(db: &dyn Db, tenant: &TenantId, session: SessionId) {
    assert_eq!(sessions::get(db, tenant, session).await.unwrap(), None);
    assert!(journal::read(db, tenant, session, 0, u64::MAX, 10).await.unwrap().is_empty());
    assert_eq!(idempotency::find(db, tenant, session, "key").await.unwrap(), None);
    let page = sessions::list(db, tenant, None, &PageRequest::new(None, 10)).await.unwrap();
    assert!(page.items.iter().all(|row| row.id != session));
    let mut found = Vec::new();
    let look = Fsck { db, begin: &Underived, blobs: None, now: at(9), repair: false };
    look.run(|finding| found.push(finding)).await.unwrap();
    assert!(found.is_empty(), "{found:?}");
}

pub(crate) async fn what_is_laid_is_found_by_nobody_until_it_is_a_session(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let import = import(&tenant, 1);
    laid(db, &import).await;
    nowhere(db, &tenant, import.session).await;
    assert_eq!(
        imports::get(db, &tenant, import.session).await.unwrap().unwrap().bundle,
        import.bundle
    );
    assert!(held_back(db, last(&import, 3)).await, "not all is laid");
    settle(db, last(&import, 2)).await.unwrap();
    assert_eq!(bodies(db, &tenant, import.session).await, ["one", "two", "arrived"]);
    let row = get(db, &tenant, import.session).await;
    assert_eq!((row.head, row.timeline), (3, 3));
    let found = idempotency::find(db, &tenant, import.session, "key").await.unwrap().unwrap();
    assert_eq!(found.offset, 1);
    assert_eq!(
        timelines::last_common(db, &tenant, import.session, 2).await.unwrap(),
        None,
        "nothing came after it that is noted"
    );
    assert_eq!(imports::get(db, &tenant, import.session).await.unwrap(), None);
    let outcome = imports::outcome(db, &tenant, import.session, &[7; 32]).await.unwrap();
    assert_eq!(outcome, Some(Outcome::Imported));
    assert!(held_back(db, last(&import, 2)).await, "it is there once");
}

pub(crate) async fn an_import_that_was_taken_over_does_nothing_more(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let first = import(&tenant, 1);
    laid(db, &first).await;
    let second = import(&tenant, 1);
    settle(db, imports::begin(&second)).await.unwrap();
    let kept = imports::get(db, &tenant, first.session).await.unwrap().unwrap();
    assert_eq!((kept.token, kept.content_key), (second.token.clone(), first.content_key.clone()));
    assert!(held_back(db, first.lay(2, &written(&["three"]), at(3)).unwrap()).await);
    assert!(held_back(db, first.unit(2, 2, at(3))).await);
    assert!(held_back(db, last(&first, 2)).await);
    let shelf = Shelf::default();
    assert!(imports::clear(db, &shelf, &first).await.is_err(), "it is another's by now");
    shelf.lay(&tenant, first.session, 3);
    imports::clear(db, &shelf, &second).await.unwrap();
    assert_eq!(shelf.len(), 0);
    settle(db, second.lay(0, &written(&["other"]), at(4)).unwrap()).await.unwrap();
    settle(db, last(&second, 1)).await.unwrap();
    assert_eq!(bodies(db, &tenant, first.session).await, ["other", "arrived"]);
    assert_eq!(blobs::list(db, &tenant, first.session, None, 10).await.unwrap(), []);
    assert_eq!(idempotency::find(db, &tenant, first.session, "key").await.unwrap(), None);
}

pub(crate) async fn a_session_that_is_there_is_not_imported_over(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let session = begin(db, &tenant, 1).await;
    let import = import(&tenant, 1);
    assert_eq!(imports::taken(db, &tenant, session).await.unwrap(), Taken::Alive);
    assert!(held_back(db, imports::begin(&import)).await);
    assert_eq!(imports::get(db, &tenant, session).await.unwrap(), None);
    db.write(deletion::delete(&tenant, session, at(1))).await.unwrap();
    assert_eq!(imports::taken(db, &tenant, session).await.unwrap(), Taken::Deleted);
    assert!(held_back(db, imports::begin(&import)).await);
    while !deletion::is_gone(&db.write(deletion::sweep(&tenant, session, 10)).await.unwrap()) {}
    assert_eq!(imports::taken(db, &tenant, session).await.unwrap(), Taken::Free);
    settle(db, imports::begin(&import)).await.unwrap();
}

pub(crate) async fn a_bundle_is_imported_or_refused_and_never_both(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let (one, two) = (import(&tenant, 1), import(&tenant, 2));
    laid(db, &one).await;
    laid(db, &two).await;
    db.write(imports::refuse(&tenant, one.session, &one.bundle, at(3))).await.unwrap();
    assert!(held_back(db, last(&one, 2)).await, "it was refused meanwhile");
    nowhere(db, &tenant, one.session).await;
    settle(db, last(&two, 2)).await.unwrap();
    assert!(held_back(db, imports::refuse(&tenant, two.session, &two.bundle, at(4))).await);
    // That stays when the session goes; another bundle of it may come.
    db.write(deletion::delete(&tenant, two.session, at(5))).await.unwrap();
    let shelf = Shelf::default();
    freehold_store::sweeper::sweep_session(db, &shelf, &tenant, two.session)
        .await
        .unwrap()
        .unwrap();
    let outcome = imports::outcome(db, &tenant, two.session, &two.bundle).await.unwrap();
    assert_eq!(outcome, Some(Outcome::Imported));
    let again = import(&tenant, 2);
    settle(db, imports::begin(&again)).await.unwrap();
    settle(db, again.lay(0, &written(&["x"]), at(6)).unwrap()).await.unwrap();
    assert!(held_back(db, last(&again, 1)).await, "the same bundle");
    let other = Import { bundle: Arc::from([8; 32]), ..import(&tenant, 2) };
    settle(db, imports::begin(&other)).await.unwrap();
    imports::clear(db, &shelf, &other).await.unwrap();
    settle(db, other.lay(0, &written(&["x"]), at(6)).unwrap()).await.unwrap();
    settle(db, last(&other, 1)).await.unwrap();
}

pub(crate) async fn an_import_that_is_given_up_leaves_nothing(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let import = import(&tenant, 1);
    laid(db, &import).await;
    let shelf = Shelf::default();
    shelf.lay(&tenant, import.session, 3);
    imports::give_up(db, &shelf, &import).await.unwrap();
    let left = counts(db, &tenant, import.session).await;
    assert!(left.iter().all(|rows| *rows == 0), "{left:?}");
    assert_eq!(shelf.len(), 0);
    let refused = db.write(import.unit(2, 2, at(3))).await;
    assert!(matches!(refused, Err(DbError::GuardFailed { .. })));
    // Again, from the start.
    laid(db, &import).await;
    settle(db, last(&import, 2)).await.unwrap();
}

pub(crate) async fn imports_that_nobody_goes_on_with_are_found(db: &dyn Db) {
    let tenant = TenantId::new("acme").unwrap();
    let (old, new) = (import(&tenant, 1), import(&tenant, 2));
    laid(db, &old).await;
    settle(db, imports::begin(&new)).await.unwrap();
    settle(db, new.unit(0, 0, at(9))).await.unwrap();
    let found = imports::stale(db, at(9), None, 10).await.unwrap();
    assert_eq!(found.iter().map(|import| import.session).collect::<Vec<_>>(), [old.session]);
    assert_eq!(imports::stale(db, at(9), found.first(), 10).await.unwrap(), []);
    // Taken from whoever was at it, and gone.
    let token: Arc<[u8]> = write_id().as_bytes().into();
    settle(db, imports::take(&found[0], token.clone(), at(9))).await.unwrap();
    assert!(held_back(db, old.lay(2, &written(&["three"]), at(9)).unwrap()).await);
    let taken = Import { token, ..found[0].clone() };
    imports::give_up(db, &Shelf::default(), &taken).await.unwrap();
    assert!(counts(db, &tenant, old.session).await.iter().all(|rows| *rows == 0));
    assert!(imports::get(db, &tenant, new.session).await.unwrap().is_some());
}
