//! The byte lane: what the gateway must know of a body, without a tree.
//!
//! Where the dialect in equals the dialect out, a request is checked in one
//! pass ([`scan`]), its few changes are spliced in ([`splice`]), and the answer
//! is relayed as it comes while a [`UsageTap`] watches it.
//!
//! The scan accepts exactly what `serde_json` accepts as a `Value` (UTF-8,
//! whole surrogate pairs, numbers in range, at most 127 levels), and is
//! stricter in one thing: a top-level field that Freehold reads may stand
//! only once, since a second one could mean something else upstream than
//! what was admitted here.

mod field;
mod hub;
pub(crate) mod lex;
mod splice;
mod tap;
mod usage;

use std::borrow::Cow;
use std::ops::Range;

use crate::DecodeError;
use lex::{Fault, Lexer, Visit};

pub use field::{Field, Kind, StreamOptions};
pub use splice::{Edit, Piece, pieces, splice};
pub use tap::{Relay, TapFault, UsageTap};
pub use usage::{answer_model_span, answer_usage};

const WHAT: &str = "request body";

/// What one pass over a request's body finds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scan<'a> {
    /// The model asked for.
    pub model: Option<Field<Cow<'a, str>>>,
    /// Whether to stream.
    pub stream: Option<Field<bool>>,
    /// Chat's options of the stream.
    pub stream_options: Option<Field<StreamOptions>>,
    /// The output limit of Messages, and of Chat in its older form.
    pub max_tokens: Option<Field<u64>>,
    /// The output limit of Chat.
    pub max_completion_tokens: Option<Field<u64>>,
    /// The output limit of Responses.
    pub max_output_tokens: Option<Field<u64>>,
    /// How many answers.
    pub n: Option<Field<u64>>,
    /// Whether the answer is kept.
    pub store: Option<Field<bool>>,
    /// Whether to answer later.
    pub background: Option<Field<bool>>,
    /// The conversation it continues.
    pub conversation: Option<Field<Kind>>,
    /// The answer it continues.
    pub previous_response_id: Option<Field<Kind>>,
    /// Joins requests that share a prefix.
    pub prompt_cache_key: Option<Field<Cow<'a, str>>>,
    /// The end user.
    pub user: Option<Field<Cow<'a, str>>>,
    /// The client's labels.
    pub metadata: Option<Field<Kind>>,
    /// The provider's lane.
    pub service_tier: Option<Field<Cow<'a, str>>>,
    /// True if tools are offered.
    pub tools: bool,
    /// Bytes of all strings and names as written, less `media_bytes`: the
    /// text that a model may be shown.
    pub text_bytes: usize,
    /// Parts that are pictures, documents or sound.
    pub media_count: usize,
    /// Bytes of strings that are inline media.
    pub media_bytes: usize,
    /// Bytes of the whole body.
    pub body_bytes: usize,
    open: usize,
    empty: bool,
}

impl Scan<'_> {
    /// The same without the body that it was made of.
    pub fn into_owned(self) -> Scan<'static> {
        type Text<'a> = Option<Field<Cow<'a, str>>>;
        let own = |field: Text<'_>| -> Text<'static> {
            field.map(|f| Field { value: f.value.map(|v| v.into_owned().into()), span: f.span })
        };
        Scan {
            model: own(self.model),
            prompt_cache_key: own(self.prompt_cache_key),
            user: own(self.user),
            service_tier: own(self.service_tier),
            stream: self.stream,
            stream_options: self.stream_options,
            max_tokens: self.max_tokens,
            max_completion_tokens: self.max_completion_tokens,
            max_output_tokens: self.max_output_tokens,
            n: self.n,
            store: self.store,
            background: self.background,
            conversation: self.conversation,
            previous_response_id: self.previous_response_id,
            metadata: self.metadata,
            tools: self.tools,
            text_bytes: self.text_bytes,
            media_count: self.media_count,
            media_bytes: self.media_bytes,
            body_bytes: self.body_bytes,
            open: self.open,
            empty: self.empty,
        }
    }

    /// True if a picture, document or sound is in it.
    pub fn has_media(&self) -> bool {
        self.media_count > 0
    }

    /// Where the opening brace of the body is.
    pub fn open_brace(&self) -> usize {
        self.open
    }

    /// The output limit, whichever of its names it has.
    pub fn output_limit(&self) -> Option<u64> {
        [&self.max_completion_tokens, &self.max_output_tokens, &self.max_tokens]
            .into_iter()
            .find_map(|f| f.as_ref().and_then(|f| f.value))
    }

    /// Sets a top-level field to `json`: in place of `field` if it was there
    /// (a null too), else as the first of the body.
    pub fn set<'e, T>(&self, name: &str, field: Option<&Field<T>>, json: &'e str) -> Edit<'e> {
        if let Some(field) = field {
            return Edit { span: field.span.clone(), with: json.as_bytes().into() };
        }
        let comma = if self.empty { "" } else { "," };
        let text = format!("\"{name}\":{json}{comma}");
        let at = self.open + 1;
        Edit { span: at..at, with: text.into_bytes().into() }
    }

    /// Sets the model.
    pub fn set_model(&self, name: &str) -> Edit<'static> {
        let json = serde_json::to_string(name).unwrap_or_default();
        if let Some(field) = &self.model {
            return Edit { span: field.span.clone(), with: json.into_bytes().into() };
        }
        let edit = self.set::<()>("model", None, &json);
        Edit { span: edit.span, with: edit.with.into_owned().into() }
    }

    /// Asks a chat stream for its usage, unless the client already did.
    /// Other stream options stay.
    pub fn ask_for_usage(&self, body: &[u8]) -> Option<Edit<'static>> {
        let Some(field) = &self.stream_options else {
            let edit = self.set::<()>("stream_options", None, r#"{"include_usage":true}"#);
            return Some(Edit { span: edit.span, with: edit.with.into_owned().into() });
        };
        if field.value.is_some_and(|o| o.include_usage == Some(true)) {
            return None;
        }
        let raw = body.get(field.span.clone()).unwrap_or_default();
        let mut options: serde_json::Map<_, _> = serde_json::from_slice(raw).unwrap_or_default();
        options.insert("include_usage".to_owned(), true.into());
        let text = serde_json::Value::Object(options).to_string();
        Some(Edit { span: field.span.clone(), with: text.into_bytes().into() })
    }
}

