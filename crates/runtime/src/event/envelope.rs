//! What every event has, whatever its fact.

use freehold_types::{Offset, TurnId, UnitId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Fact, Hash, Labels, Name};

/// One immutable record of a session's journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place. Not in its bytes: the row has it.
    pub offset: Offset,
    /// When it was decided, by the clock of the node that did.
    pub at: Timestamp,
    /// The write that it came with.
    pub unit: UnitId,
    /// The turn that it belongs to.
    pub turn: Option<TurnId>,
    /// Who did it.
    pub actor: Actor,
    /// Whom they did it for.
    pub on_behalf_of: Option<Name>,
    /// Where its content comes from.
    pub source: Source,
    /// What policy says of its content.
    pub labels: Labels,
    /// The request that it is the first event of, if that had an idempotency
    /// key.
    pub request: Option<Request>,
    /// What happened.
    pub fact: Fact,
}

/// A request under a client's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The key; the surface bounds it.
    pub key: String,
    /// Of the request.
    pub hash: Hash,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Actor {
    /// Freehold, following its rules.
    Runtime,
    /// A user, a key or an agent.
    Principal(Name),
}

/// Where content comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Freehold itself: no content from anywhere.
    Runtime,
    /// Whoever talks to the agent.
    User,
    /// A model.
    Model,
    /// A tool.
    Tool,
    /// The open web.
    Web,
    /// The agent's memory.
    Memory,
}
