//! Events of a session as a whole: its birth, forks, rewinds, seals, pins.

use freehold_types::{Offset, SessionId};
use serde::{Deserialize, Serialize};

use super::{Hash, Limits, Name};

/// A range of the journal, both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// The first.
    pub from: Offset,
    /// The last.
    pub to: Offset,
}

impl Span {
    /// Whether the offset is in it.
    pub fn has(self, offset: Offset) -> bool {
        self.from <= offset && offset <= self.to
    }
}

/// The session exists. Always the first event of a journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionCreated {
    /// The agent that works in it, with its version.
    pub agent: Name,
    /// Where it comes from.
    pub origin: Origin,
    /// What it may use in all.
    #[serde(default)]
    pub limits: Limits,
    /// The timeline that it begins on.
    pub timeline: u64,
}

/// Where a session comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// Somebody asked for it.
    New,
    /// Not written any more: a copy of another cell's session has that one's
    /// first event, and says so by [`Imported`].
    Imported {
        /// Of the bundle.
        bundle: Hash,
    },
}

/// Another session begins with this one's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forked {
    /// The other.
    pub child: SessionId,
    /// The last event that they share.
    pub at: Offset,
}

/// The events before this one are another session's. What was under way
/// there goes on there: here its turn is over, its timers, approvals and
/// queued inputs are void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForkedFrom {
    /// The other.
    pub parent: SessionId,
    /// The last event that they share.
    pub at: Offset,
    /// The timeline that it begins on.
    pub timeline: u64,
}

/// The model no longer sees what came after an event. The events stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewound {
    /// The last event that counts.
    pub to: Offset,
    /// The context as it was there.
    pub context: Vec<Span>,
    /// How many calls of tools were started in what is dropped: the world
    /// does not rewind with the session, and the model is told so.
    pub effects: u32,
}

/// The session goes on in another cell; here it refuses everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The cell that may take it.
    pub cell: Name,
    /// Of the bundle that it was given.
    pub bundle: Hash,
}

/// The other cell has refused the session, which goes on here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unsealed {
    /// Of that cell's signed refusal.
    pub refusal: Hash,
}

/// The session, which another cell sealed for this one, goes on here: nothing
/// else of it is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arrived {
    /// The cell that sealed it.
    pub from: Name,
    /// Of the bundle that it came in.
    pub bundle: Hash,
}

/// The events before this one are a copy of another cell's session. What was
/// under way there goes on there: here its turn is over, its timers, approvals
/// and queued inputs are void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The cell that signed the copy.
    pub from: Name,
    /// The session there.
    pub session: SessionId,
    /// The last event that both have.
    pub at: Offset,
    /// Of the bundle that it came in.
    pub bundle: Hash,
    /// The timeline that the copy begins on.
    pub timeline: u64,
}

/// The session was restored from a backup and goes on as another timeline.
/// What came after the event before this one is lost, its effects in the world
/// are not: nobody here knows of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The timeline that begins here.
    pub timeline: u64,
}

/// An event must survive every compaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// Which.
    pub at: Offset,
}

/// An event need not survive compactions any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpinned {
    /// Which.
    pub at: Offset,
}
