//! So much per minute, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds in the window that every rate is stated for.
const MINUTE_NS: u64 = 60_000_000_000;

/// How far past "full again" an overdraft may push a bucket. A provider that
/// reports an absurd usage must not lock a key out for ever.
const DEBT_MAX_NS: u64 = 60 * MINUTE_NS;

/// A token bucket that holds a minute's worth and refills evenly (GCRA, the
/// generic cell rate algorithm). Its whole state is the moment at which it
/// will be full again, so it needs no lock and no timer.
///
/// The rate is an argument of every call, not a field: a changed limit is in
/// force at the next request, and what was taken keeps its share of the
/// minute.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// On the monotonic clock.
    full_at_ns: AtomicU64,
}

/// Why a bucket did not give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dry {
    /// It will have enough after this time, if nobody else takes it.
    For(Duration),
    /// The cost is more than a minute's worth.
    Ever,
}

impl Bucket {
    /// Takes `cost` out of a bucket of `per_minute`, or leaves it as it is.
    pub(crate) fn take(&self, now: Duration, cost: u64, per_minute: u64) -> Result<(), Dry> {
        let now_ns = nanos(now);
        let price = price_ns(cost, per_minute);
        if price > MINUTE_NS {
            return Err(Dry::Ever);
        }
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let next = full_at.max(now_ns).saturating_add(price);
            let latest = now_ns.saturating_add(MINUTE_NS);
            if next > latest {
                return Err(Dry::For(Duration::from_nanos(next - latest)));
            }
            match self.full_at_ns.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => full_at = seen,
            }
        }
    }

    /// Replaces an estimate that was taken by what it turned out to be. An
    /// excess is owed: it delays whoever comes next.
    pub(crate) fn correct(&self, now: Duration, taken: u64, actual: u64, per_minute: u64) {
        let (taken, actual) = (price_ns(taken, per_minute), price_ns(actual, per_minute));
        if actual == taken {
            return;
        }
        let now_ns = nanos(now);
        let mut full_at = self.full_at_ns.load(Ordering::Relaxed);
        loop {
            let next = if actual < taken {
                full_at.saturating_sub(taken - actual)
            } else {
                let owed = full_at.max(now_ns).saturating_add(actual - taken);
                owed.min(now_ns.saturating_add(DEBT_MAX_NS)).max(full_at)
            };
            match self.full_at_ns.compare_exchange_weak(
                full_at,
                next,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => full_at = seen,
            }
        }
    }

    /// How much of `per_minute` could be taken at once now.
    pub(crate) fn level(&self, now: Duration, per_minute: u64) -> u64 {
        let used = self.full_at_ns.load(Ordering::Relaxed).saturating_sub(nanos(now));
        let free = u128::from(MINUTE_NS.saturating_sub(used));
        u64::try_from(free * u128::from(per_minute) / u128::from(MINUTE_NS)).unwrap_or(u64::MAX)
    }
}

/// The share of a minute that `cost` stands for, rounded up. More than a
/// minute for a rate of zero.
fn price_ns(cost: u64, per_minute: u64) -> u64 {
    if cost == 0 {
        return 0;
    }
    let Some(per_minute) = std::num::NonZeroU64::new(per_minute) else { return u64::MAX };
    let price = (u128::from(cost) * u128::from(MINUTE_NS)).div_ceil(u128::from(per_minute.get()));
    u64::try_from(price).unwrap_or(u64::MAX)
}

