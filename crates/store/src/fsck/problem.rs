//! What can be wrong, in words: where, what is there, what should be, and what
//! to do about it.

use std::fmt;
use std::sync::Arc;

use freehold_types::SessionId;

/// A table of what is projected from journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The session's own row.
    Sessions,
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
            Self::Sessions => "sessions",
            Self::Timers => "timers",
            Self::Waits => "waits",
            Self::IdempotencyKeys => "idempotency_keys",
            Self::BlobRefs => "blob_refs",
        })
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Something is lost, or would go wrong.
    Wrong,
    /// It takes room, and nothing else.
    Spare,
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
    /// An event of a newer version.
    #[error("event {offset} was written by a newer freehold: {why}")]
    Newer {
        /// Where.
        offset: u64,
        /// What is not known.
        why: String,
    },
    /// An event whose seal does not open, or that is none.
    #[error("event {offset} cannot be read: {why}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// An event that cannot come after those before it.
    #[error("event {offset} contradicts those before it: {why}")]
    Illegal {
        /// Where.
        offset: u64,
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
    /// A parent's row is gone, and with it nobody keeps its events.
    #[error("it is a fork of {parent}, of which there is no row any more")]
    NoParent {
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
    /// A snapshot that is not what the events come to.
    #[error("its snapshot of the event {offset} is not what the events come to: {why}")]
    SnapshotDiffers {
        /// The last event in it.
        offset: u64,
        /// What is wrong.
        why: String,
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
        /// What should be there.
        expected: String,
    },
    /// A row is there to which the events do not come.
    #[error("{table} has `{name}`, to which the events do not come")]
    Extra {
        /// Of which table.
        table: Table,
        /// Its name.
        name: Arc<str>,
        /// What is there.
        found: String,
    },
    /// A row is not what the events come to.
    #[error("{table} has `{name}` as {found}, and the events come to {expected}")]
    Differs {
        /// Of which table.
        table: Table,
        /// Its name, or its column.
        name: Arc<str>,
        /// What is there.
        found: String,
        /// What should be.
        expected: String,
    },
    /// It cannot be opened at all.
    #[error("it cannot be opened: {why}")]
    Unopened {
        /// Why.
        why: String,
    },
    /// A blob that it refers to is not there.
    #[error("the blob {hash} is missing")]
    BlobMissing {
        /// Its hash.
        hash: String,
    },
    /// A blob that it refers to does not open, or is another one.
    #[error("the blob {hash} is damaged: {why}")]
    BlobDamaged {
        /// Its hash.
        hash: String,
        /// What is wrong.
        why: String,
    },
    /// A blob to which nothing refers.
    #[error("the blob {hash} of {size} bytes is referred to by nothing")]
    Unnamed {
        /// Its hash.
        hash: String,
        /// How many bytes it has.
        size: u64,
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
    /// More than are told.
    #[error("and {0} more")]
    More(u64),
}

const FROM_BACKUP: &str = "restore it from a backup, or fork the session before this event";
const REPAIR: &str = "run `freehold fsck --repair`: it is made anew from the journal";
const BLOB: &str = "put it back from a backup of the blob store";

impl Problem {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Gap { .. } => "journal.gap",
            Self::Unreadable { .. } => "journal.unreadable",
            Self::Newer { .. } => "event.newer",
            Self::Damaged { .. } => "event.damaged",
            Self::Illegal { .. } => "event.illegal",
            Self::Short { .. } => "journal.short",
            Self::Beyond { .. } => "journal.beyond",
            Self::Lineage { .. } => "fork.events",
            Self::NotHeld { .. } => "fork.not_held",
            Self::NoParent { .. } => "fork.no_parent",
            Self::Snapshot { .. } => "snapshot.ahead",
            Self::SnapshotDiffers { .. } => "snapshot.differs",
            Self::NoEvent { .. } => "row.no_event",
            Self::Missing { .. } => "row.missing",
            Self::Extra { .. } => "row.extra",
            Self::Differs { .. } => "row.differs",
            Self::Unopened { .. } => "session.unopened",
            Self::BlobMissing { .. } => "blob.missing",
            Self::BlobDamaged { .. } => "blob.damaged",
            Self::Unnamed { .. } => "blob.unnamed",
            Self::Leftover { .. } => "session.leftover",
            Self::Orphan { .. } => "row.orphan",
            Self::More(_) => "more",
        }
    }

    /// How bad it is.
    pub fn severity(&self) -> Severity {
        match self {
            Self::Unnamed { .. } => Severity::Spare,
            _ => Severity::Wrong,
        }
    }

    /// The offset in the journal that it is about.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Gap { after, .. } | Self::Unreadable { after, .. } => Some(after + 1),
            Self::Newer { offset, .. }
            | Self::Damaged { offset, .. }
            | Self::Illegal { offset, .. }
            | Self::Snapshot { offset, .. }
            | Self::SnapshotDiffers { offset, .. }
            | Self::NoEvent { offset, .. } => Some(*offset),
            Self::Short { last, .. } => Some(last + 1),
            Self::Beyond { found, .. } => Some(*found),
            _ => None,
        }
    }

    /// What is there.
    pub fn found(&self) -> Option<String> {
        match self {
            Self::Gap { next, .. } => Some(next.to_string()),
            Self::Short { head, .. } | Self::Beyond { head, .. } => Some(head.to_string()),
            Self::Extra { found, .. } | Self::Differs { found, .. } => Some(found.clone()),
            _ => None,
        }
    }

    /// What should be there.
    pub fn expected(&self) -> Option<String> {
        match self {
            Self::Gap { after, .. } => Some((after + 1).to_string()),
            Self::Short { last, .. } => Some(last.to_string()),
            Self::Beyond { found, .. } => Some(found.to_string()),
            Self::Missing { expected, .. } | Self::Differs { expected, .. } => {
                Some(expected.clone())
            }
            _ => None,
        }
    }

    /// What to do about it.
    pub fn advice(&self) -> &'static str {
        if self.is_projected() {
            return REPAIR;
        }
        match self {
            Self::Newer { .. } => "look at it with the newer freehold",
            Self::Gap { .. }
            | Self::Unreadable { .. }
            | Self::Damaged { .. }
            | Self::Illegal { .. }
            | Self::Short { .. }
            | Self::Beyond { .. } => FROM_BACKUP,
            Self::Lineage { .. } | Self::NotHeld { .. } | Self::NoParent { .. } => {
                "restore the parent from a backup before it is swept away"
            }
            Self::Differs { .. } | Self::NoEvent { .. } | Self::Missing { .. } => {
                "it cannot be made anew from the journal: restore it from a backup"
            }
            Self::Unopened { .. } => {
                "see that the master key is the store's, else restore its profile from a backup"
            }
            Self::BlobMissing { .. } | Self::BlobDamaged { .. } => BLOB,
            Self::Unnamed { .. } => {
                "nothing; a crash left it, or a step is under way. It goes with its session"
            }
            Self::Leftover { .. } => "delete the session again: what is left goes with it",
            Self::Orphan { .. } => "it is of no use to anybody: delete these rows",
            _ => "mend what is told before, and look again",
        }
    }

    /// Whether it is about a projection, which can be made anew.
    pub fn is_projected(&self) -> bool {
        match self {
            Self::Snapshot { .. }
            | Self::SnapshotDiffers { .. }
            | Self::Missing { .. }
            | Self::Extra { .. } => true,
            Self::NoEvent { table, .. } => *table != Table::Sessions,
            Self::Differs { table, name, .. } => {
                *table != Table::Sessions || matches!(&**name, "phase" | "due_at")
            }
            _ => false,
        }
    }
}
