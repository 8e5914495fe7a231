//! How sessions and their events look in answers.

use freehold_runtime::event::{Event, Limits, Usage};
use freehold_runtime::sessions::{Receipt, View};
use freehold_runtime::state::{Approval, Call, State, Status, Timer, Turn};
use freehold_store::sessions::Session;
use serde_json::{Value, json};

/// A session in a list.
pub(super) fn row(row: &Session) -> Value {
    json!({
        "id": row.id.to_string(),
        "tenant": row.tenant.as_str(),
        "phase": &*row.phase,
        "head": row.head,
        "timeline": row.timeline,
        "created_at": row.created_at.to_string(),
        "updated_at": row.updated_at.to_string(),
        "sealed_for": row.sealed_for.as_deref(),
        "node": row.node.map(|node| node.to_string()),
    })
}

/// A session by itself.
pub(super) fn session(view: &View) -> Value {
    let state = &view.state;
    let mut shown = row(&view.row);
    shown["metadata"] = view.about.metadata.clone().into();
    shown["limits"] = limits(state.limits);
    shown["usage"] = usage(state.usage);
    shown["steps"] = state.steps.into();
    shown["active_ms"] = state.active_ms.into();
    shown["context_tokens"] = state.context.tokens.into();
    shown["labels"] = json!(state.labels);
    shown["pins"] = state.pins.iter().map(|at| at.0).collect();
    let queue = state.queue.iter().map(|queued| json!({"at": queued.at.0, "busy": queued.busy}));
    shown["queue"] = queue.collect();
    shown["turn"] = state.turn.as_ref().map(|turn| self::turn(turn, state)).into();
    shown["timers"] = state.timers.iter().map(timer).collect();
    shown
}

fn turn(turn: &Turn, state: &State) -> Value {
    json!({
        "id": turn.id.to_string(),
        "started": turn.started.0,
        "steps": turn.steps,
        "usage": usage(turn.usage),
        "limits": limits(turn.limits),
        "paused": turn.paused.map(|(scope, limit)| json!({"scope": scope, "limit": limit})),
        "cancelling": turn.cancel.is_some(),
        "asks_model": turn.model.is_some(),
        "waits": turn.calls.iter().filter_map(|call| wait(call, state)).collect::<Vec<_>>(),
    })
}

/// What a call waits for from outside.
fn wait(call: &Call, state: &State) -> Option<Value> {
    let on = match call.status {
        Status::Running { place, .. } => serde_json::to_value(place).ok()?,
        Status::Asks | Status::Doubted { .. } => "approval".into(),
        Status::Ready | Status::Done { .. } => return None,
    };
    Some(json!({
        "call": call.id.to_string(),
        "tool": call.tool.as_str(),
        "intended": call.intended.0,
        "on": on,
        "approval": state.approval_of(call.id).map(|approval| approval.id.to_string()),
    }))
}

/// A question.
pub(super) fn approval(approval: &Approval, state: &State) -> Value {
    let call = state.call(approval.call);
    json!({
        "id": approval.id.to_string(),
        "call": approval.call.to_string(),
        "tool": call.map(|call| call.tool.as_str()),
        "arguments_hash": call.map(|call| call.args.to_string()),
        "intended": call.map(|call| call.intended.0),
        "question": approval.question,
        "deciders": approval.deciders,
        "expires_at": approval.expires.to_string(),
    })
}

/// A timer.
pub(super) fn timer(timer: &Timer) -> Value {
    json!({
        "id": timer.id.to_string(),
        "due": timer.due.to_string(),
        "repeat": timer.repeat,
        "set": timer.set.0,
        "call": timer.call.map(|call| call.to_string()),
    })
}

/// What a request came to.
pub(super) fn receipt(receipt: &Receipt) -> Value {
    let turn = receipt.state.turn.as_ref().map(|turn| turn.id.to_string());
    json!({
        "session": receipt.session.to_string(),
        "first": receipt.first.0,
        "head": receipt.head.0,
        "repeated": receipt.repeated,
        "turn": turn,
    })
}

/// An event as the journal has it, with its offset; `None` for one that has
/// no JSON, which none is.
pub(super) fn event(event: &Event) -> Option<Value> {
    serde_json::from_slice(&event_text(event)?).ok()
}

/// The same as text.
pub(super) fn event_text(event: &Event) -> Option<Vec<u8>> {
    let body = event.encode().ok()?;
    let mut text = format!("{{\"offset\":{},", event.offset.0).into_bytes();
    text.extend_from_slice(body.strip_prefix(b"{")?);
    Some(text)
}

/// Amounts are decimal numbers as text: a JSON number would not be exact.
fn usage(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "output_tokens": usage.output,
        "cost": usage.cost.to_string(),
    })
}

fn limits(limits: Limits) -> Value {
    serde_json::to_value(limits).unwrap_or_default()
}
