//! Responses bodies, read independently.

use serde_json::{Value, json};

use super::{
    Answered, Asked, Folded, Said, Tokens, append, attached, call, push, push_all, result, spoken,
    texts, tool,
};
use crate::recordings::frames::Frame;
use crate::recordings::json::{list, some, text};

pub(super) fn asked(body: &Value) -> Asked {
    let mut asked = Asked {
        max_tokens: some(body, "max_output_tokens").cloned().unwrap_or_default(),
        tool_choice: choice(body),
        schema: body.pointer("/text/format/schema").cloned().unwrap_or_default(),
        stream: some(body, "stream") == Some(&json!(true)),
        ..Asked::default()
    };
    push(&mut asked.system, text(body, "instructions"));
    push(&mut asked.user, text(body, "input"));
    for item in list(body, "input") {
        match text(item, "type") {
            "" | "message" => message(item, &mut asked),
            "function_call" | "custom_tool_call" => asked.calls.push(called(item)),
            "function_call_output" | "custom_tool_call_output" => {
                let output = item.get("output").unwrap_or(&Value::Null);
                asked.results.push(result(text(item, "call_id"), &texts(output).concat()));
                // Pictures of a result count as the user's.
                for part in list(item, "output").iter().filter(|p| text(p, "type") != "input_text")
                {
                    push(&mut asked.user, &file(part));
                }
            }
            _ => {}
        }
    }
    for offered in list(body, "tools").iter().filter(|t| text(t, "type") == "function") {
        let schema = some(offered, "parameters");
        asked.tools.push(tool(text(offered, "name"), text(offered, "description"), schema));
    }
    asked
}

fn message(item: &Value, asked: &mut Asked) {
    let into = match text(item, "role") {
        "system" | "developer" => &mut asked.system,
        "assistant" => &mut asked.assistant,
        _ => &mut asked.user,
    };
    let content = item.get("content").unwrap_or(&Value::Null);
    let Value::Array(parts) = content else {
        return push_all(into, content);
    };
    for part in parts {
        match text(part, "type") {
            "input_image" | "input_file" => into.push(file(part)),
            "refusal" => push(into, text(part, "refusal")),
            _ => push(into, text(part, "text")),
        }
    }
}

/// The mark of a picture or document.
fn file(part: &Value) -> String {
    let word = |name: &str| some(part, name).and_then(Value::as_str);
    let address = ["image_url", "file_url", "file_data"].iter().find_map(|n| word(n));
    match address {
        Some(address) if word("image_url").is_some() => attached("image", address),
        Some(address) => attached("document", address),
        None => format!("<id:{}>", text(part, "file_id")),
    }
}

fn called(item: &Value) -> Value {
    let (id, name) = (text(item, "call_id"), text(item, "name"));
    match text(item, "type") {
        "custom_tool_call" => {
            json!({"id": id, "name": name, "arguments": {"input": text(item, "input")}})
        }
        _ => call(id, name, text(item, "arguments")),
    }
}

fn choice(body: &Value) -> Value {
    match some(body, "tool_choice") {
        Some(Value::String(word)) => json!(word),
        Some(object) if text(object, "type") == "function" => json!({"tool": object["name"]}),
        other => other.cloned().unwrap_or_default(),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let mut said = Said::default();
    for item in list(body, "output") {
        match text(item, "type") {
            "message" => {
                for part in list(item, "content") {
                    said.text.push_str(text(part, "text"));
                    said.text.push_str(text(part, "refusal"));
                }
            }
            "reasoning" => {
                for part in list(item, "content").iter().chain(list(item, "summary")) {
                    said.thinking.push_str(text(part, "text"));
                }
            }
            "function_call" | "custom_tool_call" => said.calls.push(called(item)),
            _ => {}
        }
    }
    let why = body.pointer("/incomplete_details/reason").and_then(Value::as_str);
    said.stop = String::from(match (text(body, "status"), why) {
        // `complete` stands in recordings that were written by hand.
        ("completed" | "complete" | "", _) if said.calls.is_empty() => "end",
        ("completed" | "complete" | "", _) => "tools",
        ("incomplete", Some("max_output_tokens")) => "length",
        ("incomplete", Some("content_filter")) => "refusal",
        (_, Some(why)) => why,
        (status, None) => status,
    });
    Answered { choices: vec![said], usage: some(body, "usage").map(tokens) }
}

fn tokens(usage: &Value) -> Tokens {
    let at = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    Tokens {
        input: at("/input_tokens").unwrap_or(0),
        output: at("/output_tokens").unwrap_or(0),
        cached: at("/input_tokens_details/cached_tokens"),
        reasoning: at("/output_tokens_details/reasoning_tokens"),
    }
}

/// The terminal event repeats the whole answer; that its deltas say the same
/// is a comparison of its own ([`of_deltas`]). Its items are taken from the
/// events that ended each: providers encrypt reasoning, and number some
/// items, anew when they repeat them.
pub(super) fn fold(frames: &[Frame]) -> Folded {
    let mut folded = Folded::default();
    let mut items: Vec<(u64, Value)> = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let event = frame.json();
        match text(&event, "type") {
            "response.created" | "response.in_progress" | "response.queued" => {
                folded.answer = event["response"].clone();
            }
            "response.output_item.done" => {
                let at = event.get("output_index").and_then(Value::as_u64).unwrap_or(u64::MAX);
                items.push((at, event["item"].clone()));
            }
            "response.completed" | "response.incomplete" => {
                folded.answer = event["response"].clone();
                put(&mut folded.answer, &items);
                folded.stopped_at.get_or_insert(n);
                folded.ended_at = Some(n);
                break;
            }
            "response.failed" => {
                let response = &event["response"];
                folded.error = super::error_message(response).map(str::to_owned);
                folded.answer = response.clone();
                break;
            }
            "error" => {
                folded.error = super::error_message(&event).map(str::to_owned);
                break;
            }
            _ => {}
        }
    }
    folded
}

/// Puts the ended items in the place of the repeated ones.
fn put(answer: &mut Value, items: &[(u64, Value)]) {
    let output = answer.get_mut("output").and_then(Value::as_array_mut);
    for (place, repeated) in output.into_iter().flatten().enumerate() {
        let ended = items.iter().find(|(at, _)| usize::try_from(*at) == Ok(place));
        if let Some((_, ended)) = ended.filter(|(_, item)| item["type"] == repeated["type"]) {
            *repeated = ended.clone();
        }
    }
}

/// The text and calls that the deltas of a stream amount to.
pub(crate) fn of_deltas(frames: &[Frame]) -> Value {
    let mut said = Said::default();
    let mut calls: Vec<(Value, Value)> = Vec::new();
    for event in frames.iter().map(Frame::json) {
        match text(&event, "type") {
            "response.output_text.delta" | "response.refusal.delta" => {
                said.text.push_str(text(&event, "delta"));
            }
            "response.output_item.added"
                if matches!(text(&event["item"], "type"), "function_call" | "custom_tool_call") =>
            {
                calls.push((event["output_index"].clone(), event["item"].clone()));
            }
            kind @ ("response.function_call_arguments.delta"
            | "response.custom_tool_call_input.delta") => {
                let field = if kind.contains("function") { "arguments" } else { "input" };
                let index = &event["output_index"];
                if let Some((_, item)) = calls.iter_mut().find(|(at, _)| at == index) {
                    append(item, field, text(&event, "delta"));
                }
            }
            _ => {}
        }
    }
    said.calls = calls.iter().map(|(_, item)| called(item)).collect();
    spoken(&Answered { choices: vec![said], usage: None })
}
