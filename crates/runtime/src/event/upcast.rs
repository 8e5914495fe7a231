//! Turns bodies of older versions into those of the current one.
//!
//! There has been one version so far. A second one adds an arm to [`upcast`]
//! that rewrites the JSON of the kinds that changed, and leaves the fixtures
//! of the first as they are.

use serde_json::value::RawValue;

use super::codec::{DecodeError, VERSION};

/// The fact's JSON as the current version has it.
pub(super) fn upcast<'a>(
    version: u32,
    kind: &str,
    fact: &'a RawValue,
) -> Result<&'a RawValue, DecodeError> {
    match version {
        VERSION => Ok(fact),
        found => Err(DecodeError::Version { found, kind: kind.to_owned() }),
    }
}
