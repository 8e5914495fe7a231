//! How far a worker is behind, and what it refuses then.
//!
//! A worker that gets more than it can do queues the rest before itself: each
//! request waits a little longer than the one before, and in the end all are
//! answered too late. No count of exchanges tells of it, since it is not the
//! upstream that is slow. So each worker measures the time from a task's
//! waking to its turn. Where that has been too long for some time, without a
//! single moment in which it was not (after CoDel, RFC 8289), a share of the
//! new requests is refused at once, which takes a fraction of an exchange; the
//! share follows the lag. A burst, or one large body, lasts no such time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use freehold_types::Env;
use tokio::sync::Notify;

/// A worker that is further behind than this has too much to do.
const TARGET: Duration = Duration::from_millis(5);
/// For as long as this it may.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often it is measured at most.
const EVERY: Duration = Duration::from_millis(5);
/// A worker with fewer requests in hand is kept by their size, not by their
/// number, and is through with all of them before a client would have come
/// back; refusing some would help nobody.
const IN_HAND_MIN: u32 = 320;
/// The share of requests that is refused, in thousandths; never all of them.
const SHARE_MAX: u32 = 950;
/// By how much it changes with each measurement.
const SHARE_STEP: u32 = 20;

/// The lag of one worker, measured where requests come.
pub struct Lag {
    env: Arc<dyn Env>,
    /// When the last measurement began, on the monotonic clock.
    asked_ns: AtomicU64,
    ring: Notify,
    /// What it was at the last measurement.
    last_ns: AtomicU64,
    /// Requests that wait for the head of their answer.
    in_hand: AtomicU32,
    /// What is to be refused, in thousandths of requests.
    share: AtomicU32,
    /// What is to be refused of those so far and was not.
    owed: AtomicU32,
    refused: AtomicU64,
}

