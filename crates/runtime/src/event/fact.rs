//! The closed set of what can happen in a session.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::{
    ApprovalAsked, ApprovalDecided, ApprovalLapsed, Arrived, BudgetPaused, BudgetRaised,
    CancelAsked, Compacted, Faulted, Forked, ForkedFrom, Imported, InputAccepted, InputTaken,
    ModelAborted, ModelAnswered, ModelAsked, ModelDelta, Pinned, Restored, Rewound, Sealed,
    SessionCreated, SignalReceived, TimerCancelled, TimerFired, TimerSet, ToolDoubted,
    ToolIntended, ToolObserved, ToolOutcome, ToolStarted, ToolsListed, TurnEnded, TurnStarted,
    TurnWaiting, Unpinned, Unsealed,
};

/// Writes the enum, its words and its decoding from one table.
macro_rules! facts {
    ($($name:ident = $word:literal,)*) => {
        /// What happened. Each kind is a struct of the same name.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is its struct, which says it")]
        pub enum Fact {
            $($name($name),)*
        }

        /// The words of all kinds, in the order of the table.
        pub const KINDS: &[&str] = &[$($word),*];

        impl Fact {
            /// The kind's word in the journal.
            pub fn kind(&self) -> &'static str {
                match self { $(Self::$name(_) => $word,)* }
            }

            /// The fact of a kind, of the current version; `None` if there is
            /// no such kind.
            pub(super) fn decode(
                kind: &str,
                json: &RawValue,
            ) -> Result<Option<Self>, serde_json::Error> {
                Ok(Some(match kind {
                    $($word => Self::$name(serde_json::from_str(json.get())?),)*
                    _ => return Ok(None),
                }))
            }
        }

        impl Serialize for Fact {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                match self { $(Self::$name(fact) => fact.serialize(to),)* }
            }
        }

        $(impl From<$name> for Fact {
            fn from(fact: $name) -> Self {
                Self::$name(fact)
            }
        })*
    };
}

facts! {
    SessionCreated = "session_created",
    Forked = "forked",
    ForkedFrom = "forked_from",
    Rewound = "rewound",
    Sealed = "sealed",
    Unsealed = "unsealed",
    Arrived = "arrived",
    Imported = "imported",
    Restored = "restored",
    Pinned = "pinned",
    Unpinned = "unpinned",
    InputAccepted = "input_accepted",
    InputTaken = "input_taken",
    SignalReceived = "signal_received",
    TurnStarted = "turn_started",
    TurnWaiting = "turn_waiting",
    CancelAsked = "cancel_asked",
    TurnEnded = "turn_ended",
    Faulted = "faulted",
    ModelAsked = "model_asked",
    ToolsListed = "tools_listed",
    ModelDelta = "model_delta",
    ModelAnswered = "model_answered",
    ModelAborted = "model_aborted",
    Compacted = "compacted",
    ToolIntended = "tool_intended",
    ToolStarted = "tool_started",
    ToolDoubted = "tool_doubted",
    ToolOutcome = "tool_outcome",
    ToolObserved = "tool_observed",
    ApprovalAsked = "approval_asked",
    ApprovalDecided = "approval_decided",
    ApprovalLapsed = "approval_lapsed",
    TimerSet = "timer_set",
    TimerFired = "timer_fired",
    TimerCancelled = "timer_cancelled",
    BudgetPaused = "budget_paused",
    BudgetRaised = "budget_raised",
}
