//! JSON of a provider's that nests deeper than an event may.

use freehold_llm::model::Event;
use serde_json::Value;

use super::text_of;

/// The most levels of one event of an answer: the journal's own, less those of
/// an answer and of an event of the journal around it.
const LEVELS_MAX: usize = crate::event::BODY_DEPTH_MAX - 24;

/// Whether an event nests deeper than the journal keeps. `serde_json` read it,
/// so it has 128 levels at most, and following them is safe.
pub(super) fn is_too_deep(event: &Event) -> bool {
    if let Event::Delta { delta, .. } = event
        && text_of(delta).is_some()
    {
        return false;
    }
    serde_json::to_value(event).map_or(true, |value| levels(&value) > LEVELS_MAX)
}

fn levels(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(levels).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
