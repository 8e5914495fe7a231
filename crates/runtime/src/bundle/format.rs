//! The lines of a bundle.
//!
//! ```text
//! {"head":{"freehold_bundle":1,"cell":..,"session":..,"bundle":..,..},"signature":".."}
//! {"about":{"bytes":..,"data":".."}}                 what the session is said to be, in parts
//! {"timeline":{"timeline":1,"base":0}}               if it moves: for its old cursors
//! {"key":{"name":..,"request":"..","at":7}}          what its idempotency keys became
//! {"blob":{"hash":"..","bytes":..,"data":".."}}      in parts, before the event that names it
//! {"event":{"at":1,"body":{..}}}                     the body is as the journal has it
//! {"end":{"lines":..,"sha256":"..","signature":".."}}
//! ```
//!
//! `sha256` is that of all lines before, line ends included; what is signed is
//! it. The head is signed by itself as well, so that what a stranger sends is
//! refused at its first line.

use freehold_control::vault::{CellPublicKey, CellSignature};
use freehold_types::{Offset, SessionId, TenantId};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use crate::event::{Hash, Labels, Name};

/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u32 = 1;
/// The most bytes of a line.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// The most plain bytes of content in one line.
pub(super) const PART_BYTES: usize = 384 << 10;
/// The most bytes of what a session is said to be.
pub(super) const ABOUT_BYTES_MAX: u64 = 64 << 20;

/// What heads are signed for.
pub(super) const HEAD_PURPOSE: &str = "bundle head";
/// What ends are signed for.
pub(super) const END_PURPOSE: &str = "bundle";

/// What a bundle says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The format. One of a newer version may differ in all else.
    pub freehold_bundle: u32,
    /// The cell that signs it.
    pub cell: Name,
    /// What it signs with.
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub key: CellPublicKey,
    /// Whose session it is there; one that moves stays that tenant's.
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub tenant: TenantId,
    /// The session there.
    pub session: SessionId,
    /// Its last event.
    pub head: Offset,
    /// The timeline that its cursors are on.
    pub timeline: u64,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was exported; if it moves, when it was sealed.
    pub exported_at: Timestamp,
    /// What policy says of what is in it.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The bundle's name: a hash of the events, without the seal.
    pub bundle: Hash,
    /// The cell that it moves to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_to: Option<Recipient>,
}

/// The cell that a session moves to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// What it is called.
    pub cell: Name,
    /// What it signs with.
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub key: CellPublicKey,
}

/// The first line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadLine<'a> {
    #[serde(borrow)]
    pub(super) head: &'a RawValue,
    #[serde(deserialize_with = "parsed")]
    pub(super) signature: CellSignature,
}

/// What the head of every format has.
#[derive(Deserialize)]
pub(super) struct AnyHead {
    pub(super) freehold_bundle: u32,
}

/// Any other line.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line<'a> {
    About(AboutPart),
    Timeline(TimelineLine),
    Key(KeyLine),
    Blob(BlobPart),
    #[serde(borrow)]
    Event(EventLine<'a>),
    End(End),
    /// In place of an end: why there is none.
    Failed(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AboutPart {
    /// Of all parts together.
    pub(super) bytes: u64,
    pub(super) data: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimelineLine {
    pub(super) timeline: u64,
    pub(super) base: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyLine {
    pub(super) name: String,
    pub(super) request: Hash,
    pub(super) at: Offset,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BlobPart {
    pub(super) hash: Hash,
    /// Of all parts together.
    pub(super) bytes: u64,
    pub(super) data: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventLine<'a> {
    pub(super) at: Offset,
    #[serde(borrow)]
    pub(super) body: &'a RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct End {
    /// Lines before this one.
    pub(super) lines: u64,
    pub(super) sha256: Hash,
    #[serde(serialize_with = "text", deserialize_with = "parsed")]
    pub(super) signature: CellSignature,
}

pub(super) fn text<T: std::fmt::Display, S: Serializer>(
    value: &T,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(super) fn parsed<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
    text.parse().map_err(de::Error::custom)
}
