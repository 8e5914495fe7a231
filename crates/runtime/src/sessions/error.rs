//! Why a session did not take something.

use std::sync::Arc;

use freehold_store::journal::AppendError;
use freehold_types::{BlobError, DbError, ErrorKind};

use crate::decide::Refused;
use crate::event::{DecodeError, EncodeError, Hash};
use crate::state::Illegal;

/// Why a session did not take something, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this id here, or it is somebody else's.
    #[error("there is no such session")]
    NotFound,
    /// The session's state does not allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another node works on the session: ask it there.
    #[error("the session is at the node {address}")]
    Elsewhere {
        /// Where that node is reached.
        address: Arc<str>,
    },
    /// The store cannot take or give it.
    #[error(transparent)]
    Store(#[from] DbError),
    /// The idempotency key came with another request before.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// An event cannot be read: of a newer version, or damaged.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The journal contradicts itself.
    #[error("the journal is damaged: {0}")]
    Damaged(#[from] Illegal),
    /// What an event refers to is not what its event says.
    #[error("{0}")]
    Content(String),
    /// So many requests wait for the session that no more are taken.
    #[error("too many requests wait for the session; try again when some are done")]
    Crowded,
    /// Its worker could not go on, or is another node's now. Nothing of the
    /// request was recorded.
    #[error("the session is changing hands; send the request again")]
    Moving,
    /// The node stops.
    #[error("the server is stopping; try again at another node or later")]
    Stopping,
    /// A content is not where its event says.
    #[error("the blob {0} of the session is missing: restore it from a backup")]
    MissingBlob(Hash),
    /// The blob store cannot take or give it.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The keys of contents cannot be had.
    #[error(transparent)]
    Keys(#[from] freehold_control::Error),
    /// A defect.
    #[error("a defect: {0}")]
    Defect(String),
}

impl Error {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound => ErrorKind::NotFound,
            Self::Refused(refused) => refused.kind(),
            Self::Elsewhere { .. } | Self::Moving | Self::Stopping => ErrorKind::Unavailable,
            Self::Store(error) => error.kind(),
            Self::Blob(error) => error.kind(),
            Self::Keys(error) => error.kind(),
            Self::KeyReused => ErrorKind::Conflict,
            Self::Crowded => ErrorKind::OverLimit,
            Self::MissingBlob(_)
            | Self::Decode(_)
            | Self::Damaged(_)
            | Self::Content(_)
            | Self::Defect(_) => ErrorKind::Internal,
        }
    }
}

impl From<EncodeError> for Error {
    fn from(error: EncodeError) -> Self {
        Self::Defect(error.to_string())
    }
}

impl From<AppendError> for Error {
    fn from(error: AppendError) -> Self {
        Self::Defect(error.to_string())
    }
}
