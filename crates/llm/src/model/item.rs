//! Items: the units of a conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Dialect, Extra};

/// One unit of conversation content, with what every kind shares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// The provider's or client's id of the item, where its dialect has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// True if the item stood in the same wire message as the item before it.
    /// Items of dialects without messages are never joined; an encoder that
    /// needs messages joins neighbours of one side by itself when crossing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub joined: bool,
    /// The content.
    pub body: ItemBody,
    /// What only the origin knows of the item (or, on the first item of a wire
    /// message, of that message).
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        from_model: bool,
    },
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// A prompt-cache breakpoint: what stands up to here may be cached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheMark {
    /// Lifetime in the dialect's own words (`5m`, `1h`); `None` is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<String>,
}

/// A piece of a message or of a tool's result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The content.
    pub body: PartBody,
    /// A cache breakpoint after this part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
    /// What only the origin knows of it.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartBody {
    /// Text; from a model also with its sources and token probabilities.
    Text {
        /// The text.
        text: String,
        /// Where it came from.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        annotations: Vec<Annotation>,
        /// One entry a token, if asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        logprobs: Option<Vec<Logprob>>,
    },
    /// The model declines, in words.
    Refusal(String),
    /// A picture.
    Image {
        /// Where it is.
        source: Source,
        /// `low`, `high`, `auto`: how closely to look.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// A document.
    File {
        /// Where it is.
        source: Source,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// A MIME type, or the short word the dialect uses for audio (`wav`).
    pub media_type: String,
    /// Base64, standard alphabet.
    pub data: String,
}

/// Where an image or document is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Annotation {
    /// A web page.
    Url {
        /// Its address.
        url: String,
        /// Its title.
        title: String,
        /// First character of the cited span of the text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        start: Option<u64>,
        /// One past the last character of the span.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        end: Option<u64>,
        /// What only the origin knows of it.
        #[serde(default, skip_serializing_if = "Extra::is_bare")]
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
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logprob {
    /// The token's text.
    pub token: String,
    /// Its natural logarithm of probability, as the provider wrote it.
    pub logprob: serde_json::Number,
    /// The token's UTF-8 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Vec<u8>>,
    /// The likeliest tokens at this place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Logprob>,
}

/// Reasoning by the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reasoning {
    /// The thinking itself, where the provider shows it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub text: Vec<String>,
    /// A summary of it, in parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub summary: Vec<String>,
    /// The issuer's proof or ciphertext, needed to show the thinking to it
    /// again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Seal>,
}

/// A signature over thinking, or thinking encrypted by its issuer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The dialect in whose form it is.
    pub dialect: Dialect,
    /// True if the thinking itself is inside and not shown (redacted or
    /// encrypted); false for a signature over thinking that is shown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hides: bool,
    /// Opaque.
    pub data: String,
    /// The id of the item it belongs to, where the issuer checks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<String>,
}

/// Which form a call's input has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolCallKind {
    /// A JSON object by the tool's schema.
    #[default]
    Function,
    /// Free text (OpenAI's custom tools).
    Custom,
}

/// The model asks for a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolResult {
    /// Joins call and result.
    pub call_id: String,
    /// The content.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub output: Vec<Part>,
    /// True if the tool failed, where the dialect says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_error: Option<bool>,
    /// Which form the call had.
    pub kind: ToolCallKind,
    /// A cache breakpoint after the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
}
