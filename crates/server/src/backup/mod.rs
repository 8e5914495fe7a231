//! Backups of an embedded store: what is in one, how it is taken while the
//! server runs, and how a new data folder is made of it.
//!
//! A backup is a folder: `freehold.db`, the blobs under `blobs/`, a line for
//! each of them in `blobs.jsonl`, and last of all `manifest.json`, which has
//! the hashes of the two files and is signed with the master key. So one that
//! was interrupted has no manifest, and one that was changed is noticed by
//! whoever has the key. The configuration is not in it, and the master key
//! only if it is asked for.

mod error;
mod files;
mod manifest;
mod restore;
mod take;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use manifest::{Manifest, Part};
pub use restore::{Restore, Restored, restore, timeline};
pub use take::{Take, Taken, take};

const DATABASE: &str = "freehold.db";
const BLOBS: &str = "blobs.jsonl";
const MANIFEST: &str = "manifest.json";
const SIGNATURE: &str = "manifest.sig";
const MASTER_KEY: &str = "master.key";
