//! Chat bodies, read independently.

use serde_json::{Map, Value, json};

use super::{
    Answered, Asked, Folded, Said, Tokens, append, attached, call, push, push_all, result, texts,
    tool,
};
use crate::recordings::frames::Frame;
use crate::recordings::json::{index, list, some, text};

pub(super) fn asked(body: &Value) -> Asked {
    let mut asked = Asked {
        max_tokens: some(body, "max_completion_tokens")
            .or_else(|| some(body, "max_tokens"))
            .cloned()
            .unwrap_or_default(),
        tool_choice: choice(body),
        schema: body.pointer("/response_format/json_schema/schema").cloned().unwrap_or_default(),
        stop: match some(body, "stop") {
            Some(Value::String(one)) => json!([one]),
            other => other.cloned().unwrap_or_default(),
        },
        stream: some(body, "stream") == Some(&json!(true)),
        ..Asked::default()
    };
    for message in list(body, "messages") {
        let content = message.get("content").unwrap_or(&Value::Null);
        match text(message, "role") {
            "system" | "developer" => push_all(&mut asked.system, content),
            "assistant" => {
                push_all(&mut asked.assistant, content);
                push(&mut asked.assistant, text(message, "refusal"));
                asked.calls.extend(calls(message));
            }
            "tool" | "function" => {
                let id = some(message, "tool_call_id").or_else(|| some(message, "name"));
                let id = id.and_then(Value::as_str).unwrap_or_default();
                asked.results.push(result(id, &texts(content).concat()));
            }
            _ => user(content, &mut asked.user),
        }
    }
    for offered in list(body, "tools").iter().filter_map(|t| some(t, "function")) {
        let schema = some(offered, "parameters");
        asked.tools.push(tool(text(offered, "name"), text(offered, "description"), schema));
    }
    for offered in list(body, "functions") {
        let schema = some(offered, "parameters");
        asked.tools.push(tool(text(offered, "name"), text(offered, "description"), schema));
    }
    asked
}

fn user(content: &Value, into: &mut Vec<String>) {
    let Value::Array(parts) = content else {
        return push_all(into, content);
    };
    for part in parts {
        match text(part, "type") {
            "image_url" => {
                let address = part.pointer("/image_url/url").and_then(Value::as_str);
                into.push(attached("image", address.unwrap_or_else(|| text(part, "image_url"))));
            }
            "file" => {
                let file = part.get("file").unwrap_or(&Value::Null);
                push(
                    into,
                    &match some(file, "file_data").and_then(Value::as_str) {
                        Some(data) => attached("document", data),
                        None => format!("<id:{}>", text(file, "file_id")),
                    },
                );
            }
            "document_url" => into.push(attached("document", text(part, "document_url"))),
            _ => push(into, text(part, "text")),
        }
    }
}

fn choice(body: &Value) -> Value {
    match some(body, "tool_choice") {
        Some(Value::String(word)) if word == "any" => json!("required"),
        Some(Value::String(word)) => json!(word),
        Some(object) => match object.pointer("/function/name") {
            Some(name) => json!({ "tool": name }),
            None => object.clone(),
        },
        None => Value::Null,
    }
}

fn calls(message: &Value) -> Vec<Value> {
    let mut calls = Vec::new();
    for made in list(message, "tool_calls") {
        if let Some(custom) = some(made, "custom").filter(|c| !text(c, "name").is_empty()) {
            calls.push(json!({"id": text(made, "id"), "name": text(custom, "name"),
                              "arguments": {"input": text(custom, "input")}}));
        } else if let Some(function) = some(made, "function") {
            let arguments = arguments(function);
            calls.push(call(text(made, "id"), text(function, "name"), &arguments));
        }
    }
    let filled = |f: &&Value| !text(f, "name").is_empty();
    if let Some(function) = some(message, "function_call").filter(filled) {
        let name = text(function, "name");
        calls.push(call("", name, &arguments(function)));
    }
    calls
}