/// A request that is worked on, until its answer begins.
#[derive(Debug)]
pub struct InHand<'a>(&'a AtomicU32);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lag {
    /// That of a worker which has nothing to do yet.
    pub fn new(env: Arc<dyn Env>) -> Self {
        Self {
            env,
            asked_ns: AtomicU64::new(0),
            ring: Notify::new(),
            last_ns: AtomicU64::new(0),
            in_hand: AtomicU32::new(0),
            share: AtomicU32::new(0),
            owed: AtomicU32::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Measures for as long as the worker lives; to be run on its thread.
    pub async fn watch(self: Arc<Self>) {
        let mut rule = Rule::default();
        loop {
            // Whoever rang is a task that runs: this one has its turn after all
            // those that were awake by then.
            self.ring.notified().await;
            let now = self.env.monotonic();
            let asked = Duration::from_nanos(self.asked_ns.load(Ordering::Relaxed));
            let lag = now.saturating_sub(asked);
            self.last_ns.store(nanos(lag), Ordering::Relaxed);
            let in_hand = self.in_hand.load(Ordering::Relaxed);
            self.share.store(rule.measured(now, lag, in_hand), Ordering::Relaxed);
        }
    }

    /// Takes a request in; `None` if it is to be refused.
    pub fn take_in(&self) -> Option<InHand<'_>> {
        let now = nanos(self.env.monotonic());
        let since = now.saturating_sub(self.asked_ns.load(Ordering::Relaxed));
        if since >= nanos(EVERY) {
            self.asked_ns.store(now, Ordering::Relaxed);
            self.ring.notify_one();
        }
        let mut share = self.share.load(Ordering::Relaxed);
        if share > 0 && since >= nanos(PATIENCE) {
            // What was measured before a pause says nothing any more.
            self.share.store(0, Ordering::Relaxed);
            share = 0;
        }
        if share > 0 {
            let owed = self.owed.fetch_add(share, Ordering::Relaxed) + share;
            if owed >= 1_000 {
                self.owed.fetch_sub(1_000, Ordering::Relaxed);
                self.refused.fetch_add(1, Ordering::Relaxed);
                return None;
            }
        }
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        Some(InHand(&self.in_hand))
    }

    /// What it was when it was last measured.
    pub fn last(&self) -> Duration {
        Duration::from_nanos(self.last_ns.load(Ordering::Relaxed))
    }

    /// Requests that were refused since the start.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What follows from what was measured. Pure.
#[derive(Clone, Copy, Debug, Default)]
struct Rule {
    /// Since when every measurement was above the target, and when the last
    /// of them was.
    late: Option<(Duration, Duration)>,
    share: u32,
}

impl Rule {
    /// The share to refuse after this measurement.
    fn measured(&mut self, now: Duration, lag: Duration, in_hand: u32) -> u32 {
        if lag < TARGET || in_hand < IN_HAND_MIN {
            self.late = None;
            let less = if lag < TARGET / 4 { self.share / 2 } else { SHARE_STEP };
            self.share = self.share.saturating_sub(less.max(SHARE_STEP));
            return self.share;
        }
        // Two measurements far apart do not tell what was between them.
        let since = match self.late {
            Some((since, last)) if now.saturating_sub(last) < PATIENCE + lag => since,
            _ => now,
        };
        self.late = Some((since, now));
        if now.saturating_sub(since) >= PATIENCE {
            self.share = (self.share + SHARE_STEP).min(SHARE_MAX);
        }
        self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::RealEnv;

    const MS: Duration = Duration::from_millis(1);

    /// Measures every 5 ms for so many times; the share at the end.
    fn run(rule: &mut Rule, from: u32, times: u32, lag: Duration, in_hand: u32) -> u32 {
        (0..times).map(|n| rule.measured((from + n) * 5 * MS, lag, in_hand)).last().unwrap()
    }

    #[test]
    fn a_worker_that_stays_behind_refuses_more_and_more_but_never_all() {
        let mut rule = Rule::default();
        assert_eq!(run(&mut rule, 0, 20, 30 * MS, 500), 0, "not for as long as it may");
        assert_eq!(run(&mut rule, 20, 1, 30 * MS, 500), SHARE_STEP);
        assert_eq!(run(&mut rule, 21, 500, 30 * MS, 500), SHARE_MAX);
        let before = rule.share;
        assert!(run(&mut rule, 521, 1, 4 * MS, 500) < before, "it follows the lag");
        assert_eq!(run(&mut rule, 522, 20, MS, 500), 0, "and ends with it");
    }

    #[test]
    fn one_good_moment_is_proof_of_none() {
        let mut rule = Rule::default();
        for n in 0..50 {
            assert_eq!(run(&mut rule, n * 20, 19, 200 * MS, 500), 0);
            assert_eq!(run(&mut rule, n * 20 + 19, 1, 4 * MS, 500), 0);
        }
    }

    #[test]
    fn a_worker_with_little_in_hand_refuses_nothing() {
        let mut rule = Rule::default();
        assert_eq!(run(&mut rule, 0, 1_000, 150 * MS, IN_HAND_MIN - 1), 0);
        assert!(run(&mut rule, 1_000, 100, 150 * MS, IN_HAND_MIN) > 0);
        assert_eq!(run(&mut rule, 1_100, 100, 150 * MS, IN_HAND_MIN - 1), 0, "nor any longer");
    }

    #[test]
    fn bursts_far_apart_are_not_one_long_one() {
        let mut rule = Rule::default();
        for n in 0..100 {
            assert_eq!(rule.measured(n * 500 * MS, 50 * MS, 500), 0);
        }
    }

    #[test]
    fn the_share_of_requests_is_refused_and_a_pause_ends_it() {
        let lag = Lag::new(Arc::new(RealEnv::new()));
        drop(lag.take_in());
        lag.share.store(250, Ordering::Relaxed);
        lag.asked_ns.store(nanos(lag.env.monotonic()) + 1_000_000_000, Ordering::Relaxed);
        let taken: Vec<_> = (0..100).filter_map(|_| lag.take_in()).collect();
        assert_eq!((taken.len(), lag.refused()), (75, 25));
        assert_eq!(lag.in_hand.load(Ordering::Relaxed), 75);
        drop(taken);
        assert_eq!(lag.in_hand.load(Ordering::Relaxed), 0);
        lag.asked_ns.store(0, Ordering::Relaxed);
        std::thread::sleep(PATIENCE);
        assert!((0..100).all(|_| lag.take_in().is_some()));
    }

    #[tokio::test]
    async fn a_lag_is_the_time_of_the_tasks_before() {
        let lag = Arc::new(Lag::new(Arc::new(RealEnv::new())));
        drop(tokio::spawn(Arc::clone(&lag).watch()));
        tokio::task::yield_now().await;
        std::thread::sleep(2 * EVERY);
        drop(lag.take_in());
        // This task keeps the worker from the one that measures.
        std::thread::sleep(30 * MS);
        tokio::task::yield_now().await;
        assert!(lag.last() >= 30 * MS, "{:?}", lag.last());
    }
}
