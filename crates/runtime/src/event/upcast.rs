//! Turns bodies of older versions into those of the current one.
//!
//! A further version adds an arm to [`upcast`] that rewrites the JSON of the
//! kinds that changed, and leaves the fixtures of those before as they are.

use std::borrow::Cow;

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use super::codec::{DecodeError, VERSION};

/// The fact's JSON as the current version has it.
pub(super) fn upcast<'a>(
    version: u32,
    kind: &str,
    fact: &'a RawValue,
    bad: impl Fn(serde_json::Error) -> DecodeError,
) -> Result<Cow<'a, RawValue>, DecodeError> {
    match version {
        VERSION => Ok(Cow::Borrowed(fact)),
        1 => from_1(kind, fact).map_err(bad),
        found => Err(DecodeError::Version { found, kind: kind.to_owned() }),
    }
}

/// Version 2 says which timeline a session begins on, and of which request an
/// event came. Until then all began on the first; of requests nothing is known.
fn from_1<'a>(kind: &str, fact: &'a RawValue) -> Result<Cow<'a, RawValue>, serde_json::Error> {
    if !matches!(kind, "session_created" | "forked_from") {
        return Ok(Cow::Borrowed(fact));
    }
    let mut fields: Map<String, Value> = serde_json::from_str(fact.get())?;
    fields.insert("timeline".into(), 1.into());
    Ok(Cow::Owned(to_raw_value(&fields)?))
}
