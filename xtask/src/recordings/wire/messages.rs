//! Messages bodies, read independently.

use serde_json::{Value, json};

use super::{
    Answered, Asked, Folded, Said, Tokens, append, attached, call, inline, push, push_all, result,
    texts, tool,
};
use crate::recordings::frames::Frame;
use crate::recordings::json::{index, list, some, text};

pub(super) fn asked(body: &Value) -> Asked {
    let mut asked = Asked {
        max_tokens: body.get("max_tokens").cloned().unwrap_or_default(),
        tool_choice: choice(body),
        schema: body
            .pointer("/output_config/format/schema")
            .or_else(|| body.pointer("/output_format/schema"))
            .cloned()
            .unwrap_or_default(),
        stop: some(body, "stop_sequences").cloned().unwrap_or_default(),
        stream: some(body, "stream") == Some(&json!(true)),
        ..Asked::default()
    };
    let system = body.get("system").unwrap_or(&Value::Null);
    push_all(&mut asked.system, system);
    for message in list(body, "messages") {
        let content = message.get("content").unwrap_or(&Value::Null);
        let role = text(message, "role");
        if let Value::Array(blocks) = content {
            for one in blocks {
                block(role, one, &mut asked);
            }
        } else {
            block(role, &json!({"type": "text", "text": content}), &mut asked);
        }
    }
    let custom = |t: &&Value| matches!(text(t, "type"), "" | "custom");
    for offered in list(body, "tools").iter().filter(custom) {
        let schema = some(offered, "input_schema");
        asked.tools.push(tool(text(offered, "name"), text(offered, "description"), schema));
    }
    asked
}

fn block(role: &str, block: &Value, asked: &mut Asked) {
    let source = block.get("source").unwrap_or(&Value::Null);
    match text(block, "type") {
        "text" => {
            let into = match role {
                "assistant" => &mut asked.assistant,
                "system" => &mut asked.system,
                _ => &mut asked.user,
            };
            push(into, text(block, "text"));
        }
        "image" | "document" => match text(source, "type") {
            "base64" => asked.user.push(inline(text(source, "media_type"), text(source, "data"))),
            "url" => {
                asked.user.push(attached(text(block, "type"), text(source, "url")));
            }
            "file" => asked.user.push(format!("<id:{}>", text(source, "file_id"))),
            _ => push(&mut asked.user, text(source, "data")),
        },
        "tool_use" => asked.calls.push(used(block)),
        "tool_result" => {
            let output = output(block, asked);
            asked.results.push(result(text(block, "tool_use_id"), &output));
        }
        _ => {}
    }
}

/// The text of a tool's result; its pictures count as the user's.
fn output(result: &Value, asked: &mut Asked) -> String {
    let content = result.get("content").unwrap_or(&Value::Null);
    for part in list(result, "content") {
        let source = part.get("source").unwrap_or(&Value::Null);
        let plain = text(source, "type") == "text";
        if matches!(text(part, "type"), "image" | "document") && !plain {
            block("user", part, asked);
        }
    }
    let Value::Array(parts) = content else { return texts(content).concat() };
    let said = |part: &Value| {
        let own = part.get("source").map_or("", |source| match text(source, "type") {
            "text" => text(source, "data"),
            _ => "",
        });
        format!("{}{own}", text(part, "text"))
    };
    parts.iter().map(said).collect()
}

fn used(block: &Value) -> Value {
    let input = block.get("input").unwrap_or(&Value::Null);
    call(text(block, "id"), text(block, "name"), &input.to_string())
}

