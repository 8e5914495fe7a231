//! A world for tests: time that moves when told, numbered randomness, and a
//! real store whose door can be broken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{
    BoxFuture, Db, DbError, Env, KeyName, Row, TenantId, Unit, UnitReceipt, Value,
};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use crate::{Control, Limits, NewKey, Routes, Settings, Started};

/// Time stands still until [`TestEnv::advance`].
pub(crate) struct TestEnv {
    now: Mutex<(Timestamp, Duration)>,
    random: AtomicU64,
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::at("2026-05-05T12:00:00Z")
    }
}

impl TestEnv {
    pub(crate) fn at(wall: &str) -> Self {
        let start = (wall.parse().unwrap(), Duration::from_secs(1_000));
        Self { now: Mutex::new(start), random: AtomicU64::new(0) }
    }

    pub(crate) fn now_plus(&self, seconds: i64) -> Timestamp {
        self.now() + SignedDuration::from_secs(seconds)
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        now.0 += SignedDuration::try_from(by).unwrap();
        now.1 += by;
    }
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        self.now.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap().1
    }

    fn fill_random(&self, out: &mut [u8]) {
        // SplitMix64 over a counter: distinct and well mixed.
        for chunk in out.chunks_mut(8) {
            let n = self.random.fetch_add(1, Ordering::Relaxed) + 1;
            let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }

    /// Real time: it is for tasks beside the test.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What the door does with writes; reads pass, unless it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// Nothing gets through.
    Down,
    /// The write is made, but its answer is lost; once.
    LoseAnswer,
    /// The answer is lost, and the write with it; once.
    LoseWrite,
}

/// A database that fails when told.
pub(crate) struct FaultyDb {
    inner: Sqlite,
    fault: Mutex<Fault>,
    pub(crate) writes: AtomicU64,
}

impl FaultyDb {
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// The fault in force; those that happen once are over with it.
    fn fault(&self) -> Fault {
        let mut fault = self.fault.lock().unwrap();
        let now = *fault;
        if now != Fault::Down {
            *fault = Fault::None;
        }
        now
    }
}

impl Db for FaultyDb {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        let lost = || DbError::InDoubt("the answer was lost".into());
        match self.fault() {
            Fault::None => self.inner.write(unit),
            Fault::Down => {
                Box::pin(std::future::ready(Err(DbError::Unavailable("it is down".into()))))
            }
            Fault::LoseWrite => Box::pin(std::future::ready(Err(lost()))),
            Fault::LoseAnswer => {
                let write = self.inner.write(unit);
                Box::pin(async move { write.await.and_then(|_| Err(lost())) })
            }
        }
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        if *self.fault.lock().unwrap() == Fault::Down {
            return Box::pin(std::future::ready(Err(DbError::Unavailable("it is down".into()))));
        }
        self.inner.read(sql, args)
    }
}

/// One node over a data folder that outlives it.
pub(crate) struct Node {
    pub(crate) env: Arc<TestEnv>,
    pub(crate) db: Arc<FaultyDb>,
    pub(crate) control: Arc<Control>,
    pub(crate) interrupted: Vec<freehold_store::exchanges::Opened>,
    writer: tokio::task::JoinHandle<()>,
    folder: Option<TempDir>,
}

impl Node {
    /// A node in a new folder.
    pub(crate) async fn new(settings: Settings) -> Self {
        let env = Arc::new(TestEnv::default());
        Self::start(tempfile::tempdir().unwrap(), env, settings).await
    }

    async fn start(folder: TempDir, env: Arc<TestEnv>, settings: Settings) -> Self {
        let inner = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
        let fault = Mutex::new(Fault::None);
        let db = Arc::new(FaultyDb { inner, fault, writes: AtomicU64::new(0) });
        let started = Control::open(db.clone(), env.clone(), settings).await.unwrap();
        let Started { control, writer, interrupted } = started;
        let writer = tokio::spawn(writer.run());
        Self { env, db, control: Arc::new(control), interrupted, writer, folder: Some(folder) }
    }

    /// The next process over the same folder, after a clean stop.
    pub(crate) async fn restart(self, settings: Settings) -> Self {
        self.control.close().await;
        self.kill_and_restart(settings).await
    }

    /// The next process over the same folder, after this one was lost with
    /// all that it had in memory.
    pub(crate) async fn kill_and_restart(mut self, settings: Settings) -> Self {
        self.writer.abort();
        // Until the task is gone it keeps the store open.
        (&mut self.writer).await.ok();
        let (folder, env) = (self.folder.take().unwrap(), self.env.clone());
        self.db.inner.close();
        drop(self);
        Self::start(folder, env, settings).await
    }
}

/// A plain key of the tenant `main`.
pub(crate) fn new_key(name: &str) -> NewKey {
    NewKey {
        tenant: TenantId::main(),
        group: None,
        name: KeyName::new(name).unwrap(),
        admin: false,
        routes: Routes::ALL,
        limits: Limits::default(),
        expires_at: None,
    }
}
