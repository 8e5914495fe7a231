//! Requests and answers of each dialect, small and of one meaning.

use freehold_llm::Dialect;
use serde_json::{Value, json};

pub(crate) const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];

/// The provider in [`crate::world::PROVIDERS`] that speaks a dialect.
pub(crate) fn pool(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "chat",
        Dialect::Responses => "responses",
        Dialect::Messages => "messages",
    }
}

/// A request, as its client writes it.
pub(crate) fn request(dialect: Dialect, model: &str, stream: bool) -> String {
    let mut body = match dialect {
        Dialect::Chat => json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}),
        Dialect::Responses => json!({"model": model, "input": "hi"}),
        Dialect::Messages => {
            json!({"model": model, "max_tokens": 50,
                "messages": [{"role": "user", "content": "hi"}]})
        }
    };
    if stream {
        body["stream"] = Value::Bool(true);
    }
    body.to_string()
}

/// An answer: the text "Hello there", 10 tokens in (4 of them cached), 5 out.
pub(crate) fn answer(dialect: Dialect) -> String {
    match dialect {
        Dialect::Chat => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop",
                "message": {"role": "assistant", "content": "Hello there"}}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4}}
        }),
        Dialect::Responses => response("completed", true),
        Dialect::Messages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Hello there"}],
            "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 6, "cache_read_input_tokens": 4,
                "cache_creation_input_tokens": 0, "output_tokens": 5}
        }),
    }
    .to_string()
}

fn response(status: &str, whole: bool) -> Value {
    let output = if whole { json!([item("completed", "Hello there")]) } else { json!([]) };
    let usage = if whole {
        json!({"input_tokens": 10, "output_tokens": 5, "total_tokens": 15,
            "input_tokens_details": {"cached_tokens": 4},
            "output_tokens_details": {"reasoning_tokens": 0}})
    } else {
        Value::Null
    };
    json!({
        "id": "resp_1", "object": "response", "created_at": 1, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "model": "m", "output": output,
        "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "store": false,
        "usage": usage
    })
}

fn item(status: &str, text: &str) -> Value {
    let content = if text.is_empty() {
        json!([])
    } else {
        json!([{"type": "output_text", "text": text, "annotations": []}])
    };
    json!({"type": "message", "id": "msg_1", "status": status, "role": "assistant",
        "content": content})
}

/// The same answer as a stream, event by event.
pub(crate) fn stream(dialect: Dialect) -> Vec<String> {
    match dialect {
        Dialect::Chat => {
            let chunk = |choices: Value, usage: Value| {
                let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk",
                    "created": 1, "model": "m", "choices": choices});
                if !usage.is_null() {
                    chunk["usage"] = usage;
                }
                format!("data: {chunk}\n\n")
            };
            let delta = |delta: Value, finish: Value| {
                let choices = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
                chunk(choices, Value::Null)
            };
            let usage = json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4}});
            vec![
                delta(json!({"role": "assistant", "content": ""}), Value::Null),
                delta(json!({"content": "Hello"}), Value::Null),
                delta(json!({"content": " there"}), Value::Null),
                delta(json!({}), json!("stop")),
                chunk(json!([]), usage),
                "data: [DONE]\n\n".to_owned(),
            ]
        }
        Dialect::Responses => responses_stream(),
        Dialect::Messages => [
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
                "role": "assistant", "model": "m", "content": [], "stop_reason": null,
                "stop_sequence": null, "usage": {"input_tokens": 6,
                "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
                "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": "Hello"}}),
            json!({"type": "content_block_delta", "index": 0,
                "delta": {"type": "text_delta", "text": " there"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn",
                "stop_sequence": null}, "usage": {"output_tokens": 5}}),
            json!({"type": "message_stop"}),
        ]
        .iter()
        .map(named)
        .collect(),
    }
}

fn responses_stream() -> Vec<String> {
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let done = json!({"type": "output_text", "text": "Hello there", "annotations": []});
    let mut events = [
        json!({"type": "response.created", "response": response("in_progress", false)}),
        json!({"type": "response.in_progress", "response": response("in_progress", false)}),
        json!({"type": "response.output_item.added", "output_index": 0,
            "item": item("in_progress", "")}),
        json!({"type": "response.content_part.added", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "part": part}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "delta": "Hello"}),
        json!({"type": "response.output_text.delta", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "delta": " there"}),
        json!({"type": "response.output_text.done", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "text": "Hello there"}),
        json!({"type": "response.content_part.done", "item_id": "msg_1", "output_index": 0,
            "content_index": 0, "part": done}),
        json!({"type": "response.output_item.done", "output_index": 0,
            "item": item("completed", "Hello there")}),
        json!({"type": "response.completed", "response": response("completed", true)}),
    ];
    for (number, event) in (0_u64..).zip(&mut events) {
        event["sequence_number"] = number.into();
    }
    events.iter().map(named).collect()
}

fn named(event: &Value) -> String {
    format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())
}

/// How many events of [`stream`] have gone by once "Hello" has come.
pub(crate) fn until_hello(dialect: Dialect) -> usize {
    stream(dialect).iter().position(|e| e.contains("Hello")).unwrap() + 1
}

/// The text of a whole answer.
pub(crate) fn text_of(dialect: Dialect, answer: &Value) -> String {
    let text = match dialect {
        Dialect::Chat => &answer["choices"][0]["message"]["content"],
        Dialect::Responses => &answer["output"][0]["content"][0]["text"],
        Dialect::Messages => &answer["content"][0]["text"],
    };
    text.as_str().unwrap_or_else(|| panic!("no text in {answer}")).to_owned()
}

/// The payloads of a stream, `[DONE]` left out.
pub(crate) fn payloads(stream: &str) -> Vec<Value> {
    stream
        .split("\n\n")
        .filter_map(|event| event.lines().find_map(|l| l.strip_prefix("data: ")))
        .filter(|data| *data != "[DONE]")
        .map(|data| serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")))
        .collect()
}

/// The text of a stream.
pub(crate) fn text_of_stream(dialect: Dialect, stream: &str) -> String {
    payloads(stream)
        .iter()
        .filter_map(|event| match dialect {
            Dialect::Chat => event["choices"][0]["delta"]["content"].as_str(),
            Dialect::Responses if event["type"] == "response.output_text.delta" => {
                event["delta"].as_str()
            }
            Dialect::Messages => event["delta"]["text"].as_str(),
            Dialect::Responses => None,
        })
        .collect()
}

/// Whether a stream ends with its dialect's error event, and with nothing
/// that looks like a good end.
pub(crate) fn ends_in_error(dialect: Dialect, stream: &str) -> bool {
    let events = payloads(stream);
    let last = events.last().unwrap_or(&Value::Null);
    let failed = match dialect {
        Dialect::Chat => last["error"]["message"].is_string(),
        Dialect::Responses => {
            (last["type"] == "response.failed" && last["response"]["error"].is_object())
                || last["type"] == "error"
        }
        Dialect::Messages => last["type"] == "error" && last["error"]["message"].is_string(),
    };
    let stop = ["\"finish_reason\":\"", "response.completed", "message_stop"];
    failed && !stop.iter().any(|s| stream.contains(s))
}
