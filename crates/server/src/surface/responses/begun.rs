//! What an input keeps of the request that brought it, for the response to be
//! told again at any time.

use freehold_runtime::content::Input;
use freehold_types::{ApprovalId, CallId, Offset, TurnId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where it stands in [`Input::about`].
const FIELD: &str = "response";

/// A request that began a response.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Begun {
    /// The client does not wait for it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) background: bool,
    /// The id that it goes on from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<String>,
    /// The conversation that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) conversation: Option<String>,
    /// As asked; told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_tool_calls: Option<u64>,
    /// As asked; told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) truncation: Option<String>,
    /// The seals of reasoning are shown.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) seals: bool,
    /// Tools that Freehold performs, as they are told again: without secrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tools: Vec<Value>,
    /// The turn that waited for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joins: Option<TurnId>,
    /// The calls that it answers, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) answers: Vec<Answered>,
    /// The questions that it decides, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) decided: Vec<Decided>,
}

/// A call of a client's tool with its result in the same write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    /// The call.
    pub(super) call: CallId,
    /// What the model calls it.
    pub(super) call_id: String,
}

/// A question that the client decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decided {
    /// The question.
    pub(super) approval: ApprovalId,
    /// What it is about.
    pub(super) call: CallId,
    /// The event that intended it.
    pub(super) intended: Offset,
    /// The answer.
    pub(super) approve: bool,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) reason: Option<String>,
}

impl Begun {
    /// For [`Input::about`].
    pub(super) fn about(&self) -> Map<String, Value> {
        let value = serde_json::to_value(self).unwrap_or_default();
        Map::from_iter([(FIELD.to_owned(), value)])
    }

    /// Of an input that began a response; `None` of any other.
    pub(super) fn of(input: &Input) -> Option<Self> {
        Self::deserialize(input.about.get(FIELD)?).ok()
    }
}