fn nanos(at: Duration) -> u64 {
    u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    fn after_ms(ms: u64) -> Duration {
        START + Duration::from_millis(ms)
    }

    #[test]
    fn a_full_bucket_gives_a_minutes_worth_at_once_and_then_says_how_long() {
        let bucket = Bucket::default();
        for _ in 0..10 {
            assert_eq!(bucket.take(START, 1, 10), Ok(()));
        }
        assert_eq!(bucket.take(START, 1, 10), Err(Dry::For(Duration::from_secs(6))));
        assert_eq!(bucket.take(after_ms(5_999), 1, 10), Err(Dry::For(Duration::from_millis(1))));
        assert_eq!(bucket.take(after_ms(6_000), 1, 10), Ok(()));
        assert_eq!(bucket.level(after_ms(6_000), 10), 0);
        assert_eq!(bucket.level(after_ms(66_000), 10), 10);
    }

    #[test]
    fn what_can_never_fit_is_told_apart_from_what_must_wait() {
        let bucket = Bucket::default();
        assert_eq!(bucket.take(START, 11, 10), Err(Dry::Ever));
        assert_eq!(bucket.take(START, 1, 0), Err(Dry::Ever));
        assert_eq!(bucket.take(START, 0, 0), Ok(()));
        assert_eq!(bucket.take(START, 10, 10), Ok(()), "a refusal takes nothing");
        assert_eq!(bucket.take(START, u64::MAX, u64::MAX), Err(Dry::For(Duration::from_secs(60))));
    }

    #[test]
    fn giving_back_all_leaves_no_trace() {
        let bucket = Bucket::default();
        bucket.take(START, 700, 1_000).unwrap();
        bucket.correct(START, 700, 0, 1_000);
        assert_eq!(bucket.level(START, 1_000), 1_000);
        assert_eq!(bucket.take(START, 1_000, 1_000), Ok(()));
    }

    #[test]
    fn an_excess_is_owed_but_not_for_ever() {
        let bucket = Bucket::default();
        bucket.take(START, 100, 1_000).unwrap();
        bucket.correct(START, 100, 3_100, 1_000);
        assert_eq!(bucket.level(START, 1_000), 0);
        assert_eq!(bucket.take(START, 1, 1_000), Err(Dry::For(Duration::from_millis(126_060))));
        bucket.correct(START, 0, u64::MAX, 1_000);
        assert_eq!(bucket.take(after_ms(3_600_000), 1_000, 1_000), Ok(()));
    }

    #[test]
    fn racing_takers_share_exactly_a_minutes_worth() {
        let bucket = Bucket::default();
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..16)
                .map(|_| {
                    scope.spawn(|| {
                        (0..1_000).filter(|_| bucket.take(START, 1, 5_000).is_ok()).count()
                    })
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 5_000);
    }

    /// The textbook bucket in exact arithmetic: nanoseconds times rate.
    struct Reference {
        level: u128,
        at: Duration,
        per_minute: u64,
    }

    impl Reference {
        fn full(per_minute: u64) -> Self {
            Self { level: u128::from(per_minute) * u128::from(MINUTE_NS), at: START, per_minute }
        }

        fn take(&mut self, now: Duration, cost: u64) -> bool {
            let full = u128::from(self.per_minute) * u128::from(MINUTE_NS);
            let refill = now.checked_sub(self.at).unwrap().as_nanos() * u128::from(self.per_minute);
            self.level = full.min(self.level + refill);
            self.at = now;
            let cost = u128::from(cost) * u128::from(MINUTE_NS);
            let fits = cost <= self.level;
            if fits {
                self.level -= cost;
            }
            fits
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_textbook_bucket(
            // Rates that divide a minute into whole nanoseconds, so that both are exact.
            per_minute in prop::sample::select(vec![1_u64, 6, 60, 1_000, 30_000]),
            steps in prop::collection::vec((0_u64..20_000, 0_u64..400), 1..80),
        ) {
            let bucket = Bucket::default();
            let mut reference = Reference::full(per_minute);
            let mut now = START;
            for (wait_ms, cost) in steps {
                now += Duration::from_millis(wait_ms);
                let expected = reference.take(now, cost);
                prop_assert_eq!(bucket.take(now, cost, per_minute).is_ok(), expected);
            }
        }

        #[test]
        fn what_is_really_used_never_exceeds_burst_plus_rate(
            per_minute in 1_u64..5_000,
            steps in prop::collection::vec((0_u64..3_000, 1_u64..2_000, 0_u64..2_000), 1..80),
        ) {
            let bucket = Bucket::default();
            let (mut now, mut used) = (START, 0_u128);
            for (wait_ms, estimate, actual) in steps {
                now += Duration::from_millis(wait_ms);
                if bucket.take(now, estimate, per_minute).is_ok() {
                    let actual = actual.min(estimate);
                    bucket.correct(now, estimate, actual, per_minute);
                    used += u128::from(actual);
                }
                let minutes_ns = u128::from(MINUTE_NS) + now.checked_sub(START).unwrap().as_nanos();
                prop_assert!(used * u128::from(MINUTE_NS) <= u128::from(per_minute) * minutes_ns);
            }
        }
    }
}
