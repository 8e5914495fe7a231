//! A summary of a conversation in the dialect's opaque `encrypted_content`.
//!
//! What it holds the client has said or heard itself, so nothing is secret in
//! it; it is opaque because its form is ours to change.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use freehold_llm::model::{Answer, Item, ItemBody, PartBody, Role};
use serde_json::Value;

/// What each of ours begins with.
pub(super) const MARK: &str = "fhsum1.";

/// A summary as clients carry it.
pub(super) fn carry(text: &str) -> String {
    format!("{MARK}{}", URL_SAFE_NO_PAD.encode(text))
}

/// The summary in what a client brought; `None` for what is not ours.
pub(super) fn read(carried: &str) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(carried.strip_prefix(MARK)?).ok()?;
    String::from_utf8(bytes).ok()
}

/// What an answer says, in words.
pub(super) fn text_of(answer: &Answer) -> String {
    let items = answer.choices.first().map(|choice| choice.items.as_slice()).unwrap_or_default();
    let mut text = String::new();
    for item in items {
        if let ItemBody::Message(message) = &item.body {
            for part in &message.parts {
                if let PartBody::Text { text: more, .. } | PartBody::Refusal(more) = &part.body {
                    text.push_str(more);
                }
            }
        }
    }
    text
}

/// A summary as a model is shown it.
fn item(text: &str) -> Item {
    Item::text(Role::Developer, shown(text))
}

/// The same, as an item of a request.
pub(super) fn value(text: &str) -> Value {
    serde_json::json!({"type": "message", "role": "developer", "content": shown(text)})
}

fn shown(text: &str) -> String {
    format!("Summary of the conversation before this:\n{text}")
}

/// An item that carries a summary of ours, as a model is shown it.
pub(super) fn expand(json: &Value) -> Option<Item> {
    let is = json.get("type").and_then(Value::as_str) == Some("compaction");
    let carried = json.get("encrypted_content").and_then(Value::as_str).filter(|_| is)?;
    read(carried).map(|text| item(&text))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_summary_comes_back() {
        let carried = carry("three é");
        assert_eq!(read(&carried).as_deref(), Some("three é"));
        assert_eq!(read("gAAAA"), None);
        assert_eq!(read(&format!("{MARK}!")), None);
        assert!(expand(&json!({"type": "compaction", "encrypted_content": carried})).is_some());
        assert!(expand(&json!({"type": "message", "encrypted_content": carried})).is_none());
    }
}
