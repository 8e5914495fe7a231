//! The top-level fields that a scan reads.

use std::borrow::Cow;
use std::ops::Range;

use super::Scan;
use crate::DecodeError;

/// A top-level field that is there.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<T> {
    /// Its value; `None` for null.
    pub value: Option<T>,
    /// Where its value stands in the body.
    pub span: Range<usize>,
}

/// What sort of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// Chat's `stream_options`, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
pub struct StreamOptions {
    /// A last chunk with the usage is wanted.
    pub include_usage: Option<bool>,
}

/// Keeps a member if it is one that the byte lane needs. `span` is the place
/// of its value in `body`.
pub(super) fn take<'a>(
    scan: &mut Scan<'a>,
    body: &'a str,
    key: &[u8],
    span: Range<usize>,
) -> Result<(), DecodeError> {
    let unescaped: String;
    let key = if key.contains(&b'\\') {
        unescaped = unescape(std::str::from_utf8(key).unwrap_or_default());
        unescaped.as_bytes()
    } else {
        key
    };
    let value = body.get(span.clone()).unwrap_or_default();
    let at = Place { value, span };
    match key {
        b"model" => at.put("model", &mut scan.model, string),
        b"stream" => at.put("stream", &mut scan.stream, boolean),
        b"stream_options" => at.put("stream_options", &mut scan.stream_options, stream_options),
        b"max_tokens" => at.put("max_tokens", &mut scan.max_tokens, count),
        b"max_completion_tokens" => {
            at.put("max_completion_tokens", &mut scan.max_completion_tokens, count)
        }
        b"max_output_tokens" => at.put("max_output_tokens", &mut scan.max_output_tokens, count),
        b"n" => at.put("n", &mut scan.n, count),
        b"store" => at.put("store", &mut scan.store, boolean),
        b"background" => at.put("background", &mut scan.background, boolean),
        b"conversation" => at.put("conversation", &mut scan.conversation, kind),
        b"previous_response_id" => {
            at.put("previous_response_id", &mut scan.previous_response_id, kind)
        }
        b"prompt_cache_key" => at.put("prompt_cache_key", &mut scan.prompt_cache_key, string),
        b"user" => at.put("user", &mut scan.user, string),
        b"metadata" => at.put("metadata", &mut scan.metadata, kind),
        b"service_tier" => at.put("service_tier", &mut scan.service_tier, string),
        b"tools" => {
            scan.tools = value != "null" && !is_empty_array(value);
            Ok(())
        }
        _ => Ok(()),
    }
}

fn is_empty_array(value: &str) -> bool {
    value
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inside| inside.trim().is_empty())
}

struct Place<'a> {
    value: &'a str,
    span: Range<usize>,
}

impl<'a> Place<'a> {
    fn put<T>(
        self,
        name: &'static str,
        slot: &mut Option<Field<T>>,
        read: fn(&'a str) -> Result<T, &'static str>,
    ) -> Result<(), DecodeError> {
        if slot.is_some() {
            return Err(DecodeError::shape(name, "is given twice"));
        }
        let value = if self.value == "null" {
            None
        } else {
            Some(read(self.value).map_err(|expected| {
                DecodeError::shape(
                    name,
                    format!("expected {expected}, found {}", kind_words(self.value)),
                )
            })?)
        };
        *slot = Some(Field { value, span: self.span });
        Ok(())
    }
}

fn kind_words(value: &str) -> &'static str {
    match kind(value) {
        Ok(Kind::String) => "a string",
        Ok(Kind::Object) => "an object",
        Ok(Kind::Array) => "an array",
        Ok(Kind::Boolean) => "a boolean",
        _ => "a number",
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the readers that may fail")]
fn kind(value: &str) -> Result<Kind, &'static str> {
    Ok(match value.as_bytes().first() {
        Some(b'"') => Kind::String,
        Some(b'{') => Kind::Object,
        Some(b'[') => Kind::Array,
        Some(b't' | b'f') => Kind::Boolean,
        _ => Kind::Number,
    })
}

fn boolean(value: &str) -> Result<bool, &'static str> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("a boolean"),
    }
}

fn count(value: &str) -> Result<u64, &'static str> {
    value.parse().map_err(|_| "a whole number not below 0")
}

fn string(value: &str) -> Result<Cow<'_, str>, &'static str> {
    let inside =
        value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or("a string")?;
    if inside.contains('\\') { Ok(unescape(inside).into()) } else { Ok(inside.into()) }
}

fn stream_options(value: &str) -> Result<StreamOptions, &'static str> {
    if !value.starts_with('{') {
        return Err("an object");
    }
    serde_json::from_str(value).map_err(|_| "an object whose include_usage is a boolean")
}

/// A string's content, checked by the lexer, without its escapes.
pub(super) fn unescape(raw: &str) -> String {
    serde_json::from_str(&format!("\"{raw}\"")).unwrap_or_default()
}
