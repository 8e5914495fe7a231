//! The request of one attempt.

use freehold_llm::model::{Item, Part, Request, Role, Tool, ToolBody, ToolChoice};
use freehold_types::CallId;

use super::walk::walk;
use super::{Error, Journal, marks, words};
use crate::content::Settings;
use crate::event::Purpose;
use crate::state::State;
use crate::tools::Toolset;

/// What the model is asked in the attempt that is open: the context as it is
/// there, by these settings.
pub async fn request(
    journal: &dyn Journal,
    state: &State,
    settings: &Settings,
    toolset: &Toolset,
    purpose: Purpose,
) -> Result<Request, Error> {
    let open = state.turn.as_ref().and_then(|turn| turn.model);
    let head = open.map_or(state.head, |attempt| attempt.asked);
    let calls = state.turn.iter().flat_map(|turn| &turn.calls);
    let calls: Vec<CallId> = calls.map(|call| call.id).collect();
    let walked = walk(journal, &state.context.up_to(head), &calls).await?;
    let mut request = settings.request.clone();
    request.items = walked.items;
    for tool in &toolset.offered {
        if !request.tools.iter().any(|other| same_name(other, tool)) {
            request.tools.push(tool.clone());
        }
    }
    match purpose {
        Purpose::Step => step(&mut request, walked.answered, walked.paused),
        Purpose::Compaction => compaction(&mut request, walked.calls),
    }
    if request.tools.is_empty() {
        request.tool_choice = None;
        request.parallel_tool_calls = None;
    }
    if purpose == Purpose::Step {
        marks::set(&mut request);
    }
    // State is ours alone: the provider keeps nothing. That it gives us what it
    // thought sealed, the gateway asks of models that are known to think.
    request.store = Some(false);
    request.stream = true;
    request.stream_usage = true;
    request.n = None;
    Ok(request)
}

/// The context goes to the model as it is. A tool that must be called is
/// called once for what was said; else a turn would never end.
fn step(request: &mut Request, answered: bool, paused: bool) {
    // Only what a provider paused is gone on with as it is.
    if request.items.last().is_none_or(|last| last.is_from_model() && !paused) {
        request.items.push(note(words::GO_ON));
    }
    let forced = matches!(request.tool_choice, Some(ToolChoice::Required | ToolChoice::Tool(_)));
    if answered && forced {
        request.tool_choice = Some(ToolChoice::Auto);
    }
}

/// The context and what is to become of it. Tools stay in sight only where
/// the context has calls of them, as some providers want it, and may not be
/// called.
fn compaction(request: &mut Request, calls: bool) {
    request.items.push(Item::text(Role::User, words::SUMMARISE));
    if calls {
        request.tool_choice = Some(ToolChoice::None);
    } else {
        request.tools.clear();
    }
    // What the client set for its answers is not meant for a summary.
    request.format = None;
    request.max_tokens = None;
    request.logprobs = None;
    request.verbosity = None;
    request.stop = Vec::new();
}

fn same_name(a: &Tool, b: &Tool) -> bool {
    name(a).is_some_and(|name_of_a| name(b) == Some(name_of_a))
}

fn name(tool: &Tool) -> Option<&str> {
    match &tool.body {
        ToolBody::Function { name, .. } | ToolBody::Custom { name, .. } => Some(name),
        ToolBody::Native { .. } => None,
    }
}

/// A text on the user's side.
pub(super) fn note(text: impl Into<String>) -> Item {
    Item::text(Role::User, text)
}

/// A text on the user's side, and parts after it.
pub(super) fn note_with(text: &str, parts: Vec<Part>) -> Item {
    let mut item = note(text);
    if let freehold_llm::model::ItemBody::Message(message) = &mut item.body {
        message.parts.extend(parts);
    }
    item
}
