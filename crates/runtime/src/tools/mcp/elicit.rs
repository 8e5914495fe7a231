//! What a server hears that asks the user something in the middle of a call.
//!
//! A call under way cannot wait for days: the connection and the server's
//! memory of it would have to. So the server hears no, and the model is told
//! what was asked; it can ask a person durably and call again. Where the owner
//! says so, the form's own defaults are sent instead.

use rmcp::model::{ElicitRequestParams, ElicitResult, ElicitationAction};
use serde_json::{Map, Value};

use crate::tools::bound;
use crate::tools::options::Elicitation;

/// The answer to a question, and what the model is told of it.
pub(super) fn answer(
    asked: &ElicitRequestParams,
    how: Elicitation,
) -> (ElicitResult, Option<String>) {
    match asked {
        ElicitRequestParams::FormElicitationParams { message, requested_schema, .. }
            if how == Elicitation::Defaults =>
        {
            let schema = serde_json::to_value(requested_schema).unwrap_or_default();
            match defaults(&schema) {
                Some(content) => {
                    let result = ElicitResult::new(ElicitationAction::Accept);
                    (result.with_content(content), None)
                }
                None => declined(message, ""),
            }
        }
        ElicitRequestParams::FormElicitationParams { message, .. } => declined(message, ""),
        ElicitRequestParams::UrlElicitationParams { message, url, .. } => {
            declined(message, &format!(" (at {url})"))
        }
        _ => declined("", ""),
    }
}

fn declined(message: &str, place: &str) -> (ElicitResult, Option<String>) {
    let message = bound::description(message);
    let note = format!(
        "The tool's server asked the user{}: \"{message}\". It was told that nobody can answer \
         during a call. Ask the user yourself, then call again with what they said.",
        bound::description(place)
    );
    (ElicitResult::new(ElicitationAction::Decline), Some(note))
}

/// The defaults of a form; none if something that is required has no default.
fn defaults(schema: &Value) -> Option<Value> {
    let fields = schema.get("properties").and_then(Value::as_object)?;
    let mut content = Map::new();
    for (name, field) in fields {
        if let Some(default) = field.get("default") {
            content.insert(name.clone(), default.clone());
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    let mut required = required.into_iter().flatten().filter_map(Value::as_str);
    required.all(|name| content.contains_key(name)).then_some(Value::Object(content))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask() -> ElicitRequestParams {
        serde_json::from_value(json!({
            "mode": "form", "message": "Which\u{1b} one?",
            "requestedSchema": { "type": "object", "properties": {
                "name": { "type": "string", "default": "a" },
                "n": { "type": "integer", "default": 3 },
                "more": { "type": "string" }
            }, "required": ["name"] }
        }))
        .expect("a question")
    }

    #[test]
    fn a_server_hears_no_and_the_model_what_was_asked() {
        let (result, note) = answer(&ask(), Elicitation::Decline);
        assert_eq!((result.action, result.content), (ElicitationAction::Decline, None));
        assert!(note.is_some_and(|note| note.contains("\"Which  one?\"")));
    }

    #[test]
    fn the_owner_may_let_the_defaults_stand() {
        let (result, note) = answer(&ask(), Elicitation::Defaults);
        assert_eq!(result.content, Some(json!({ "name": "a", "n": 3 })));
        assert!(result.action == ElicitationAction::Accept && note.is_none());
        assert_eq!(defaults(&json!({ "properties": { "a": {} }, "required": ["a"] })), None);
    }
}
