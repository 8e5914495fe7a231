//! What is right is found right, and each thing that can be wrong is found.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_store::blobs::{self, BlobRef};
use freehold_store::deletion;
use freehold_store::forks::{self, Lineage};
use freehold_store::fsck::{
    Begin, Derive, Error, Expected, Finding, Fsck, Looked, Named, Problem, Table, Trouble,
    Underived, Unopened,
};
use freehold_store::idempotency::{self, Accepted};
use freehold_store::journal::{self, Event};
use freehold_store::timers::{self, Timer};
use freehold_store::waits::{self, Wait};
use freehold_types::{BlobError, BoxFuture, Db, SessionId, TenantId, Unit, args};

use crate::samples::{append, at, begin, event, new_session, session, unit, write_id};

/// Derives timers: an event `set NAME SECOND` or `clear NAME`.
#[derive(Default)]
struct Timers(BTreeMap<Arc<str>, (jiff::Timestamp, u64)>);

impl Derive for Timers {
    fn take(&mut self, event: &Event) -> Result<Named, Trouble> {
        let text = String::from_utf8(event.body.to_vec()).unwrap();
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["set", name, second] => {
                let when = second.parse();
                let when = when.map_err(|_| Trouble::Illegal(format!("when is {second}?")))?;
                self.0.insert(name.into(), (at(when), event.offset));
            }
            ["clear", name] => drop(self.0.remove(name)),
            _ => {}
        }
        self.named(event)
    }

    /// An event `key NAME` came of that key, `blob` of a blob.
    fn named(&self, event: &Event) -> Result<Named, Trouble> {
        let text = String::from_utf8(event.body.to_vec()).unwrap();
        let key = text.strip_prefix("key ").map(|name| (name.into(), Arc::from([1])));
        let blob = BlobRef { hash: Arc::from([7; 32]), size: 5 };
        let blobs = (text == "blob").then_some(blob).into_iter().collect();
        Ok(Named { key, is_silent: false, blobs })
    }

    fn snapshot(&self, body: &[u8]) -> Result<(), String> {
        if body == [1] { Ok(()) } else { Err("it is not 1".into()) }
    }

    fn expected(&self) -> Expected {
        Expected { timers: Some(self.0.clone()), ..Expected::default() }
    }

    fn blob<'a>(&'a self, _: &'a [u8; 32]) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Derived;

impl Begin for Derived {
    fn begin<'a>(
        &'a self,
        _: &'a TenantId,
        _: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, Unopened>> {
        Box::pin(std::future::ready(Ok(Some(Box::<Timers>::default() as _))))
    }
}

async fn look(db: &dyn Db, begin: &dyn Begin) -> (Looked, Vec<Problem>) {
    let (looked, found) = run(db, begin, false).await;
    (looked, found.into_iter().map(|(problem, _)| problem).collect())
}

async fn run(db: &dyn Db, begin: &dyn Begin, repair: bool) -> (Looked, Vec<(Problem, bool)>) {
    let mut found = Vec::new();
    let fsck = Fsck { db, begin, blobs: None, now: at(1_000), repair };
    let told = |Finding { problem, repaired, .. }| found.push((problem, repaired));
    let looked: Result<Looked, Error> = fsck.run(told).await;
    (looked.unwrap(), found)
}

async fn problems(db: &dyn Db) -> Vec<Problem> {
    look(db, &Derived).await.1
}

fn timer(session: SessionId, id: &str, second: i64, offset: u64) -> Timer {
    let tenant = TenantId::main();
    Timer { tenant, session, id: id.into(), due_at: at(second), offset }
}

/// A session of 300 events with a timer, a wait, a key and a blob.
async fn whole(db: &dyn Db, n: u32) -> SessionId {
    let main = TenantId::main();
    let session = begin(db, &main, n).await;
    let mut events =
        vec![event("set a 5"), event("set b 6"), event("clear b"), event("key key"), event("blob")];
    events.resize(150, event("x"));
    let mut first = unit(&append(&main, session, 0, &events));
    timers::set(&mut first, &timer(session, "a", 5, 1));
    let (id, kind, since) = ("w".into(), "call".into(), at(2));
    let (expires_at, offset) = (None, 9);
    waits::open(
        &mut first,
        &Wait { tenant: main.clone(), session, id, kind, since, expires_at, offset },
    );
    let accepted = Accepted { request_hash: Arc::from([1]), offset: 4 };
    idempotency::accept(&mut first, &main, session, "key", &accepted);
    blobs::refer(&mut first, &main, session, &BlobRef { hash: Arc::from([7; 32]), size: 5 });
    db.write(first).await.unwrap();
    let more = vec![event("x"); 150];
    let mut second = append(&main, session, 150, &more);
    second.snapshot = Some(Arc::from([1]));
    db.write(unit(&second)).await.unwrap();
    session
}

/// Changes one session behind the store's back.
async fn spoil(db: &dyn Db, sql: &'static str, session: SessionId) {
    let mut unit = Unit::new("spoil");
    unit.expect(1, sql, args!["main", session.to_string()]);
    db.write(unit).await.unwrap();
}

