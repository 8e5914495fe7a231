//! An attempt that gave no answer: what follows of it, and what people read.

use freehold_llm::model::ApiError;
use freehold_types::ErrorKind;

use super::ANSWER_BYTES_MAX;
use crate::decide::OFFERED_MAX;
use crate::event::{AbortReason, Note, Usage};

/// An attempt that gave no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What follows of it.
    pub reason: AbortReason,
    /// What failed, for people.
    pub message: Note,
    /// What it used nevertheless.
    pub usage: Usage,
}

impl Failure {
    /// By an error of the gateway's or of a provider's.
    pub fn of(error: &ApiError, usage: Usage) -> Self {
        Self { reason: reason(error.kind), message: Note::cut(&error.message), usage }
    }

    /// A stream that broke off: most likely the next does not.
    pub(super) fn truncated(usage: Usage) -> Self {
        Self::new(AbortReason::Retryable, "the answer broke off before it was complete", usage)
    }

    pub(super) fn upstream(usage: Usage) -> Self {
        Self::new(AbortReason::Retryable, "the provider failed in the middle of its answer", usage)
    }

    /// Models that write without end do it again.
    pub(super) fn too_large(usage: Usage) -> Self {
        let message =
            format!("the answer has more than {ANSWER_BYTES_MAX} bytes: ask for less at a time");
        Self::new(AbortReason::Final, &message, usage)
    }

    pub(super) fn too_deep(usage: Usage) -> Self {
        let message = "the answer holds JSON of more levels than a journal keeps";
        Self::new(AbortReason::Final, message, usage)
    }

    pub(super) fn too_many_calls(usage: Usage) -> Self {
        let message = format!("the answer calls tools more than {OFFERED_MAX} times");
        Self::new(AbortReason::Retryable, &message, usage)
    }

    pub(super) fn unwritable(error: &serde_json::Error, usage: Usage) -> Self {
        Self::new(AbortReason::Final, &format!("the answer has no JSON: {error}"), usage)
    }

    fn new(reason: AbortReason, message: &str, usage: Usage) -> Self {
        Self { reason, message: Note::cut(message), usage }
    }
}

/// Whether the same request may do better by itself, later or never.
fn reason(kind: ErrorKind) -> AbortReason {
    match kind {
        ErrorKind::OutOfBudget => AbortReason::Budget,
        ErrorKind::OverLimit
        | ErrorKind::Unavailable
        | ErrorKind::Upstream
        | ErrorKind::Timeout
        | ErrorKind::Conflict
        | ErrorKind::Internal => AbortReason::Retryable,
        ErrorKind::Invalid
        | ErrorKind::TooLarge
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound => AbortReason::Final,
    }
}
