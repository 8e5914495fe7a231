//! The normal form of each dialect: what a codec may write otherwise than it
//! read. Each rule here is one that the codec's own module states; nothing
//! else is forgiven.

use freehold_llm::Dialect;
use serde_json::{Map, Value, json};

/// Brings a request, and what it was encoded to, into normal form.
pub(crate) fn request(dialect: Dialect, wanted: &mut Value, got: &mut Value) {
    for side in [&mut *wanted, &mut *got] {
        match dialect {
            Dialect::Chat => each_object(side, &mut chat_object),
            Dialect::Responses => {
                each_object(side, &mut responses_item);
                if let Some(body) = side.as_object_mut() {
                    responses_request(body);
                }
            }
            Dialect::Messages => {}
        }
    }
    if dialect == Dialect::Chat {
        forgive_new_ids(wanted, got);
    }
}

/// Brings a complete answer, and what it was encoded to, into normal form.
pub(crate) fn answer(dialect: Dialect, wanted: &mut Value, got: &mut Value) {
    for side in [&mut *wanted, &mut *got] {
        match dialect {
            Dialect::Chat => {
                each_object(side, &mut chat_object);
                chat_answer(side);
            }
            Dialect::Responses => {
                each_object(side, &mut responses_item);
                whole_number(side, "created_at");
            }
            Dialect::Messages => each_object(side, &mut messages_block),
        }
    }
    match dialect {
        Dialect::Chat => {
            forgive_new_ids(wanted, got);
            forgive_added(wanted, got, &["created", "model"]);
            // So does an answer without one.
            if wanted.get("id").is_none_or(is_empty) {
                forgive_added(&Value::Null, got, &["id"]);
                forgive_added(&Value::Null, wanted, &["id"]);
            }
        }
        Dialect::Responses => responses_answer(wanted, got),
        Dialect::Messages => {}
    }
}

/// Brings an answer that was folded from a stream, and what it was encoded
/// to, into normal form, beyond [`answer`].
pub(crate) fn streamed(dialect: Dialect, wanted: &mut Value, got: &mut Value) {
    for side in [wanted, got] {
        match dialect {
            Dialect::Chat => {
                // The lane is told with the usage.
                if side.get("usage").is_none_or(Value::is_null)
                    && let Some(side) = side.as_object_mut()
                {
                    side.shift_remove("service_tier");
                }
                let choices = side.get_mut("choices").and_then(Value::as_array_mut);
                for choice in choices.into_iter().flatten() {
                    one_reasoning(&mut choice["message"]);
                }
            }
            // An empty text block is left out.
            Dialect::Messages => {
                if let Some(Value::Array(blocks)) = side.get_mut("content") {
                    blocks.retain(|b| b["type"] != "text" || b["text"] != "");
                }
            }
            Dialect::Responses => {}
        }
    }
}

/// Reasoning has three places in a message; a stream is written with one.
fn one_reasoning(message: &mut Value) {
    let Some(message) = message.as_object_mut() else { return };
    // What is only in details is repeated as text.
    if let Some(Value::Array(details)) = message.get("reasoning_details") {
        let text = |d: &Value| d["text"].as_str().unwrap_or_default().to_owned();
        let all: String = details.iter().map(text).collect();
        message.entry("reasoning_content").or_insert(json!(all));
    }
    if let Some(reasoning) = message.shift_remove("reasoning") {
        message.entry("reasoning_content").or_insert(reasoning);
    }
    let Some(Value::Array(parts)) = message.get("content").cloned() else { return };
    let words = |part: &Value| part["text"].as_str().unwrap_or_default().to_owned();
    let thought = |part: &Value| match &part["thinking"] {
        Value::Array(inner) => inner.iter().map(words).collect(),
        _ => String::new(),
    };
    let thinking: String = parts.iter().map(thought).collect();
    let content: String = parts.iter().map(words).collect();
    message.insert("content".to_owned(), json!(content));
    message.entry("reasoning_content").or_insert(json!(thinking));
}

/// Calls `change` on every object of a value.
fn each_object(value: &mut Value, change: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            change(object);
            for (_, inner) in object.iter_mut() {
                each_object(inner, change);
            }
        }
        Value::Array(items) => {
            for inner in items {
                each_object(inner, change);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
        _ => false,
    }
}

