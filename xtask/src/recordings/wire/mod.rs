//! What a wire body says, read without the code under test.
//!
//! Each dialect has a reader of its own here. It takes from a body the facts
//! that must survive a crossing, in one form for all dialects, and folds the
//! raw events of a stream into the answer that would not have streamed.

mod chat;
mod messages;
mod responses;

pub(crate) use responses::of_deltas;

use base64::Engine as _;
use freehold_llm::Dialect;
use serde_json::{Value, json};

use super::frames::Frame;
use super::json::{some, text};

/// What a request asks, in every dialect's common words.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Standing orders, in order.
    pub(crate) system: Vec<String>,
    /// What the user said: texts, and pictures and documents by a mark.
    pub(crate) user: Vec<String>,
    /// What the model said before.
    pub(crate) assistant: Vec<String>,
    /// Calls made before.
    pub(crate) calls: Vec<Value>,
    /// What tools answered.
    pub(crate) results: Vec<Value>,
    /// Tools offered.
    pub(crate) tools: Vec<Value>,
    /// The limit of output tokens.
    pub(crate) max_tokens: Value,
    /// Whether and which tool must be called.
    pub(crate) tool_choice: Value,
    /// The schema of the answer.
    pub(crate) schema: Value,
    /// Strings that end the answer.
    pub(crate) stop: Value,
    /// Whether to stream.
    pub(crate) stream: bool,
}

impl Asked {
    /// As JSON, to be compared.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": self.system, "user": self.user, "assistant": self.assistant,
            "calls": self.calls, "results": self.results, "tools": self.tools,
            "max_tokens": self.max_tokens, "tool_choice": self.tool_choice,
            "schema": self.schema, "stop": self.stop, "stream": self.stream,
        })
    }
}

/// What an answer says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    /// Its alternatives.
    pub(crate) choices: Vec<Said>,
    /// Input, output, cached and reasoning tokens.
    pub(crate) usage: Option<Tokens>,
}

/// One alternative.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    /// All text, refusals included, joined.
    pub(crate) text: String,
    /// All thinking that is shown, joined.
    pub(crate) thinking: String,
    /// The calls, in order.
    pub(crate) calls: Vec<Value>,
    /// Why it ended: `end`, `sequence`, `length`, `tools`, `refusal`, `pause`,
    /// or the dialect's own word.
    pub(crate) stop: String,
}

/// Tokens used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: u64,
    pub(crate) output: u64,
    pub(crate) cached: Option<u64>,
    pub(crate) reasoning: Option<u64>,
}

/// A stream folded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folded {
    /// The answer that it amounts to.
    pub(crate) answer: Value,
    /// The first event after which an end of the body may be taken as the
    /// answer's end, if there is one.
    pub(crate) stopped_at: Option<usize>,
    /// The event that ends the answer for certain.
    pub(crate) ended_at: Option<usize>,
    /// The message of an error that came instead of the rest.
    pub(crate) error: Option<String>,
}

/// The facts of a request.
pub(crate) fn asked(dialect: Dialect, body: &Value) -> Asked {
    match dialect {
        Dialect::Chat => chat::asked(body),
        Dialect::Responses => responses::asked(body),
        Dialect::Messages => messages::asked(body),
    }
}

/// The facts of an answer.
pub(crate) fn answered(dialect: Dialect, body: &Value) -> Answered {
    match dialect {
        Dialect::Chat => chat::answered(body),
        Dialect::Responses => responses::answered(body),
        Dialect::Messages => messages::answered(body),
    }
}

/// The answer that a stream amounts to.
pub(crate) fn fold(dialect: Dialect, frames: &[Frame]) -> Folded {
    match dialect {
        Dialect::Chat => chat::fold(frames),
        Dialect::Responses => responses::fold(frames),
        Dialect::Messages => messages::fold(frames),
    }
}

/// The text and calls of an answer's first alternative.
pub(crate) fn spoken(answered: &Answered) -> Value {
    let said = answered.choices.first();
    json!({"text": said.map(|s| &s.text), "calls": said.map(|s| &s.calls)})
}

/// The message of an error body, whatever its shape.
pub(crate) fn error_message(body: &Value) -> Option<&str> {
    let error = some(body, "error").unwrap_or(body);
    let words = [error.as_str(), error.get("message").and_then(Value::as_str)];
    words.into_iter().flatten().find(|m| !m.is_empty())
}

/// A call, in the form that all readers give. A function's arguments are
/// parsed where they can be.
fn call(id: &str, name: &str, arguments: &str) -> Value {
    let parsed = match serde_json::from_str::<Value>(arguments) {
        Ok(value) => value,
        Err(_) if arguments.trim().is_empty() => json!({}),
        Err(_) => json!(arguments),
    };
    json!({"id": id, "name": name, "arguments": parsed})
}

fn tool(name: &str, description: &str, schema: Option<&Value>) -> Value {
    json!({"name": name, "description": description, "schema": schema.unwrap_or(&Value::Null)})
}

fn result(id: &str, output: &str) -> Value {
    json!({"id": id, "output": output})
}

/// The mark of a picture or document by its address, or of its content.
fn attached(what: &str, address: &str) -> String {
    match address.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
        Some((kind, data)) => inline(kind, data),
        None => format!("<{what}:{address}>"),
    }
}

