//! The limits of one scope and what is taken of them.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use freehold_types::Code;

use crate::limits::{Bucket, Dry, Limits, Slots};
use crate::{Refusal, Scope};

/// How long to wait for a slot, if nobody can know.
const SLOT_WAIT: Duration = Duration::from_secs(1);
/// Stands for "no limit" in the cells below.
const NO_RATE: u64 = u64::MAX;
const NO_COUNT: u32 = u32::MAX;

/// The limits of one scope, which may change while exchanges are in flight,
/// and what is taken of them, which outlives every change.
#[derive(Debug)]
pub(crate) struct Meter {
    scope: Scope,
    requests_per_minute: AtomicU64,
    tokens_per_minute: AtomicU64,
    concurrency: AtomicU32,
    requests: Bucket,
    tokens: Bucket,
    slots: Slots,
}

/// What one exchange has taken of a meter; must be given to
/// [`Meter::release`] once.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MeterHold {
    /// The rates it was taken at, so that it is given back at the same.
    request_rate: u64,
    token_rate: u64,
}

impl Meter {
    pub(crate) fn new(scope: Scope, limits: Limits) -> Self {
        let meter = Self {
            scope,
            requests_per_minute: AtomicU64::new(NO_RATE),
            tokens_per_minute: AtomicU64::new(NO_RATE),
            concurrency: AtomicU32::new(NO_COUNT),
            requests: Bucket::default(),
            tokens: Bucket::default(),
            slots: Slots::default(),
        };
        meter.set_limits(limits);
        meter
    }

    #[cfg(test)]
    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// In force with the next exchange.
    pub(crate) fn set_limits(&self, limits: Limits) {
        let rate = |limit: Option<u64>| limit.unwrap_or(NO_RATE);
        self.requests_per_minute.store(rate(limits.requests_per_minute), Ordering::Relaxed);
        self.tokens_per_minute.store(rate(limits.tokens_per_minute), Ordering::Relaxed);
        self.concurrency.store(limits.concurrency.unwrap_or(NO_COUNT), Ordering::Relaxed);
    }

    /// Whether tokens are limited here.
    pub(crate) fn limits_tokens(&self) -> bool {
        self.tokens_per_minute.load(Ordering::Relaxed) != NO_RATE
    }

