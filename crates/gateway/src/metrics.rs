//! Counters of the data plane: plain atomics, rendered by `server`.
//!
//! Labels are bounded because they come from configuration only: a route's
//! name, a deployment's provider and model as configured, words of closed
//! sets.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::retry::Fault;

/// Upper bounds of a histogram's buckets, in microseconds: from the cost of a
/// local hop to that of a long think.
pub const BOUNDS_US: [u64; 16] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    60_000_000,
    300_000_000,
];

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One more than bounds: the last is without bound. Not cumulative.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let at = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The counts per bucket, not cumulative, the last without bound; and the
    /// sum in microseconds.
    pub fn read(&self) -> ([u64; BOUNDS_US.len() + 1], u64) {
        let mut counts = [0; BOUNDS_US.len() + 1];
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Ordering::Relaxed);
        }
        (counts, self.sum_us.load(Ordering::Relaxed))
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    /// The client has its whole answer.
    Ok,
    /// The client's request was at fault.
    ClientError,
    /// A limit or budget refused it.
    Refused,
    /// Shed under overload.
    Shed,
    /// No deployment could answer.
    UpstreamError,
    /// The answer broke off after it had begun.
    Broken,
    /// The client went away.
    Gone,
    /// A defect of our own.
    Internal,
}

impl Outcome {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::ClientError,
        Self::Refused,
        Self::Shed,
        Self::UpstreamError,
        Self::Broken,
        Self::Gone,
        Self::Internal,
    ];

    /// A word for labels and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Refused => "refused",
            Self::Shed => "shed",
            Self::UpstreamError => "upstream_error",
            Self::Broken => "broken",
            Self::Gone => "client_gone",
            Self::Internal => "internal",
        }
    }
}

/// What is counted of a route.
#[derive(Debug, Default)]
pub struct RouteMetrics {
    outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Exchanges under way.
    pub in_flight: AtomicI64,
    /// Time to the first byte to the client.
    pub first_byte: Histogram,
    /// Time to the last.
    pub total: Histogram,
    /// Tokens in, cached ones included.
    pub input_tokens: AtomicU64,
    /// Of those, read from a cache.
    pub cached_tokens: AtomicU64,
    /// Tokens out.
    pub output_tokens: AtomicU64,
    /// Cost in micro-units of money (a counter for dashboards; the books are
    /// exact).
    pub cost_micros: AtomicU64,
    /// Exchanges whose usage was estimated.
    pub estimated: AtomicU64,
    /// Attempts made because a first one was slow.
    pub hedges: AtomicU64,
}

impl RouteMetrics {
    /// Counts an exchange's end.
    pub fn ended(&self, outcome: Outcome) {
        if let Some(count) = self.outcomes.get(outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often exchanges ended so.
    pub fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).map_or(0, |c| c.load(Ordering::Relaxed))
    }
}

/// What is counted of a deployment.
#[derive(Debug, Default)]
pub struct DeploymentMetrics {
    /// Attempts begun.
    pub attempts: AtomicU64,
    faults: [AtomicU64; FAULTS.len()],
    /// Time to the answer's head, of attempts that got one.
    pub head: Histogram,
}

/// All faults, in the order in which they are counted.
pub const FAULTS: [Fault; 11] = [
    Fault::Client,
    Fault::TooLong,
    Fault::Unfit,
    Fault::Credential,
    Fault::Missing,
    Fault::Full,
    Fault::RateLimited,
    Fault::Server,
    Fault::Timeout,
    Fault::Connection,
    Fault::Garbage,
];

impl DeploymentMetrics {
    /// Counts a failed attempt.
    pub fn failed(&self, fault: Fault) {
        if let Some(count) =
            FAULTS.iter().position(|f| *f == fault).and_then(|at| self.faults.get(at))
        {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How often attempts failed so.
    pub fn count(&self, fault: Fault) -> u64 {
        FAULTS
            .iter()
            .position(|f| *f == fault)
            .and_then(|at| self.faults.get(at))
            .map_or(0, |c| c.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_its_bucket() {
        let histogram = Histogram::default();
        for us in [250, 251, 400_000_000] {
            histogram.observe(Duration::from_micros(us));
        }
        let (counts, sum) = histogram.read();
        assert_eq!((counts[0], counts[1], counts[16]), (1, 1, 1));
        assert_eq!(sum, 400_000_501);
    }

    #[test]
    fn outcomes_and_faults_are_counted_apart() {
        let route = RouteMetrics::default();
        for outcome in Outcome::ALL {
            route.ended(outcome);
        }
        assert!(Outcome::ALL.iter().all(|o| route.count(*o) == 1));
        let deployment = DeploymentMetrics::default();
        for fault in FAULTS {
            deployment.failed(fault);
        }
        assert!(FAULTS.iter().all(|f| deployment.count(*f) == 1));
    }
}
