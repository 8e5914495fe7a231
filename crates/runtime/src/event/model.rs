//! Events of asking a model.

use freehold_types::Offset;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Content, Name, Note, Span, Usage};

/// What a model is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The next step of the turn.
    Step,
    /// A summary that stands for old context.
    Compaction,
}

/// A model is asked; the attempt is named by this event's offset. Its
/// context is all that is live at this offset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAsked {
    /// What for.
    pub purpose: Purpose,
    /// How many attempts in a row failed before this one.
    pub failures: u32,
    /// Not to be sent before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// Servers of tools were listed for an attempt, and not all list what they did
/// before. Not content of the context: the model is shown tools with every
/// request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolsListed {
    /// The attempt.
    pub asked: Offset,
    /// What all of them list now, in short.
    pub listings: Vec<Listing>,
    /// A list of [`Listed`](crate::tools::Listed): those that are new.
    pub content: Content,
}

/// What a server listed, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listing {
    /// Of the server's label.
    pub server: u64,
    /// Of all that it listed.
    pub tools: u64,
}

/// Some of an answer that still streams. Not content of the context: the
/// whole answer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelDelta {
    /// The attempt.
    pub asked: Offset,
    /// Its events, in the hub's words.
    pub content: Content,
}

/// A complete answer. Recovery reads it and does not ask again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAnswered {
    /// The attempt.
    pub asked: Offset,
    /// The model that answered.
    pub model: Name,
    /// Its items.
    pub content: Content,
    /// What it used.
    pub usage: Usage,
    /// How many tools it calls; each has a `ToolIntended` in the same commit.
    pub calls: u32,
    /// The provider paused: the model goes on when asked again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// An attempt ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAborted {
    /// The attempt.
    pub asked: Offset,
    /// Why.
    pub reason: AbortReason,
    /// What failed, for people.
    pub message: Note,
    /// What it used nevertheless.
    pub usage: Usage,
    /// Whether its deltas so far are content of the context. They stay in the
    /// journal in any case.
    pub kept: bool,
}

/// Why an attempt ended without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbortReason {
    /// It failed, and a next attempt may not.
    Retryable,
    /// It failed, and a next attempt would too.
    Final,
    /// The process that asked is gone.
    TakenOver,
    /// The turn is to stop.
    Cancelled,
    /// Nothing came for too long.
    Stuck,
    /// The key's budget does not bear it.
    Budget,
}

/// A summary stands for old context. Its text is the content of the
/// `ModelAnswered` before it; the originals stay readable and searchable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compacted {
    /// The context that was summed up.
    pub inputs: Vec<Span>,
    /// What of it stays as it is, after the summary.
    pub kept: Vec<Span>,
    /// What of it only the summary stands for.
    pub dropped: Vec<Span>,
    /// Where the summary is.
    pub summary: Offset,
    /// The model that wrote it.
    pub model: Name,
}
