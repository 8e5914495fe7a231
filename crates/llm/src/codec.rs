//! The contract of a codec: one per dialect, used in both directions.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::{Answer, ApiError, Dialect, Event, Request};

/// A dialect's codec. Stateless; streams get a decoder or encoder of their own.
pub trait Codec: Send + Sync {
    /// Whose.
    fn dialect(&self) -> Dialect;

    /// A client's request into the hub.
    fn decode_request(&self, body: &[u8]) -> Result<Request, DecodeError>;

    /// The hub into a request to a provider. What cannot cross is added to
    /// `losses`; only what makes the request meaningless is an error.
    fn encode_request(
        &self,
        request: &Request,
        target: &RequestTarget<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<u8>, EncodeError>;

    /// A provider's complete answer into the hub. A body that is the
    /// dialect's error object (also under status 200) is a
    /// [`DecodeError::Api`].
    fn decode_answer(&self, body: &[u8]) -> Result<Answer, DecodeError>;

    /// The hub into a complete answer to a client.
    fn encode_answer(&self, answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8>;

    /// A decoder for one streamed answer.
    fn stream_decoder(&self) -> Box<dyn StreamDecoder>;

    /// An encoder for one streamed answer.
    fn stream_encoder(&self, context: &AnswerContext<'_>) -> Box<dyn StreamEncoder>;

    /// A provider's error response into the hub. Never fails: a body that is
    /// no error object of the dialect (HTML, empty...) gives an error that
    /// says so, quoting at most its first 200 characters.
    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError;

    /// The hub's error as the dialect's response body.
    fn encode_error(&self, error: &ApiError, request_id: Option<&str>) -> Vec<u8>;

    /// What the dialect can say, for the loss table.
    fn fields(&self) -> &'static [FieldSupport];

    /// The request and answer fields that only this dialect knows, for the
    /// loss table: they ride in [`crate::model::Extra`] and never cross.
    fn own_fields(&self) -> &'static [&'static str];
}

/// One row of what a dialect can carry: a hub field by its stable name, one
/// of [`crate::losses::FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSupport {
    /// The hub field's stable name.
    pub field: &'static str,
    /// How far it goes.
    pub support: Support,
}

/// How far a dialect carries a hub field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Both ways, without loss.
    Full,
    /// Carried in another form; the note says how.
    Mapped(&'static str),
    /// Not at all; a field not listed is this.
    None,
}

/// Decodes one streamed answer.
pub trait StreamDecoder: Send {
    /// Takes the next bytes, split anywhere, and appends the events that are
    /// complete with them. After an error the decoder must not be fed again.
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), DecodeError>;

    /// The body has ended. An answer that was not complete is a
    /// [`DecodeError::Truncated`].
    fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), DecodeError>;
}

/// Encodes one streamed answer.
pub trait StreamEncoder: Send {
    /// Appends the wire form of an event, which may be nothing. `Error`
    /// writes the dialect's own error event and ends the stream.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Says what time it is, in seconds since 1970, before the events of the
    /// answer's end: for a dialect that tells when an answer was complete.
    fn tell_time(&mut self, _seconds: i64) {}
}

/// Something from outside that a codec could not read.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON, or not UTF-8.
    #[error("{what} is not valid JSON: {detail} at byte {offset}")]
    Json {
        /// `request body`, `answer`, `stream event`.
        what: &'static str,
        /// serde_json's words without the position.
        detail: String,
        /// Where, from 0.
        offset: usize,
    },
    /// JSON of the wrong shape.
    #[error("{path}: {message}")]
    Shape {
        /// The field, as a path (`messages[2].content[0].type`).
        path: String,
        /// What was found and what was expected.
        message: String,
    },
    /// The other side sent an error instead of an answer.
    #[error("{}", .0.message)]
    Api(Box<ApiError>),
    /// The stream ended before the answer did.
    #[error("the stream ended before the answer was complete")]
    Truncated,
    /// A line or event beyond the limit.
    #[error("a stream event is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl DecodeError {
    /// A field of the wrong shape.
    pub fn shape(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Shape { path: path.into(), message: message.into() }
    }

    /// A JSON error with its position turned into a byte offset.
    pub fn json(what: &'static str, body: &[u8], error: &serde_json::Error) -> Self {
        let mut offset = 0;
        for (n, line) in body.split_inclusive(|b| *b == b'\n').enumerate() {
            if n + 1 == error.line() {
                offset += error.column().saturating_sub(1).min(line.len());
                break;
            }
            offset += line.len();
        }
        let text = error.to_string();
        let detail = text.rfind(" at line ").and_then(|at| text.get(..at)).unwrap_or(&text);
        Self::Json { what, detail: detail.to_owned(), offset: offset.min(body.len()) }
    }
}

