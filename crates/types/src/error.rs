//! The closed set of error kinds, each of which tells a caller what to do.

use serde::{Deserialize, Serialize};

/// What a caller can do about an error. Closed on purpose: a new kind needs a
/// caller that would act differently on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The request is wrong; mend it before sending it again.
    Invalid,
    /// The request is larger than a stated limit.
    TooLarge,
    /// No credential, or one that is not known.
    Unauthenticated,
    /// The credential is known and may not do this.
    Forbidden,
    /// A budget is used up; it needs money, not patience.
    OutOfBudget,
    /// What was asked for does not exist.
    NotFound,
    /// The state has moved on; read it again.
    Conflict,
    /// A rate or concurrency limit; wait and send it again.
    OverLimit,
    /// The service cannot take the request just now; send it again.
    Unavailable,
    /// A provider failed; the request may be fine.
    Upstream,
    /// A provider did not answer in time.
    Timeout,
    /// A defect of Freehold's own.
    Internal,
}

impl ErrorKind {
    /// The HTTP status that says the same, where a dialect has no own opinion.
    pub fn status(self) -> u16 {
        match self {
            Self::Invalid => 400,
            Self::TooLarge => 413,
            Self::Unauthenticated => 401,
            Self::Forbidden => 403,
            Self::OutOfBudget => 402,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::OverLimit => 429,
            Self::Unavailable => 503,
            Self::Upstream => 502,
            Self::Timeout => 504,
            Self::Internal => 500,
        }
    }

    /// A stable word for logs and metric labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::OutOfBudget => "out_of_budget",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::OverLimit => "over_limit",
            Self::Unavailable => "unavailable",
            Self::Upstream => "upstream",
            Self::Timeout => "timeout",
            Self::Internal => "internal",
        }
    }
}
