//! Which call a streamed fragment belongs to. OpenAI numbers calls by
//! `index`; compatible servers leave it out, send 0 for all, repeat the id
//! with every fragment, or begin a new call with a new id under the old
//! number.

use serde_json::Value;

use crate::model::{Slot, ToolCallKind};

/// A call under way.
#[derive(Debug)]
struct Call {
    index: Option<u64>,
    id: String,
    name: String,
    input: String,
    slot: Slot,
}

/// The calls of one choice, in the order of their starts.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

/// A fragment, taken apart.
#[derive(Debug)]
pub(super) struct Fragment {
    pub(super) index: Option<u64>,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) input: String,
    pub(super) kind: ToolCallKind,
}

impl Fragment {
    /// Reads one entry of `delta.tool_calls`.
    pub(super) fn read(value: &Value) -> Self {
        let text = |value: Option<&Value>| {
            value.and_then(Value::as_str).map(str::to_owned).unwrap_or_default()
        };
        let inner = |key: &str| {
            value.get(key).filter(|v| v.as_object().is_some_and(|object| !object.is_empty()))
        };
        let custom = inner("custom").filter(|_| {
            value.get("type").and_then(Value::as_str) == Some("custom")
                || inner("function").is_none()
        });
        let (kind, body, input) = match custom {
            Some(custom) => (ToolCallKind::Custom, Some(custom), "input"),
            None => (ToolCallKind::Function, inner("function"), "arguments"),
        };
        Self {
            index: value.get("index").and_then(Value::as_u64),
            id: text(value.get("id")),
            name: text(body.and_then(|b| b.get("name"))),
            input: super::message_decode::arguments(body.and_then(|b| b.get(input)).cloned()),
            kind,
        }
    }
}

/// Where a fragment goes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To a call that is known.
    Known(Slot),
    /// It begins a call.
    New,
}

impl Calls {
    /// How many have begun.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// True if none has begun.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The slots of all.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.0.iter().map(|call| call.slot)
    }

    /// The call that a fragment continues, or that it begins one. The fragment
    /// of a known call is added to what is known of it.
    pub(super) fn place(&mut self, fragment: &Fragment) -> Place {
        let found = match (fragment.index, fragment.id.is_empty()) {
            (_, false) => match self.0.iter().rposition(|call| call.id == fragment.id) {
                Some(at) => Some(at),
                // A new id is a new call, whatever the number says, unless the
                // call of that number has no id of its own yet.
                None => self.by_index(fragment).filter(|at| self.is_open(*at, fragment, true)),
            },
            (Some(_), true) => {
                self.by_index(fragment).filter(|at| self.is_open(*at, fragment, false))
            }
            (None, true) => {
                self.0.len().checked_sub(1).filter(|at| self.is_open(*at, fragment, false))
            }
        };
        let Some(call) = found.and_then(|at| self.0.get_mut(at)) else { return Place::New };
        if call.id.is_empty() {
            call.id.clone_from(&fragment.id);
        }
        call.input.push_str(&fragment.input);
        Place::Known(call.slot)
    }

    /// Whether the call can go on with the fragment.
    fn is_open(&self, at: usize, fragment: &Fragment, only_nameless: bool) -> bool {
        self.0.get(at).is_some_and(|call| {
            (!only_nameless || call.id.is_empty()) && !call.ends_before(fragment)
        })
    }

    fn by_index(&self, fragment: &Fragment) -> Option<usize> {
        self.0.iter().rposition(|call| call.index == fragment.index)
    }

    /// Adds the call that a fragment began.
    pub(super) fn begin(&mut self, fragment: &Fragment, slot: Slot) {
        self.0.push(Call {
            index: fragment.index,
            id: fragment.id.clone(),
            name: fragment.name.clone(),
            input: fragment.input.clone(),
            slot,
        });
    }
}

impl Call {
    /// Whether a nameless-by-id fragment is another call: it names a tool
    /// though this call has one, and this call's input is complete or the
    /// name another.
    fn ends_before(&self, fragment: &Fragment) -> bool {
        !fragment.name.is_empty()
            && (fragment.name != self.name
                || self.input.trim_end().ends_with('}')
                    && serde_json::from_str::<serde::de::IgnoredAny>(&self.input).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Feeds fragments; gives the inputs of the calls that came of them.
    fn calls(fragments: &[Value]) -> Vec<(String, String)> {
        let mut calls = Calls::default();
        for value in fragments {
            let fragment = Fragment::read(value);
            if calls.place(&fragment) == Place::New {
                let item = u32::try_from(calls.len()).unwrap();
                calls.begin(&fragment, Slot { choice: 0, item });
            }
        }
        calls.0.into_iter().map(|call| (call.id, call.input)).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn openai_numbers_its_calls_even_interleaved() {
        let got = calls(&[
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 1, "id": "b", "function": {"name": "f", "arguments": ""}}),
            json!({"index": 0, "function": {"arguments": "{}"}}),
            json!({"index": 1, "function": {"arguments": "[]"}}),
        ]);
        assert_eq!(got, pairs(&[("a", "{}"), ("b", "[]")]));
    }

    #[test]
    fn a_new_id_under_the_same_number_is_a_new_call() {
        let got = calls(&[
            json!({"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}),
            json!({"index": 0, "id": "b", "function": {"name": "f", "arguments": "{"}}),
            json!({"index": 0, "function": {"arguments": "}"}}),
        ]);
        assert_eq!(got, pairs(&[("a", "{}"), ("b", "{}")]));
    }

    #[test]
    fn a_repeated_id_continues() {
        let got = calls(&[
            json!({"id": "a", "function": {"name": "f", "arguments": "{"}}),
            json!({"id": "a", "function": {"name": "f", "arguments": "}"}}),
            json!({"id": "b", "function": {"name": "g", "arguments": "{}"}}),
        ]);
        assert_eq!(got, pairs(&[("a", "{}"), ("b", "{}")]));
    }

    #[test]
    fn without_number_and_id_a_name_after_a_complete_input_begins_a_call() {
        let got = calls(&[
            json!({"index": 0, "function": {"name": "f", "arguments": "{\"a\""}}),
            json!({"index": 0, "function": {"name": "f", "arguments": ":1}"}}),
            json!({"index": 0, "function": {"name": "f", "arguments": "{}"}}),
        ]);
        assert_eq!(got, pairs(&[("", "{\"a\":1}"), ("", "{}")]));
    }

    #[test]
    fn an_empty_object_of_the_other_kind_is_ignored() {
        let fragment = Fragment::read(
            &json!({"index": 0, "custom": {}, "function": {"name": "f", "arguments": {"a": 1}}}),
        );
        assert_eq!(fragment.kind, ToolCallKind::Function);
        assert_eq!(fragment.input, "{\"a\":1}");
    }
}
