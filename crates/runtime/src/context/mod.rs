//! What a model is asked: the live context of a session, read from its
//! journal, as a request of the hub that any provider takes.
//!
//! `walk` reads the spans of the context and says what each event is to a
//! model, `legal` puts calls and results together as providers want them, and
//! `words` has what Freehold says itself. Costs what the live context costs,
//! whatever the length of the journal.

mod cut;
mod legal;
mod marks;
mod request;
mod settings;
mod walk;
mod words;

#[cfg(test)]
mod tests;

use freehold_types::{BoxFuture, DbError, Offset};
use serde_json::Value;

use crate::event::{Content, Event, Hash, Span};

pub use cut::without_oldest;
pub use request::request;
pub use settings::{call, settings};

/// The most bytes of JSON that the contents of one context may have.
pub const CONTEXT_BYTES_MAX: u64 = 64 << 20;

/// A session's journal, to read.
pub trait Journal: Send + Sync {
    /// The first events of a span, in order and without gaps: a page of them,
    /// and at least one.
    fn events(&self, span: Span) -> BoxFuture<'_, Result<Vec<Event>, Error>>;

    /// The JSON of a content, out of its blob if it is there.
    fn content<'a>(&'a self, content: &'a Content) -> BoxFuture<'a, Result<Value, Error>>;
}

/// Why a model cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The journal says what it cannot mean.
    #[error("event {at} of the session: {what}")]
    Damaged {
        /// Where.
        at: Offset,
        /// What does not fit.
        what: String,
    },
    /// A content is not where its event says.
    #[error("the blob {hash} of the session is missing: restore it from a backup")]
    MissingBlob {
        /// Its SHA-256.
        hash: Hash,
    },
    /// The context is more than can be held at once.
    #[error(
        "the session's context has more than {} MiB: compact it, or rewind it",
        CONTEXT_BYTES_MAX >> 20
    )]
    TooLarge,
    /// Neither the session nor any of its inputs says how its turns are run.
    #[error("the session has no settings: give some with an input")]
    NoSettings,
    /// The store cannot be read.
    #[error("the journal cannot be read")]
    Store(#[from] DbError),
}

impl Error {
    fn damaged(at: Offset, what: impl Into<String>) -> Self {
        Self::Damaged { at, what: what.into() }
    }

    /// Whether it may work later.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Store(DbError::Unavailable(_) | DbError::Full(_)))
    }
}
