//! The turn that runs.

use freehold_types::{Offset, TurnId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Call;
use crate::event::{CancelReason, LimitKind, Limits, Purpose, Scope, Span, Usage};

/// A turn that began and did not end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Which.
    pub id: TurnId,
    /// The event that began it.
    pub started: Offset,
    /// The last event that took inputs into it.
    pub taken: Option<Offset>,
    /// The context before it, for a rollback.
    pub before: Vec<Span>,
    /// What it may use.
    pub limits: Limits,
    /// What it used.
    pub usage: Usage,
    /// How often a model was asked.
    pub steps: u64,
    /// Milliseconds at work, up to the last wait.
    pub active_ms: u64,
    /// Since when it is at work; `None` while it waits for others.
    pub active_since: Option<Timestamp>,
    /// When something last happened in it.
    pub progress_at: Timestamp,
    /// How many calls of tools were started.
    pub effects: u32,
    /// How many of those the worker performs, since the latest settings came.
    #[serde(default)]
    pub performed: u32,
    /// The model owes an answer to what is new in the context.
    pub owes_answer: bool,
    /// How many attempts in a row failed.
    pub failures: u32,
    /// Whether a compaction was made, or failed, in it.
    pub compacted: bool,
    /// The attempt that is open.
    pub model: Option<ModelAttempt>,
    /// The calls that are open.
    pub calls: Vec<Call>,
    /// The limit at which it pauses.
    pub paused: Option<(Scope, LimitKind)>,
    /// It is to stop.
    pub cancel: Option<Cancel>,
}

/// A model was asked and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelAttempt {
    /// The event that asked.
    pub asked: Offset,
    /// What for.
    pub purpose: Purpose,
    /// Not to be sent before.
    pub not_before: Option<Timestamp>,
}

/// A turn is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Why.
    pub reason: CancelReason,
    /// Since when.
    pub at: Timestamp,
}

impl Turn {
    /// Milliseconds at work until now.
    pub fn active_until(&self, now: Timestamp) -> u64 {
        self.active_ms.saturating_add(self.active_since.map_or(0, |since| ms_between(since, now)))
    }
}

/// Milliseconds from one time to another; none if the clock went back.
pub(super) fn ms_between(from: Timestamp, to: Timestamp) -> u64 {
    let ms = to.as_millisecond().saturating_sub(from.as_millisecond());
    u64::try_from(ms).unwrap_or(0)
}
