//! `ask_human`: a call that a person answers, through any surface.

use serde_json::{Value, json};

pub(super) const DESCRIPTION: &str = "Ask a person and wait for the answer, which may take days. \
    Ask one clear question; give options if there are few.";

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "question": { "type": "string", "description": "What the person reads." },
            "options": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Answers to choose from, if there are few."
            }
        },
        "required": ["question"],
        "additionalProperties": false
    })
}
