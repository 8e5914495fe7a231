//! What is left of a body's facts once it has been in another dialect: the
//! table of what a dialect cannot say. Nothing else may change.

use freehold_llm::Dialect;
use serde_json::{Value, json};

use super::wire::{Answered, Asked, Said, Tokens};

/// The facts of a request before and after it went `from` one dialect `to`
/// another (or there and back), with what cannot cross taken out of both.
pub(super) fn request(
    (from, to): (Dialect, Dialect),
    mut wanted: Asked,
    mut got: Asked,
) -> (Value, Value) {
    let touches = |dialect| from == dialect || to == dialect;
    // Messages demands a limit; where none was asked for, a default stands.
    if wanted.max_tokens.is_null() {
        got.max_tokens = Value::Null;
    }
    // A tool choice without tools that cross means nothing.
    if got.tools.is_empty() {
        wanted.tool_choice = Value::Null;
    }
    // Messages has no place for a schema's description but the schema.
    if touches(Dialect::Messages)
        && wanted.schema.get("description").is_none()
        && let Some(schema) = got.schema.as_object_mut()
    {
        schema.shift_remove("description");
    }
    // Standing orders alone: Messages demands a message, so they become it.
    if touches(Dialect::Messages) && wanted.user.is_empty() && wanted.assistant.is_empty() {
        wanted.user.append(&mut wanted.system);
        got.user.splice(0..0, std::mem::take(&mut got.system));
    }
    for side in [&mut wanted, &mut got] {
        common(side, touches);
    }
    (wanted.to_json(), got.to_json())
}

fn common(side: &mut Asked, touches: impl Fn(Dialect) -> bool) {
    // `auto` is what no choice means; other forms than one tool's are the
    // dialect's own.
    let own = side.tool_choice.is_object() && side.tool_choice.get("tool").is_none();
    if side.tool_choice == json!("auto") || own {
        side.tool_choice = Value::Null;
    }
    // Responses has no stop strings; none are none.
    if touches(Dialect::Responses) || side.stop == json!([]) {
        side.stop = Value::Null;
    }
    // What was uploaded to a provider is known only there.
    side.user.retain(|said| !said.starts_with("<id:"));
    if touches(Dialect::Chat) {
        // Chat takes no document by its address, and pictures of a tool's
        // result only in a user message that says whose they are.
        side.user.retain(|said| !said.starts_with("<document:"));
        side.user.retain(|said| !said.starts_with("Returned by the tool call "));
        for result in &mut side.results {
            if result["output"] == "(see the next user message)" {
                result["output"] = json!("");
            }
        }
    }
    if touches(Dialect::Messages) {
        for named in side.calls.iter_mut().chain(&mut side.results) {
            plain_id(named);
        }
    }
}

/// Ids in Messages are of letters, digits, `_` and `-`.
fn plain_id(named: &mut Value) {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let id = named["id"].as_str().unwrap_or_default();
    named["id"] = json!(id.replace(|c| !fits(c), "_"));
}

/// The facts of an answer before and after.
pub(super) fn answer(
    (_, to): (Dialect, Dialect),
    wanted: &Answered,
    got: &Answered,
) -> (Value, Value) {
    let (mut wanted, mut got) = (wanted.clone(), got.clone());
    // Only Chat has alternatives; the others get the first.
    wanted.choices.truncate(1);
    got.choices.truncate(1);
    for (a, b) in wanted.choices.iter_mut().zip(&mut got.choices) {
        said(a, b);
    }
    // Messages demands usage; where none was said, it is 0.
    let nothing = got.usage.is_some_and(|u| u.input == 0 && u.output == 0);
    if to == Dialect::Messages && wanted.usage.is_none() && nothing {
        got.usage = None;
    }
    let reasoning = |side: &Answered| side.usage.and_then(|u| u.reasoning);
    let keep_reasoning = reasoning(&wanted).is_some() && reasoning(&got).is_some();
    (shown(&wanted, keep_reasoning), shown(&got, keep_reasoning))
}

fn said(wanted: &mut Said, got: &mut Said) {
    for side in [&mut *wanted, &mut *got] {
        // Only Messages tells a stop string from an end.
        if side.stop == "sequence" {
            side.stop = "end".into();
        }
        // Responses does not say that it waits for tools; the calls do.
        if side.stop == "end" && !side.calls.is_empty() {
            side.stop = "tools".into();
        }
    }
    // Only Responses has answers that have not begun.
    if matches!(wanted.stop.as_str(), "queued" | "in_progress") {
        got.stop.clone_from(&wanted.stop);
    }
    // Only Messages pauses; to others it is an end.
    if wanted.stop == "pause" && got.stop == "end" {
        got.stop.clone_from(&wanted.stop);
    }
    // A call without id gets one.
    for (a, b) in wanted.calls.iter().zip(&mut got.calls) {
        if a["id"] == "" {
            b["id"] = json!("");
        }
    }
}

fn shown(answered: &Answered, reasoning: bool) -> Value {
    let choices: Vec<Value> = answered
        .choices
        .iter()
        .map(|c| json!({"text": c.text, "calls": c.calls, "stop": c.stop}))
        .collect();
    let usage = answered.usage.map(|u| tokens(&u, reasoning)).unwrap_or_default();
    json!({"choices": choices, "usage": usage})
}

fn tokens(usage: &Tokens, reasoning: bool) -> Value {
    json!({
        "input": usage.input,
        "output": usage.output,
        "cached": usage.cached.unwrap_or(0),
        "reasoning": usage.reasoning.filter(|_| reasoning),
    })
}
