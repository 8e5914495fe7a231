//! What the events of a session fold to: references and sums, never content,
//! and within bounds whatever the length of the journal.

mod apply;
mod call;
mod context;
mod snapshot;
mod turn;

use freehold_types::{ApprovalId, CallId, Offset, TimerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Busy, Deciders, Labels, Limits, Name, Question, Repeat, Usage, Verdict};

pub use apply::Illegal;
pub(crate) use apply::tool_hash;
pub use call::{Call, Status};
pub use context::Context;
pub(crate) use context::part;
pub use snapshot::{SNAPSHOT_BYTES_MAX, SNAPSHOT_VERSION, SnapshotError};
pub use turn::{Cancel, ModelAttempt, Turn};

/// The most calls of tools that are open at once.
pub const CALLS_MAX: usize = 20;
/// The most inputs that wait.
pub const QUEUE_MAX: usize = 48;
/// The most timers.
pub const TIMERS_MAX: usize = 16;
/// The most pinned events.
pub const PINS_MAX: usize = 16;
/// The most spans of the context.
pub const SPANS_MAX: usize = 24;
/// How many closed approvals are remembered, to answer a second decision.
pub const DECIDED_MAX: usize = 16;

/// A session as its journal has it up to [`State::head`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The last event that is in it.
    pub head: Offset,
    /// The timeline that its last event is on.
    pub timeline: u64,
    /// The cell that the session was moved to.
    pub sealed: Option<Name>,
    /// What it may use.
    pub limits: Limits,
    /// What it used.
    pub usage: Usage,
    /// How often a model was asked.
    pub steps: u64,
    /// Milliseconds at work.
    pub active_ms: u64,
    /// The labels of everything in it.
    pub labels: Labels,
    /// What a model would see.
    pub context: Context,
    /// Events that no compaction may drop.
    pub pins: Vec<Offset>,
    /// The event with the settings in force; `None` for those that the session
    /// was made with.
    pub settings: Option<Offset>,
    /// The event that says what servers of tools listed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Offset>,
    /// Inputs that wait, in order of arrival.
    pub queue: Vec<Queued>,
    /// The turn that runs.
    pub turn: Option<Turn>,
    /// Questions that wait.
    pub approvals: Vec<Approval>,
    /// Questions that do not wait any more, the latest last.
    pub decided: Vec<Decided>,
    /// Timers that will fire.
    pub timers: Vec<Timer>,
}

/// An input that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queued {
    /// The event that holds it.
    pub at: Offset,
    /// What was asked for it.
    pub busy: Busy,
    /// Whether it brings settings.
    pub settings: bool,
}

/// A question that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Which.
    pub id: ApprovalId,
    /// About which call.
    pub call: CallId,
    /// What is asked.
    pub question: Question,
    /// Who may decide.
    pub deciders: Deciders,
    /// Until when.
    pub expires: Timestamp,
}

/// A question that does not wait any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// Which.
    pub id: ApprovalId,
    /// What was decided; `None` if it lapsed.
    pub verdict: Option<Verdict>,
}

/// A timer that will fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timer {
    /// Which.
    pub id: TimerId,
    /// When.
    pub due: Timestamp,
    /// And when again.
    pub repeat: Repeat,
    /// The event that set it, which holds its content.
    pub set: Offset,
    /// The call that it ends, if it is not an input.
    pub call: Option<CallId>,
}

impl State {
    /// The call, if it is open.
    pub fn call(&self, id: CallId) -> Option<&Call> {
        self.turn.as_ref()?.calls.iter().find(|call| call.id == id)
    }

    /// The question, if it waits.
    pub fn approval(&self, id: ApprovalId) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.id == id)
    }

    /// The question that waits about a call.
    pub fn approval_of(&self, call: CallId) -> Option<&Approval> {
        self.approvals.iter().find(|approval| approval.call == call)
    }

    /// The timer, if it will fire.
    pub fn timer(&self, id: TimerId) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.id == id)
    }

    /// The timer that will end a call.
    pub fn timer_of(&self, call: CallId) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.call == Some(call))
    }

    /// Whether there is room for one more input.
    pub fn has_room(&self) -> bool {
        self.queue.len() < QUEUE_MAX
    }
}
