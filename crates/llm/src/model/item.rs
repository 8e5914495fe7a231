//! Items: the units of a conversation.

use serde_json::Value;

use super::{Dialect, Extra};

/// One unit of conversation content, with what every kind shares.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The provider's or client's id of the item, where its dialect has one.
    pub id: Option<String>,
    /// True if the item stood in the same wire message as the item before it.
    /// Items of dialects without messages are never joined; an encoder that
    /// needs messages joins neighbours of one side by itself when crossing.
    pub joined: bool,
    /// The content.
    pub body: ItemBody,
    /// What only the origin knows of the item (or, on the first item of a wire
    /// message, of that message).
    pub extra: Extra,
}

impl Item {
    /// An item without id or extras, not joined.
    pub fn new(body: ItemBody) -> Self {
        Self { id: None, joined: false, body, extra: Extra::default() }
    }

    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self::new(ItemBody::Message(Message { role, parts: vec![Part::text(text)] }))
    }

    /// True for what the model says: its messages, reasoning and calls.
    pub fn is_from_model(&self) -> bool {
        match &self.body {
            ItemBody::Message(m) => m.role == Role::Assistant,
            ItemBody::Reasoning(_) | ItemBody::ToolCall(_) => true,
            ItemBody::ToolResult(_) => false,
            ItemBody::Native { from_model, .. } => *from_model,
        }
    }
}

/// The kinds of item.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemBody {
    /// Something said.
    Message(Message),
    /// Something thought.
    Reasoning(Reasoning),
    /// The model asks for a tool that the client runs.
    ToolCall(ToolCall),
    /// What that tool answered.
    ToolResult(ToolResult),
    /// An item that only one dialect knows (a hosted tool's call or result, a
    /// compaction...). Rides along inside that dialect, is lost elsewhere.
    Native {
        /// Whose item it is.
        dialect: Dialect,
        /// The item as it came.
        json: Value,
        /// Which side it stands on.
        from_model: bool,
    },
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The platform's or application's standing orders.
    System,
    /// The same, by the newer name; equal to system where a dialect has one.
    Developer,
    /// The person, or whatever stands for them.
    User,
    /// The model.
    Assistant,
}

/// A message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
}

/// A prompt-cache breakpoint: what stands up to here may be cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMark {
    /// Lifetime in the dialect's own words (`5m`, `1h`); `None` is the default.
    pub ttl: Option<String>,
}

/// A piece of a message or of a tool's result.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The content.
    pub body: PartBody,
    /// A cache breakpoint after this part.
    pub cache: Option<CacheMark>,
    /// What only the origin knows of it.
    pub extra: Extra,
}

impl Part {
    /// A part without cache mark or extras.
    pub fn new(body: PartBody) -> Self {
        Self { body, cache: None, extra: Extra::default() }
    }

    /// A plain text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(PartBody::Text { text: text.into(), annotations: Vec::new(), logprobs: None })
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match &self.body {
            PartBody::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// The kinds of part.
#[derive(Clone, Debug, PartialEq)]
pub enum PartBody {
    /// Text; from a model also with its sources and token probabilities.
    Text {
        /// The text.
        text: String,
        /// Where it came from.
        annotations: Vec<Annotation>,
        /// One entry a token, if asked for.
        logprobs: Option<Vec<Logprob>>,
    },
    /// The model declines, in words.
    Refusal(String),
    /// A picture.
    Image {
        /// Where it is.
        source: Source,
        /// `low`, `high`, `auto`: how closely to look.
        detail: Option<String>,
    },
    /// A document.
    File {
        /// Where it is.
        source: Source,
        /// Its name.
        name: Option<String>,
    },
    /// Sound.
    Audio(Media),
    /// A part that only one dialect knows.
    Native {
        /// Whose part it is.
        dialect: Dialect,
        /// The part as it came.
        json: Value,
    },
}

/// Inline content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    /// A MIME type, or the short word the dialect uses for audio (`wav`).
    pub media_type: String,
    /// Base64, standard alphabet.
    pub data: String,
}

/// Where an image or document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// To be fetched by whoever needs it.
    Url(String),
    /// In the request.
    Inline(Media),
    /// Uploaded to the provider before.
    FileId(String),
    /// Plain text standing for a document.
    Text(String),
}

/// A source that an answer's text cites.
#[derive(Clone, Debug, PartialEq)]
pub enum Annotation {
    /// A web page.
    Url {
        /// Its address.
        url: String,
        /// Its title.
        title: String,
        /// First character of the cited span of the text.
        start: Option<u64>,
        /// One past the last character of the span.
        end: Option<u64>,
        /// What only the origin knows of it.
        extra: Extra,
    },
    /// A citation that only one dialect knows.
    Native {
        /// Whose it is.
        dialect: Dialect,
        /// As it came.
        json: Value,
    },
}

/// The probability of one token.
#[derive(Clone, Debug, PartialEq)]
pub struct Logprob {
    /// The token's text.
    pub token: String,
    /// Its natural logarithm of probability, as the provider wrote it.
    pub logprob: serde_json::Number,
    /// The token's UTF-8 bytes.
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this place.
    pub top: Vec<Logprob>,
}

/// Reasoning by the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// The thinking itself, where the provider shows it.
    pub text: Vec<String>,
    /// A summary of it, in parts.
    pub summary: Vec<String>,
    /// The issuer's proof or ciphertext, needed to show the thinking to it
    /// again.
    pub seal: Option<Seal>,
}

/// A signature over thinking, or thinking encrypted by its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The dialect in whose form it is.
    pub dialect: Dialect,
    /// True if the thinking itself is inside and not shown (redacted or
    /// encrypted); false for a signature over thinking that is shown.
    pub hides: bool,
    /// Opaque.
    pub data: String,
    /// The id of the item it belongs to, where the issuer checks it.
    pub item_id: Option<String>,
}

/// Which form a call's input has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolCallKind {
    /// A JSON object by the tool's schema.
    #[default]
    Function,
    /// Free text (OpenAI's custom tools).
    Custom,
}

/// The model asks for a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolCall {
    /// Joins call and result.
    pub call_id: String,
    /// The tool.
    pub name: String,
    /// For functions JSON text, exactly as the model wrote it (it may be cut
    /// off or malformed); for custom tools the text.
    pub input: String,
    /// Which of both.
    pub kind: ToolCallKind,
    /// A cache breakpoint after the call.
    pub cache: Option<CacheMark>,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// Joins call and result.
    pub call_id: String,
    /// The content.
    pub output: Vec<Part>,
    /// True if the tool failed, where the dialect says so.
    pub is_error: Option<bool>,
    /// Which form the call had.
    pub kind: ToolCallKind,
    /// A cache breakpoint after the result.
    pub cache: Option<CacheMark>,
}
