//! What a state owes the world, and when it is to be looked at again.

use freehold_types::{CallId, Offset};
use jiff::Timestamp;

use super::book::later;
use super::{Cue, Rules};
use crate::event::{Place, Resolve};
use crate::state::{Call, State, Status, Turn};

/// Something to perform. All of them are named by events of the journal, so
/// doing one needs no more than state and journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask the model, not before its time; ends in `Answered` or
    /// `ModelFailed`.
    Ask {
        /// The attempt.
        asked: Offset,
        /// Not before.
        not_before: Option<Timestamp>,
    },
    /// Call the tool; ends in `ToolEnded`, or in `SetTimer` for the call.
    Start {
        /// The call; its text is the idempotency key.
        call: CallId,
        /// The event that intended it.
        intended: Offset,
        /// The start.
        attempt: u32,
    },
    /// Ask the tool by key; ends in `Queried`.
    Query {
        /// The call; its text is the key.
        call: CallId,
        /// The event that intended it.
        intended: Offset,
        /// The start that is in doubt.
        attempt: u32,
    },
    /// Stop one of them. A model's attempt or a tool's start still ends in its
    /// own cue if it is open; whatever comes of one that is not is stale.
    Stop(Performing),
}

/// Something that is being performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Performing {
    /// An attempt.
    Model(Offset),
    /// A start of a call.
    Tool(CallId, u32),
    /// A query about a start.
    Query(CallId, u32),
}

impl Action {
    /// What is performed by it, or stopped.
    fn performing(self) -> Performing {
        match self {
            Self::Ask { asked, .. } => Performing::Model(asked),
            Self::Start { call, attempt, .. } => Performing::Tool(call, attempt),
            Self::Query { call, attempt, .. } => Performing::Query(call, attempt),
            Self::Stop(what) => what,
        }
    }
}

/// All that a state owes: what a worker that has only the journal performs.
pub fn owed(state: &State) -> Vec<Action> {
    let Some(turn) = &state.turn else { return Vec::new() };
    let model =
        turn.model.map(|model| Action::Ask { asked: model.asked, not_before: model.not_before });
    let calls = turn.calls.iter().filter_map(|call| owed_of(state, call));
    let all = model.into_iter().chain(calls);
    if turn.cancel.is_some() {
        return all.map(|action| Action::Stop(action.performing())).collect();
    }
    all.collect()
}

fn owed_of(state: &State, call: &Call) -> Option<Action> {
    let (id, intended) = (call.id, call.intended);
    match call.status {
        Status::Running { place: Place::Worker, attempt, .. } => {
            // A call that waits for its timer was performed already.
            let waits = state.timer_of(id).is_some();
            (!waits).then_some(Action::Start { call: id, intended, attempt })
        }
        Status::Doubted { attempt, resolve: Resolve::Query } => {
            Some(Action::Query { call: id, intended, attempt })
        }
        Status::Running { .. }
        | Status::Doubted { .. }
        | Status::Asks
        | Status::Ready
        | Status::Done { .. } => None,
    }
}

/// What is owed newly, and stops for what is not owed any more and did not
/// end by itself.
pub(super) fn changed(
    before: &[Action],
    after: &[Action],
    ended: Option<Performing>,
) -> Vec<Action> {
    let still = |what| after.iter().any(|action| action.performing() == what);
    let stops = before
        .iter()
        .filter(|action| !matches!(action, Action::Stop(_)))
        .map(|action| action.performing())
        .filter(|what| !still(*what) && Some(*what) != ended)
        .map(Action::Stop);
    let fresh = after.iter().copied().filter(|action| !before.contains(action));
    stops.chain(fresh).collect()
}

/// What the cue itself says to be over.
pub(super) fn ended_by(state: &State, cue: &Cue) -> Option<Performing> {
    match cue {
        Cue::Answered { asked, .. } | Cue::ModelFailed { asked, .. } => {
            Some(Performing::Model(*asked))
        }
        Cue::ToolEnded { call, attempt, .. } => Some(Performing::Tool(*call, *attempt)),
        Cue::Queried { call, attempt, .. } => Some(Performing::Query(*call, *attempt)),
        Cue::SetTimer { purpose: crate::event::TimerPurpose::Call(call), .. } => {
            let attempt = state.call(*call)?.attempt()?;
            Some(Performing::Tool(*call, attempt))
        }
        _ => None,
    }
}

/// When something is due by itself: a timer, an expiry, a deadline.
pub fn due(state: &State, rules: &Rules) -> Option<Timestamp> {
    if state.sealed.is_some() {
        return None;
    }
    let timers = state.timers.iter().filter(|timer| may_fire(state, timer)).map(|timer| timer.due);
    let approvals = state.approvals.iter().map(|approval| approval.expires);
    let turn = state.turn.as_ref();
    let calls = turn.into_iter().flat_map(|turn| &turn.calls);
    let calls = calls.filter_map(|call| deadline(state, call));
    let stuck = turn.and_then(|turn| stuck_at(state, turn, rules));
    timers.chain(approvals).chain(calls).chain(stuck).min()
}

/// Whether a timer could fire if it were due: what it brings needs room.
pub(super) fn may_fire(state: &State, timer: &crate::state::Timer) -> bool {
    timer.call.is_some() || state.has_room()
}

/// When a running call takes too long.
pub(super) fn deadline(state: &State, call: &Call) -> Option<Timestamp> {
    match call.status {
        Status::Running { deadline, .. } if state.timer_of(call.id).is_none() => deadline,
        _ => None,
    }
}

/// When a turn that waits for nobody should have got on.
pub(super) fn stuck_at(state: &State, turn: &Turn, rules: &Rules) -> Option<Timestamp> {
    if let Some(cancel) = turn.cancel {
        return Some(later(cancel.at, rules.grace_ms));
    }
    turn.active_since?;
    let not_before = turn.model.and_then(|model| model.not_before);
    let calls = turn.calls.iter().filter_map(|call| deadline(state, call));
    let from = calls.chain(not_before).fold(turn.progress_at, Timestamp::max);
    Some(later(from, rules.stuck_ms))
}
