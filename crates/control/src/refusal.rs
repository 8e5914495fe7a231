//! What a caller hears when an exchange may not go on.

use std::fmt;
use std::time::Duration;

use freehold_types::ErrorKind;

/// The stable words for every reason to refuse. Each has a page in
/// `docs/errors/`; a new one needs a client that would act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// No key was presented.
    KeyMissing,
    /// The key was never issued here.
    KeyUnknown,
    /// The key's time is over.
    KeyExpired,
    /// The key was taken back.
    KeyRevoked,
    /// The key may not use this route.
    RouteForbidden,
    /// The key may not manage this.
    AdminRequired,
    /// Requests per minute.
    LimitRequests,
    /// Tokens per minute.
    LimitTokens,
    /// Exchanges at once.
    LimitConcurrency,
    /// A budget cannot pay for it.
    BudgetExhausted,
    /// The route has no price, and a budget asks for one.
    BudgetUnpriced,
    /// The server has as much in flight as it may.
    OverloadShed,
    /// The upstream answers more slowly the more it gets.
    OverloadUpstream,
    /// Usage can no longer be recorded, and serving without is not allowed.
    UsageUnrecordable,
}

impl Code {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::KeyMissing,
        Self::KeyUnknown,
        Self::KeyExpired,
        Self::KeyRevoked,
        Self::RouteForbidden,
        Self::AdminRequired,
        Self::LimitRequests,
        Self::LimitTokens,
        Self::LimitConcurrency,
        Self::BudgetExhausted,
        Self::BudgetUnpriced,
        Self::OverloadShed,
        Self::OverloadUpstream,
        Self::UsageUnrecordable,
    ];

    /// The word as clients, logs and metrics see it.
    pub fn word(self) -> &'static str {
        match self {
            Self::KeyMissing => "key.missing",
            Self::KeyUnknown => "key.unknown",
            Self::KeyExpired => "key.expired",
            Self::KeyRevoked => "key.revoked",
            Self::RouteForbidden => "route.forbidden",
            Self::AdminRequired => "admin.required",
            Self::LimitRequests => "limit.requests",
            Self::LimitTokens => "limit.tokens",
            Self::LimitConcurrency => "limit.concurrency",
            Self::BudgetExhausted => "budget.exhausted",
            Self::BudgetUnpriced => "budget.unpriced",
            Self::OverloadShed => "overload.shed",
            Self::OverloadUpstream => "overload.upstream",
            Self::UsageUnrecordable => "usage.unrecordable",
        }
    }

    fn kind(self) -> ErrorKind {
        match self {
            Self::KeyMissing | Self::KeyUnknown | Self::KeyExpired | Self::KeyRevoked => {
                ErrorKind::Unauthenticated
            }
            Self::RouteForbidden | Self::AdminRequired | Self::BudgetUnpriced => {
                ErrorKind::Forbidden
            }
            Self::LimitRequests | Self::LimitTokens | Self::LimitConcurrency => {
                ErrorKind::OverLimit
            }
            Self::BudgetExhausted => ErrorKind::OutOfBudget,
            Self::OverloadShed | Self::OverloadUpstream | Self::UsageUnrecordable => {
                ErrorKind::Unavailable
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// An exchange that may not go on, and what the caller can do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What to do about it, by kind.
    pub kind: ErrorKind,
    /// Which reason.
    pub code: Code,
    /// What, where and what to do; fit for the caller's eyes.
    pub message: String,
    /// When the same request may succeed. `None`: not by waiting.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { kind: code.kind(), code, message: message.into(), retry_after_ms: None }
    }

    /// The request itself is larger than the limit; waiting will not help.
    pub(crate) fn too_large(code: Code, message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::TooLarge, ..Self::new(code, message) }
    }

    /// Rounded up to whole milliseconds, at least one: a caller that waits
    /// this long is not refused for the same reason a moment too early.
    pub(crate) fn retry_after(mut self, wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000).max(1);
        self.retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_words_in_order() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.word()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        assert!(Code::ALL.is_sorted());
    }

    #[test]
    fn a_wait_is_rounded_up() {
        let refusal = Refusal::new(Code::LimitRequests, "wait");
        assert_eq!(refusal.retry_after_ms, None);
        let wait = |nanos| refusal.clone().retry_after(Duration::from_nanos(nanos)).retry_after_ms;
        assert_eq!(wait(0), Some(1));
        assert_eq!(wait(1_000_001), Some(2));
    }
}