    /// Exchanges of this scope in flight.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> u32 {
        self.slots.taken()
    }

    /// Takes a slot, a request and `tokens` tokens, or nothing.
    pub(crate) fn take(&self, now: Duration, tokens: u64) -> Result<MeterHold, Refusal> {
        let max = self.concurrency.load(Ordering::Relaxed);
        if !self.slots.take(max) {
            return Err(self.refuse_slot(max));
        }
        let request_rate = self.requests_per_minute.load(Ordering::Relaxed);
        if request_rate != NO_RATE
            && let Err(dry) = self.requests.take(now, 1, request_rate)
        {
            self.slots.release();
            return Err(self.refuse_request(dry, request_rate));
        }
        let hold =
            MeterHold { request_rate, token_rate: self.tokens_per_minute.load(Ordering::Relaxed) };
        if hold.token_rate != NO_RATE
            && let Err(dry) = self.tokens.take(now, tokens, hold.token_rate)
        {
            self.untake(now, MeterHold { token_rate: NO_RATE, ..hold }, 0);
            return Err(self.refuse_tokens(dry, tokens, hold.token_rate));
        }
        Ok(hold)
    }

    /// Undoes a take as if it had not been.
    pub(crate) fn untake(&self, now: Duration, hold: MeterHold, tokens: u64) {
        if hold.request_rate != NO_RATE {
            self.requests.correct(now, 1, 0, hold.request_rate);
        }
        self.release(now, hold, tokens, 0);
    }

    /// Ends a hold: the slot is free, and the tokens that were reserved become
    /// those that were used.
    pub(crate) fn release(&self, now: Duration, hold: MeterHold, reserved: u64, used: u64) {
        self.slots.release();
        if hold.token_rate != NO_RATE {
            self.tokens.correct(now, reserved, used, hold.token_rate);
        }
    }

    /// What is left at this moment, of those limits that there are.
    pub(crate) fn left(&self, now: Duration) -> Limits {
        let rate = |cell: &AtomicU64, bucket: &Bucket| {
            let limit = cell.load(Ordering::Relaxed);
            (limit != NO_RATE).then(|| bucket.level(now, limit))
        };
        let max = self.concurrency.load(Ordering::Relaxed);
        Limits {
            requests_per_minute: rate(&self.requests_per_minute, &self.requests),
            tokens_per_minute: rate(&self.tokens_per_minute, &self.tokens),
            concurrency: (max != NO_COUNT).then(|| max.saturating_sub(self.slots.taken())),
        }
    }

    fn refuse_slot(&self, max: u32) -> Refusal {
        let message = format!(
            "{} allows {max} exchanges at once, and that many are in flight; send it again when \
             one of them has ended",
            self.scope
        );
        Refusal::new(Code::LimitConcurrency, message).retry_after(SLOT_WAIT)
    }

    fn refuse_request(&self, dry: Dry, rate: u64) -> Refusal {
        let what = format!("{} allows {rate} requests a minute", self.scope);
        match dry {
            Dry::For(wait) => {
                let message = format!("{what}, and they are used up; wait and send it again");
                Refusal::new(Code::LimitRequests, message).retry_after(wait)
            }
            Dry::Ever => Refusal::new(Code::LimitRequests, what),
        }
    }

    fn refuse_tokens(&self, dry: Dry, tokens: u64, rate: u64) -> Refusal {
        let what = format!(
            "{} allows {rate} tokens a minute, and this request may take up to {tokens} (its \
             input and the most output that it allows)",
            self.scope
        );
        match dry {
            Dry::For(wait) => {
                let message = format!("{what}; wait and send it again");
                Refusal::new(Code::LimitTokens, message).retry_after(wait)
            }
            Dry::Ever => {
                let message = format!("{what}; send less or lower its output limit");
                Refusal::too_large(Code::LimitTokens, message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::{ErrorKind, TenantId};

    use super::*;

    const NOW: Duration = Duration::from_secs(10);

    fn meter(requests: Option<u64>, tokens: Option<u64>, concurrency: Option<u32>) -> Meter {
        let limits =
            Limits { requests_per_minute: requests, tokens_per_minute: tokens, concurrency };
        Meter::new(Scope::Tenant(TenantId::main()), limits)
    }

    #[test]
    fn a_refusal_names_the_limit_its_scope_and_the_wait() {
        let refusal = |meter: &Meter, tokens| {
            meter.take(NOW, tokens).unwrap();
            let refusal = meter.take(NOW, tokens).unwrap_err();
            assert!(refusal.message.contains("the tenant `main`"), "{refusal}");
            (refusal.code, refusal.kind, refusal.retry_after_ms)
        };
        assert_eq!(
            refusal(&meter(Some(1), None, None), 5),
            (Code::LimitRequests, ErrorKind::OverLimit, Some(60_000))
        );
        assert_eq!(
            refusal(&meter(None, Some(100), None), 60),
            (Code::LimitTokens, ErrorKind::OverLimit, Some(12_000))
        );
        assert_eq!(
            refusal(&meter(None, None, Some(1)), 5),
            (Code::LimitConcurrency, ErrorKind::OverLimit, Some(1_000))
        );
    }

    #[test]
    fn what_never_fits_is_not_worth_a_wait() {
        let refusal = meter(None, Some(100), None).take(NOW, 101).unwrap_err();
        assert_eq!((refusal.kind, refusal.retry_after_ms), (ErrorKind::TooLarge, None));
        let refusal = meter(Some(0), None, None).take(NOW, 1).unwrap_err();
        assert_eq!((refusal.kind, refusal.retry_after_ms), (ErrorKind::OverLimit, None));
    }

    #[test]
    fn a_refusal_takes_nothing_of_the_other_limits() {
        let meter = meter(Some(2), Some(100), Some(2));
        meter.take(NOW, 60).unwrap();
        for _ in 0..10 {
            assert_eq!(meter.take(NOW, 60).unwrap_err().code, Code::LimitTokens);
        }
        let left = meter.left(NOW);
        assert_eq!(left.requests_per_minute, Some(1));
        assert_eq!(left.tokens_per_minute, Some(40));
        assert_eq!(left.concurrency, Some(1));
    }

    #[test]
    fn a_release_turns_the_estimate_into_what_was_used() {
        let meter = meter(None, Some(100), Some(1));
        let hold = meter.take(NOW, 80).unwrap();
        meter.release(NOW, hold, 80, 10);
        assert_eq!(meter.left(NOW).tokens_per_minute, Some(90));
        assert_eq!(meter.in_flight(), 0);
    }

    #[test]
    fn a_limit_changed_in_mid_flight_neither_gives_nor_takes_twice() {
        let meter = meter(None, None, None);
        let hold = meter.take(NOW, 80).unwrap();
        meter.set_limits(Limits { tokens_per_minute: Some(100), ..Limits::default() });
        meter.take(NOW, 100).unwrap();
        meter.release(NOW, hold, 80, 0);
        assert_eq!(meter.left(NOW).tokens_per_minute, Some(0), "it took nothing of this limit");
    }
}