pub(crate) async fn what_is_whole_is_found_whole(db: &dyn Db) {
    let main = TenantId::main();
    let parent = whole(db, 1).await;
    let fork = Lineage::of(parent).fork(200, None, write_id()).unwrap();
    let mut unit = Unit::new("fork");
    forks::create(&mut unit, &new_session(&main, 2), &fork);
    let events = [event("clear a"), event("set c 9")];
    journal::append(&mut unit, &append(&main, session(2), 200, &events)).unwrap();
    timers::set(&mut unit, &timer(session(2), "c", 9, 202));
    db.write(unit).await.unwrap();
    forks::lineage(db, &main, session(2), at(3)).await.unwrap().unwrap();
    let gone = whole(db, 3).await;
    db.write(deletion::delete(&main, gone, at(9))).await.unwrap();
    for begin in [&Derived as &dyn Begin, &Underived] {
        let (looked, problems) = look(db, begin).await;
        assert_eq!(problems, []);
        assert_eq!(looked, Looked { sessions: 3, events: 302, blobs: 0, moving: 0 });
    }
    // Its parent is deleted and keeps what it needs.
    db.write(deletion::delete(&main, parent, at(9))).await.unwrap();
    db.write(deletion::sweep(&main, parent, 999)).await.unwrap();
    assert_eq!(problems(db).await, []);
    spoil(db, "DELETE FROM holds WHERE tenant = $1 AND session = $2", parent).await;
    assert_eq!(problems(db).await, [Problem::NotHeld { parent }]);
    db.write(deletion::sweep(&main, parent, 999)).await.unwrap();
    let found = problems(db).await;
    assert!(matches!(found[..], [Problem::NotHeld { .. }, Problem::Lineage { .. }]), "{found:?}");
}

pub(crate) async fn each_damage_of_a_journal_is_found(db: &dyn Db) {
    let one = whole(db, 1).await;
    spoil(db, "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset = 77", one)
        .await;
    assert_eq!(problems(db).await, [Problem::Gap { after: 76, next: 78 }]);
    spoil(db, "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset = 300", one)
        .await;
    let gap = Problem::Gap { after: 76, next: 78 };
    assert_eq!(problems(db).await, [gap, Problem::Short { head: 300, last: 299 }]);
    let two = whole(db, 2).await;
    spoil(db, "UPDATE sessions SET head = 200 WHERE tenant = $1 AND id = $2", two).await;
    let found = problems(db).await;
    assert_eq!(
        found[2..],
        [Problem::Beyond { head: 200, found: 201 }, Problem::Snapshot { offset: 300, head: 200 }]
    );
    let three = whole(db, 3).await;
    let sql = "UPDATE events SET body = $3 WHERE tenant = $1 AND session = $2 AND at_offset = 40";
    let mut nonsense = Unit::new("spoil");
    nonsense.expect(1, sql, args!["main", three.to_string(), b"set z never".to_vec()]);
    db.write(nonsense).await.unwrap();
    let why = "when is never?".into();
    assert_eq!(problems(db).await[4..], [Problem::Illegal { offset: 40, why }]);
}

pub(crate) async fn each_damage_of_a_projection_is_found(db: &dyn Db) {
    let one = whole(db, 1).await;
    spoil(db, "UPDATE waits SET at_offset = 301 WHERE tenant = $1 AND session = $2", one).await;
    let (table, name) = (Table::Waits, Arc::from("w"));
    assert_eq!(look(db, &Underived).await.1, [Problem::NoEvent { table, name, offset: 301 }]);
    spoil(db, "DELETE FROM waits WHERE tenant = $1 AND session = $2", one).await;
    spoil(db, "UPDATE timers SET id = 'other' WHERE tenant = $1 AND session = $2", one).await;
    let (table, shown) = (Table::Timers, format!("{:?}", (at(5), 1)));
    let name = |name: &str| Arc::from(name);
    assert_eq!(
        problems(db).await,
        [
            Problem::Missing { table, name: name("a"), expected: shown.clone() },
            Problem::Extra { table, name: name("other"), found: shown }
        ]
    );
    assert_eq!(look(db, &Underived).await.1, [], "nobody can tell");
    spoil(db, "UPDATE timers SET id = 'a', due_at = 1 WHERE tenant = $1 AND session = $2", one)
        .await;
    let found = problems(db).await;
    assert!(matches!(&found[..], [Problem::Differs { name, .. }] if &**name == "a"), "{found:?}");
    spoil(db, "DELETE FROM timers WHERE tenant = $1 AND session = $2", one).await;
    spoil(db, "DELETE FROM snapshots WHERE tenant = $1 AND session = $2", one).await;
    // A row that should have gone, and rows of nobody.
    let gone = whole(db, 2).await;
    spoil(db, "UPDATE sessions SET deleted_at = 1 WHERE tenant = $1 AND id = $2", gone).await;
    spoil(db, "DELETE FROM sessions WHERE tenant = $1 AND id = $2", one).await;
    let orphan = |table| Problem::Orphan { table };
    let leftover = |table| Problem::Leftover { table };
    let expected = [
        leftover("profiles"),
        leftover("timers"),
        leftover("waits"),
        orphan("profiles"),
        orphan("events"),
        orphan("idempotency_keys"),
        orphan("blob_refs"),
    ];
    assert_eq!(problems(db).await, expected);
}