/// Some servers send the arguments as an object.
fn arguments(function: &Value) -> String {
    match function.get("arguments") {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let said = list(body, "choices").iter().map(|choice| {
        let message = choice.get("message").unwrap_or(&Value::Null);
        let content = message.get("content").unwrap_or(&Value::Null);
        let calls = calls(message);
        Said {
            text: format!("{}{}", texts(content).concat(), text(message, "refusal")),
            thinking: thinking(message),
            stop: match text(choice, "finish_reason") {
                // Some servers leave it empty.
                "" if calls.is_empty() => "end",
                "stop" | "eos" => "end",
                "length" => "length",
                "tool_calls" | "function_call" | "" => "tools",
                "content_filter" => "refusal",
                other => other,
            }
            .to_owned(),
            calls,
        }
    });
    Answered { choices: said.collect(), usage: some(body, "usage").map(tokens) }
}

fn thinking(message: &Value) -> String {
    let named = ["reasoning_content", "reasoning"].iter().map(|name| text(message, name));
    named.into_iter().find(|t| !t.is_empty()).unwrap_or_default().to_owned()
}

fn tokens(usage: &Value) -> Tokens {
    let at = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    let input = at("/prompt_tokens").unwrap_or(0);
    let mut output = at("/completion_tokens").unwrap_or(0);
    let reasoning = at("/completion_tokens_details/reasoning_tokens");
    // Some servers count reasoning beside the rest; the total tells.
    if let Some(reasoning) = reasoning
        && at("/total_tokens") == Some(input + output + reasoning)
    {
        output += reasoning;
    }
    let cached = [
        "/prompt_tokens_details/cached_tokens",
        "/num_cached_tokens",
        "/prompt_cache_hit_tokens",
        "/cached_tokens",
    ];
    Tokens { input, output, cached: cached.into_iter().find_map(at), reasoning }
}

pub(super) fn fold(frames: &[Frame]) -> Folded {
    let mut folded = Folded::default();
    let mut answer = Map::new();
    let mut choices: Vec<Value> = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        if frame.data.trim() == "[DONE]" {
            folded.ended_at = Some(n);
            break;
        }
        let chunk = frame.json();
        if let Some(message) = some(&chunk, "error").and(super::error_message(&chunk)) {
            folded.error = Some(message.to_owned());
            break;
        }
        for (name, value) in chunk.as_object().into_iter().flatten() {
            // What each chunk repeats counts from the first that has it;
            // padding is not of the answer.
            let first = matches!(name.as_str(), "id" | "created" | "model");
            let there = first && answer.get(name).is_some_and(|v| v != "" && v != 0);
            let padding = matches!(name.as_str(), "obfuscation" | "p");
            if !(name == "choices" || value.is_null() || there || padding) {
                answer.insert(name.clone(), value.clone());
            }
        }
        for choice in list(&chunk, "choices") {
            let at = index(choice);
            while choices.len() <= at {
                choices.push(json!({"index": choices.len(), "message": {"role": "assistant"}}));
            }
            if let Some(whole) = choices.get_mut(at) {
                merge_choice(whole, choice);
            }
        }
        if !choices.is_empty() && choices.iter().all(|c| some(c, "finish_reason").is_some()) {
            folded.stopped_at.get_or_insert(n);
        }
    }
    if folded.ended_at.is_none() && folded.stopped_at.is_some() && folded.error.is_none() {
        folded.ended_at = frames.len().checked_sub(1);
    }
    for choice in &mut choices {
        finish(choice);
    }
    // An older place of usage.
    if let Some(usage) = answer.get("x_groq").and_then(|x| x.get("usage")).cloned() {
        answer.entry("usage").or_insert(usage);
    }
    answer.insert("object".to_owned(), json!("chat.completion"));
    answer.insert("choices".to_owned(), Value::Array(choices));
    folded.answer = Value::Object(answer);
    folded
}

/// A choice that ended without a reason has one by what it said.
fn finish(choice: &mut Value) {
    if text(choice, "finish_reason").is_empty() {
        let calls = some(&choice["message"], "tool_calls").is_some();
        choice["finish_reason"] = json!(if calls { "tool_calls" } else { "stop" });
    }
}

