//! Real time, which is what is measured here.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "what is looked at is another program, in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Now, by the clock on the wall: events carry it.
#[expect(clippy::disallowed_methods, reason = "it is compared with the times of real events")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::now()
}

/// Sleeps so many milliseconds.
pub(crate) fn nap(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
