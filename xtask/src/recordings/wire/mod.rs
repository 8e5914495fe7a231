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
