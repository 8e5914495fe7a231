//! The runtime of a node: sessions are made, given cues, read and listened to.
//!
//! `mod` starts and stops it, `door` is what surfaces call, `place` finds who
//! has a session and takes those that nobody has, `turn` by turn, `tail` listens.
//! What one session does is its [`worker`](crate::worker)'s.

mod bell;
mod door;
mod error;
mod fork;
mod home;
mod live;
mod options;
mod place;
mod tail;
mod turn;
mod unclaimed;
mod view;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use freehold_store::membership::Membership;
use freehold_types::{Db, Env, NodeId, Offset};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use bell::Bell;
pub(crate) use bell::Ear;
pub use door::{By, Key, NewSession, Receipt};
pub use error::Error;
pub use home::work_here;
pub(crate) use live::Live;
pub use options::Options;
pub use tail::Tail;
pub(crate) use turn::Turn;
pub(crate) use unclaimed::Standing;
pub use view::View;

use crate::archive::{Archive, Id};
use crate::models::Models;
use crate::node::Adrift;
use crate::tools::Tools;
use crate::worker::Handle;

/// Exports and imports at one time.
const BUNDLES: usize = 4;

/// The doors and rooms that the runtime works with.
pub struct Parts {
    /// Where sessions are kept.
    pub archive: Archive,
    /// The nodes that use the store, if others may; its heart is beaten by
    /// whoever made it. Without, all that others hold is free: the store's own
    /// lock proves them dead.
    pub members: Option<Arc<Membership>>,
    /// The timeline that new sessions begin on: the store's
    /// [`timelines::current`](freehold_store::timelines::current) at the start,
    /// for a backup is restored while nobody works.
    pub timeline: u64,
    /// What answers.
    pub models: Arc<dyn Models>,
    /// What is called.
    pub tools: Arc<dyn Tools>,
}

/// The least number of sessions after which those are looked for that nobody
/// listens to any more and nobody has in hand.
const LIVES_LEAST: usize = 64;

/// Sessions as listeners see them, in the order of their ids, so that a
/// simulated world goes the same way twice.
#[derive(Default)]
struct Lives {
    by_id: BTreeMap<Id, Weak<Live>>,
    /// The number at which those go that nobody cares for.
    full: usize,
}

impl Lives {
    fn get(&self, id: &Id) -> Option<Arc<Live>> {
        self.by_id.get(id).and_then(Weak::upgrade)
    }

    fn get_or_make(&mut self, id: &Id, head: Offset) -> Arc<Live> {
        if let Some(live) = self.get(id) {
            return live;
        }
        if self.by_id.len() >= self.full {
            self.by_id.retain(|_, live| live.strong_count() > 0);
            self.full = (self.by_id.len() * 2).max(LIVES_LEAST);
        }
        let live = Arc::new(Live::new(head));
        self.by_id.insert(id.clone(), Arc::downgrade(&live));
        live
    }
}

/// The runtime of a node. Cheap to share.
pub struct Sessions {
    pub(crate) inner: Arc<Inner>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

/// What workers, keepers and doors share.
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) options: Options,
    /// This node's name where it is alone.
    alone: NodeId,
    /// The sessions in this node's hands.
    workers: Mutex<BTreeMap<Id, Handle>>,
    /// The sessions that this node is about to take.
    turns: turn::Turns,
    /// Sessions that this node may hold and has no worker for.
    pub(crate) adrift: Adrift,
    /// The sessions that somebody listens to, or that are in hand.
    lives: Mutex<Lives>,
    stopping: AtomicBool,
    /// Exports and imports that may be under way: each holds a blob in memory.
    pub(crate) bundles: Arc<Semaphore>,
    /// Where workers run whose sessions nobody asked for on a thread with a
    /// [home](work_here).
    pub(crate) runtime: tokio::runtime::Handle,
    /// Rung when the node is to stop.
    pub(crate) stop: Arc<Bell<bool>>,
}

