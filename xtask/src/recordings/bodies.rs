//! The bodies of a folder of recordings, for other tools.

use std::path::Path;

use anyhow::Result;
use freehold_llm::Dialect;

use super::folder;
use super::scope::{self, Scope};

/// A body of a model call.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) dialect: Dialect,
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
    Stream,
    Error,
}

/// The bodies of a folder's model calls, in the order of their paths.
pub(crate) fn of(root: &Path) -> Result<Vec<Body>> {
    let mut bodies = Vec::new();
    for file in folder::files(root)? {
        for recording in file.load(root) {
            let Ok(exchange) = recording.exchange else { continue };
            let Scope::In(dialect) = scope::of(&exchange) else { continue };
            let kind = match (exchange.status, exchange.is_sse()) {
                (400.., _) => Kind::Error,
                (_, true) => Kind::Stream,
                (_, false) => Kind::Answer,
            };
            if let Some(bytes) = exchange.request {
                bodies.push(Body { dialect, kind: Kind::Request, bytes });
            }
            bodies.push(Body { dialect, kind, bytes: exchange.answer });
        }
    }
    Ok(bodies)
}
