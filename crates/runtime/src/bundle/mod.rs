//! A whole session as one signed bundle, from one cell into another.
//!
//! A bundle is lines of JSON (`format`): who signs it, what the session is
//! said to be, its events with the blobs that they name, and a signature over
//! all of it. `export` writes one and `import` reads one, both as a stream:
//! neither holds more than a batch of events, or one blob. `check` is what an
//! import believes of a bundle, line by line, and pure.
//!
//! A bundle is named by a hash of its journal. Exported to move (`leave`), the
//! session is sealed here for one cell, under that name; there it keeps its
//! id, its offsets and all that waits. Sealed it stays, unless that cell says
//! (`refusal`), signed, that it never took the bundle and never will. Any
//! other import is a copy: a new session, in which nothing of the old waits.
//!
//! What is in a bundle is readable: whoever may read the session may have it,
//! and whoever has it keeps it as they keep the session. What never leaves are
//! the credentials that clients gave for a session's tools: in the other cell
//! they are given again.

mod check;
mod digest;
mod error;
mod export;
mod format;
mod import;
mod laying;
mod leave;
mod references;
mod refusal;

use std::sync::Arc;

use freehold_control::vault::{CellKey, CellPublicKey};

use crate::event::Name;

pub use error::Error;
pub use export::Export;
pub use format::{Head, Recipient};
pub use import::{Imported, Importing, Source};
pub use refusal::{Refusal, SignedRefusal};

/// The most blobs that a bundle has; their hashes are held in memory.
pub const BLOBS_MAX: usize = 1_000_000;

/// This cell, and whom it trusts.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What it calls itself.
    pub name: Name,
    /// What it signs with.
    pub key: Arc<CellKey>,
    /// Those whose signatures it believes.
    pub trust: Vec<Peer>,
}

/// Another cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// What it is called; the same there and here.
    pub name: Name,
    /// What it signs with.
    pub key: CellPublicKey,
}

impl Cell {
    /// A cell that this one trusts, by its name.
    pub fn peer(&self, name: &Name) -> Option<&Peer> {
        self.trust.iter().find(|peer| peer.name == *name)
    }

    /// Whether something that is said to be of that cell and signed with that
    /// key is to be believed. What this cell signed itself is.
    fn trusts(&self, name: &Name, key: CellPublicKey) -> bool {
        let itself = self.name == *name && self.key.public() == key;
        itself || self.trust.iter().any(|peer| peer.name == *name && peer.key == key)
    }

    /// Whether a bundle is addressed to this cell.
    fn is(&self, to: &Recipient) -> bool {
        self.name == to.cell && self.key.public() == to.key
    }
}
