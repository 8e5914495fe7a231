//! A node over the store itself, without faults but those that are made of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use freehold_runtime::archive::Archive;
use freehold_runtime::sessions::{Options, Parts, Sessions};
use freehold_store::Memory;
use freehold_store::membership::{Membership, MembershipOptions};
use freehold_types::{
    BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Db, Env, TenantId,
};
use jiff::Timestamp;
use tokio::runtime::Handle;

use super::script::Script;
use crate::clock::Clock;
use crate::env::wall;
use crate::journal::OpenKeys;
use crate::machine::Machine;
use crate::random::Random;
use crate::world::lock;

/// Hearts beat slowly where weeks pass.
const BEAT_EVERY: Duration = Duration::from_secs(120);
const DEAD_AFTER: Duration = Duration::from_secs(600);
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(60);

/// What nodes and clients share.
pub(super) struct Shared {
    pub(super) clock: Arc<Clock>,
    pub(super) store: Arc<Memory>,
    pub(super) tenant: TenantId,
    pub(super) script: Arc<Script>,
    /// By node, while it serves.
    pub(super) sessions: Mutex<Vec<Option<Arc<Sessions>>>>,
}

/// The clock of one machine, and its chance.
pub(super) struct DayEnv {
    clock: Arc<Clock>,
    machine: usize,
    chance: Mutex<Random>,
}

impl DayEnv {
    pub(super) fn new(clock: &Arc<Clock>, machine: usize, life: u64) -> Self {
        let chance = Mutex::new(Random::derive(machine as u64, &[life]));
        Self { clock: Arc::clone(clock), machine, chance }
    }
}

impl Env for DayEnv {
    fn now(&self) -> Timestamp {
        wall(self.clock.now(), 0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.clock.now())
    }

    fn fill_random(&self, out: &mut [u8]) {
        lock(&self.chance).fill(out);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Box::pin(self.clock.sleep(us, self.machine))
    }
}

/// Nothing in these weeks is large.
struct NoBlobs;

impl Blobs for NoBlobs {
    fn put<'a>(&'a self, _: &'a BlobName, _: Bytes) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(std::future::ready(Err(BlobError::Full("there are none here".into()))))
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        Box::pin(std::future::ready(Err(BlobError::Missing(name.clone()))))
    }

    fn delete<'a>(&'a self, _: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn list<'a>(
        &'a self,
        _: &'a BlobScope,
        _: Option<&'a BlobName>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

impl Shared {
    /// Where sessions are, for one machine.
    pub(super) fn archive(&self, env: Arc<dyn Env>) -> Archive {
        let db = Arc::clone(&self.store) as Arc<dyn Db>;
        Archive { env, db, blobs: Arc::new(NoBlobs), keys: Arc::new(OpenKeys) }
    }

    /// A machine has its sessions up.
    fn joins(&self, at: usize, sessions: Arc<Sessions>) {
        let mut all = lock(&self.sessions);
        if all.len() <= at {
            all.resize(at + 1, None);
        }
        if let Some(place) = all.get_mut(at) {
            *place = Some(sessions);
        }
    }
}

/// What a node has once it is up.
type Joined = (Arc<Sessions>, Arc<Membership>);

/// One life of a node.
pub(super) struct Life {
    joined: Arc<Mutex<Option<Joined>>>,
}

impl Life {
    pub(super) fn start(shared: &Arc<Shared>, machine: &Machine, at: usize, life: u64) -> Self {
        let joined = Arc::new(Mutex::new(None));
        let (shared, here) = (Arc::clone(shared), Arc::clone(&joined));
        drop(machine.handle().spawn(async move {
            let env: Arc<dyn Env> = Arc::new(DayEnv::new(&shared.clock, at + 1, life));
            let options = MembershipOptions { beat_every: BEAT_EVERY, dead_after: DEAD_AFTER };
            let (db, name) = (Arc::clone(&shared.store) as Arc<dyn Db>, format!("n{at}"));
            let own = Arc::clone(&env);
            let members = Membership::join(db, own, options, name.clone().into(), name.into());
            let Ok(members) = members.await.map(Arc::new) else { return };
            let parts = Parts {
                archive: shared.archive(Arc::clone(&env)),
                members: Some(Arc::clone(&members)),
                timeline: 1,
                models: Arc::clone(&shared.script) as _,
                tools: Arc::clone(&shared.script) as _,
            };
            let sessions = Sessions::start(parts, options_of_a_node());
            *lock(&here) = Some((Arc::clone(&sessions), Arc::clone(&members)));
            shared.joins(at, sessions);
            loop {
                env.sleep(members.beat_every()).await;
                drop(members.beat().await);
            }
        }));
        Self { joined }
    }

    /// Has it stop; true once it has.
    pub(super) fn stop(self, on: &Handle) -> Arc<Mutex<bool>> {
        let left = Arc::new(Mutex::new(false));
        let told = Arc::clone(&left);
        let joined = lock(&self.joined).take();
        drop(on.spawn(async move {
            if let Some((sessions, members)) = joined {
                sessions.stop().await;
                drop(members.leave().await);
            }
            *lock(&told) = true;
        }));
        left
    }
}

fn options_of_a_node() -> Options {
    let usual = Options::default();
    Options { look: LOOK, listen: LOOK, snapshot_every: 8, ..usual }
}
