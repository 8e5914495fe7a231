//! What follows of a state by itself, step by step until it waits for
//! something.

use super::book::Book;
use super::{Refused, cancel, compact, limits, model, tool};
use crate::event::{
    Busy, EndReason, InputTaken, Place, Purpose, TurnEnded, TurnStarted, TurnWaiting, WaitOn,
};
use crate::state::{Queued, State, Status, Turn};
use freehold_types::TurnId;

/// Whether to look again.
#[derive(PartialEq, Eq)]
pub(super) enum Next {
    /// Something was recorded: look again.
    Again,
    /// The session waits.
    Wait,
}

/// Brings the session to where it waits for something. Ends: each round
/// consumes an input, a call, a limit or a turn.
pub(super) fn advance(book: &mut Book<'_>) -> Result<(), Refused> {
    if book.state.sealed.is_some() {
        return Ok(());
    }
    while step(book)? == Next::Again {}
    Ok(())
}

fn step(book: &mut Book<'_>) -> Result<Next, Refused> {
    let Some(turn) = &book.state.turn else { return begin(book) };
    if turn.cancel.is_some() {
        return cancel::wind_down(book);
    }
    if turn.model.is_some() || turn.paused.is_some() {
        return Ok(Next::Wait);
    }
    let ready = tool::startable(book);
    if !ready.is_empty() {
        return tool::start_ready(book, &ready);
    }
    if !turn.calls.iter().all(crate::state::Call::is_done) {
        return wait(book);
    }
    if !turn.calls.is_empty() {
        return tool::observe(book);
    }
    boundary(book)
}

/// A turn for the next input. One that came to replace or interrupt goes
/// before those that were ready to wait.
fn begin(book: &mut Book<'_>) -> Result<Next, Refused> {
    let urgent = |queued: &&Queued| matches!(queued.busy, Busy::Interrupt | Busy::Rollback);
    let queue = &book.state.queue;
    let Some(next) = queue.iter().find(urgent).or(queue.first()).copied() else {
        return Ok(Next::Wait);
    };
    let turn = book.mint(TurnId::from_parts);
    book.record(TurnStarted { turn, limits: book.given.rules.turn_limits })?;
    book.record(InputTaken { inputs: vec![next.at] })?;
    Ok(Next::Again)
}

/// Between two steps: steering inputs join, then limits, then compaction,
/// then the next step or the end.
fn boundary(book: &mut Book<'_>) -> Result<Next, Refused> {
    let steers: Vec<_> = book
        .state
        .queue
        .iter()
        .filter(|queued| queued.busy == Busy::Steer)
        .map(|queued| queued.at)
        .collect();
    if !steers.is_empty() {
        book.record(InputTaken { inputs: steers })?;
    }
    let Some(turn) = &book.state.turn else { return Ok(Next::Again) };
    if !turn.owes_answer {
        book.record(TurnEnded { reason: EndReason::Done })?;
        return Ok(Next::Again);
    }
    if limits::pause(book)? {
        return Ok(Next::Wait);
    }
    let purpose = if compact::is_needed(book) { Purpose::Compaction } else { Purpose::Step };
    model::ask(book, purpose)?;
    Ok(Next::Wait)
}

/// Says once that the turn waits for others only.
fn wait(book: &mut Book<'_>) -> Result<Next, Refused> {
    let Some(turn) = &book.state.turn else { return Ok(Next::Wait) };
    if turn.active_since.is_some()
        && let Some(on) = waits_on(&book.state, turn)
    {
        book.record(TurnWaiting { on })?;
    }
    Ok(Next::Wait)
}

/// Whom the turn waits for; `None` if also for its own worker.
fn waits_on(state: &State, turn: &Turn) -> Option<Vec<WaitOn>> {
    // What is ready and not started comes after another, which tells.
    let open = turn.calls.iter().filter(|call| !call.is_done() && call.status != Status::Ready);
    open.map(|call| match call.status {
        Status::Running { place: Place::Client, .. } => Some(WaitOn::Client(call.id)),
        Status::Running { place: Place::Human, .. } => Some(WaitOn::Human(call.id)),
        Status::Running { place: Place::Worker, .. } => {
            state.timer_of(call.id).map(|_| WaitOn::Timer(call.id))
        }
        Status::Asks | Status::Doubted { .. } => {
            state.approval_of(call.id).map(|approval| WaitOn::Approval(approval.id))
        }
        Status::Ready | Status::Done { .. } => None,
    })
    .collect()
}
