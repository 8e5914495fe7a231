//! An answer of a model, and an error instead of one.

use freehold_types::{Code, ErrorKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dialect, Extra, Item};

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The dialect it was decoded from; the engine's answers have the
    /// caller's.
    pub origin: Dialect,
    /// The provider's id of it; may be empty.
    pub id: String,
    /// The model that answered, as the provider names it.
    pub model: String,
    /// Seconds since 1970, where the dialect says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<i64>,
    /// One, unless more were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
    /// Tokens used; `None` where the provider did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The lane that served it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// What only the origin knows.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

/// One of an answer's alternatives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What the model said, thought and called, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Why it ended; `None` if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,
    /// What only the origin knows.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stop {
    /// In the hub's words.
    pub reason: StopReason,
    /// In the origin's words, for the same dialect to say again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native: Option<(Dialect, String)>,
    /// The stop string that was met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<String>,
}

impl Stop {
    /// A stop without native word.
    pub fn new(reason: StopReason) -> Self {
        Self { reason, native: None, sequence: None }
    }
}

/// Why an answer ended, in the hub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, cached ones included.
    pub input: u64,
    /// Of those, read from a prompt cache. `None` where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<u64>,
    /// Of those, written to a prompt cache. `None` where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<u64>,
    /// Of the written, those with the long (one hour) lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_long: Option<u64>,
    /// All output tokens, reasoning included.
    pub output: u64,
    /// Of those, reasoning. `None` where not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<u64>,
    /// True if counted by us and not said by the provider.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// The origin's usage object less what is above.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

/// An error in any dialect: a provider's, or our own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// The HTTP status that carries it.
    pub status: u16,
    /// A stable word for programs (`model_not_found`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The dialect's own type word, where it came from a provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub native_type: Option<(Dialect, String)>,
    /// For people: what failed, where, what to do.
    pub message: String,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// When to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// The whole error as it came, for the same dialect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
