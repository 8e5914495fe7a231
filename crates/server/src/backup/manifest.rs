//! What a backup says of itself.

use serde::{Deserialize, Serialize};

use super::Error;

/// The format that this version writes.
pub(super) const FORMAT: u32 = 1;

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this description. Read first; one of a newer version may differ in
    /// all else.
    pub format: u32,
    /// The version of Freehold that took it.
    pub freehold: String,
    /// When, as RFC 3339.
    pub taken_at: String,
    /// The database's last migration.
    pub schema: i64,
    /// Sessions in it.
    pub sessions: u64,
    /// The database.
    pub database: Part,
    /// The list of blobs.
    pub blobs: Part,
    /// Blobs in it; 0 if they were left out.
    pub blob_count: u64,
    /// Whether blobs were left out.
    pub without_blobs: bool,
    /// Blobs that the database names and that were not there.
    pub missing: Vec<String>,
    /// The name of the master key that it is sealed and signed with; `None` if
    /// nothing was ever sealed.
    pub master_key: Option<String>,
}

/// A file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How many bytes it has.
    pub bytes: u64,
    /// Its SHA-256 in hex.
    pub sha256: String,
}

/// A line of `blobs.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlobLine {
    pub(super) name: String,
    pub(super) part: Part,
}

impl Manifest {
    pub(super) fn read(text: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }

        let bad = |error: serde_json::Error| Error::Manifest(error.to_string());
        let Format { format: found } = serde_json::from_slice(text).map_err(bad)?;
        if found != FORMAT {
            return Err(Error::Format { found, known: FORMAT });
        }
        serde_json::from_slice(text).map_err(bad)
    }
}
