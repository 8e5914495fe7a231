//! Events of a turn: one run of the agent loop.

use freehold_types::{ApprovalId, CallId, Offset, TurnId};
use serde::{Deserialize, Serialize};

use super::{LimitKind, Limits, Note, Scope};

/// A turn begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnStarted {
    /// Which.
    pub turn: TurnId,
    /// What it may use.
    #[serde(default)]
    pub limits: Limits,
}

/// All that a turn could do itself is done; it waits for others. Whatever is
/// recorded next in the turn ends the wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnWaiting {
    /// For whom.
    pub on: Vec<WaitOn>,
}

/// Whom a turn waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WaitOn {
    /// The client, for the result of a call.
    Client(CallId),
    /// A person, for the answer to a call.
    Human(CallId),
    /// A timer, which ends a call.
    Timer(CallId),
    /// Whoever may decide.
    Approval(ApprovalId),
    /// Whoever may raise a limit.
    Budget(Scope, LimitKind),
}

/// Somebody, or something, wants the turn to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelAsked {
    /// Why.
    pub reason: CancelReason,
}

/// Why a turn is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CancelReason {
    /// It was asked to.
    Asked,
    /// An input interrupts it; what was done is kept.
    Interrupt(Offset),
    /// An input replaces it; the model forgets it.
    Rollback(Offset),
    /// It did not get on.
    Stuck,
    /// The model cannot be had.
    ModelFailed,
    /// The session was forked, and the turn goes on in the parent.
    Forked,
    /// The session is a copy, and the turn goes on in the cell of the original.
    Imported,
}

/// A turn is over: nothing of it is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TurnEnded {
    /// How.
    pub reason: EndReason,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The model had nothing more to do.
    Done,
    /// It was asked to stop.
    Cancelled,
    /// An input interrupted it.
    Interrupted,
    /// An input replaced it.
    RolledBack,
    /// It failed; the `Faulted` before says why.
    Failed,
}

/// Something is wrong with the turn, for people to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Faulted {
    /// A stable word: `stuck`, `model_failed`, `compaction_failed`.
    pub code: super::Name,
    /// What failed, and what was open at the time.
    pub message: Note,
}
