//! What the server hands in and gets back.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use freehold_control::Principal;
use freehold_llm::Dialect;
use http::{HeaderMap, Method, StatusCode};

use crate::relay::Relay;
use crate::trace::Trace;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// An answer of a model.
    Model(Dialect),
    /// Anthropic-shaped token counting.
    CountTokens,
    /// OpenAI's legacy completions, as bytes.
    Completions,
    /// Vectors of texts.
    Embeddings,
    /// An endpoint of a provider's own, as bytes.
    Other {
        /// The method.
        method: Method,
        /// The path below the provider's base address, with its query.
        path: String,
    },
}

impl Endpoint {
    /// The dialect in whose shape errors go back.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Model(dialect) => *dialect,
            Self::CountTokens => Dialect::Messages,
            Self::Completions | Self::Embeddings | Self::Other { .. } => Dialect::Chat,
        }
    }

    /// A word for logs and the books.
    pub fn word(&self) -> &'static Arc<str> {
        static WORDS: LazyLock<[Arc<str>; 7]> = LazyLock::new(|| {
            ["chat", "responses", "messages", "count_tokens", "completions", "embeddings", "other"]
                .map(Arc::from)
        });
        let [chat, responses, messages, count_tokens, completions, embeddings, other] = &*WORDS;
        match self {
            Self::Model(Dialect::Chat) => chat,
            Self::Model(Dialect::Responses) => responses,
            Self::Model(Dialect::Messages) => messages,
            Self::CountTokens => count_tokens,
            Self::Completions => completions,
            Self::Embeddings => embeddings,
            Self::Other { .. } => other,
        }
    }
}

/// One request of a client.
#[derive(Debug)]
pub struct Call {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// The client's headers.
    pub headers: HeaderMap,
    /// The whole body, within the server's limit.
    pub body: Bytes,
    /// Who asks.
    pub principal: Arc<Principal>,
    /// Names the request in logs, answers and errors.
    pub request_id: Arc<str>,
    /// The client refuses losses (header `x-freehold-strict`).
    pub strict: bool,
    /// The trace that it belongs to, which providers hear of.
    pub trace: Option<Arc<Trace>>,
}

/// The answer to a client.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of a hop.
    pub headers: HeaderMap,
    /// The body.
    pub body: ReplyBody,
}

/// A reply's body.
#[derive(Debug)]
pub enum ReplyBody {
    /// Whole.
    Full(Bytes),
    /// As it comes.
    Stream(Box<Relay>),
}
