//! Why a session does not leave, or does not come in.

use freehold_types::{Code, ErrorKind, SessionId, TenantId};

use crate::event::{DecodeError, Hash, Name};
use crate::sessions;
use crate::state::Illegal;

/// Why a bundle was not written, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The session does not allow it, or cannot be read.
    #[error(transparent)]
    Session(#[from] sessions::Error),
    /// It is no bundle, or not as it was signed.
    #[error("the bundle is damaged: line {line}: {why}; nothing of it was imported")]
    Damaged {
        /// Where, from 1.
        line: u64,
        /// What is wrong there.
        why: String,
    },
    /// It ends before its end.
    #[error(
        "the bundle is cut off after line {lines}, before its signature; nothing of it was \
         imported: get the whole file, or export it again"
    )]
    Cut {
        /// How many lines there are.
        lines: u64,
    },
    /// Its export did not come to its end.
    #[error("the bundle is not whole, for its export failed: {0}; nothing of it was imported")]
    Unfinished(String),
    /// A newer version wrote it.
    #[error("the bundle has format {found}, this build reads {known}: upgrade this cell")]
    Newer {
        /// Its format.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// Nobody whom this cell trusts signed it.
    #[error(
        "the bundle is signed by the cell `{cell}` with {key}, which this cell does not trust: if \
         it should, add it to [[cell.trust]]"
    )]
    Untrusted {
        /// Who it says signed it.
        cell: Name,
        /// With what.
        key: String,
    },
    /// This cell has refused it.
    #[error("this cell has refused the bundle {0}, and never imports it")]
    Refused(Hash),
    /// It was imported here.
    #[error("the bundle {0} was imported here already, so it cannot be refused any more")]
    AlreadyImported(Hash),
    /// It was imported here, and what it became is gone.
    #[error("the bundle {0} was imported here already, and its session was deleted since")]
    Gone(Hash),
    /// The id is taken.
    #[error("there is a session {0} here: {1}")]
    Exists(SessionId, &'static str),
    /// It is for another tenant.
    #[error(
        "the bundle moves a session of the tenant `{0}`, which it stays: import it there, or \
         import a copy"
    )]
    Tenant(TenantId),
    /// Another one began to import the same.
    #[error("another import of this session took over; what this one did is of no effect")]
    TakenOver,
    /// The source broke off.
    #[error("the bundle did not arrive whole: {0}")]
    Source(String),
    /// More than may be.
    #[error("{0}")]
    TooMuch(String),
    /// A cell that this one does not know.
    #[error("the cell `{0}` is not in [[cell.trust]]: a session is moved to cells that are")]
    UnknownCell(Name),
    /// A session cannot move to where it is.
    #[error("the session is in the cell `{0}` already")]
    Here(Name),
    /// The refusal is not the one that is needed.
    #[error("this refusal does not unseal the session: {0}")]
    Refusal(String),
}

impl Error {
    /// The stable word for it.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Session(_) => return None,
            Self::Damaged { .. } | Self::Cut { .. } | Self::Unfinished(_) | Self::Newer { .. } => {
                Code::BundleDamaged
            }
            Self::Untrusted { .. } => Code::BundleUntrusted,
            Self::Refused(_) => Code::BundleRefused,
            Self::AlreadyImported(_) | Self::Gone(_) => Code::BundleImported,
            Self::Exists(..) | Self::TakenOver => Code::SessionExists,
            Self::Source(_) => Code::BodyIncomplete,
            Self::TooMuch(_) => Code::BodyTooLarge,
            Self::Tenant(_) | Self::Here(_) => Code::InvalidRequest,
            Self::UnknownCell(_) => Code::CellUnknown,
            Self::Refusal(_) => Code::RefusalInvalid,
        })
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Session(error) => error.kind(),
            _ => self.code().map_or(ErrorKind::Internal, Code::kind),
        }
    }
}

/// What is wrong with a line, before it is known which.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The line.
    Line(String),
    /// The whole.
    Whole(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Whole(error)
    }
}

impl From<DecodeError> for Wrong {
    fn from(error: DecodeError) -> Self {
        Self::Line(error.to_string())
    }
}

impl From<Illegal> for Wrong {
    fn from(error: Illegal) -> Self {
        Self::Line(error.to_string())
    }
}

impl From<serde_json::Error> for Wrong {
    fn from(error: serde_json::Error) -> Self {
        Self::Line(error.to_string())
    }
}

impl From<&str> for Wrong {
    fn from(why: &str) -> Self {
        Self::Line(why.to_owned())
    }
}

impl From<freehold_types::DbError> for Error {
    fn from(error: freehold_types::DbError) -> Self {
        Self::Session(error.into())
    }
}

impl From<freehold_types::BlobError> for Error {
    fn from(error: freehold_types::BlobError) -> Self {
        Self::Session(error.into())
    }
}
