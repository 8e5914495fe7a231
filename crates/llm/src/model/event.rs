//! A streamed answer, event by event.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Annotation, ApiError, Dialect, Extra, Item, Logprob, Part, Seal, Stop, Usage};

/// Which item of which choice an event is about.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub struct Slot {
    /// The alternative.
    pub choice: u32,
    /// The item's number in it, from 0, in the order of their starts.
    pub item: u32,
}

/// One event of a streamed answer.
///
/// A decoder gives for each answer: `Start`; then for each item `ItemStart`,
/// its `PartStart`s and `Delta`s, `ItemEnd`; one `Stop` a choice; `Usage`,
/// perhaps more than once (the last counts); `End`. `Error` may come
/// anywhere and is last. Items of one choice may overlap (parallel calls in
/// Chat). An encoder must take any such order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The answer begins.
    Start {
        /// The provider's id of it.
        id: String,
        /// The model that answers.
        model: String,
        /// Seconds since 1970.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<i64>,
        /// What is known of usage at the start (Anthropic's input tokens).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// What only the origin knows.
        #[serde(default, skip_serializing_if = "Extra::is_bare")]
        extra: Extra,
    },
    /// An item begins. `head` is the item without its content: a message
    /// without parts, a call with an empty input, reasoning without text; a
    /// native item comes whole.
    ItemStart {
        /// Which.
        slot: Slot,
        /// What.
        head: Item,
    },
    /// A part of a message begins (text with empty text, refusal...); a
    /// decoder may leave it out before the first text delta of part 0.
    PartStart {
        /// Which item.
        slot: Slot,
        /// The part's number in it, from 0.
        part: u32,
        /// What, without its content; a native part comes whole.
        head: Part,
    },
    /// More content.
    Delta {
        /// Which item.
        slot: Slot,
        /// Which part of it: of a message's parts, a reasoning's texts, or
        /// its summaries. 0 elsewhere.
        part: u32,
        /// What.
        delta: Delta,
    },
    /// An item is complete. Extras learnt only now are merged into it.
    ItemEnd {
        /// Which.
        slot: Slot,
        /// Late extras, and the id if it came late.
        #[serde(default, skip_serializing_if = "Extra::is_bare")]
        extra: Extra,
    },
    /// A choice is complete.
    Stop {
        /// Which.
        choice: u32,
        /// Why.
        stop: Stop,
        /// What only the origin knows of the choice.
        #[serde(default, skip_serializing_if = "Extra::is_bare")]
        extra: Extra,
    },
    /// Tokens used so far, all fields cumulative.
    Usage(Usage),
    /// The answer is complete. Late extras of the whole answer are merged
    /// into it.
    End {
        /// Late extras.
        #[serde(default, skip_serializing_if = "Extra::is_bare")]
        extra: Extra,
        /// The lane that served it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        service_tier: Option<String>,
    },
    /// Keeps the connection alive.
    Ping,
    /// An event that only one dialect knows.
    Native {
        /// Whose.
        dialect: Dialect,
        /// Its name on the wire.
        name: String,
        /// Its data.
        json: Value,
    },
    /// The answer failed.
    Error(ApiError),
}

/// More content of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delta {
    /// Of a text part.
    Text(String),
    /// Of a refusal part.
    Refusal(String),
    /// Of a reasoning's text.
    Reasoning(String),
    /// Of a reasoning's summary.
    Summary(String),
    /// The seal of a reasoning, whole.
    Seal(Seal),
    /// Of a call's input.
    Input(String),
    /// A citation of a text part.
    Annotation(Annotation),
    /// Token probabilities of a text part, in order.
    Logprobs(Vec<Logprob>),
    /// Content of a part or item that only one dialect knows.
    Native {
        /// Whose.
        dialect: Dialect,
        /// As it came.
        json: Value,
    },
}
