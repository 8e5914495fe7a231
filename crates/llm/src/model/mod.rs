//! The hub: what every dialect is decoded into and encoded from.
//!
//! The hub keeps what at least two dialects can say. What only one of them
//! says rides in [`Extra`], tagged with that dialect, and comes out again only
//! there; anywhere else it is a [`crate::Loss`].

mod answer;
mod event;
mod extra;
mod fold;
mod item;
mod request;

pub use answer::{Answer, ApiError, Choice, Stop, StopReason, Usage};
pub use event::{Delta, Event, Slot};
pub use extra::Extra;
pub(crate) use fold::item_events;
pub use fold::{Fold, events_of};
pub use item::{
    Annotation, CacheMark, Item, ItemBody, Logprob, Media, Message, Part, PartBody, Reasoning,
    Role, Seal, Source, ToolCall, ToolCallKind, ToolResult,
};
pub use request::{
    Effort, LogprobRequest, OutputFormat, ReasoningRequest, Request, Tool, ToolBody, ToolChoice,
};

/// A wire API for calling a model.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// OpenAI Chat Completions: `POST /v1/chat/completions`.
    Chat,
    /// OpenAI Responses: `POST /v1/responses`.
    Responses,
    /// Anthropic Messages: `POST /v1/messages`.
    Messages,
}

impl Dialect {
    /// All of them, in the order tables show them.
    pub const ALL: [Self; 3] = [Self::Chat, Self::Responses, Self::Messages];

    /// The word used in configuration, losses and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The dialect that [`Dialect::word`] names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|d| d.word() == word)
    }
}
