//! What the contents of events are: the JSON inside a
//! [`Content`](crate::event::Content), as types. `InputAccepted` and a timer's
//! purpose hold an [`Input`], `ModelDelta` a list of the hub's `Event`s,
//! `ModelAnswered` an `Answer`, a tool's outcome what [`output`] reads.

use freehold_llm::model::{Item, Part, Request};
use freehold_types::Offset;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::event::{Limits, Name};
use crate::tools::ToolSpec;

/// What somebody says to the agent, and how the turn that it begins is run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is said; may be empty where only settings come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
    /// How to go on from here; `None` goes on as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<Settings>>,
    /// What the surface wants to find again; nobody else reads it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub about: Map<String, Value>,
}

/// How turns are run. Those of the latest input that brought some hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The id of the key that pays, and whose routes and budgets hold.
    pub payer: Name,
    /// The request without its items. Function tools in it are the client's
    /// to perform.
    pub request: Request,
    /// Tools that Freehold performs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolSpec>,
    /// How many calls of them one answer to the client may have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls_max: Option<u64>,
    /// What is more than the model takes may be left out, from the beginning
    /// of the conversation on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_truncate: bool,
    /// What a turn may use; unset parts are the configuration's.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub limits: Limits,
}

/// Who pays in this cell for what settings of another one say: keys of that one
/// are none here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payer {
    /// The id of the key.
    pub key: Name,
    /// The last event that came from the other cell.
    pub up_to: Offset,
}

/// What a session is said to be: the JSON of its profile.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// How its turns are run until an input says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<Settings>>,
    /// Of the user's own.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// What the surface that made it wants to find again.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub surface: Map<String, Value>,
    /// Who pays for what came from another cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<Payer>,
}

/// What a tool brought, for a model: a string is a text, a list its parts,
/// anything else its JSON text.
pub fn output(content: &Value) -> Vec<Part> {
    match content {
        Value::String(text) => vec![Part::text(text.clone())],
        Value::Array(_) => serde_json::from_value(content.clone())
            .unwrap_or_else(|_| vec![Part::text(content.to_string())]),
        other => vec![Part::text(other.to_string())],
    }
}
