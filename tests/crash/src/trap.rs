//! What sets a fault off: a place that is reached.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Where something happens that a fault may be set off by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A client was shown this event of a session that had no fault yet.
    Record(u64),
    /// A request for a model came.
    ModelAsked,
    /// Half of a model's answer is sent.
    ModelHalf,
    /// A model's answer is sent.
    ModelSaid,
    /// A payment was asked for and not yet made.
    PaymentAsked,
    /// A payment was made and not yet answered.
    PaymentMade,
    /// A payment was answered.
    PaymentAnswered,
    /// Somebody asks what became of a payment.
    PaymentQueried,
    /// An input was sent, and its answer not awaited.
    InputSent,
    /// An input was acknowledged.
    InputAccepted,
}

/// One trap for all places.
#[derive(Debug, Default)]
pub(crate) struct Trap {
    armed: Mutex<(Option<Place>, bool)>,
    sprung: Condvar,
}

impl Trap {
    /// Waits until the place is reached, or for so long. True if it was.
    pub(crate) fn wait(&self, place: Place, most: Duration) -> bool {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        *armed = (Some(place), false);
        let waited = self.sprung.wait_timeout_while(armed, most, |(_, sprung)| !*sprung);
        let (mut armed, _) = waited.unwrap_or_else(PoisonError::into_inner);
        armed.0 = None;
        armed.1
    }

    /// This place is reached.
    pub(crate) fn reach(&self, place: Place) {
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        if armed.0 == Some(place) {
            *armed = (None, true);
            self.sprung.notify_all();
        }
    }
}
