//! The normal form of each dialect: what a codec may write otherwise than it
//! read. Each rule is one that the codec's module documents.

use freehold_llm::Dialect;
use serde_json::Value;

/// Brings a request into normal form.
pub(crate) fn request(_dialect: Dialect, _body: &mut Value) {}

/// Brings a complete answer into normal form.
pub(crate) fn answer(_dialect: Dialect, _body: &mut Value) {}

/// Brings an answer that was folded from a stream further into normal form.
pub(crate) fn streamed(_dialect: Dialect, _body: &mut Value) {}
