//! What all clients share: the nodes' addresses, and what is counted.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::clock::{now, wall};
use crate::world::{Seen, Wrong};

/// The most notes of failed calls.
const NOTES: usize = 200;

/// A node was killed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kill {
    pub(super) at: Instant,
    pub(super) wall: Timestamp,
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) streams: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) reset: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) turns: AtomicU64,
}

/// What is shared.
pub(super) struct Stage {
    pub(super) seed: u64,
    /// Tells this run's names from those of any other over the same database.
    pub(super) run: String,
    /// Between two turns of a session, on average.
    pub(super) think: Duration,
    pub(super) nodes: Vec<SocketAddr>,
    pub(super) began: Instant,
    pub(super) counts: Counts,
    closing: Mutex<bool>,
    /// Rung when it closes: thousands rest, and none may ask for it over and over.
    bell: Condvar,
    kill: Mutex<Option<Kill>>,
    seen: Mutex<Vec<Seen>>,
    wrong: Mutex<Wrong>,
    calls: Mutex<Vec<Duration>>,
    turns: Mutex<Vec<Duration>>,
    first: Mutex<Vec<(String, Duration)>>,
    posts: Mutex<Vec<(String, Duration)>>,
}

pub(super) fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts one more.
pub(super) fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A session, and how long after the kill something came of it.
pub(super) type After = (String, Duration);

impl Stage {
    pub(super) fn new(seed: u64, think: Duration, nodes: Vec<SocketAddr>) -> Self {
        Self {
            seed,
            run: format!("{seed}x{:x}", wall().as_millisecond()),
            think,
            nodes,
            began: now(),
            counts: Counts::default(),
            closing: Mutex::default(),
            bell: Condvar::new(),
            kill: Mutex::default(),
            seen: Mutex::default(),
            wrong: Mutex::default(),
            calls: Mutex::default(),
            turns: Mutex::default(),
            first: Mutex::default(),
            posts: Mutex::default(),
        }
    }

    /// No more turns are begun.
    pub(super) fn close(&self) {
        *held(&self.closing) = true;
        self.bell.notify_all();
    }

    /// Waits, but not past the end. False then.
    pub(super) fn rest(&self, time: Duration) -> bool {
        let closing = held(&self.closing);
        let rested = self.bell.wait_timeout_while(closing, time, |closing| !*closing);
        let (closing, _) = rested.unwrap_or_else(PoisonError::into_inner);
        !*closing
    }

    /// A node is killed now.
    pub(super) fn killed(&self) {
        *held(&self.kill) = Some(Kill { at: now(), wall: wall() });
    }

    pub(super) fn kill(&self) -> Option<Kill> {
        *held(&self.kill)
    }

    pub(super) fn saw(&self, seen: Seen) {
        held(&self.seen).push(seen);
    }

    pub(super) fn wrong(&self, count: impl FnOnce(&mut Wrong) -> &mut u64, note: String) {
        let mut wrong = held(&self.wrong);
        *count(&mut wrong) += 1;
        wrong.notes.push(note);
    }

    /// A call failed that no client would send again.
    pub(super) fn failed(&self, note: &str) {
        add(&self.counts.failed);
        let at = now().duration_since(self.began).as_secs_f64();
        let mut wrong = held(&self.wrong);
        if wrong.notes.len() < NOTES {
            wrong.notes.push(format!("at {at:.1} s: {note}"));
        }
    }

    /// A call was answered after so long, retries included.
    pub(super) fn answered(&self, took: Duration) {
        held(&self.calls).push(took);
    }

    /// A turn took so long.
    pub(super) fn turn(&self, took: Duration) {
        add(&self.counts.turns);
        held(&self.turns).push(took);
    }

    /// The first event after the kill of a session that was at work then.
    pub(super) fn went_on(&self, session: &str, after: Duration) {
        held(&self.first).push((session.to_owned(), after));
    }

    /// Something was sent soon after the kill to a session that was not.
    pub(super) fn posted(&self, session: &str, took: Duration) {
        held(&self.posts).push((session.to_owned(), took));
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *held(&self.seen))
    }

    pub(super) fn wrongs(&self) -> Wrong {
        held(&self.wrong).clone()
    }

    /// Times of calls and of turns, and after the kill of first events and of
    /// calls.
    pub(super) fn times(&self) -> (Vec<Duration>, Vec<Duration>) {
        (held(&self.calls).clone(), held(&self.turns).clone())
    }

    pub(super) fn after_kill(&self) -> (Vec<After>, Vec<After>) {
        (held(&self.first).clone(), held(&self.posts).clone())
    }
}
