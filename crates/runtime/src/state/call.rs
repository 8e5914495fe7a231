//! An open call of a tool.

use freehold_types::{CallId, Offset};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{Hash, Name, Place, Resolve, RetryRule};

/// A call that was intended and is not observed yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Which.
    pub id: CallId,
    /// The event that intended it.
    pub intended: Offset,
    /// The answer that asks for it.
    pub answer: Offset,
    /// The tool.
    pub tool: Name,
    /// Of the canonical arguments.
    pub args: Hash,
    /// Of arguments, tool and rules: what an approval would hold for.
    pub bound: Hash,
    /// What becomes of it in doubt.
    pub retry: RetryRule,
    /// How often it may be started without asking.
    pub attempts_max: u32,
    /// How long a start may take.
    pub timeout_ms: u64,
    /// How far it is.
    pub status: Status,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Status {
    /// It was not started, and may not be without an approval.
    Asks,
    /// It was not started, and may be.
    Ready,
    /// It was started.
    Running {
        /// Who performs it.
        place: Place,
        /// The how-manieth start.
        attempt: u32,
        /// When it takes too long; clients and people take what they need.
        deadline: Option<Timestamp>,
    },
    /// Nobody knows whether it ran.
    Doubted {
        /// The start in doubt.
        attempt: u32,
        /// How it is being found out.
        resolve: Resolve,
    },
    /// It has an outcome.
    Done {
        /// The event that holds it.
        outcome: Offset,
    },
}

impl Call {
    /// The start that counts, if there was one and it has no outcome.
    pub fn attempt(&self) -> Option<u32> {
        match self.status {
            Status::Running { attempt, .. } | Status::Doubted { attempt, .. } => Some(attempt),
            Status::Asks | Status::Ready | Status::Done { .. } => None,
        }
    }

    /// Whether it has an outcome.
    pub fn is_done(&self) -> bool {
        matches!(self.status, Status::Done { .. })
    }

    /// Whether the session's worker performs it.
    pub fn is_with_worker(&self) -> bool {
        matches!(self.status, Status::Running { place: Place::Worker, .. })
    }
}
