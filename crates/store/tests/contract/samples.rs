//! Rows to test with.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_store::exchanges::{Closed, Opened, Tokens};
use freehold_store::journal::{self, Append, Due, NewEvent};
use freehold_store::keys::Key;
use freehold_store::lost::Lost;
use freehold_store::sessions::{self, NewSession, Session};
use freehold_types::{
    BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Db, DbError, Env, ExchangeId,
    KeyName, Money, Rounding, SessionId, TenantId, Unit, UnitId,
};
use jiff::Timestamp;

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

pub(crate) fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// An id with a number in its low digits, so that ids sort by it.
pub(crate) fn id<T: std::str::FromStr<Err: std::fmt::Debug>>(prefix: &str, n: u32) -> T {
    format!("{prefix}01890000000070008000{n:012x}").parse().unwrap()
}

pub(crate) fn key(tenant: &TenantId, n: u32) -> Key {
    Key {
        tenant: tenant.clone(),
        id: id("key_", n),
        group: None,
        name: KeyName::new("a key").unwrap(),
        hash: Arc::from(n.to_be_bytes()),
        prefix: "fh_abc".into(),
        admin: false,
        routes: Some(r#"["fast"]"#.into()),
        limits: "{}".into(),
        created_at: at(0),
        expires_at: Some(at(100)),
        revoked_at: None,
    }
}

pub(crate) fn opened(tenant: &TenantId, n: u32) -> Opened {
    Opened {
        tenant: tenant.clone(),
        id: id::<ExchangeId>("exch_", n),
        group: None,
        key: id("key_", 1),
        route: "fast".into(),
        dialect: "chat".into(),
        stream: true,
        opened_at: at(i64::from(n)),
        reserved: money("0.25"),
    }
}

pub(crate) fn closed(cost: &str) -> Closed {
    Closed {
        closed_at: at(1000),
        provider: Some("upstream".into()),
        deployment: Some("upstream/m".into()),
        model: Some("m-1".into()),
        status: 200,
        error: None,
        attempts: 1,
        tokens: Tokens {
            input: 100,
            cache_read: 40,
            cache_write: 30,
            cache_write_long: 20,
            output: 50,
            reasoning: 10,
        },
        cost: money(cost),
        rounding: Rounding(-12),
        estimated: false,
        unpriced: false,
        lost: Vec::new(),
    }
}

pub(crate) fn lost(cost: &str) -> Lost {
    Lost {
        provider: "slow".into(),
        deployment: "slow/m".into(),
        model: "m-0".into(),
        input_tokens: 70,
        output_tokens: 3,
        cost: money(cost),
        unpriced: false,
    }
}

/// Never twice the same randomness.
struct Counted;

impl Env for Counted {
    fn now(&self) -> Timestamp {
        at(0)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn fill_random(&self, out: &mut [u8]) {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        out.fill(0);
        // From the end: an id's version stands in its first bits.
        out.iter_mut().rev().zip(next).for_each(|(out, byte)| *out = byte);
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// A name that no other write has.
pub(crate) fn write_id() -> UnitId {
    UnitId::new(&Counted)
}

pub(crate) fn session(n: u32) -> SessionId {
    id("sess_", n)
}

pub(crate) fn new_session(tenant: &TenantId, n: u32) -> NewSession {
    NewSession {
        tenant: tenant.clone(),
        id: session(n),
        created_at: at(i64::from(n)),
        timeline: 1,
        phase: "idle",
        due_at: None,
        node: None,
        about: r#"{"surface":"test"}"#.into(),
        content_key: Some(Arc::from([n.to_le_bytes()[0]; 32])),
    }
}

/// Makes a session without events.
pub(crate) async fn begin(db: &dyn Db, tenant: &TenantId, n: u32) -> SessionId {
    let mut unit = Unit::new("begin");
    sessions::create(&mut unit, &new_session(tenant, n));
    db.write(unit).await.unwrap();
    session(n)
}

pub(crate) fn event(text: &str) -> NewEvent {
    NewEvent { kind: "test", version: 1, at: at(1), body: Arc::from(text.as_bytes()) }
}

/// An append of these events, in the epoch in which a session begins.
pub(crate) fn append<'a>(
    tenant: &'a TenantId,
    session: SessionId,
    after: u64,
    events: &'a [NewEvent],
) -> Append<'a> {
    Append {
        tenant,
        session,
        after,
        epoch: NewSession::EPOCH,
        id: write_id(),
        at: at(2),
        phase: None,
        due: Due::AsBefore,
        events,
        snapshot: None,
    }
}

/// A unit of nothing but an append.
pub(crate) fn unit(append: &Append<'_>) -> Unit {
    let mut unit = Unit::new("append");
    journal::append(&mut unit, append).unwrap();
    unit
}

pub(crate) async fn get(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Session {
    sessions::get(db, tenant, session).await.unwrap().unwrap()
}

/// All bodies of a session, as text.
pub(crate) async fn bodies(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Vec<String> {
    let events = journal::read(db, tenant, session, 0, u64::MAX, usize::MAX).await.unwrap();
    let offsets: Vec<u64> = events.iter().map(|event| event.offset).collect();
    assert_eq!(offsets, (1..=events.len() as u64).collect::<Vec<_>>(), "a gap");
    events.iter().map(|event| String::from_utf8(event.body.to_vec()).unwrap()).collect()
}

/// Writes a unit, and tells whether a guard held it back.
pub(crate) async fn held_back(db: &dyn Db, unit: Unit) -> bool {
    match db.write(unit).await {
        Ok(_) => false,
        Err(DbError::GuardFailed { .. }) => true,
        Err(other) => panic!("{other}"),
    }
}

/// A place for blobs in memory.
#[derive(Default)]
pub(crate) struct Shelf(Mutex<HashSet<BlobName>>);

impl Shelf {
    pub(crate) fn lay(&self, tenant: &TenantId, session: SessionId, n: u8) {
        let name = BlobName { tenant: tenant.clone(), session, hash: [n; 32] };
        self.0.lock().unwrap().insert(name);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

impl Blobs for Shelf {
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        _: bytes::Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        self.0.lock().unwrap().insert(name.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn get<'a>(&'a self, _: &'a BlobName) -> BoxFuture<'a, Result<bytes::Bytes, BlobError>> {
        Box::pin(std::future::ready(Ok(bytes::Bytes::new())))
    }

    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        self.0.lock().unwrap().remove(name);
        Box::pin(std::future::ready(Ok(())))
    }

    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        _: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        let prefix = scope.prefix();
        let names = self.0.lock().unwrap();
        let found = names.iter().filter(|name| name.to_string().starts_with(&prefix)).take(limit);
        let entries = found.map(|name| BlobEntry { name: name.clone(), size: 1 }).collect();
        Box::pin(std::future::ready(Ok(entries)))
    }
}