/// A request that has no sense in the target's dialect.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct EncodeError {
    /// The hub field.
    pub field: String,
    /// Why, and what to do instead.
    pub message: String,
}

/// To whom a request is encoded.
#[derive(Clone, Copy, Debug)]
pub struct RequestTarget<'a> {
    /// The model's name there.
    pub model: &'a str,
    /// What that provider or model does oddly.
    pub quirks: &'a [Quirk],
    /// The output limit to send where the request has none and the dialect
    /// demands one (Anthropic's `max_tokens`).
    pub default_max_tokens: u64,
}

impl RequestTarget<'_> {
    /// Whether a quirk is set.
    pub fn has(&self, quirk: Quirk) -> bool {
        self.quirks.contains(&quirk)
    }
}

/// What a provider or model family does differently from its dialect. Set by
/// the catalogue; read by the codec of the dialect, nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quirk {
    /// Chat: the limit goes as `max_tokens`, not `max_completion_tokens`.
    MaxTokensKey,
    /// Chat: no `developer` role; it becomes `system`.
    NoDeveloperRole,
    /// Chat: message contents must be plain strings.
    StringContent,
    /// Chat: `json_schema` is not known; it becomes `json_object`.
    NoJsonSchema,
    /// Chat: `stream_options` is refused.
    NoStreamOptions,
    /// Chat: reasoning goes back as `reasoning_content` on the message.
    ReasoningContent,
    /// Chat: how much to think goes as OpenRouter's `reasoning` object.
    ReasoningObject,
    /// Chat: thinking is switched by `thinking: {type}`.
    ThinkingSwitch,
    /// Chat: thinking is switched by `enable_thinking`, with `thinking_budget`.
    EnableThinking,
    /// Chat: `top_k` is known.
    TopK,
    /// Chat: the seed goes as `random_seed`.
    RandomSeed,
    /// Chat: `tool_choice` says `any` for `required`.
    ToolChoiceAny,
    /// Chat: ids of calls must be nine letters or digits.
    NineCharCallIds,
    /// Chat: fields that only OpenAI has (`store`, `metadata`...) are refused.
    KnownFieldsOnly,
    /// Chat: parts, tools and results take Anthropic's `cache_control`.
    CacheControl,
    /// Chat: documents go as Mistral's `document_url` parts.
    DocumentUrl,
    /// Chat: `file_data` may be a URL.
    FileByUrl,
    /// Messages: no adaptive thinking; effort becomes a token budget.
    ThinkingBudgetOnly,
    /// Messages and Chat: `temperature`, `top_p` and `top_k` are refused.
    NoSampling,
}

/// What an encoder needs beside the answer.
#[derive(Clone, Copy, Debug)]
pub struct AnswerContext<'a> {
    /// The request it answers; Responses echoes much of it.
    pub request: &'a Request,
    /// The name the client asked for, which the answer shows as its model.
    pub model: &'a str,
    /// Where ids come from that the upstream's dialect does not have.
    pub ids: IdSource,
    /// Seconds since 1970, where the upstream does not say.
    pub created: i64,
}

/// Makes ids from one random value, so that codecs stay pure: the n-th id of
/// a source is always the same.
#[derive(Clone, Copy, Debug)]
pub struct IdSource {
    seed: u128,
    next: u32,
}

impl IdSource {
    /// A source over 128 random bits.
    pub fn new(seed: u128) -> Self {
        Self { seed, next: 0 }
    }

    /// The next id: `prefix` and 32 hex digits.
    pub fn next(&mut self, prefix: &str) -> String {
        let n = self.next;
        self.next += 1;
        // An odd multiplier keeps all 128 bits, so ids of a source differ.
        let mixed =
            self.seed ^ u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        format!("{prefix}{mixed:032x}")
    }
}

/// One thing that could not cross.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Loss {
    /// The hub field's stable name as in [`FieldSupport`], or `extra.NAME`
    /// with its place for a field that only one dialect knows.
    pub field: String,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)
    }
}

/// What one crossing lost, each thing once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeSet<Loss>);

impl Losses {
    /// A hub field that the target dialect cannot carry: one of
    /// [`crate::losses::FIELDS`].
    pub fn add(&mut self, field: &'static str) {
        debug_assert!(crate::losses::is_field(field), "{field} is not in losses::FIELDS");
        self.0.insert(Loss { field: field.to_owned() });
    }

    /// A field that only the origin knows.
    pub fn add_extra(&mut self, path: &str, name: &str) {
        let dot = if path.is_empty() { "" } else { "." };
        self.0.insert(Loss { field: format!("extra.{path}{dot}{name}") });
    }

    /// True if all crossed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }
}
