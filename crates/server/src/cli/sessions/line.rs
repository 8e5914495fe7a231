//! One event as one line.

use serde_json::Value;

/// Characters of a line's content.
const CONTENT_MAX: usize = 160;

/// An event: where, when, what, and the beginning of what it holds.
pub(super) fn of(event: &Value) -> String {
    let field = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    let offset = event.get("offset").and_then(Value::as_u64).unwrap_or_default();
    let fact = event.get("fact").cloned().unwrap_or_default();
    let (at, kind) = (time(field("at")), field("kind"));
    let told = short(&content(kind, &fact));
    format!("{offset:>6}  {at}  {kind:<17} {told}").trim_end().to_owned()
}

/// A time without its fraction.
pub(super) fn time(at: &str) -> String {
    match at.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => at.to_owned(),
    }
}

fn content(kind: &str, fact: &Value) -> String {
    let said = match kind {
        "model_delta" => texts(fact.pointer("/content/inline").unwrap_or(&Value::Null)),
        "model_answered" => {
            texts(fact.pointer("/content/inline/choices/0/items").unwrap_or(&Value::Null))
        }
        "input_accepted" => texts(fact.pointer("/content/inline/items").unwrap_or(&Value::Null)),
        _ => String::new(),
    };
    if said.is_empty() { fact.to_string() } else { said }
}

/// The texts in a value, one after the other.
fn texts(value: &Value) -> String {
    let mut found = String::new();
    // A depth that no event passes.
    gather(value, 64, &mut found);
    found
}

fn gather(value: &Value, levels: usize, found: &mut String) {
    let Some(below) = levels.checked_sub(1) else { return };
    match value {
        Value::Array(items) => items.iter().for_each(|item| gather(item, below, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_str() {
                    Some(text) if name == "text" || name == "input" => found.push_str(text),
                    Some(text) if name == "name" => {
                        found.push_str(text);
                        found.push(' ');
                    }
                    Some(_) => {}
                    None => gather(field, below, found),
                }
            }
        }
        _ => {}
    }
}

/// As much as fits on a line.
fn short(text: &str) -> String {
    let mut line: String =
        text.chars().take(CONTENT_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(CONTENT_MAX).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_shows_what_was_said() {
        let event = json!({
            "offset": 7, "at": "2026-01-01T00:00:00.123Z", "kind": "model_delta",
            "fact": {"asked": 6, "content": {"inline": [
                {"delta": {"slot": {"choice": 0, "item": 0}, "part": 0, "delta": {"text": "hel\nlo"}}},
            ]}},
        });
        assert_eq!(of(&event), "     7  2026-01-01T00:00:00Z  model_delta       hel lo");
    }

    #[test]
    fn what_says_nothing_is_shown_as_it_is_and_cut() {
        let event =
            json!({"offset": 1, "at": "x", "kind": "turn_ended", "fact": {"reason": "done"}});
        assert!(of(&event).ends_with(r#"{"reason":"done"}"#));
        assert_eq!(short(&"x".repeat(200)).chars().count(), 161);
    }
}
