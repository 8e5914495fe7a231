//! What a bundle is named by: a hash of the events in it, in their order.

use freehold_types::Offset;
use sha2::{Digest as _, Sha256};

use crate::event::Hash;

/// A hash of a journal up to some event.
#[derive(Clone, Debug)]
pub(super) struct Digest(Sha256);

impl Digest {
    pub(super) fn new() -> Self {
        Self(Sha256::new_with_prefix(b"freehold journal 1\0"))
    }

    /// The next event, as its journal keeps it.
    pub(super) fn event(&mut self, offset: Offset, body: &[u8]) {
        self.0.update(offset.0.to_be_bytes());
        self.0.update((body.len() as u64).to_be_bytes());
        self.0.update(body);
    }

    /// The name of a bundle of these.
    pub(super) fn name(&self) -> Hash {
        Hash::from_bytes(self.0.clone().finalize().into())
    }
}
