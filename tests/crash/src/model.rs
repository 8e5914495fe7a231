//! A model that does what the plan in its last input says: Chat Completions,
//! streamed slowly enough to be cut.

use std::io::{Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::chance::Chance;
use crate::clock::nap;
use crate::http::Message;
use crate::plan::Plan;
use crate::serve::{reply, serve};
use crate::trap::{Place, Trap};

/// The tool that a client answers.
pub(crate) const CLIENTS_TOOL: &str = "ask_client";

/// Starts one.
pub(crate) fn start(trap: Arc<Trap>) -> Result<SocketAddr> {
    serve(Arc::new(move |message, to| answer(message, to, &trap)))
}

fn answer(message: &Message, to: &mut TcpStream, trap: &Trap) -> Result<()> {
    let body = message.json();
    let Some((plan, step)) = place(&body) else {
        return reply(to, 400, r#"{"error":{"message":"no plan","type":"invalid_request_error"}}"#);
    };
    trap.reach(Place::ModelAsked);
    let deltas = match plan.steps.get(step) {
        Some(calls) => self::calls(&plan, step, calls),
        None => text(&plan),
    };
    let reason = if step < plan.steps.len() { "tool_calls" } else { "stop" };
    to.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )?;
    let half = deltas.len() / 2;
    for (at, delta) in deltas.iter().enumerate() {
        send(to, &json!([{ "index": 0, "delta": delta, "finish_reason": null }]), &Value::Null)?;
        nap(4);
        if at == half {
            trap.reach(Place::ModelHalf);
        }
    }
    send(to, &json!([{ "index": 0, "delta": {}, "finish_reason": reason }]), &Value::Null)?;
    let usage = json!({ "prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14 });
    send(to, &json!([]), &usage)?;
    to.write_all(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")?;
    trap.reach(Place::ModelSaid);
    Ok(())
}

/// The plan of the last input, and how many of its steps are done.
fn place(body: &Value) -> Option<(Plan, usize)> {
    let messages = body["messages"].as_array()?;
    let planned = |message: &Value| {
        let text = (message["role"] == "user").then(|| message["content"].to_string())?;
        Plan::find(&text)
    };
    let at = messages.iter().rposition(|message| planned(message).is_some())?;
    let plan = messages.get(at).and_then(planned)?;
    let since = messages.iter().skip(at);
    let steps = since
        .filter(|message| message["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty()));
    Some((plan, steps.count()))
}

fn calls(plan: &Plan, step: usize, calls: &str) -> Vec<Value> {
    let mut deltas = vec![json!({ "role": "assistant", "content": "so " })];
    for (at, letter) in calls.chars().enumerate() {
        let mark = plan.mark(step, at);
        let body = json!({ "body": { "mark": mark, "slow": letter.is_ascii_uppercase() } });
        let (tool, arguments) = match letter.to_ascii_lowercase() {
            'i' => ("pay__idem", body),
            'q' => ("pay__query", body),
            'c' => (CLIENTS_TOOL, json!({ "mark": mark })),
            'w' => ("wait_until", json!({ "seconds": 1 + Chance::of(&mark).below(2) })),
            _ => ("pay__plain", body),
        };
        let arguments = arguments.to_string();
        let (one, two) = arguments.split_at(arguments.len() / 2);
        deltas.push(json!({ "tool_calls": [{ "index": at, "id": format!("call_{mark}"),
            "type": "function", "function": { "name": tool, "arguments": one } }] }));
        deltas.push(json!({ "tool_calls": [{ "index": at, "function": { "arguments": two } }] }));
    }
    deltas
}

fn text(plan: &Plan) -> Vec<Value> {
    let mut chance = Chance::of(&plan.name);
    let words = (0..plan.words).map(|_| json!({ "content": format!("{:x} ", chance.below(4096)) }));
    std::iter::once(json!({ "role": "assistant", "content": "" })).chain(words).collect()
}

fn send(to: &mut TcpStream, choices: &Value, usage: &Value) -> Result<()> {
    let chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
        "model": "m", "choices": choices, "usage": usage });
    let text = format!("data: {chunk}\n\n");
    write!(to, "{:x}\r\n{text}\r\n", text.len())
}
