//! All of a simulated world that its machines share: clock, chance, store,
//! nodes, and what is known about what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use freehold_runtime::sessions::Sessions;
use freehold_runtime::state::State;
use freehold_store::Memory;
use freehold_store::membership::Membership;
use freehold_types::{SessionId, TenantId};
use tokio::runtime::Handle;

use crate::blobs::Shelf;
use crate::book::Book;
use crate::check::leases::Leases;
use crate::check::steps::Folded;
use crate::clock::{Clock, SECOND};
use crate::faults::Faults;
use crate::outside::Outside;
use crate::random::Random;
use crate::setup::Setup;
use crate::tally::Tally;

/// The machine on which clients live; nodes are those after it.
pub(crate) const CLIENTS: usize = 0;

/// What happens to machines, asked for by whoever, done between two events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// A node begins a new life.
    Start(usize),
    /// A node is gone, at whatever awaits its tasks stand.
    Crash(usize),
    /// A node's tasks do not run for a while, and do not know it.
    Pause(usize),
    /// They run again.
    Resume(usize),
    /// A node lets go of everything and leaves.
    Stop(usize),
    /// A node that has left is no more.
    Gone(usize),
}

/// A node as the world sees it.
#[derive(Default)]
pub(crate) struct Node {
    /// Where its tasks run, while it lives.
    pub(crate) handle: Option<Handle>,
    /// Its runtime, once it has joined.
    pub(crate) sessions: Option<Arc<Sessions>>,
    pub(crate) members: Option<Arc<Membership>>,
    /// Counts its lives.
    pub(crate) life: u64,
    pub(crate) is_paused: bool,
    /// Microseconds that its wall clock is off.
    pub(crate) skew: i64,
    /// Until when it cannot reach the store.
    pub(crate) cut_off_until: u64,
}

/// Streams of chance, one for each thing that draws.
pub(crate) struct Chances {
    pub(crate) store: Mutex<Random>,
    pub(crate) tools: Mutex<Random>,
    pub(crate) chaos: Mutex<Random>,
}

/// A world.
pub(crate) struct World {
    pub(crate) setup: Setup,
    pub(crate) tenant: TenantId,
    pub(crate) clock: Arc<Clock>,
    pub(crate) store: Arc<Memory>,
    pub(crate) shelf: Shelf,
    pub(crate) chance: Chances,
    pub(crate) nodes: Mutex<Vec<Node>>,
    pub(crate) commands: Mutex<Vec<Command>>,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) outside: Mutex<Outside>,
    /// How often each attempt reached a model.
    pub(crate) asks: Mutex<BTreeMap<(SessionId, u64), u32>>,
    pub(crate) book: Mutex<Book>,
    pub(crate) leases: Mutex<Leases>,
    /// Sessions as a node loaded them last.
    pub(crate) views: Mutex<BTreeMap<SessionId, Arc<State>>>,
    /// Sessions as the units that took effect made them.
    pub(crate) folded: Mutex<BTreeMap<SessionId, Folded>>,
    /// What occurred.
    pub(crate) tally: Mutex<Tally>,
    wrong: Mutex<Vec<String>>,
    trace: Mutex<Vec<String>>,
    pulse: Mutex<u64>,
}

impl World {
    pub(crate) fn new(setup: Setup, tenant: TenantId, store: Arc<Memory>) -> Arc<Self> {
        let seed = setup.seed;
        let stream = |purpose| Mutex::new(Random::derive(seed, &[purpose]));
        let nodes = std::iter::repeat_with(Node::default).take(setup.nodes + 1).collect();
        Arc::new(Self {
            tenant,
            clock: Arc::default(),
            store,
            shelf: Shelf::default(),
            chance: Chances { store: stream(1), tools: stream(3), chaos: stream(4) },
            nodes: Mutex::new(nodes),
            commands: Mutex::default(),
            faults: Mutex::new(Faults::new(&setup)),
            outside: Mutex::default(),
            asks: Mutex::default(),
            book: Mutex::default(),
            leases: Mutex::default(),
            views: Mutex::default(),
            folded: Mutex::default(),
            tally: Mutex::default(),
            wrong: Mutex::default(),
            trace: Mutex::default(),
            pulse: Mutex::new(seed),
            setup,
        })
    }

    /// Something is not as it must be.
    pub(crate) fn wrong(&self, what: impl Into<String>) {
        let what = what.into();
        self.say(|| format!("WRONG: {what}"));
        lock(&self.wrong).push(what);
    }

    pub(crate) fn is_wrong(&self) -> bool {
        !lock(&self.wrong).is_empty()
    }

    pub(crate) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wrong))
    }

    /// A line of the story, if somebody reads it.
    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if self.setup.trace {
            let now = self.clock.now();
            let line = format!("{:>4}.{:06} {}", now / SECOND, now % SECOND, line());
            lock(&self.trace).push(line);
        }
    }

    /// Something occurred.
    pub(crate) fn count(&self, what: &'static str) {
        lock(&self.tally).count(what);
    }

    pub(crate) fn take_trace(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.trace))
    }

    /// Mixes something into what tells two runs of a seed apart.
    pub(crate) fn beat(&self, with: u64) {
        let mut pulse = lock(&self.pulse);
        *pulse = (*pulse ^ with).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
    }

    pub(crate) fn pulse(&self) -> u64 {
        *lock(&self.pulse)
    }

    /// Has something done to a machine before time goes on.
    pub(crate) fn command(&self, command: Command) {
        lock(&self.commands).push(command);
    }

    /// Does something with a node.
    pub(crate) fn node<T>(&self, at: usize, with: impl FnOnce(&mut Node) -> T) -> Option<T> {
        lock(&self.nodes).get_mut(at).map(with)
    }

    /// Whether the nodes' life of then still goes on.
    pub(crate) fn lives(&self, at: usize, life: u64) -> bool {
        lock(&self.nodes).get(at).is_some_and(|node| node.life == life && node.handle.is_some())
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
