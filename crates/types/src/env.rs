//! The door to time and chance.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Time, randomness and sleep. One real implementation (in `server`), one
/// simulated; nothing else asks the operating system for these.
pub trait Env: Send + Sync + 'static {
    /// Wall-clock time. May jump; never use it to measure.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start. Never goes back.
    fn monotonic(&self) -> Duration;
    /// Fills `out` with random bytes fit for keys.
    fn fill_random(&self, out: &mut [u8]);
    /// Completes once `duration` has passed on the monotonic clock.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}
