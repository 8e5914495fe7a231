//! The four records of a tool call, and the doubt that may come between them.

use freehold_types::{CallId, Offset};
use serde::{Deserialize, Serialize};

use super::{Content, Hash, Name};

/// The model wants a tool called, and the rules have been asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolIntended {
    /// Our id of the call. The key that makes it idempotent is its text.
    pub call: CallId,
    /// The provider's id of it, which joins call and result in the context.
    pub model_call: super::Text<128>,
    /// The answer that holds it.
    pub answer: Offset,
    /// The tool.
    pub tool: Name,
    /// The tool's version.
    pub tool_version: Name,
    /// Of the canonical arguments.
    pub args: Hash,
    /// The rule that allowed it, or asks for an approval.
    pub allowed: Allowed,
    /// Of the rules in force for the tool.
    pub rules: Hash,
    /// What becomes of it when nobody knows whether it ran.
    pub retry: RetryRule,
    /// How often it may be started without asking anybody.
    pub attempts_max: u32,
    /// How long a start of it may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What the rules say of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowed {
    /// It may start.
    ByRule,
    /// It may start once approved.
    OnApproval,
    /// It may not start; its outcome is in the same commit.
    No,
}

/// What becomes of a call that was started and has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryRule {
    /// The tool is asked by key; if it does not know the key, it is called.
    QueryByKey,
    /// It is called again: it was declared idempotent.
    Idempotent,
    /// A person decides.
    AskHuman,
    /// The model is told `unknown`.
    TellUnknown,
}

/// A call is handed to whoever performs it. Durable before that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolStarted {
    /// Which.
    pub call: CallId,
    /// Who performs it.
    pub place: Place,
    /// The lease under which it was started.
    pub epoch: u64,
    /// The how-manieth start, from 1.
    pub attempt: u32,
}

/// Who performs a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// The worker of this session.
    Worker,
    /// The client, when it likes.
    Client,
    /// A person, when they like.
    Human,
}

/// A start without outcome, of which nobody here knows whether it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolDoubted {
    /// Which.
    pub call: CallId,
    /// The start in doubt; 0 for one that only what was lost may hold.
    pub attempt: u32,
    /// Why.
    pub doubt: Doubt,
    /// How it is resolved: what follows in the same commit, or a query.
    pub resolve: Resolve,
}

/// Why nobody knows whether a call ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Doubt {
    /// The process that started it is gone.
    TakenOver,
    /// It took too long.
    Timeout,
    /// The connection broke, or the like.
    Lost,
    /// The session was restored: it may have been started in what was lost.
    Restored,
}

/// How a doubt is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolve {
    /// The tool is asked by key.
    Query,
    /// It is started again.
    Restart,
    /// A person is asked.
    Ask,
    /// Its outcome is `unknown`.
    Unknown,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolOutcome {
    /// Which.
    pub call: CallId,
    /// How.
    pub outcome: Outcome,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// With a result.
    Ok(Content),
    /// With an error of the tool's own.
    Failed(Content),
    /// It was never started, and this is why.
    Refused(ErrorReason),
    /// It may or may not have run.
    Unknown(UnknownReason),
}

/// Why a call was not started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ErrorReason {
    /// There is no such tool.
    NoSuchTool,
    /// The arguments are no JSON.
    BadArguments,
    /// The rules forbid it.
    Forbidden,
    /// One answer called more tools than a step may.
    TooMany,
    /// As many calls were started as the client allows for one answer of ours.
    CallLimit,
    /// Whoever was asked denied it.
    Denied,
    /// Nobody decided in time.
    ApprovalExpired,
    /// The turn was stopped before.
    Cancelled,
}

/// Why nobody knows whether a call ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReason {
    /// Its worker is gone or lost it, and its rule is to say so.
    Lost,
    /// It took too long, and its rule is to say so.
    Timeout,
    /// It was started as often as it may be.
    Attempts,
    /// Asked by key, the tool could not say.
    QueryFailed,
    /// The person who was asked does not want it repeated, or did not answer.
    NotRepeated,
    /// The turn was stopped while it ran.
    Cancelled,
    /// It runs in the session that this one was forked from.
    Forked,
    /// It runs in the session that this one is a copy of, in another cell.
    Imported,
    /// It may have run in what was lost when the session was restored.
    Restored,
}

/// The result becomes part of the context, here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolObserved {
    /// Which.
    pub call: CallId,
    /// The event that holds the outcome as the model is told it.
    pub outcome: Offset,
}