fn merge_choice(whole: &mut Value, choice: &Value) {
    for (name, value) in choice.as_object().into_iter().flatten() {
        match name.as_str() {
            "delta" => merge_delta(&mut whole["message"], value),
            "index" => {}
            "logprobs" if value.is_object() => merge_lists(&mut whole["logprobs"], value),
            _ if value.is_null() => {}
            _ => whole[name.as_str()] = value.clone(),
        }
    }
}

/// Each list of the object is appended to the list of that name.
fn merge_lists(whole: &mut Value, more: &Value) {
    for (name, value) in more.as_object().into_iter().flatten() {
        match (whole.get_mut(name.as_str()), value) {
            (Some(Value::Array(all)), Value::Array(some)) => all.extend(some.iter().cloned()),
            (_, Value::Null) => {}
            _ => whole[name.as_str()] = value.clone(),
        }
    }
}

fn merge_delta(message: &mut Value, delta: &Value) {
    for (name, value) in delta.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("tool_calls", Value::Array(pieces)) => {
                for piece in pieces {
                    merge_call(message, piece);
                }
            }
            ("function_call", piece) => {
                if message.get("function_call").is_none() {
                    message["function_call"] = json!({});
                }
                merge_function(&mut message["function_call"], piece);
            }
            ("role" | "id", value) => message[name.as_str()] = value.clone(),
            ("content", Value::Array(parts)) => {
                for part in parts {
                    let thinking = texts(part.get("thinking").unwrap_or(&Value::Null)).concat();
                    append(message, "reasoning_content", &thinking);
                    append(message, "content", text(part, "text"));
                }
            }
            (
                name @ ("content" | "refusal" | "reasoning_content" | "reasoning"),
                Value::String(more),
            ) => append(message, name, more),
            (name, Value::Array(more)) => {
                if !message.get(name).is_some_and(Value::is_array) {
                    message[name] = json!([]);
                }
                for piece in more {
                    merge_piece(&mut message[name], piece);
                }
            }
            (name, value) => message[name] = value.clone(),
        }
    }
}

/// A piece with the `index` and `type` of one that is there goes on with it.
fn merge_piece(list: &mut Value, piece: &Value) {
    let Some(list) = list.as_array_mut() else { return };
    let same = |one: &&mut Value| {
        piece.get("index").is_some()
            && one["index"] == piece["index"]
            && one["type"] == piece["type"]
    };
    match list.iter_mut().find(same) {
        Some(one) => {
            for (name, value) in piece.as_object().into_iter().flatten() {
                match (name.as_str(), value) {
                    ("text" | "summary" | "data", Value::String(more)) => append(one, name, more),
                    (_, Value::Null) => {}
                    _ => one[name.as_str()] = value.clone(),
                }
            }
        }
        None => list.push(piece.clone()),
    }
}

/// A piece belongs to the call of its `index`; where servers leave that out,
/// an id that is new begins a call.
fn merge_call(message: &mut Value, piece: &Value) {
    if message.get("tool_calls").is_none() {
        message["tool_calls"] = json!([]);
    }
    let Some(Value::Array(all)) = message.get_mut("tool_calls") else { return };
    let id = text(piece, "id");
    let index = piece.get("index").and_then(Value::as_u64);
    let same_id =
        |call: &Value| id.is_empty() || text(call, "id").is_empty() || text(call, "id") == id;
    let found = match index {
        Some(index) => all.iter().rposition(|c| c["index"] == json!(index) && same_id(c)),
        None => all.iter().rposition(same_id),
    };
    let at = found.unwrap_or_else(|| {
        all.push(json!({"index": index, "function": {}}));
        all.len() - 1
    });
    let Some(whole) = all.get_mut(at) else { return };
    for (name, value) in piece.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("index", _) | (_, Value::Null) => {}
            ("function", function) => merge_function(&mut whole["function"], function),
            ("custom", custom) => merge_function(&mut whole["custom"], custom),
            ("id", Value::String(id)) if id.is_empty() => {}
            _ => whole[name.as_str()] = value.clone(),
        }
    }
}

fn merge_function(whole: &mut Value, piece: &Value) {
    for (name, value) in piece.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("arguments" | "input", Value::String(more)) => append(whole, name, more),
            ("name", Value::String(more)) if more.is_empty() => {}
            _ => whole[name.as_str()] = value.clone(),
        }
    }
}
