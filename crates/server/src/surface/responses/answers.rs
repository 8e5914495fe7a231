//! What a request brings for a turn that waits: results of calls, and
//! decisions.

use freehold_llm::model::{Item, ItemBody, Part, PartBody, ToolResult};
use freehold_runtime::decide::{ApprovalDecision, ClientAnswer, Cue};
use freehold_runtime::event::{
    Content, Decider, Deciders, Fact, Name, Note, Place as Performer, Verdict,
};
use freehold_runtime::state::{State, Status};
use freehold_types::{ApprovalId, CallId, Code};
use serde_json::Value;

use super::Failure;
use super::begun::{Answered, Decided};
use super::ids;
use super::reading::Reading;

/// What a request brings for a turn.
#[derive(Debug, Default)]
pub(super) struct Brought {
    /// What is told to the session, after the input itself.
    pub(super) cues: Vec<Cue>,
    pub(super) answers: Vec<Answered>,
    pub(super) decided: Vec<Decided>,
    /// What is said beside it.
    pub(super) rest: Vec<Item>,
}

/// A call that waits for the client.
struct Open {
    call: CallId,
    call_id: String,
}

/// Sorts the items of a request to a turn that waits for the client. All that
/// it waits for has to be among them, and nothing else of their kinds.
pub(super) async fn sort(
    reading: &Reading,
    state: &State,
    items: Vec<Item>,
    by: &Name,
) -> Result<Brought, Failure> {
    let mut open = open_calls(reading, state).await?;
    let mut asked = questions(state);
    let (mut brought, mut results) = (Brought::default(), Vec::new());
    for item in items {
        match item.body {
            ItemBody::ToolResult(result) => {
                let at = open.iter().position(|call| is_of(&result, call));
                let Some(at) = at else { return Err(no_call(&result.call_id)) };
                let call = open.remove(at);
                brought.answers.push(Answered { call: call.call, call_id: result.call_id.clone() });
                results.push(answer(call.call, result));
            }
            ItemBody::Native { ref json, .. } if is_decision(json) => {
                let decided = decision(json, state, &mut asked)?;
                brought.cues.push(Cue::Decide(as_decided(&decided, by)));
                brought.decided.push(decided);
            }
            _ => brought.rest.push(item),
        }
    }
    if let Some(call) = open.first() {
        let message = format!("No tool output found for function call {}.", call.call_id);
        return Err(Failure::of_field(Code::ToolResultMissing, "input", message));
    }
    if let Some(approval) = asked.first() {
        let id = ids::of_approval(*approval);
        let message = format!("No approval response found for approval request {id}.");
        return Err(Failure::of_field(Code::ToolResultMissing, "input", message));
    }
    if !results.is_empty() {
        brought.cues.insert(0, Cue::ClientAnswers { answers: results });
    }
    Ok(brought)
}

/// What is wrong with items for a session that waits for nothing: a result or
/// a decision, without what it belongs to beside it.
pub(super) fn stray(items: &[Item]) -> Option<Failure> {
    let called = |id: &str| {
        items.iter().any(|item| matches!(&item.body, ItemBody::ToolCall(c) if c.call_id == id))
    };
    let asked = |id: &str| {
        items.iter().any(|item| match &item.body {
            ItemBody::Native { json, .. } => {
                let text = |field: &str| json.get(field).and_then(Value::as_str);
                text("type") == Some("mcp_approval_request") && text("id") == Some(id)
            }
            _ => false,
        })
    };
    items.iter().find_map(|item| match &item.body {
        ItemBody::ToolResult(result) if !called(&result.call_id) => Some(no_call(&result.call_id)),
        ItemBody::Native { json, .. } if is_decision(json) => {
            let id = json.get("approval_request_id").and_then(Value::as_str).unwrap_or_default();
            (!asked(id)).then(|| no_question(id))
        }
        _ => None,
    })
}

/// Whether a turn waits for something that its client can bring.
pub(super) fn waits_for_client(state: &State) -> bool {
    let Some(turn) = &state.turn else { return false };
    let rests = turn.model.is_none() && turn.paused.is_none() && turn.cancel.is_none();
    let called =
        |status: &Status| matches!(status, Status::Running { place: Performer::Client, .. });
    let asked = !questions(state).is_empty() || turn.calls.iter().any(|call| called(&call.status));
    rests && turn.active_since.is_none() && asked
}