/// Removes those of the fields that are empty.
fn drop_empty(object: &mut Map<String, Value>, names: &[&str]) {
    for name in names {
        if object.get(*name).is_some_and(is_empty) {
            object.shift_remove(*name);
        }
    }
}

fn whole_number(body: &mut Value, name: &str) {
    if let Some(number) = body.get(name).and_then(Value::as_f64) {
        body[name] = json!(number.trunc());
    }
}

fn chat_object(object: &mut Map<String, Value>) {
    drop_empty(
        object,
        &[
            "tools",
            "tool_calls",
            "annotations",
            "images",
            "finish_reason",
            "refusal",
            "reasoning_content",
            "reasoning",
            "function_call",
            "audio",
            "prompt_tokens_details",
            "completion_tokens_details",
        ],
    );
    let nameless = |call: &Value| call.get("name").is_some_and(is_empty);
    if object.get("function_call").is_some_and(nameless) {
        object.shift_remove("function_call");
    }
    for list in ["tools", "tool_calls"] {
        for one in object.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            let unused = |o: &Value| o.as_object().is_some_and(|o| o.values().all(is_empty));
            if let Some(one) = one.as_object_mut()
                && one.get("custom").is_some_and(unused)
            {
                one.shift_remove("custom");
            }
            if one.get("type").is_none_or(Value::is_null) && one.get("function").is_some() {
                one["type"] = json!("function");
            }
            if let Some(one) = one.as_object_mut().filter(|_| list == "tool_calls") {
                // A call is numbered by its place.
                one.shift_remove("index");
            }
        }
    }
    if let Some(Value::Object(choice)) = object.get_mut("tool_choice")
        && choice.contains_key("function")
    {
        choice.entry("type").or_insert(json!("function"));
    }
    if object.get("name").is_some() {
        drop_empty(object, &["arguments"]);
    }
    if object.get("name").is_some()
        && let Some(arguments) = object.get_mut("arguments").filter(|a| a.is_object())
    {
        *arguments = json!(arguments.to_string());
    }
}

fn chat_answer(body: &mut Value) {
    whole_number(body, "created");
    if let Some(body) = body.as_object_mut() {
        body.insert("object".to_owned(), json!("chat.completion"));
    }
    let choices = body.get_mut("choices").and_then(Value::as_array_mut);
    for (place, choice) in choices.into_iter().flatten().enumerate() {
        choice["index"] = json!(place);
        // A choice without message has an empty one.
        if choice.get("message").is_none() {
            choice["message"] = json!({"role": "assistant"});
        }
        if let Some(message) = choice.get_mut("message").and_then(Value::as_object_mut) {
            drop_empty(message, &["content"]);
        }
        let none = |p: &Value| p.as_object().is_some_and(|o| o.values().all(Value::is_null));
        if let Some(choice) = choice.as_object_mut()
            && choice.get("logprobs").is_some_and(none)
        {
            choice.shift_remove("logprobs");
        }
    }
}

/// A call without id gets one.
fn forgive_new_ids(wanted: &Value, got: &mut Value) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            let none = a.get("id").is_none_or(|id| id.is_null() || is_empty(id));
            if none && a.get("function").is_some() {
                match a.get("id") {
                    Some(id) => b.insert("id".to_owned(), id.clone()),
                    None => b.shift_remove("id"),
                };
            }
            for (name, inner) in a {
                if let Some(other) = b.get_mut(name) {
                    forgive_new_ids(inner, other);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (inner, other) in a.iter().zip(b) {
                forgive_new_ids(inner, other);
            }
        }
        _ => {}
    }
}

/// Texts get their `annotations` and `logprobs`, reasoning its `summary`; an
/// empty `content` of reasoning is left out.
fn responses_item(object: &mut Map<String, Value>) {
    match object.get("type").and_then(Value::as_str) {
        Some("output_text") => drop_empty(object, &["annotations", "logprobs"]),
        Some("reasoning") => drop_empty(object, &["summary", "content"]),
        _ => {}
    }
}

fn responses_request(body: &mut Map<String, Value>) {
    drop_empty(body, &["text", "reasoning", "include", "tools"]);
    if body.get("stream") == Some(&json!(false)) {
        body.shift_remove("stream");
    }
    if let Some(Value::Array(include)) = body.get_mut("include") {
        include.sort_by_key(Value::to_string);
    }
}

