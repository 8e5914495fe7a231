//! Doubts about a write, and how each is settled.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use freehold_store::{Sqlite, SqliteOptions, settle};
use freehold_types::{BoxFuture, Db, DbError, Row, TenantId, Unit, UnitReceipt, Value};

use crate::samples::{append, begin, bodies, event, unit};
use crate::server;

#[tokio::test]
async fn a_doubt_is_settled_whatever_became_of_the_first_sending() {
    let folder = tempfile::tempdir().unwrap();
    settle_all(Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap())).await;
    settle_all(Arc::new(server::open(&server::fresh_url().await).await)).await;
}

/// A way to a database on which answers get lost.
struct Lossy {
    db: Arc<dyn Db>,
    /// What becomes of each sending in turn.
    fates: Vec<Fate>,
    sent: AtomicU32,
    /// Written when a fate says so.
    intruder: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Arrives,
    /// It takes effect, and nobody hears of it.
    AnswerLost,
    /// It does not take effect, and nobody hears of that either.
    Lost,
    /// The same, and somebody else writes there.
    LostAndOvertaken,
    /// It takes effect, nobody hears, and somebody else writes behind it.
    AnswerLostAndOvertaken,
}

impl Db for Lossy {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let nth = self.sent.fetch_add(1, Ordering::Relaxed);
        let fate = self.fates.get(nth as usize).copied().unwrap_or(Fate::Arrives);
        let intrudes = matches!(fate, Fate::LostAndOvertaken | Fate::AnswerLostAndOvertaken);
        Box::pin(async move {
            let outcome = match fate {
                Fate::Lost | Fate::LostAndOvertaken => None,
                _ => Some(self.db.write(unit).await),
            };
            if intrudes {
                self.db.write(self.intruder.clone()).await.unwrap();
            }
            match (fate, outcome) {
                (Fate::Arrives, Some(outcome)) => outcome,
                _ => Err(DbError::InDoubt("lost".into())),
            }
        })
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        self.db.read(sql, args)
    }
}

async fn settle_all(store: Arc<dyn Db>) {
    use Fate::{AnswerLost, AnswerLostAndOvertaken, Arrives, Lost, LostAndOvertaken};
    let db = &*store;
    let main = TenantId::main();
    let cases: [(&[Fate], bool, &[&str]); 7] = [
        (&[Arrives], true, &["mine"]),
        (&[Lost, Arrives], true, &["mine"]),
        (&[AnswerLost, Arrives], true, &["mine"]),
        (&[AnswerLost, Lost, Arrives], true, &["mine"]),
        (&[Lost, AnswerLost, Arrives], true, &["mine"]),
        (&[LostAndOvertaken, Arrives], false, &["theirs"]),
        (&[AnswerLostAndOvertaken, Arrives], true, &["mine", "theirs"]),
    ];
    for (n, (fates, took_effect, kept)) in (0..).zip(cases) {
        let session = begin(db, &main, n).await;
        let (mine, theirs) = ([event("mine")], [event("theirs")]);
        let after = u64::from(fates[0] == AnswerLostAndOvertaken);
        let intruder = unit(&append(&main, session, after, &theirs));
        let lossy = Lossy {
            db: Arc::clone(&store),
            fates: fates.to_vec(),
            sent: AtomicU32::new(0),
            intruder,
        };
        let settled = settle(&lossy, unit(&append(&main, session, 0, &mine))).await;
        assert_eq!(settled.is_ok(), took_effect, "{fates:?}: {settled:?}");
        assert_eq!(bodies(db, &main, session).await, kept, "{fates:?}");
    }
    let session = begin(db, &main, 99).await;
    let mine = [event("mine")];
    let mine = unit(&append(&main, session, 0, &mine));
    let lossy = Lossy {
        db: Arc::clone(&store),
        fates: vec![Lost; 9],
        sent: AtomicU32::new(0),
        intruder: mine.clone(),
    };
    assert!(matches!(settle(&lossy, mine).await, Err(DbError::InDoubt(_))), "nobody knows");
}
