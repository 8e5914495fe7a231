//! What a tap reads of one event of a stream, and nothing more of it.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::scan::usage::{ChatUsage, MessagesUsage, ResponsesUsage};

#[derive(Deserialize)]
pub(super) struct ChatChunk {
    pub(super) choices: Option<Vec<IgnoredAny>>,
    pub(super) usage: Option<ChatUsage>,
    pub(super) error: Option<ErrorObject>,
}

#[derive(Deserialize)]
pub(super) struct ResponsesEvent {
    pub(super) response: Option<ResponsesBody>,
}

#[derive(Deserialize)]
pub(super) struct ResponsesBody {
    pub(super) usage: Option<ResponsesUsage>,
    pub(super) error: Option<ErrorObject>,
}

#[derive(Deserialize)]
pub(super) struct MessagesEvent {
    pub(super) usage: Option<MessagesUsage>,
    pub(super) message: Option<MessagesStart>,
}

#[derive(Deserialize)]
pub(super) struct MessagesStart {
    pub(super) usage: Option<MessagesUsage>,
}

#[derive(Deserialize)]
pub(super) struct ErrorEvent {
    pub(super) error: Option<ErrorObject>,
    pub(super) code: Option<serde_json::Value>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ErrorObject {
    pub(super) r#type: Option<String>,
    pub(super) code: Option<serde_json::Value>,
    pub(super) message: Option<String>,
}

#[derive(Deserialize)]
struct TypeOnly<'a> {
    #[serde(borrow)]
    r#type: Option<std::borrow::Cow<'a, str>>,
}

/// The event's `type`: at the start, where providers put it, else looked up.
pub(super) fn type_word<'a>(data: &'a [u8], copy: &'a mut [u8; 48]) -> &'a [u8] {
    let at_start = data.strip_prefix(b"{\"type\":").and_then(|rest| {
        let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
        rest.get(..memchr::memchr(b'"', rest)?)
    });
    if let Some(word) = at_start {
        return word;
    }
    let found = serde_json::from_slice::<TypeOnly<'_>>(data).ok().and_then(|t| t.r#type);
    let word = found.unwrap_or_default();
    let Some(place) = copy.get_mut(..word.len()) else { return b"" };
    place.copy_from_slice(word.as_bytes());
    place
}
