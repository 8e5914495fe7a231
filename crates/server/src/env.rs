//! The real door to time and chance.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use freehold_types::{BoxFuture, Env};
use jiff::Timestamp;

/// Time and randomness from the operating system.
#[derive(Clone, Copy, Debug)]
pub struct RealEnv {
    start: Instant,
}

impl RealEnv {
    /// Its monotonic time starts now.
    pub fn new() -> Self {
        Self { start: instant_now() }
    }
}

impl Default for RealEnv {
    fn default() -> Self {
        Self::new()
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door they come in through")]
fn instant_now() -> Instant {
    Instant::now()
}

impl Env for RealEnv {
    #[expect(clippy::disallowed_methods, reason = "this is the door they come in through")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn fill_random(&self, out: &mut [u8]) {
        POOL.with_borrow_mut(|pool| pool.fill(out));
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; Pool::SIZE], left: 0 }) };
}

/// The system's random bytes, fetched many at a time: a system call for each
/// id would be a good part of what an exchange costs.
struct Pool {
    bytes: [u8; Self::SIZE],
    /// How many at the front have not been given out.
    left: usize,
}

impl Pool {
    const SIZE: usize = 1024;

    fn fill(&mut self, out: &mut [u8]) {
        if out.len() > Self::SIZE {
            system_random(out);
            return;
        }
        if self.left < out.len() {
            system_random(&mut self.bytes);
            self.left = Self::SIZE;
        }
        let from = self.left - out.len();
        let taken = &mut self.bytes[from..self.left];
        out.copy_from_slice(taken);
        // What has been given out may be a key: it is not kept.
        taken.fill(0);
        self.left = from;
    }
}

#[expect(clippy::expect_used, reason = "without the system's randomness no key may be made")]
fn system_random(out: &mut [u8]) {
    getrandom::fill(out).expect("the operating system gives random bytes");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_bytes_are_given_out_twice() {
        let env = RealEnv::new();
        let mut seen = BTreeSet::new();
        for _ in 0..1000 {
            let mut bytes = [0; 16];
            env.fill_random(&mut bytes);
            assert!(seen.insert(bytes));
        }
        let mut large = [0; 4096];
        env.fill_random(&mut large);
        assert!(large.iter().any(|&b| b != 0));
    }

    #[test]
    fn monotonic_time_goes_on() {
        let env = RealEnv::new();
        let before = env.monotonic();
        std::thread::sleep(Duration::from_millis(2));
        assert!(env.monotonic() >= before + Duration::from_millis(2));
    }
}