/// The mark of content: its kind, length and a sum; of plain text the text.
fn inline(kind: &str, data: &str) -> String {
    if kind.starts_with("text/plain")
        && let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(data)
    {
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let sum = data.bytes().fold(0_u64, |sum, b| sum.wrapping_mul(31).wrapping_add(u64::from(b)));
    format!("<{kind} {} {sum:x}>", data.len())
}

/// Text that is a string, or a list of parts with a `text` each.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(s) => vec![s.clone()],
        Value::Array(parts) => parts
            .iter()
            .map(|part| part.as_str().unwrap_or_else(|| text(part, "text")).to_owned())
            .collect(),
        _ => Vec::new(),
    }
}

fn push(into: &mut Vec<String>, text: &str) {
    if !text.is_empty() {
        into.push(text.to_owned());
    }
}

fn push_all(into: &mut Vec<String>, content: &Value) {
    for text in texts(content) {
        push(into, &text);
    }
}

/// Appends a piece of text to a text field.
fn append(object: &mut Value, name: &str, more: &str) {
    match object.get_mut(name) {
        Some(Value::String(s)) => s.push_str(more),
        _ => object[name] = json!(more),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recordings::frames;

    fn folded(dialect: Dialect, body: &str) -> (Folded, Answered) {
        let folded = fold(dialect, &frames::read(body.as_bytes()));
        let facts = answered(dialect, &folded.answer);
        (folded, facts)
    }

    #[test]
    fn a_chat_stream_folds() {
        let body = concat!(
            "data: {\"id\":\"a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"he\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"y\",\"tool_calls\":[{\"index\":0,",
            "\"id\":\"c\",\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\"\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,",
            "\"function\":{\"arguments\":\":1}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        );
        let (folded, facts) = folded(Dialect::Chat, body);
        assert_eq!((folded.stopped_at, folded.ended_at), (Some(2), Some(4)));
        let said = &facts.choices[0];
        assert_eq!((said.text.as_str(), said.stop.as_str()), ("hey", "tools"));
        assert_eq!(said.calls, [json!({"id": "c", "name": "f", "arguments": {"x": 1}})]);
        assert_eq!(facts.usage, Some(Tokens { input: 3, output: 2, ..Tokens::default() }));
    }

    #[test]
    fn a_messages_stream_folds() {
        let body = concat!(
            "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":4}}}\n\n",
            "data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"c\",\"name\":\"f\",\"input\":{}}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"{\\\"x\\\":1}\"}}\n\n",
            "data: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
            "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":2}}\n\n",
            "data: {\"type\":\"message_stop\"}\n\n",
        );
        let (folded, facts) = folded(Dialect::Messages, body);
        assert_eq!((folded.stopped_at, folded.ended_at), (Some(4), Some(5)));
        assert_eq!(facts.choices[0].stop, "tools");
        assert_eq!(
            facts.choices[0].calls,
            [json!({"id": "c", "name": "f", "arguments": {"x": 1}})]
        );
        let usage = Tokens { input: 7, output: 2, cached: Some(4), reasoning: None };
        assert_eq!(facts.usage, Some(usage));
    }

    #[test]
    fn a_responses_stream_folds_with_its_ended_items() {
        let body = concat!(
            "data: {\"type\":\"response.output_text.delta\",\"delta\":\"hey\"}\n\n",
            "data: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"reasoning\",\"id\":\"first\"}}\n\n",
            "data: {\"type\":\"response.completed\",\"response\":{\"status\":\"completed\",\"output\":[{\"type\":\"reasoning\",\"id\":\"second\"}]}}\n\n",
        );
        let (folded, facts) = folded(Dialect::Responses, body);
        assert_eq!(folded.answer["output"][0]["id"], "first");
        assert_eq!(facts.choices[0].stop, "end");
        let spoken = of_deltas(&frames::read(body.as_bytes()));
        assert_eq!(spoken, json!({"text": "hey", "calls": []}));
    }

    #[test]
    fn an_error_in_a_stream_is_heard() {
        for dialect in Dialect::ALL {
            let body = "data: {\"type\":\"error\",\"error\":{\"message\":\"busy\"}}\n\n";
            let (folded, _) = folded(dialect, body);
            assert_eq!((folded.error.as_deref(), folded.ended_at), (Some("busy"), None));
        }
    }

    #[test]
    fn the_same_request_reads_the_same_in_every_dialect() {
        let chat = json!({"messages": [
            {"role": "system", "content": "s"}, {"role": "user", "content": [
                {"type": "text", "text": "u"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "r"}],
            "max_tokens": 9, "tool_choice": "required",
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}]});
        let messages = json!({"system": "s", "messages": [
            {"role": "user", "content": [{"type": "text", "text": "u"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}]},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}],
            "max_tokens": 9, "tool_choice": {"type": "any"},
            "tools": [{"name": "f", "input_schema": {"a": 1}}]});
        let responses = json!({"instructions": "s", "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "u"},
                {"type": "input_image", "image_url": "data:image/png;base64,AA=="}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "r"}],
            "max_output_tokens": 9, "tool_choice": "required",
            "tools": [{"type": "function", "name": "f", "parameters": {"a": 1}}]});
        let facts = asked(Dialect::Chat, &chat).to_json();
        assert_eq!(asked(Dialect::Messages, &messages).to_json(), facts);
        assert_eq!(asked(Dialect::Responses, &responses).to_json(), facts);
    }
}
