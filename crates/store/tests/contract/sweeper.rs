//! What is old goes, what is used or waits stays, and nothing is left over.

use std::sync::Arc;
use std::time::Duration;

use freehold_store::journal::Due;
use freehold_store::sweeper::{Retention, Sweeper};
use freehold_store::timers::{self, Timer};
use freehold_store::waits::{self, Wait};
use freehold_store::{Sqlite, SqliteOptions, deletion, sessions};
use freehold_types::{Blobs, Db, Env, SessionId, TenantId};

use crate::samples::{Shelf, append, at, begin, event, held_back, session, unit};
use crate::server;
use crate::together::Clock;

/// Sessions 1 to 5, all with an event of second 2: one is idle, one due, one
/// waits for a timer, one for an answer, one was used later.
async fn five(db: &dyn Db) -> [SessionId; 5] {
    let main = TenantId::main();
    for n in 1..=5 {
        begin(db, &main, n).await;
        let events = [event("x")];
        let mut what = append(&main, session(n), 0, &events);
        if n == 2 {
            what.due = Due::At(Some(at(500)));
        }
        if n == 5 {
            what.at = at(900);
        }
        let mut whole = unit(&what);
        let (tenant, session, offset) = (main.clone(), session(n), 1);
        match n {
            3 => {
                let timer = Timer { tenant, session, id: "t".into(), due_at: at(999), offset };
                timers::set(&mut whole, &timer);
            }
            4 => {
                let (id, kind, since) = ("w".into(), "call".into(), at(2));
                let expires_at = None;
                let wait = Wait { tenant, session, id, kind, since, expires_at, offset };
                waits::open(&mut whole, &wait);
            }
            _ => {}
        }
        db.write(whole).await.unwrap();
    }
    [1, 2, 3, 4, 5].map(session)
}

pub(crate) async fn only_what_is_old_and_waits_for_nothing_expires(db: &dyn Db) {
    let (main, all) = (TenantId::main(), five(db).await);
    let idle = deletion::idle_since(db, at(100), None, 9).await.unwrap();
    assert_eq!(idle, [(main.clone(), all[0])]);
    assert!(deletion::idle_since(db, at(1), None, 9).await.unwrap().is_empty());
    let after = Some((&main, all[0]));
    assert!(deletion::idle_since(db, at(100), after, 9).await.unwrap().is_empty());
    assert!(held_back(db, deletion::expire(&main, all[1], at(100), at(5))).await, "it is due");
    assert!(held_back(db, deletion::expire(&main, all[4], at(100), at(5))).await, "it was used");
    db.write(deletion::expire(&main, all[0], at(100), at(5))).await.unwrap();
    assert_eq!(sessions::get(db, &main, all[0]).await.unwrap(), None);
    assert_eq!(sessions::profile(db, &main, all[0]).await.unwrap(), None, "with its key");
    assert!(deletion::rows_left(db, &main, all[0]).await.unwrap() > 0);
}

async fn rounds(db: Arc<dyn Db>) {
    let (main, all) = (TenantId::main(), five(&*db).await);
    let shelf = Arc::new(Shelf::default());
    // Put, and then not referred to.
    shelf.lay(&main, all[0], 1);
    shelf.lay(&main, all[1], 1);
    let env: Arc<dyn Env> = Arc::new(Clock::default());
    let blobs: Arc<dyn Blobs> = Arc::clone(&shelf) as _;
    let sweeper = Sweeper::new(Arc::clone(&db), blobs, env);
    assert_eq!(sweeper.round().await.unwrap().expired, 0, "kept for ever");
    // The clock stands at second 0, so nothing is older than that.
    sweeper.set(Retention { keep: Some(Duration::from_secs(1)) });
    assert_eq!(sweeper.round().await.unwrap().expired, 0);
    db.write(deletion::delete(&main, all[0], at(5))).await.unwrap();
    let round = sweeper.round().await.unwrap();
    assert_eq!((round.gone.len(), round.held), (1, 0));
    assert_eq!((round.gone[0].session, round.gone[0].blobs), (all[0], 1));
    assert_eq!(round.gone[0].rows, 2, "its event and its own row");
    assert_eq!(deletion::rows_left(&*db, &main, all[0]).await.unwrap(), 0);
    assert_eq!(shelf.len(), 1, "those of others stay");
    assert!(sweeper.round().await.unwrap().gone.is_empty());
}

#[tokio::test]
async fn rounds_take_away_all_that_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    rounds(Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap())).await;
    rounds(Arc::new(server::open(&server::fresh_url().await).await)).await;
}

#[tokio::test]
async fn a_round_deletes_what_is_too_old() {
    let folder = tempfile::tempdir().unwrap();
    let db: Arc<dyn Db> = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
    five(&*db).await;
    let clock = Arc::new(Clock::default());
    clock.pass(800_000);
    let sweeper = Sweeper::new(Arc::clone(&db), Arc::new(Shelf::default()), clock);
    sweeper.set(Retention { keep: Some(Duration::from_secs(700)) });
    let round = sweeper.round().await.unwrap();
    assert_eq!((round.expired, round.gone.len()), (1, 1));
}
