//! Content of an event: inline if small, else in the blob store by its hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Hash;

/// The most bytes of content that an event holds itself. With the envelope
/// and the other fields of any fact it stays under the bound of a body.
pub const INLINE_BYTES_MAX: usize = 48 * 1024;

/// Content, or where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Content {
    /// JSON of the content.
    Inline(Value),
    /// A blob that holds the JSON.
    Blob {
        /// Its SHA-256.
        hash: Hash,
        /// Its length.
        bytes: u64,
    },
}

impl Content {
    /// Inline content of one string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Inline(Value::String(text.into()))
    }
}
