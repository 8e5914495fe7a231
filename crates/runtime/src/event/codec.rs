//! An event's bytes in the journal: JSON, `{"v":1,"kind":...}`.

use std::borrow::Cow;

use freehold_types::{Offset, TurnId, UnitId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::upcast::upcast;
use super::{Actor, Event, Fact, Labels, Name, Request, Source};

/// The version that is written.
pub const VERSION: u32 = 2;

/// The most bytes of an event's body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// The most levels of an event's body. `serde_json` refuses 128, and a body
/// may stand inside of other JSON.
pub const BODY_DEPTH_MAX: usize = 96;

/// An event that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its content belongs in a blob.
    #[error("an event of {bytes} bytes; the most is {BODY_BYTES_MAX}: put its content in a blob")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Its content belongs in a blob.
    #[error("an event of more than {BODY_DEPTH_MAX} levels: put its content in a blob")]
    TooDeep,
    /// It has no JSON.
    #[error("an event cannot be written as JSON")]
    Json(#[source] serde_json::Error),
}

/// Bytes that are no event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than an event can have.
    #[error("event {offset}: {bytes} bytes; the most is {BODY_BYTES_MAX}")]
    TooLarge {
        /// Where.
        offset: Offset,
        /// Their number.
        bytes: usize,
    },
    /// More levels than an event can have.
    #[error("event {offset}: more than {BODY_DEPTH_MAX} levels")]
    TooDeep {
        /// Where.
        offset: Offset,
    },
    /// A version that this build does not know: most likely a newer one wrote
    /// it.
    #[error("an event `{kind}` of version {found}; this build reads up to {VERSION}: upgrade it")]
    Version {
        /// The version.
        found: u32,
        /// The kind, as far as it could be read.
        kind: String,
    },
    /// A kind that this build does not know: most likely a newer one wrote it.
    #[error(
        "event {offset} is of the unknown kind `{kind}`: a newer build wrote it; upgrade this one"
    )]
    Kind {
        /// Where.
        offset: Offset,
        /// The kind.
        kind: String,
    },
    /// Not the JSON of an event.
    #[error("event {offset} cannot be read")]
    Json {
        /// Where.
        offset: Offset,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    kind: &'static str,
    at: Timestamp,
    unit: UnitId,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn: Option<TurnId>,
    actor: &'a Actor,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a Name>,
    source: Source,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: &'a Labels,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a Request>,
    fact: &'a Fact,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read<'a> {
    v: u32,
    #[serde(borrow)]
    kind: Cow<'a, str>,
    at: Timestamp,
    unit: UnitId,
    #[serde(default)]
    turn: Option<TurnId>,
    actor: Actor,
    #[serde(default)]
    on_behalf_of: Option<Name>,
    source: Source,
    #[serde(default)]
    labels: Labels,
    #[serde(default)]
    request: Option<Request>,
    #[serde(borrow)]
    fact: &'a RawValue,
}

/// What every version will have, to name one that is not known.
#[derive(Deserialize)]
struct Head {
    v: u32,
    #[serde(default)]
    kind: String,
}

impl Event {
    /// The bytes that the journal keeps.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let written = Written {
            v: VERSION,
            kind: self.fact.kind(),
            at: self.at,
            unit: self.unit,
            turn: self.turn,
            actor: &self.actor,
            on_behalf_of: self.on_behalf_of.as_ref(),
            source: self.source,
            labels: &self.labels,
            request: self.request.as_ref(),
            fact: &self.fact,
        };
        let body = serde_json::to_vec(&written).map_err(EncodeError::Json)?;
        if body.len() > BODY_BYTES_MAX {
            return Err(EncodeError::TooLarge { bytes: body.len() });
        }
        if depth(&body) > BODY_DEPTH_MAX {
            return Err(EncodeError::TooDeep);
        }
        Ok(body)
    }

    /// The version that wrote these bytes; that of today if they are none.
    pub(crate) fn version_of(body: &[u8]) -> u32 {
        serde_json::from_slice(body).map_or(VERSION, |head: Head| head.v)
    }

    /// The event of which the journal keeps these bytes at `offset`.
    pub fn decode(offset: Offset, body: &[u8]) -> Result<Self, DecodeError> {
        if body.len() > BODY_BYTES_MAX {
            return Err(DecodeError::TooLarge { offset, bytes: body.len() });
        }
        if depth(body) > BODY_DEPTH_MAX {
            return Err(DecodeError::TooDeep { offset });
        }
        let json = |source| DecodeError::Json { offset, source };
        let read: Read<'_> = serde_json::from_slice(body).map_err(|error| {
            // A newer version may have fields that this one does not know.
            match serde_json::from_slice::<Head>(body) {
                Ok(head) if head.v > VERSION => version(&head),
                _ => json(error),
            }
        })?;
        let fact = upcast(read.v, &read.kind, read.fact, json)?;
        let fact = Fact::decode(&read.kind, &fact)
            .map_err(json)?
            .ok_or_else(|| DecodeError::Kind { offset, kind: shown(&read.kind) })?;
        Ok(Self {
            offset,
            at: read.at,
            unit: read.unit,
            turn: read.turn,
            actor: read.actor,
            on_behalf_of: read.on_behalf_of,
            source: read.source,
            labels: read.labels,
            request: read.request,
            fact,
        })
    }
}

fn version(head: &Head) -> DecodeError {
    DecodeError::Version { found: head.v, kind: shown(&head.kind) }
}

/// A kind as an error shows it: not longer than a kind can be.
fn shown(kind: &str) -> String {
    Name::cut(kind).as_str().to_owned()
}

/// How many brackets are open at most, strings aside.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut most, mut text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        if text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => text = true,
            b'[' | b'{' => {
                open += 1;
                most = most.max(open);
            }
            b']' | b'}' => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}
