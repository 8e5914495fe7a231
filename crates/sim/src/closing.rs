//! The end of a world: clients see everything through. A session that then
//! does not come to its rest is stuck.

use std::sync::Arc;

use freehold_runtime::decide::{ApprovalDecision, ClientAnswer, Cue};
use freehold_runtime::event::{Content, Decider, Limits, Name, Note, Place, Repeat, Verdict};
use freehold_runtime::state::{State, Status};
use freehold_types::SessionId;

use crate::clients::Client;
use crate::clock::{MS, SECOND};
use crate::journal::{self, head};
use crate::world::{CLIENTS, World, lock};

/// How long it may take until all sessions rest.
const PATIENCE: u64 = 240 * SECOND;

/// Sees everything through. False if something is stuck.
pub(crate) async fn close(world: &Arc<World>) -> bool {
    let mut client = Client::new(world, u64::MAX);
    let until = world.clock.now() + PATIENCE;
    let mut restless = Vec::new();
    while world.clock.now() < until && !world.is_wrong() {
        world.clock.sleep(400 * MS, CLIENTS).await;
        restless.clear();
        // Those of which nobody heard are there, too.
        for session in journal::sessions(world) {
            match client.view(session).await {
                Some(state) if rests(&state) => {}
                Some(state) => {
                    settle(&mut client, session, &state, true).await;
                    restless.push((session, Some(state)));
                }
                None => restless.push((session, None)),
            }
        }
        if restless.is_empty() && all_is_heard(world) {
            return true;
        }
    }
    for (session, state) in restless {
        world.wrong(format!("{session} is stuck: {}", told(state.as_deref())));
    }
    if !all_is_heard(world) {
        world.wrong(format!("listeners do not hear all: {:?}", unheard(world)));
    }
    false
}

/// Whether nothing more happens by itself.
fn rests(state: &State) -> bool {
    state.turn.is_none() && state.queue.is_empty() && state.timers.is_empty()
}

fn all_is_heard(world: &World) -> bool {
    unheard(world).is_empty()
}

/// Who has not heard everything: where they are, and the last event there is.
fn unheard(world: &World) -> Vec<(SessionId, u64, u64)> {
    let book = lock(&world.book);
    let listening = book.listeners.iter().filter(|listener| !listener.is_over);
    listening
        .filter_map(|listener| {
            let session = listener.session?;
            let last = head(world, session);
            (last > listener.at()).then(|| (session, listener.at(), last))
        })
        .collect()
}

fn told(state: Option<&State>) -> String {
    state.map_or_else(
        || "it cannot be looked at".to_owned(),
        |state| {
            format!("turn {:?}, queue {:?}, timers {:?}", state.turn, state.queue, state.timers)
        },
    )
}

/// Gives a session all that it waits for; its schedules end, if they are to.
pub(crate) async fn settle(client: &mut Client, session: SessionId, state: &State, is_end: bool) {
    let mut cues = Vec::new();
    let enough = Limits { steps: Some(10_000), ..Limits::default() };
    if let Some(paused) = state.turn.as_ref().and_then(|turn| turn.paused) {
        cues.push(Cue::RaiseBudget { scope: paused.0, limits: enough });
    }
    for approval in &state.approvals {
        cues.push(Cue::Decide(ApprovalDecision {
            approval: approval.id,
            verdict: Verdict::Approve,
            by: Decider { principal: Name::cut("carl"), roles: Vec::new() },
            args: None,
            note: Note::cut(""),
        }));
    }
    for timer in state.timers.iter().filter(|timer| is_end && timer.repeat != Repeat::Once) {
        cues.push(Cue::CancelTimer { timer: timer.id });
    }
    for call in state.turn.iter().flat_map(|turn| &turn.calls) {
        if let Status::Running { place: Place::Client | Place::Human, .. } = call.status {
            let answer =
                ClientAnswer { call: call.id, content: Content::text("late"), is_error: false };
            cues.push(Cue::ClientAnswers { answers: vec![answer] });
        }
    }
    for cue in cues {
        let _ = client.give(session, vec![cue], None, None).await;
    }
}