/// Checks that a body is one JSON object and finds the fields that the byte
/// lane needs. Allocates only for names with escapes in them.
pub fn scan(body: &[u8]) -> Result<Scan<'_>, DecodeError> {
    let text = std::str::from_utf8(body).map_err(|e| DecodeError::Json {
        what: WHAT,
        detail: "not UTF-8".to_owned(),
        offset: e.valid_up_to(),
    })?;
    let mut lexer = Lexer::new(body, 0);
    lexer.space();
    if lexer.peek() != Some(b'{') {
        let mut probe = lexer;
        probe.value(b"", 0, &mut lex::Blind).map_err(json_error)?;
        return Err(DecodeError::shape("body", "expected an object"));
    }
    let mut scan = Scan { open: lexer.at(), body_bytes: body.len(), ..Scan::default() };
    let mut tally = Tally::default();
    members(&mut lexer, &mut tally, &mut |key, span| field::take(&mut scan, text, key, span))?;
    lexer.space();
    if lexer.peek().is_some() {
        return Err(json_error(Fault { at: lexer.at(), detail: "trailing characters" }));
    }
    scan.empty = tally.members == 0;
    scan.text_bytes = tally.text;
    scan.media_count = tally.media_count;
    scan.media_bytes = tally.media;
    Ok(scan)
}

/// Walks an object whose brace is next; calls `on_member` with each name and
/// the place of its value.
fn members<'a>(
    lexer: &mut Lexer<'a>,
    tally: &mut Tally,
    on_member: &mut dyn FnMut(&'a [u8], Range<usize>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    lexer.expect(b'{', "expected `{`").map_err(json_error)?;
    lexer.space();
    if lexer.peek() == Some(b'}') {
        return lexer.expect(b'}', "expected `}`").map_err(json_error);
    }
    loop {
        let key = lexer.key().map_err(json_error)?;
        tally.members += 1;
        tally.text += key.len();
        lexer.space();
        let start = lexer.at();
        lexer.value(key, 1, tally).map_err(json_error)?;
        on_member(key, start..lexer.at())?;
        lexer.space();
        if lexer.peek() == Some(b'}') {
            return lexer.expect(b'}', "expected `}`").map_err(json_error);
        }
        lexer.expect(b',', "expected `,` or `}`").map_err(json_error)?;
        lexer.space();
    }
}

fn json_error(fault: Fault) -> DecodeError {
    DecodeError::Json { what: WHAT, detail: fault.detail.to_owned(), offset: fault.at }
}

/// Counts text and media.
#[derive(Default)]
struct Tally {
    members: usize,
    text: usize,
    media: usize,
    media_count: usize,
}

/// `type` words of parts that are not text.
const MEDIA_TYPES: [&[u8]; 8] = [
    b"image",
    b"image_url",
    b"input_image",
    b"document",
    b"file",
    b"input_file",
    b"input_audio",
    b"container_upload",
];

/// How inline media begin in base64: PNG, JPEG, GIF, RIFF (WebP, WAV), PDF,
/// MP3 with tags. Text under the same name (`data` of a text document) is
/// text and must be counted as such, so the name alone does not tell.
const MEDIA_MAGIC: [&[u8]; 6] = [b"iVBORw0KGgo", b"/9j/", b"R0lGOD", b"UklGR", b"JVBERi0", b"SUQz"];

fn is_media(key: &[u8], raw: &[u8]) -> bool {
    match key {
        b"data" | b"file_data" if MEDIA_MAGIC.iter().any(|m| raw.starts_with(m)) => true,
        b"url" | b"image_url" | b"file_data" => {
            raw.starts_with(b"data:") && !raw.starts_with(b"data:text/")
        }
        _ => false,
    }
}

impl Visit for Tally {
    fn string(&mut self, key: &[u8], raw: &[u8]) {
        if key == b"type" && MEDIA_TYPES.contains(&raw) {
            self.media_count += 1;
        }
        if is_media(key, raw) {
            self.media += raw.len();
        } else {
            self.text += raw.len();
        }
    }

    fn key(&mut self, raw: &[u8]) {
        self.text += raw.len();
    }
}

#[cfg(test)]
mod tests;
