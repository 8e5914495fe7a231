//! Events of input: what came in, and when it became part of the context.

use freehold_types::Offset;
use serde::{Deserialize, Serialize};

use super::{Content, Hash, Name};

/// What becomes of an input that comes while a turn runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Busy {
    /// It is refused.
    Reject,
    /// It has a turn of its own after those before it.
    #[default]
    Enqueue,
    /// The turn is stopped, what it did is kept, and the input is next.
    Interrupt,
    /// The turn is stopped, the model forgets it, and the input is next.
    Rollback,
    /// It joins the running turn at its next step.
    Steer,
    /// It is refused; and where no turn runs, none begins: the input joins the
    /// context as it is, and nobody answers.
    Quiet,
}

/// An input that will be consumed, whatever happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputAccepted {
    /// Its items.
    pub content: Content,
    /// What becomes of it if a turn runs.
    pub busy: Busy,
    /// Of the client's idempotency key and request, if it sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Hash>,
    /// Whether the content brings settings, which hold from when it is taken.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub settings: bool,
}

/// Inputs become part of the context, here and in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputTaken {
    /// The events that hold them: accepted inputs, signals, fired timers.
    pub inputs: Vec<Offset>,
}

/// Somebody outside signalled. It is queued like an input.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignalReceived {
    /// The signal.
    pub name: Name,
    /// What came with it.
    pub content: Content,
}
