//! A state as bytes, from which recovery begins.

use serde::{Deserialize, Serialize};

use super::State;

/// The version that is written. A snapshot of another one is not upcast: it
/// is thrown away, and the journal is folded instead.
pub const SNAPSHOT_VERSION: u32 = 1;

/// The most bytes of a snapshot. The bounds of a state's parts keep it below.
pub const SNAPSHOT_BYTES_MAX: usize = 32 * 1024;

/// Bytes that are no snapshot of this version, or a state that is none. Fold
/// the journal instead.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// More than a snapshot can have.
    #[error("a snapshot of {0} bytes; the most is {SNAPSHOT_BYTES_MAX}")]
    TooLarge(usize),
    /// Another version wrote it.
    #[error("a snapshot of version {0}; this build reads {SNAPSHOT_VERSION}")]
    Version(u32),
    /// Not the JSON of a snapshot.
    #[error("a snapshot that cannot be read or written")]
    Json(#[source] serde_json::Error),
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    state: &'a State,
}

#[derive(Deserialize)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    state: &'a serde_json::value::RawValue,
}

impl State {
    /// The bytes of a snapshot.
    pub fn encode(&self) -> Result<Vec<u8>, SnapshotError> {
        let written = Written { v: SNAPSHOT_VERSION, state: self };
        let bytes = serde_json::to_vec(&written).map_err(SnapshotError::Json)?;
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        Ok(bytes)
    }

    /// The state of which these are the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let read: Read<'_> = serde_json::from_slice(bytes).map_err(SnapshotError::Json)?;
        if read.v != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version(read.v));
        }
        serde_json::from_str(read.state.get()).map_err(SnapshotError::Json)
    }
}