fn choice(body: &Value) -> Value {
    let Some(choice) = some(body, "tool_choice") else { return Value::Null };
    match text(choice, "type") {
        "any" => json!("required"),
        "tool" => json!({"tool": choice["name"]}),
        word => json!(word),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let mut said = Said::default();
    for block in list(body, "content") {
        match text(block, "type") {
            "text" => said.text.push_str(text(block, "text")),
            "thinking" => said.thinking.push_str(text(block, "thinking")),
            "tool_use" => said.calls.push(used(block)),
            _ => {}
        }
    }
    said.stop = String::from(match text(body, "stop_reason") {
        "end_turn" => "end",
        "stop_sequence" => "sequence",
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tools",
        "pause_turn" => "pause",
        other => other,
    });
    Answered { choices: vec![said], usage: some(body, "usage").map(tokens) }
}

fn tokens(usage: &Value) -> Tokens {
    let at = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    let read = at("/cache_read_input_tokens");
    let written = at("/cache_creation_input_tokens").unwrap_or(0);
    Tokens {
        input: at("/input_tokens").unwrap_or(0) + read.unwrap_or(0) + written,
        output: at("/output_tokens").unwrap_or(0),
        cached: read,
        reasoning: at("/output_tokens_details/thinking_tokens"),
    }
}

pub(super) fn fold(frames: &[Frame]) -> Folded {
    let mut folded = Folded::default();
    let mut answer = Value::Null;
    let mut blocks: Vec<Value> = Vec::new();
    for (n, frame) in frames.iter().enumerate() {
        let event = frame.json();
        let at = index(&event);
        match text(&event, "type") {
            "message_start" if answer.is_null() => answer = event["message"].clone(),
            "content_block_start" => {
                while blocks.len() < at {
                    blocks.push(Value::Null);
                }
                blocks.truncate(at);
                blocks.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                if let Some(block) = blocks.get_mut(at) {
                    merge_delta(block, &event["delta"]);
                }
            }
            "content_block_stop" => {
                if let Some(block) = blocks.get_mut(at) {
                    close(block);
                }
            }
            "message_delta" => {
                folded.stopped_at.get_or_insert(n);
                merge_message(&mut answer, &event);
            }
            "message_stop" => {
                folded.ended_at = Some(n);
                break;
            }
            "error" => {
                folded.error = super::error_message(&event).map(str::to_owned);
                break;
            }
            _ => {}
        }
    }
    if answer.is_object() {
        answer["content"] = Value::Array(blocks);
    }
    folded.answer = answer;
    folded
}

fn merge_delta(block: &mut Value, delta: &Value) {
    match text(delta, "type") {
        "text_delta" => append(block, "text", text(delta, "text")),
        "thinking_delta" => append(block, "thinking", text(delta, "thinking")),
        "signature_delta" => block["signature"] = delta["signature"].clone(),
        "input_json_delta" => append(block, "\u{0}json", text(delta, "partial_json")),
        "compaction_delta" => append(block, "content", text(delta, "content")),
        "citations_delta" => match block.get_mut("citations") {
            Some(Value::Array(all)) => all.push(delta["citation"].clone()),
            _ => block["citations"] = json!([delta["citation"]]),
        },
        _ => {}
    }
}

/// Input that came in pieces takes the place of the empty one at the start.
fn close(block: &mut Value) {
    let Some(fields) = block.as_object_mut() else { return };
    if let Some(Value::String(pieces)) = fields.shift_remove("\u{0}json")
        && let Ok(input) = serde_json::from_str(&pieces)
    {
        fields.insert("input".to_owned(), input);
    }
}

fn merge_message(answer: &mut Value, event: &Value) {
    let Some(fields) = answer.as_object_mut() else { return };
    for (name, value) in event.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("type", _) => {}
            ("delta", Value::Object(late)) => {
                fields.extend(late.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
            ("usage", Value::Object(late)) => {
                let usage = fields.entry("usage").or_insert_with(|| json!({}));
                for (k, v) in late.iter().filter(|(_, v)| !v.is_null()) {
                    usage[k.as_str()] = v.clone();
                }
            }
            (name, value) => {
                fields.insert(name.to_owned(), value.clone());
            }
        }
    }
}
