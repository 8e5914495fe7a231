//! A world for tests: time that moves when told, and numbered randomness.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use freehold_types::{BoxFuture, Env};
use jiff::{SignedDuration, Timestamp};

/// Time stands still until [`TestEnv::advance`].
pub(crate) struct TestEnv {
    now: Mutex<(Timestamp, Duration)>,
    random: AtomicU64,
}

impl Default for TestEnv {
    fn default() -> Self {
        Self::at("2026-05-05T12:00:00Z")
    }
}

impl TestEnv {
    pub(crate) fn at(wall: &str) -> Self {
        let start = (wall.parse().unwrap(), Duration::from_secs(1_000));
        Self { now: Mutex::new(start), random: AtomicU64::new(0) }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        now.0 += SignedDuration::try_from(by).unwrap();
        now.1 += by;
    }
}

impl Env for TestEnv {
    fn now(&self) -> Timestamp {
        self.now.lock().unwrap().0
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().unwrap().1
    }

    fn fill_random(&self, out: &mut [u8]) {
        // SplitMix64 over a counter: distinct and well mixed.
        for chunk in out.chunks_mut(8) {
            let n = self.random.fetch_add(1, Ordering::Relaxed) + 1;
            let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}
