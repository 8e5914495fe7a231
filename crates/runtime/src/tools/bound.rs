//! What others say of their tools, bounded before a model sees it.
//!
//! A description is text that a stranger wrote into the model's context. That
//! it tries to give orders cannot be known; that it is short, printable and
//! stands where descriptions stand, can.

use serde_json::{Map, Value, json};

/// The longest description that is shown, in bytes.
pub(super) const DESCRIPTION_MAX: usize = 2_048;

/// The largest schema that is shown, in bytes of JSON.
pub(super) const SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// The deepest schema that is shown.
pub(super) const SCHEMA_DEPTH_MAX: usize = 24;

/// As much of a text as fits, without control characters other than line
/// breaks and without those that change the direction of writing or are not
/// seen: what a person reads in a console is what the model reads.
pub(super) fn description(text: &str) -> String {
    let shown = text.chars().filter_map(|c| match c {
        '\n' => Some('\n'),
        c if c.is_control() => Some(' '),
        '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{e0000}'..='\u{e007f}' => None,
        c => Some(c),
    });
    let mut kept = String::new();
    for c in shown {
        if kept.len() + c.len_utf8() > DESCRIPTION_MAX {
            kept.push('…');
            break;
        }
        kept.push(c);
    }
    kept
}

/// The schema of a tool's arguments as it is shown: an object's. Why it is not
/// shown if it is too large.
pub(super) fn schema(schema: &Map<String, Value>) -> Result<Value, String> {
    let mut left = SCHEMA_BYTES_MAX;
    if !fits(&Value::Object(schema.clone()), SCHEMA_DEPTH_MAX, &mut left) {
        return Err(format!(
            "its schema is larger than {SCHEMA_BYTES_MAX} bytes or deeper than {SCHEMA_DEPTH_MAX}"
        ));
    }
    match schema.get("type") {
        // Providers want an object; some servers leave the word out.
        None => {
            let mut whole = Map::from_iter([("type".to_owned(), json!("object"))]);
            whole.extend(schema.clone());
            Ok(Value::Object(whole))
        }
        Some(Value::String(kind)) if kind == "object" => Ok(Value::Object(schema.clone())),
        Some(_) => Err("its schema is not that of an object".to_owned()),
    }
}

/// Whether a value stays within a depth and what is left of a number of bytes.
/// Goes no deeper than the depth.
fn fits(value: &Value, depth: usize, left: &mut usize) -> bool {
    let mut take = |bytes: usize| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => take(8),
        Value::String(text) => take(text.len() + 3),
        Value::Array(items) => {
            depth > 0 && take(2) && items.iter().all(|item| fits(item, depth - 1, left))
        }
        Value::Object(fields) => {
            depth > 0
                && take(2)
                && fields.iter().all(|(key, value)| {
                    let key = key.len() + 4;
                    let Some(rest) = left.checked_sub(key) else { return false };
                    *left = rest;
                    fits(value, depth - 1, left)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn a_description_is_short_and_printable() {
        assert_eq!(description("a\u{1b}[31m\nb\u{202e}c\u{200b}"), "a [31m\nbc");
        let long = description(&"é".repeat(5_000));
        assert!(long.len() <= DESCRIPTION_MAX + "…".len() && long.ends_with('…'));
    }

    #[test]
    fn a_schema_bomb_is_not_shown() {
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "items": deep });
        }
        assert!(schema(&object(&deep)).is_err());
        let wide: Vec<String> = (0..10_000).map(|n| format!("value {n}")).collect();
        assert!(schema(&object(&json!({ "type": "object", "enum": wide }))).is_err());
        assert!(schema(&object(&json!({ "type": "string" }))).is_err());
    }

    #[test]
    fn a_schema_without_its_type_is_an_object_s() {
        let shown = schema(&object(&json!({ "properties": { "a": {} } }))).unwrap();
        assert_eq!(shown, json!({ "type": "object", "properties": { "a": {} } }));
    }
}
