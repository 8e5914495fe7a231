//! How much an upstream bears, learned from how it answers.
//!
//! What counts is the exchanges that wait for the head of their response: a
//! stream that has begun is not the bottleneck. As long as all is well there
//! may be as many as the upstream has shown to serve within a tolerable time
//! (Little's law: rate times time). When heads come later and later, the limit
//! is lowered once to see whether that helps. If it does, the upstream is
//! overloaded, and the limit follows its real rate. If it does not, the work
//! has become longer, and that is the new normal: a model that thinks for a
//! minute is not an overload.

mod cohort;
mod learner;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cohort::CohortId;
use freehold_types::Code;
use learner::Learner;

use crate::Refusal;

/// How long a caller should stay away from an upstream that is full.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// The bounds within which an [`Adaptive`] limit learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaptiveSettings {
    /// Never fewer than this, whatever the upstream says.
    pub min: u32,
    /// Never more than this.
    pub max: u32,
    /// As many until the first answers are in.
    pub initial: u32,
    /// As many without any proof that the upstream bears them, as long as
    /// it does not say no: slow answers alone never make it fewer.
    pub unproven: u32,
    /// Heads may take this many times their usual time.
    pub tolerance: f64,
    /// Heads may take this long, whatever is usual.
    pub calm: Duration,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            min: 4,
            max: 16_384,
            initial: 256,
            unproven: 64,
            tolerance: 3.0,
            calm: Duration::from_millis(100),
        }
    }
}

/// What came of waiting for the head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// The upstream answered, whatever it said, as long as it was not the next.
    Answered,
    /// It said that it is overloaded (429, 503, 529), or did not answer in time.
    Overloaded,
}

/// The limit of one upstream. Cheap to ask: an atomic and a lock that is held
/// for some arithmetic.
#[derive(Debug)]
pub struct Adaptive {
    limit: AtomicU32,
    waiting: AtomicU32,
    learner: Mutex<Learner>,
}

/// An exchange that waits for its head. One that is dropped has learned
/// nothing, as when its client went away.
#[derive(Debug)]
pub struct Waiting {
    limit: Arc<Adaptive>,
    entered: Duration,
    cohort: CohortId,
    /// Whether it has been counted out.
    done: bool,
}

impl Adaptive {
    /// A limit that knows nothing yet.
    pub fn new(settings: AdaptiveSettings) -> Self {
        let learner = Learner::new(settings);
        Self {
            limit: AtomicU32::new(learner.limit()),
            waiting: AtomicU32::new(0),
            learner: Mutex::new(learner),
        }
    }

    /// Lets an exchange wait, unless as many do as the upstream bears. `now`
    /// is on the monotonic clock; `upstream` names it for the caller.
    pub fn enter(self: &Arc<Self>, now: Duration, upstream: &str) -> Result<Waiting, Refusal> {
        let limit = self.limit.load(Ordering::Relaxed);
        let entered = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < limit).then(|| waiting + 1)
        });
        let Ok(before) = entered else {
            self.learner().turned_away();
            return Err(full(upstream, limit));
        };
        let cohort = self.learner().enter(now, before + 1);
        Ok(Waiting { limit: Arc::clone(self), entered: now, cohort, done: false })
    }

    /// How many may wait now.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// How many wait now.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    fn learner(&self) -> MutexGuard<'_, Learner> {
        // Numbers that a panic left half changed are still numbers.
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, now: Option<Duration>, waiting: &Waiting, head: Option<Head>) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        let mut learner = self.learner();
        match (now, head) {
            (Some(now), Some(head)) => {
                let took = now.saturating_sub(waiting.entered);
                learner.head(now, waiting.cohort, took, head);
            }
            _ => learner.gone(waiting.cohort),
        }
        self.limit.store(learner.limit(), Ordering::Relaxed);
    }
}

impl Waiting {
    /// The head has come, or will not.
    pub fn head(mut self, now: Duration, head: Head) {
        self.done = true;
        self.limit.leave(Some(now), &self, Some(head));
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.done {
            self.limit.leave(None, self, None);
        }
    }
}

fn full(upstream: &str, limit: u32) -> Refusal {
    let message = format!(
        "`{upstream}` is answering as fast as it can, with {limit} requests before it; send it \
         again"
    );
    Refusal::new(Code::OverloadUpstream, message).retry_after(FULL_WAIT)
}

#[cfg(test)]
mod tests;
