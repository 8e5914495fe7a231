//! What all threads share: the servers, the trap, and what was seen.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;

use crate::clock::{now, wall};
use crate::cluster::Cluster;
use crate::trap::Trap;

/// An input that the server acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// The plan's name.
    pub(crate) name: String,
    /// Where it says that it is.
    pub(crate) within: RangeInclusive<u64>,
}

/// What clients saw of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) session: String,
    pub(crate) inputs: Vec<Acknowledged>,
    /// Digests of the events of the journal that a stream told, from the first.
    pub(crate) events: Vec<u64>,
    /// Whether the last turn ended before the client gave up.
    pub(crate) finished: bool,
}

/// What went wrong while it went on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wrong {
    pub(crate) gaps: u64,
    pub(crate) doubles: u64,
    pub(crate) differs: u64,
    pub(crate) refused: u64,
    pub(crate) notes: Vec<String>,
}

/// What is shared.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) cluster: Cluster,
    pub(crate) trap: Arc<Trap>,
    jobs: AtomicUsize,
    closing: AtomicBool,
    fault: Mutex<Option<(Instant, Timestamp)>>,
    waits: Mutex<Vec<Duration>>,
    seen: Mutex<Vec<Seen>>,
    wrong: Mutex<Wrong>,
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(seed: u64, cluster: Cluster, trap: Arc<Trap>) -> Self {
        Self {
            seed,
            cluster,
            trap,
            jobs: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            fault: Mutex::new(None),
            waits: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
            wrong: Mutex::new(Wrong::default()),
        }
    }

    /// The number of the next session; `None` once all is to end.
    pub(crate) fn next_job(&self) -> Option<usize> {
        if self.closing.load(Ordering::Acquire) {
            return None;
        }
        Some(self.jobs.fetch_add(1, Ordering::AcqRel))
    }

    /// No more sessions are begun.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// A fault happens now.
    pub(crate) fn faulted(&self) {
        *held(&self.fault) = Some((now(), wall()));
    }

    /// Whether something new was told since the fault.
    pub(crate) fn is_over_it(&self) -> bool {
        held(&self.fault).is_none()
    }

    /// An event was told for the first time.
    pub(crate) fn told(&self, event: &Value) {
        let mut fault = held(&self.fault);
        let Some((at, when)) = *fault else { return };
        let made = event["at"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if made.is_some_and(|made| made > when) {
            held(&self.waits).push(now().duration_since(at));
            *fault = None;
        }
    }

    pub(crate) fn saw(&self, seen: Seen) {
        held(&self.seen).push(seen);
    }

    pub(crate) fn wrong(&self, count: impl FnOnce(&mut Wrong) -> &mut u64, note: String) {
        let mut wrong = held(&self.wrong);
        *count(&mut wrong) += 1;
        wrong.notes.push(note);
    }

    pub(crate) fn results(&self) -> (Vec<Seen>, Wrong, Vec<Duration>) {
        (held(&self.seen).clone(), held(&self.wrong).clone(), held(&self.waits).clone())
    }
}
