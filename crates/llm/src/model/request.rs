//! A request to a model.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value};

use super::{CacheMark, Dialect, Extra, Item, Part};

/// A request to a model, whatever dialect it came in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The dialect it was decoded from.
    pub origin: Dialect,
    /// The name the client asked for.
    pub model: String,
    /// Standing orders outside of the conversation (Anthropic's `system`,
    /// Responses' `instructions`). System messages in the conversation stay
    /// in `items`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instructions: Vec<Part>,
    /// The conversation, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// Tools the model may call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether and which it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel_tool_calls: Option<bool>,
    /// The most output tokens, reasoning included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// Sampling temperature, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<Number>,
    /// Nucleus sampling, as written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<Number>,
    /// Only the k likeliest tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u64>,
    /// As written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<Number>,
    /// As written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<Number>,
    /// For repeatable sampling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Strings that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
    /// How many answers; `None` is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Token probabilities wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<LogprobRequest>,
    /// The form of the answer's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// How much to think.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningRequest>,
    /// `low`, `medium`, `high`: how much to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verbosity: Option<String>,
    /// Answer as a stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream: bool,
    /// The client asked for usage in the stream, where a dialect leaves it
    /// out by default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stream_usage: bool,
    /// The end user, for the provider's abuse detection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The client's own labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// The provider's lane (`auto`, `flex`, `priority`...), in its words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Joins requests that share a prompt prefix.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_cache_key: Option<String>,
    /// Whether the provider may keep the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<bool>,
    /// What only the origin knows.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

impl Request {
    /// An empty request to `model`.
    pub fn new(origin: Dialect, model: impl Into<String>) -> Self {
        Self {
            origin,
            model: model.into(),
            instructions: Vec::new(),
            items: Vec::new(),
            tools: Vec::new(),
            tool_choice: None,
            parallel_tool_calls: None,
            max_tokens: None,
            temperature: None,
            top_p: None,
            top_k: None,
            frequency_penalty: None,
            presence_penalty: None,
            seed: None,
            stop: Vec::new(),
            n: None,
            logprobs: None,
            format: None,
            reasoning: None,
            verbosity: None,
            stream: false,
            stream_usage: false,
            user: None,
            metadata: None,
            service_tier: None,
            prompt_cache_key: None,
            store: None,
            extra: Extra::default(),
        }
    }
}

/// A tool offered to the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// What it is.
    pub body: ToolBody,
    /// A cache breakpoint after the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheMark>,
    /// What only the origin knows of it.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

/// The kinds of tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolBody {
    /// Takes a JSON object.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// A JSON schema of its input; `None` takes no input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<Value>,
        /// Whether the input must fit the schema.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
    /// Takes free text.
    Custom {
        /// Its name.
        name: String,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// A grammar for the text, as the dialect writes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<Value>,
    },
    /// A tool that the provider runs, or one that only its dialect knows.
    Native {
        /// Whose tool it is.
        dialect: Dialect,
        /// As it came.
        json: Value,
    },
}

/// Whether and which tool must be called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// As the model likes.
    Auto,
    /// None.
    None,
    /// At least one.
    Required,
    /// This one.
    Tool(String),
    /// One that only its dialect knows.
    Native {
        /// Whose it is.
        dialect: Dialect,
        /// As it came.
        json: Value,
    },
}

/// Token probabilities wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogprobRequest {
    /// How many of the likeliest tokens at each place; `None` leaves it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top: Option<u8>,
}

/// The form of the answer's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// Anything.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// A name for it; dialects that need one get `output` where it is
        /// missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// What it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether it binds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strict: Option<bool>,
    },
}

/// How much a model may think.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReasoningRequest {
    /// By word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// By tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_tokens: Option<u64>,
    /// `Some(false)` switches thinking off, `Some(true)` on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Which summary of it is wanted (`auto`, `concise`, `detailed`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The reasoning must come back sealed, so that a stateless client can
    /// show it again (Responses' `include: reasoning.encrypted_content`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub want_seal: bool,
    /// What only the origin knows.
    #[serde(default, skip_serializing_if = "Extra::is_bare")]
    pub extra: Extra,
}

/// Effort in words, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effort {
    /// No thinking.
    None,
    /// The least.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// More.
    XHigh,
    /// The most.
    Max,
    /// A word of a provider's own.
    Other(String),
}

impl Effort {
    /// The word on the wire.
    pub fn word(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::XHigh => "xhigh",
            Self::Max => "max",
            Self::Other(word) => word,
        }
    }

    /// The effort that a word names.
    pub fn from_word(word: &str) -> Self {
        match word {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::XHigh,
            "max" => Self::Max,
            other => Self::Other(other.to_owned()),
        }
    }
}
