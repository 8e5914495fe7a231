//! Why a cue changes nothing.

use freehold_types::{ErrorKind, TurnId};

use crate::event::{Name, Verdict};
use crate::state::Illegal;

/// Why nothing of a cue is recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no session, or there is one already.
    #[error("the session does not exist, or exists already")]
    NoSession,
    /// It went to another cell.
    #[error("the session was moved to the cell `{0}` and refuses everything until it is unsealed")]
    Sealed(Name),
    /// A turn runs, and the input did not want to wait.
    #[error("the turn {0} runs; wait for its end, or choose what becomes of the input")]
    Busy(TurnId),
    /// Too many inputs wait.
    #[error("as many inputs wait as may; send it again when some are done")]
    QueueFull,
    /// Too many timers, pins or spans.
    #[error("there are as many {0} as there may be")]
    Full(&'static str),
    /// What it is about does not wait for it, any more or at all.
    #[error("{0} does not wait for this")]
    NotWaiting(&'static str),
    /// It is of a start or an attempt that no longer counts. Drop it.
    #[error("it is of an attempt that no longer counts")]
    Stale,
    /// It was decided otherwise before.
    #[error("it was decided before: {0:?}")]
    AlreadyDecided(Verdict),
    /// It lapsed.
    #[error("the approval lapsed; nothing was started")]
    Lapsed,
    /// It is for others to decide.
    #[error("it is not yours to decide")]
    NotYours,
    /// The decider was shown other arguments.
    #[error("the arguments are not those that were shown")]
    ChangedArguments,
    /// An offset or a span that the journal does not have, or not there.
    #[error("{0}")]
    BadPlace(&'static str),
    /// An answer that asks for absurdly much.
    #[error("the answer calls more tools than can be recorded")]
    TooManyCalls,
    /// There is nothing to compact.
    #[error("there is nothing to compact")]
    NothingToCompact,
    /// A compaction asks a model, too.
    #[error("a limit of the session or its turn is reached; raise it first")]
    AtLimit,
    /// The compaction would lose something that must stay.
    #[error("the compaction would lose {0}")]
    WouldLose(super::Lost),
    /// A defect of a rule, or a state that no journal gives.
    #[error("a defect: {0}")]
    Defect(#[from] Illegal),
}

impl Refused {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoSession => ErrorKind::NotFound,
            Self::QueueFull | Self::Full(_) | Self::AtLimit => ErrorKind::OverLimit,
            Self::NotYours => ErrorKind::Forbidden,
            Self::BadPlace(_) | Self::NothingToCompact | Self::TooManyCalls => ErrorKind::Invalid,
            Self::Sealed(_)
            | Self::Busy(_)
            | Self::NotWaiting(_)
            | Self::Stale
            | Self::AlreadyDecided(_)
            | Self::Lapsed
            | Self::ChangedArguments => ErrorKind::Conflict,
            Self::WouldLose(_) | Self::Defect(_) => ErrorKind::Internal,
        }
    }
}
