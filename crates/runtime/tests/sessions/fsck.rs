//! What is whole is found whole, each damage is found and nothing else, and
//! what is projected is made right again; over both stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use freehold_llm::model::{Item, Role};
use freehold_runtime::archive::Archive;
use freehold_runtime::content::Input;
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Busy, Content, Hash, Repeat, TimerPurpose};
use freehold_runtime::fsck::Deriving;
use freehold_runtime::seal::{ContentKey, Place};
use freehold_runtime::sessions::{By, Key, NewSession, Options, Sessions};
use freehold_store::fsck::{Finding, Fsck};
use freehold_store::{Postgres, PostgresOptions, Sqlite, SqliteOptions, sessions};
use freehold_types::{Db, Env, Offset, SessionId, TenantId, Unit, args};

use crate::desk::{self, Bare, Line, Script, settings};
use crate::launch::Server;

/// By session the words of what was found, each with whether it was repaired.
type Found = BTreeMap<SessionId, Vec<(&'static str, bool)>>;

struct World {
    archive: Archive,
    script: Arc<Script>,
    sessions: Arc<Sessions>,
    tenant: TenantId,
    made: std::cell::Cell<u32>,
}

impl World {
    fn over(db: Arc<dyn Db>) -> Self {
        let script = Arc::<Script>::default();
        let parts = desk::parts(&script, db, 1);
        let archive = parts.archive.clone();
        let idle = Duration::from_millis(1);
        let look = Duration::from_millis(5);
        let options = Options { idle, look, snapshot_every: 3, ..Options::default() };
        let sessions = Sessions::start(parts, options);
        let made = std::cell::Cell::new(0);
        Self { archive, script, sessions, tenant: TenantId::main(), made }
    }

    /// A session that waits for its client and for a timer, came of a key, and
    /// has a blob; nobody has it in hand.
    async fn whole(&self) -> SessionId {
        self.made.set(self.made.get() + 1);
        let name = format!("key {}", self.made.get());
        self.script.lines.lock().unwrap().push_back(Line::Calls(vec![("weather", "{}")]));
        let long = Input {
            items: vec![Item::text(Role::User, "long ".repeat(12_000))],
            ..Input::default()
        };
        let content = Content::Inline(serde_json::to_value(&long).unwrap());
        let asked = Cue::Input { content, busy: Busy::Enqueue, key: None, settings: false };
        let later = Input { items: vec![Item::text(Role::User, "later")], ..Input::default() };
        let later = Content::Inline(serde_json::to_value(&later).unwrap());
        let due = self.archive.env.now() + Duration::from_secs(3_600);
        let (repeat, purpose) = (Repeat::Once, TimerPurpose::Input(later));
        let mut new = NewSession {
            id: None,
            agent: freehold_runtime::event::Name::cut("desk"),
            about: freehold_runtime::content::About::default(),
            limits: freehold_runtime::event::Limits::default(),
            cues: vec![Cue::SetTimer { due, repeat, purpose }, asked],
            key: Some(Key { request: Hash::of(name.as_bytes()), name }),
        };
        new.about.settings = Some(Box::new(settings(&["weather"])));
        let made = self.sessions.create(&self.tenant, By::default(), new).await.unwrap();
        self.rests(made.session, "waiting").await;
        made.session
    }

    async fn rests(&self, session: SessionId, phase: &str) {
        for _ in 0..2_000 {
            let row = sessions::get(&*self.archive.db, &self.tenant, session).await.unwrap();
            if row.is_some_and(|row| &*row.phase == phase && row.node.is_none()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        panic!("{:?}", sessions::get(&*self.archive.db, &self.tenant, session).await);
    }

    async fn look(&self, repair: bool) -> Found {
        let mut all = Found::new();
        let begin = Deriving::new(self.archive.clone());
        let (db, now) = (&*self.archive.db, self.archive.env.now());
        let fsck = Fsck { db, begin: &begin, blobs: Some(&*self.archive.blobs), now, repair };
        let looked = fsck.run(|Finding { session, problem, repaired, .. }| {
            all.entry(session).or_default().push((problem.code(), repaired));
        });
        assert_eq!(looked.await.unwrap().moving, 0);
        for found in all.values_mut() {
            found.sort_unstable();
        }
        all
    }

    /// Changes rows behind the store's back.
    async fn spoil(&self, session: SessionId, sql: &'static str, bytes: Option<&[u8]>) {
        let mut args = args!["main", session.to_string()];
        args.extend(bytes.map(Into::into));
        let mut unit = Unit::new("spoil");
        unit.expect(1, sql, args);
        self.archive.db.write(unit).await.unwrap();
    }

    /// An event as a build of the future would write it.
    async fn make_newer(&self, session: SessionId) -> Vec<u8> {
        let profile = sessions::profile(&*self.archive.db, &self.tenant, session).await.unwrap();
        let wrapped = profile.unwrap().content_key.unwrap();
        let key = ContentKey::unwrap(&Bare, &self.tenant, session, &wrapped).await.unwrap();
        let body = br#"{"v":99,"kind":"pinned","dreams":true}"#;
        key.seal(&*self.archive.env, session, Place::Event(3), body)
    }
}

/// A damage to a session's rows, what is found of it, and whether it can be
/// made right.
struct Damage(&'static str, Option<&'static [u8]>, &'static [&'static str], bool);

const DAMAGES: &[Damage] = &[
    Damage(
        "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset = 3",
        None,
        &["journal.gap"],
        false,
    ),
    Damage(
        "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset =
            (SELECT head FROM sessions WHERE tenant = $1 AND id = $2)",
        None,
        &["journal.short"],
        false,
    ),
    Damage(
        "UPDATE events SET body = $3 WHERE tenant = $1 AND session = $2 AND at_offset = 3",
        Some(b"nonsense"),
        &["event.damaged"],
        false,
    ),
    Damage(
        "UPDATE events SET kind = 'pinned' WHERE tenant = $1 AND session = $2 AND at_offset = 3",
        None,
        &["event.damaged"],
        false,
    ),
    Damage(
        "UPDATE events SET at_offset = 10000 WHERE tenant = $1 AND session = $2 AND at_offset =
            (SELECT head FROM sessions WHERE tenant = $1 AND id = $2)",
        None,
        &["journal.beyond", "journal.short"],
        false,
    ),
    Damage(
        "UPDATE sessions SET epoch = 0 WHERE tenant = $1 AND id = $2",
        None,
        &["row.differs"],
        false,
    ),
    Damage(
        "UPDATE sessions SET timeline = 0 WHERE tenant = $1 AND id = $2",
        None,
        &["row.differs"],
        false,
    ),
    Damage(
        "DELETE FROM profiles WHERE tenant = $1 AND session = $2",
        None,
        &["session.unopened"],
        false,
    ),
    Damage(
        "UPDATE sessions SET phase = 'idle' WHERE tenant = $1 AND id = $2",
        None,
        &["row.differs"],
        true,
    ),
    Damage(
        "UPDATE sessions SET due_at = NULL WHERE tenant = $1 AND id = $2",
        None,
        &["row.differs"],
        true,
    ),
    Damage("DELETE FROM timers WHERE tenant = $1 AND session = $2", None, &["row.missing"], true),
    Damage(
        "UPDATE timers SET due_at = due_at + 1 WHERE tenant = $1 AND session = $2",
        None,
        &["row.differs"],
        true,
    ),
    Damage(
        "UPDATE timers SET at_offset = 777 WHERE tenant = $1 AND session = $2",
        None,
        &["row.differs", "row.no_event"],
        true,
    ),
    Damage("DELETE FROM waits WHERE tenant = $1 AND session = $2", None, &["row.missing"], true),
    Damage(
        "UPDATE waits SET since = since - 1 WHERE tenant = $1 AND session = $2",
        None,
        &["row.differs"],
        true,
    ),
    Damage(
        "UPDATE waits SET id = 'other' WHERE tenant = $1 AND session = $2",
        None,
        &["row.extra", "row.missing"],
        true,
    ),
    Damage(
        "DELETE FROM idempotency_keys WHERE tenant = $1 AND session = $2",
        None,
        &["row.missing"],
        true,
    ),
    Damage(
        "UPDATE idempotency_keys SET name = 'other' WHERE tenant = $1 AND session = $2",
        None,
        &["row.extra", "row.missing"],
        true,
    ),
    Damage(
        "UPDATE idempotency_keys SET request_hash = $3 WHERE tenant = $1 AND session = $2",
        Some(b"another"),
        &["row.differs"],
        true,
    ),
    Damage(
        "UPDATE idempotency_keys SET at_offset = 4 WHERE tenant = $1 AND session = $2",
        None,
        &["row.differs"],
        true,
    ),
    Damage(
        "UPDATE snapshots SET body = $3 WHERE tenant = $1 AND session = $2",
        Some(b"nonsense"),
        &["snapshot.differs"],
        true,
    ),
    Damage(
        "UPDATE snapshots SET at_offset = 777 WHERE tenant = $1 AND session = $2",
        None,
        &["snapshot.ahead"],
        true,
    ),
];

async fn each_damage_is_found_and_nothing_else(db: Arc<dyn Db>) {
    let world = World::over(db);
    let mut known = Found::new();
    let whole = world.whole().await;
    let fork = {
        let (tenant, by) = (&world.tenant, By::default());
        world.sessions.fork(tenant, whole, Offset(4), by, None, None).await.unwrap()
    };
    world.rests(whole, "waiting").await;
    assert_eq!(world.look(false).await, known);
    for Damage(sql, bytes, codes, mendable) in DAMAGES {
        let session = world.whole().await;
        world.spoil(session, sql, *bytes).await;
        let found = |repaired| codes.iter().map(|code| (*code, repaired)).collect();
        known.insert(session, found(false));
        assert_eq!(world.look(false).await, known, "{sql}");
        let mut mended = known.clone();
        if *mendable {
            mended.insert(session, found(true));
            known.remove(&session);
        }
        assert_eq!(world.look(true).await, mended, "{sql}");
        assert_eq!(world.look(false).await, known, "{sql}");
    }
    blobs(&world, &mut known).await;
    let session = world.whole().await;
    let newer = world.make_newer(session).await;
    let sql = "UPDATE events SET body = $3 WHERE tenant = $1 AND session = $2 AND at_offset = 3";
    world.spoil(session, sql, Some(&newer)).await;
    known.insert(session, vec![("event.newer", false)]);
    assert_eq!(world.look(false).await, known);
    // The parent that the fork begins with.
    let sql = "DELETE FROM holds WHERE tenant = $1 AND session = $2";
    world.spoil(whole, sql, None).await;
    known.insert(fork.session, vec![("fork.not_held", false)]);
    assert_eq!(world.look(true).await, known);
    world.spoil(whole, "DELETE FROM sessions WHERE tenant = $1 AND id = $2", None).await;
    known.insert(fork.session, vec![("fork.no_parent", false), ("fork.not_held", false)]);
    // Profile, events, snapshot, timer, wait, key and reference.
    known.insert(whole, vec![("row.orphan", false); 7]);
    assert_eq!(world.look(true).await, known);
    world.sessions.stop().await;
}

/// What can be wrong with blobs.
async fn blobs(world: &World, known: &mut Found) {
    let session = world.whole().await;
    let named = |session: SessionId| {
        let blobs = world.script.blobs.lock().unwrap();
        blobs.keys().find(|name| name.contains(&session.to_string())).unwrap().clone()
    };
    let name = named(session);
    let kept = world.script.blobs.lock().unwrap().remove(&name).unwrap();
    known.insert(session, vec![("blob.missing", false)]);
    assert_eq!(world.look(true).await, *known);
    let session = world.whole().await;
    let name = named(session);
    world.script.blobs.lock().unwrap().insert(name, kept);
    known.insert(session, vec![("blob.damaged", false)]);
    assert_eq!(world.look(true).await, *known);
    let session = world.whole().await;
    world.spoil(session, "DELETE FROM blob_refs WHERE tenant = $1 AND session = $2", None).await;
    let mut found = known.clone();
    found.insert(session, vec![("blob.unnamed", false), ("row.missing", false)]);
    assert_eq!(world.look(false).await, found);
    found.insert(session, vec![("row.missing", true)]);
    assert_eq!(world.look(true).await, found, "it is referred to again");
    assert_eq!(world.look(false).await, *known);
    let name = named(session).replace(|c: char| c.is_ascii_digit(), "0");
    let session: freehold_types::BlobName = name.parse().unwrap();
    let lost = bytes::Bytes::from_static(b"lost");
    world.script.blobs.lock().unwrap().insert(name, lost);
    known.insert(session.session, vec![("blob.unnamed", false)]);
    assert_eq!(world.look(true).await, *known);
}

#[tokio::test]
async fn over_sqlite_each_damage_is_found_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let db = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
    each_damage_is_found_and_nothing_else(Arc::clone(&db) as _).await;
    db.close();
}

#[tokio::test]
async fn over_postgres_each_damage_is_found_and_nothing_else() {
    let server = Server::start(&[]);
    let (script, memory) = (Arc::default(), freehold_store::Memory::open().unwrap());
    let env: Arc<dyn Env> = desk::parts(&script, Arc::new(memory), 9).archive.env;
    let db = Postgres::open(&PostgresOptions::new(server.url()), env).await.unwrap();
    each_damage_is_found_and_nothing_else(Arc::new(db)).await;
}