/// Keys of the strict shape that were absent are added.
fn responses_answer(wanted: &Value, got: &mut Value) {
    const STRICT: [&str; 28] = [
        "background",
        "billing",
        "completed_at",
        "error",
        "frequency_penalty",
        "incomplete_details",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "status",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    ];
    forgive_added(wanted, got, &STRICT);
    for details in ["input_tokens_details", "output_tokens_details"] {
        let there = wanted.pointer(&format!("/usage/{details}")).unwrap_or(&Value::Null);
        if let Some(added) = got.pointer_mut(&format!("/usage/{details}")) {
            let counts = ["cached_tokens", "cache_write_tokens", "reasoning_tokens"];
            forgive_added(there, added, &counts);
        }
    }
    if let Some(usage) = got.get_mut("usage").and_then(Value::as_object_mut) {
        drop_empty(usage, &["input_tokens_details", "output_tokens_details"]);
    }
    forgive_citations(wanted, got);
}

/// Citations of pages get the place and title that they lack.
fn forgive_citations(wanted: &Value, got: &mut Value) {
    match (wanted, got) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, inner) in a {
                if let Some(other) = b.get_mut(name) {
                    forgive_citations(inner, other);
                }
            }
            if a.get("type") == Some(&json!("url_citation")) {
                for name in ["start_index", "end_index", "title"] {
                    if a.get(name).is_none() {
                        b.shift_remove(name);
                    }
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            for (inner, other) in a.iter().zip(b) {
                forgive_citations(inner, other);
            }
        }
        _ => {}
    }
}

/// Takes those of the fields out of `got` that `wanted` does not have.
fn forgive_added(wanted: &Value, got: &mut Value, names: &[&str]) {
    let Some(got) = got.as_object_mut() else { return };
    for name in names.iter().filter(|name| wanted.get(**name).is_none()) {
        got.shift_remove(*name);
    }
}

/// A field of null is the same as an absent one (everywhere, by
/// [`super::json::differences`]); so are an empty `signature` and empty
/// `citations`.
fn messages_block(object: &mut Map<String, Value>) {
    drop_empty(object, &["signature", "citations"]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::json::differences;

    fn differ(dialect: Dialect, mut wanted: Value, mut got: Value) -> Vec<String> {
        answer(dialect, &mut wanted, &mut got);
        streamed(dialect, &mut wanted, &mut got);
        differences(&wanted, &got).into_iter().map(|d| d.path).collect()
    }

    #[test]
    fn what_a_server_fills_with_nothing_is_forgiven() {
        let wanted = json!({"id": "", "created": 1.5, "choices": [{"finish_reason": "",
            "message": {"content": "a", "function_call": {"name": ""}, "tool_calls": []}}]});
        let got = json!({"id": "new", "created": 1, "object": "chat.completion",
            "choices": [{"index": 0, "message": {"content": "a"}}]});
        assert_eq!(differ(Dialect::Chat, wanted, got), [""; 0]);
    }

    #[test]
    fn content_is_never_forgiven() {
        let chat = |text: &str, id: &str| {
            json!({"choices": [{"message": {"content": text, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}}]})
        };
        let at = "choices[0].message";
        assert_eq!(
            differ(Dialect::Chat, chat("a", "1"), chat("b", "1")),
            [format!("{at}.content")]
        );
        let other_id = format!("{at}.tool_calls[0].id");
        assert_eq!(differ(Dialect::Chat, chat("a", "1"), chat("a", "2")), [other_id]);
        let messages = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        assert_eq!(differ(Dialect::Messages, messages("a"), messages("")), ["content"]);
    }

    #[test]
    fn strict_keys_may_be_added_and_not_changed() {
        let wanted = json!({"output": [], "temperature": 0.5});
        let added = json!({"output": [], "temperature": 0.5, "top_p": 1.0, "store": true});
        let changed = json!({"output": [], "temperature": 1.0});
        assert_eq!(differ(Dialect::Responses, wanted.clone(), added), [""; 0]);
        assert_eq!(differ(Dialect::Responses, wanted, changed), ["temperature"]);
    }
}
