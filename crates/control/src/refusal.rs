//! What a caller hears when an exchange may not go on.

use std::time::Duration;

use freehold_types::{Code, ErrorKind};

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
    use super::*;

    #[test]
    fn a_wait_is_rounded_up() {
        let refusal = Refusal::new(Code::LimitRequests, "wait");
        assert_eq!(refusal.retry_after_ms, None);
        let wait = |nanos| refusal.clone().retry_after(Duration::from_nanos(nanos)).retry_after_ms;
        assert_eq!(wait(0), Some(1));
        assert_eq!(wait(1_000_001), Some(2));
    }
}
