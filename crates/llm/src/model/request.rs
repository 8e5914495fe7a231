//! A request to a model.

use serde_json::{Map, Number, Value};

use super::{CacheMark, Dialect, Extra, Item, Part};

/// A request to a model, whatever dialect it came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was decoded from.
    pub origin: Dialect,
    /// The name the client asked for.
    pub model: String,
    /// Standing orders outside of the conversation (Anthropic's `system`,
    /// Responses' `instructions`). System messages in the conversation stay
    /// in `items`.
    pub instructions: Vec<Part>,
    /// The conversation, oldest first.
    pub items: Vec<Item>,
    /// Tools the model may call.
    pub tools: Vec<Tool>,
    /// Whether and which it must.
    pub tool_choice: Option<ToolChoice>,
    /// Whether several calls may come at once.
    pub parallel_tool_calls: Option<bool>,
    /// The most output tokens, reasoning included.
    pub max_tokens: Option<u64>,
    /// Sampling temperature, as written.
    pub temperature: Option<Number>,
    /// Nucleus sampling, as written.
    pub top_p: Option<Number>,
    /// Only the k likeliest tokens.
    pub top_k: Option<u64>,
    /// As written.
    pub frequency_penalty: Option<Number>,
    /// As written.
    pub presence_penalty: Option<Number>,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Strings that end the answer.
    pub stop: Vec<String>,
    /// How many answers; `None` is one.
    pub n: Option<u32>,
    /// Token probabilities wanted.
    pub logprobs: Option<LogprobRequest>,
    /// The form of the answer's text.
    pub format: Option<OutputFormat>,
    /// How much to think.
    pub reasoning: Option<ReasoningRequest>,
    /// `low`, `medium`, `high`: how much to say.
    pub verbosity: Option<String>,
    /// Answer as a stream.
    pub stream: bool,
    /// The client asked for usage in the stream, where a dialect leaves it
    /// out by default.
    pub stream_usage: bool,
    /// The end user, for the provider's abuse detection.
    pub user: Option<String>,
    /// The client's own labels.
    pub metadata: Option<Map<String, Value>>,
    /// The provider's lane (`auto`, `flex`, `priority`...), in its words.
    pub service_tier: Option<String>,
    /// Joins requests that share a prompt prefix.
    pub prompt_cache_key: Option<String>,
    /// Whether the provider may keep the answer.
    pub store: Option<bool>,
    /// What only the origin knows.
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
#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    /// What it is.
    pub body: ToolBody,
    /// A cache breakpoint after the tool.
    pub cache: Option<CacheMark>,
    /// What only the origin knows of it.
    pub extra: Extra,
}

/// The kinds of tool.
#[derive(Clone, Debug, PartialEq)]
pub enum ToolBody {
    /// Takes a JSON object.
    Function {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// A JSON schema of its input; `None` takes no input.
        schema: Option<Value>,
        /// Whether the input must fit the schema.
        strict: Option<bool>,
    },
    /// Takes free text.
    Custom {
        /// Its name.
        name: String,
        /// What it is for.
        description: Option<String>,
        /// A grammar for the text, as the dialect writes it.
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
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogprobRequest {
    /// How many of the likeliest tokens at each place; `None` leaves it out.
    pub top: Option<u8>,
}

/// The form of the answer's text.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputFormat {
    /// Anything.
    Text,
    /// Some JSON object.
    JsonObject,
    /// JSON by a schema.
    JsonSchema {
        /// A name for it; dialects that need one get `output` where it is
        /// missing.
        name: Option<String>,
        /// What it is for.
        description: Option<String>,
        /// The schema.
        schema: Value,
        /// Whether it binds.
        strict: Option<bool>,
    },
}

/// How much a model may think.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReasoningRequest {
    /// By word.
    pub effort: Option<Effort>,
    /// By tokens.
    pub budget_tokens: Option<u64>,
    /// `Some(false)` switches thinking off, `Some(true)` on.
    pub enabled: Option<bool>,
    /// Which summary of it is wanted (`auto`, `concise`, `detailed`).
    pub summary: Option<String>,
    /// The reasoning must come back sealed, so that a stateless client can
    /// show it again (Responses' `include: reasoning.encrypted_content`).
    pub want_seal: bool,
    /// What only the origin knows.
    pub extra: Extra,
}

/// Effort in words, weakest first.
#[derive(Clone, Debug, PartialEq, Eq)]
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
