//! An answer of a model, and an error instead of one.

use freehold_types::{Code, ErrorKind};
use serde_json::Value;

use super::{Dialect, Extra, Item};

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The dialect it was decoded from; the engine's answers have the
    /// caller's.
    pub origin: Dialect,
    /// The provider's id of it; may be empty.
    pub id: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Seconds since 1970, where the dialect says.
    pub created: Option<i64>,
    /// One, unless more were asked for.
    pub choices: Vec<Choice>,
    /// Tokens used; `None` where the provider did not say.
    pub usage: Option<Usage>,
    /// The lane that served it.
    pub service_tier: Option<String>,
    /// What only the origin knows.
    pub extra: Extra,
}

/// One of an answer's alternatives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// What the model said, thought and called, in order.
    pub items: Vec<Item>,
    /// Why it ended; `None` if it did not.
    pub stop: Option<Stop>,
    /// What only the origin knows.
    pub extra: Extra,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Stop {
    /// In the hub's words.
    pub reason: StopReason,
    /// In the origin's words, for the same dialect to say again.
    pub native: Option<(Dialect, String)>,
    /// The stop string that was met.
    pub sequence: Option<String>,
}

impl Stop {
    /// A stop without native word.
    pub fn new(reason: StopReason) -> Self {
        Self { reason, native: None, sequence: None }
    }
}

/// Why an answer ended, in the hub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The model was done.
    End,
    /// It met a stop string.
    StopSequence,
    /// It waits for tools.
    ToolCalls,
    /// The output limit, or the context's.
    MaxTokens,
    /// It, or a filter, declined.
    Refusal,
    /// The provider paused a long turn; send it back to go on.
    Pause,
    /// The provider failed after it began.
    Failed,
    /// Something else; see the native word.
    Other,
}

/// Tokens used by one answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Of those, read from a prompt cache. `None` where not said.
    pub cache_read: Option<u64>,
    /// Of those, written to a prompt cache. `None` where not said.
    pub cache_write: Option<u64>,
    /// Of the written, those with the long (one hour) lifetime.
    pub cache_write_long: Option<u64>,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Of those, reasoning. `None` where not said.
    pub reasoning: Option<u64>,
    /// True if counted by us and not said by the provider.
    pub estimated: bool,
    /// The origin's usage object less what is above.
    pub extra: Extra,
}

/// An error in any dialect: a provider's, or our own.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The HTTP status that carries it.
    pub status: u16,
    /// A stable word for programs (`model_not_found`).
    pub code: Option<String>,
    /// The dialect's own type word, where it came from a provider.
    pub native_type: Option<(Dialect, String)>,
    /// For people: what failed, where, what to do.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
    /// The whole error as it came, for the same dialect.
    pub native: Option<(Dialect, Value)>,
}

impl ApiError {
    /// An error of our own, with its code's kind and the kind's status.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            kind: code.kind(),
            status: code.kind().status(),
            code: Some(code.word().to_owned()),
            native_type: None,
            message: message.into(),
            param: None,
            retry_after_ms: None,
            native: None,
        }
    }
}