async fn open_calls(reading: &Reading, state: &State) -> Result<Vec<Open>, Failure> {
    let calls = state.turn.iter().flat_map(|turn| &turn.calls);
    let mut open = Vec::new();
    for call in calls {
        if !matches!(call.status, Status::Running { place: Performer::Client, .. }) {
            continue;
        }
        if let Some(event) = reading.event(call.intended).await?
            && let Fact::ToolIntended(fact) = event.fact
        {
            open.push(Open { call: call.id, call_id: fact.model_call.as_str().to_owned() });
        }
    }
    Ok(open)
}

/// The questions that are the client's to decide.
fn questions(state: &State) -> Vec<ApprovalId> {
    let open = state.approvals.iter();
    open.filter(|approval| approval.deciders == Deciders::Anyone).map(|open| open.id).collect()
}

fn is_of(result: &ToolResult, call: &Open) -> bool {
    // What the journal has of an id is cut at its bound.
    result.call_id.starts_with(&call.call_id)
}

/// A decision about nothing that is asked.
fn no_question(id: &str) -> Failure {
    let shown: String = id.chars().take(100).collect();
    let message = format!("No approval request found with id '{shown}'.");
    Failure::of_field(Code::ToolResultMissing, "input", message)
}

/// A result that belongs to no call.
pub(super) fn no_call(call_id: &str) -> Failure {
    let shown: String = call_id.chars().take(100).collect();
    let message = format!("No tool call found for function call output with call_id {shown}.");
    Failure::of_field(Code::ToolResultMissing, "input", message)
}

fn answer(call: CallId, result: ToolResult) -> ClientAnswer {
    let is_error = result.is_error == Some(true);
    ClientAnswer { call, content: Content::Inline(content(result.output)), is_error }
}

/// A plain text as a string, anything else as parts.
fn content(output: Vec<Part>) -> Value {
    match output.as_slice() {
        [] => Value::String(String::new()),
        [Part { body: PartBody::Text { text, .. }, .. }] => Value::String(text.clone()),
        _ => serde_json::to_value(output).unwrap_or_default(),
    }
}

fn is_decision(json: &Value) -> bool {
    json.get("type").and_then(Value::as_str) == Some("mcp_approval_response")
}

fn decision(json: &Value, state: &State, asked: &mut Vec<ApprovalId>) -> Result<Decided, Failure> {
    let text = |field: &str| json.get(field).and_then(Value::as_str);
    let id = text("approval_request_id").unwrap_or_default();
    let unknown = || no_question(id);
    let approval = ids::approval(id).map_err(|_| unknown())?;
    let at = asked.iter().position(|open| *open == approval).ok_or_else(unknown)?;
    asked.remove(at);
    let open = state.approval(approval).ok_or_else(unknown)?;
    let call = state.call(open.call).ok_or_else(unknown)?;
    let approve = json.get("approve").and_then(Value::as_bool).ok_or_else(|| {
        Failure::invalid("input", "approve: an approval response says true or false")
    })?;
    let reason = text("reason").map(str::to_owned);
    Ok(Decided { approval, call: call.id, intended: call.intended, approve, reason })
}

fn as_decided(decided: &Decided, by: &Name) -> ApprovalDecision {
    ApprovalDecision {
        approval: decided.approval,
        verdict: if decided.approve { Verdict::Approve } else { Verdict::Deny },
        by: Decider { principal: by.clone(), roles: Vec::new() },
        args: None,
        note: Note::cut(decided.reason.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_is_kept_in_its_simplest_form() {
        assert_eq!(content(vec![Part::text("4")]), json!("4"));
        assert_eq!(content(Vec::new()), json!(""));
        let two = content(vec![Part::text("a"), Part::text("b")]);
        assert_eq!(freehold_runtime::content::output(&two).len(), 2);
    }

    #[test]
    fn what_belongs_to_nothing_is_found() {
        let native = |json: Value| {
            let dialect = freehold_llm::Dialect::Responses;
            Item::new(ItemBody::Native { dialect, json, from_model: false })
        };
        let asked = native(json!({"type": "mcp_approval_request", "id": "mcpr_1"}));
        let yes = |id: &str| {
            native(json!({
                "type": "mcp_approval_response", "approval_request_id": id, "approve": true,
            }))
        };
        assert!(stray(&[asked.clone(), yes("mcpr_1")]).is_none());
        assert!(stray(&[asked, yes("mcpr_2")]).is_some());
        let said = Item::text(freehold_llm::model::Role::User, "x");
        assert!(stray(&[said]).is_none());
    }

    #[test]
    fn a_turn_that_works_does_not_wait_for_the_client() {
        assert!(!waits_for_client(&State::default()));
    }
}
