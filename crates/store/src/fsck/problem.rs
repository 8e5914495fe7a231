//! What can be wrong, in words.

use std::fmt;
use std::sync::Arc;

use freehold_types::SessionId;

/// A table of what is projected from journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Timers that have not fired.
    Timers,
    /// What is waited for.
    Waits,
    /// Requests that were accepted.
    IdempotencyKeys,
    /// References to blobs.
    BlobRefs,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timers => "timers",
            Self::Waits => "waits",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::BlobRefs => "blob_refs",
        })
    }
}

/// What is wrong with a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Events are missing.
    #[error("after the event {after} comes {next}: what is between is lost")]
    Gap {
        /// The last one before.
        after: u64,
        /// The one that comes instead.
        next: u64,
    },
    /// Events cannot be read.
    #[error("the events after {after} cannot be read: {why}")]
    Unreadable {
        /// The last one that can.
        after: u64,
        /// What is wrong.
        why: String,
    },
    /// The journal ends before the session does.
    #[error("the session's head is {head}, and its last event is {last}")]
    Short {
        /// Where the session says that it ends.
        head: u64,
        /// Its last event.
        last: u64,
    },
    /// There are events after the session's head.
    #[error("the session's head is {head}, and there is an event {found}")]
    Beyond {
        /// Where the session says that it ends.
        head: u64,
        /// The first one after.
        found: u64,
    },
    /// The events that a fork begins with cannot be read.
    #[error("it is a fork, and {why}")]
    Lineage {
        /// What is wrong.
        why: String,
    },
    /// A parent does not know of its fork, and would not keep its events.
    #[error("it is a fork of {parent}, which does not hold what it needs")]
    NotHeld {
        /// The parent.
        parent: SessionId,
    },
    /// A snapshot of what has not happened.
    #[error("its snapshot is of the event {offset}, and its head is {head}")]
    Snapshot {
        /// The last event in it.
        offset: u64,
        /// Where the session ends.
        head: u64,
    },
    /// A row names an event that is not there.
    #[error("{table} has `{name}` by the event {offset}, which is not there")]
    NoEvent {
        /// Of which table.
        table: Table,
        /// Its name.
        name: Arc<str>,
        /// The event that it names.
        offset: u64,
    },
    /// The events come to a row that is not there.
    #[error("{table} lacks `{name}`, to which the events come")]
    Missing {
        /// Of which table.
        table: Table,
        /// Its name.
        name: Arc<str>,
    },
    /// A row is there to which the events do not come.
    #[error("{table} has `{name}`, to which the events do not come")]
    Extra {
        /// Of which table.
        table: Table,
        /// Its name.
        name: Arc<str>,
    },
    /// A row is not what the events come to.
    #[error("{table} has `{name}` as {found}, and the events come to {expected}")]
    Differs {
        /// Of which table.
        table: Table,
        /// Its name.
        name: Arc<str>,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// The events cannot be folded.
    #[error("its events come to nothing: {why}")]
    Underivable {
        /// Why.
        why: String,
    },
    /// A deleted session has something that goes at once.
    #[error("it is deleted, and {table} still has something of it")]
    Leftover {
        /// The table.
        table: &'static str,
    },
    /// Rows of a session that is not there.
    #[error("{table} has something of it, and it is not there")]
    Orphan {
        /// The table.
        table: &'static str,
    },
}