impl Sessions {
    /// Begins to work: takes up what is due and what dead nodes left.
    pub fn start(parts: Parts, options: Options) -> Arc<Self> {
        let node = NodeId::new(parts.archive.env.as_ref());
        let inner = Arc::new(Inner {
            parts,
            options,
            alone: node,
            workers: Mutex::default(),
            turns: turn::Turns::default(),
            adrift: Adrift::default(),
            lives: Mutex::default(),
            stopping: AtomicBool::new(false),
            bundles: Arc::new(Semaphore::new(BUNDLES)),
            runtime: tokio::runtime::Handle::current(),
            stop: Bell::new(false),
        });
        let keepers = crate::node::keep(&inner);
        Arc::new(Self { inner, keepers: Mutex::new(keepers) })
    }

    /// Lets attempts under way finish for a while, lets go of all sessions, and
    /// leaves the nodes. Whoever comes next takes the rest over.
    pub async fn stop(&self) {
        let inner = &self.inner;
        inner.stopping.store(true, Ordering::SeqCst);
        inner.stop.change(|stop| !std::mem::replace(stop, true));
        let until = inner.parts.archive.env.monotonic() + inner.options.drain * 2;
        while inner.in_hand() > 0 && inner.parts.archive.env.monotonic() < until {
            inner.parts.archive.env.sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Ends at once, as a crash would: nothing is finished and nothing let go
    /// of. For tests.
    pub async fn abandon(&self) {
        self.inner.stopping.store(true, Ordering::SeqCst);
        for keeper in lock(&self.keepers).drain(..) {
            keeper.abort();
        }
        let workers: Vec<_> = std::mem::take(&mut *self.inner.workers()).into_values().collect();
        for handle in &workers {
            handle.task.abort();
        }
        for handle in workers {
            while !handle.task.is_finished() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// This life of the node.
    pub fn node(&self) -> NodeId {
        self.inner.me()
    }

    /// Where some other node is reached that lives: for who asks a node that
    /// stops. Another one at each turn.
    pub fn neighbour(&self, turn: usize) -> Option<Arc<str>> {
        let members = self.inner.parts.members.as_ref()?;
        let me = members.me();
        let others = members.alive().into_iter().filter(|node| *node != me);
        let others: Vec<Arc<str>> = others.filter_map(|node| members.address(node)).collect();
        let at = turn.checked_rem(others.len())?;
        others.get(at).cloned()
    }

    /// How many sessions are in the node's hands.
    pub fn in_hand(&self) -> usize {
        self.inner.in_hand()
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.inner.stop.change(|stop| !std::mem::replace(stop, true));
        for keeper in lock(&self.keepers).drain(..) {
            keeper.abort();
        }
    }
}

impl Inner {
    pub(crate) fn db(&self) -> &dyn Db {
        self.parts.archive.db.as_ref()
    }

    pub(crate) fn env(&self) -> &dyn Env {
        self.parts.archive.env.as_ref()
    }

    /// This life of the node.
    pub(crate) fn me(&self) -> NodeId {
        self.parts.members.as_ref().map_or(self.alone, |members| members.me())
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    pub(crate) fn in_hand(&self) -> usize {
        self.workers().len()
    }

    pub(crate) fn workers(&self) -> MutexGuard<'_, BTreeMap<Id, Handle>> {
        lock(&self.workers)
    }

    /// The session as listeners see it, made if there is none.
    pub(crate) fn live(&self, id: &Id, head: Offset) -> Arc<Live> {
        lock(&self.lives).get_or_make(id, head)
    }

    /// The session as listeners see it, if anybody does.
    pub(crate) fn live_of(&self, id: &Id) -> Option<Arc<Live>> {
        lock(&self.lives).get(id)
    }

    /// All sessions that somebody listens to here and that are not in hand;
    /// forgets those that nobody cares for any more.
    pub(crate) fn heard_elsewhere(&self) -> Vec<(Id, Arc<Live>)> {
        let mut heard = Vec::new();
        lock(&self.lives).by_id.retain(|id, live| match live.upgrade() {
            Some(live) => {
                if live.listeners() > 0 {
                    heard.push((id.clone(), live));
                }
                true
            }
            None => false,
        });
        let workers = self.workers();
        heard.retain(|(id, _)| !workers.contains_key(id));
        heard
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
