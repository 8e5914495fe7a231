//! Stopping a turn: everything open gets an outcome, the model is told all of
//! it, and only then the turn is over.

use freehold_types::{Offset, TurnId};

use super::advance::Next;
use super::book::Book;
use super::owed::stuck_at;
use super::{Refused, doubt, model, tool};
use crate::event::{
    AbortReason, CancelAsked, CancelReason, EndReason, ErrorReason, Note, Outcome, Place, Rewound,
    Source, TurnEnded, UnknownReason, Usage,
};
use crate::state::{Call, Status, Turn};

/// Somebody asks for it. Asked again, it changes nothing.
pub(super) fn asked(book: &mut Book<'_>, turn: Option<TurnId>) -> Result<(), Refused> {
    let Some(open) = &book.state.turn else { return Err(Refused::NotWaiting("no turn")) };
    if turn.is_some_and(|turn| turn != open.id) {
        return Err(Refused::NotWaiting("the turn"));
    }
    if open.cancel.is_some() {
        return Ok(());
    }
    book.brought(Source::User, CancelAsked { reason: CancelReason::Asked })?;
    Ok(())
}

/// The turn is to stop, if it is not already for a reason that weighs more.
pub(super) fn begin(book: &mut Book<'_>, reason: CancelReason) -> Result<(), Refused> {
    let Some(turn) = &book.state.turn else { return Ok(()) };
    if turn.cancel.is_some_and(|cancel| weight(cancel.reason) >= weight(reason)) {
        return Ok(());
    }
    book.record(CancelAsked { reason })?;
    Ok(())
}

/// A rollback must not be lost to an interrupt, nor a failure to either.
fn weight(reason: CancelReason) -> u8 {
    match reason {
        CancelReason::Asked => 1,
        CancelReason::Interrupt(_) => 2,
        CancelReason::Rollback(_) => 3,
        CancelReason::Stuck | CancelReason::ModelFailed => 4,
        CancelReason::Forked | CancelReason::Imported => 5,
    }
}

/// Settles what can be settled, and ends the turn once nothing is open.
pub(super) fn wind_down(book: &mut Book<'_>) -> Result<Next, Refused> {
    let Some(turn) = book.state.turn.clone() else { return Ok(Next::Again) };
    let Some(cancel) = turn.cancel else { return Ok(Next::Wait) };
    let patience = stuck_at(&book.state, &turn, book.given.rules);
    let over = match cancel.reason {
        CancelReason::Asked | CancelReason::Interrupt(_) | CancelReason::Rollback(_) => {
            patience.is_some_and(|until| until <= book.given.now)
        }
        CancelReason::Stuck
        | CancelReason::ModelFailed
        | CancelReason::Forked
        | CancelReason::Imported => true,
    };
    if over && turn.model.is_some() {
        let reason = match cancel.reason {
            CancelReason::Stuck => AbortReason::Stuck,
            _ => AbortReason::Cancelled,
        };
        model::abort(book, reason, &Note::cut("the turn was stopped"), Usage::default())?;
    }
    for call in &turn.calls {
        settle(book, call, cancel.reason, over)?;
    }
    let Some(turn) = book.state.turn.clone() else { return Ok(Next::Again) };
    if turn.model.is_some() || !turn.calls.iter().all(Call::is_done) {
        return Ok(Next::Wait);
    }
    tool::observe(book)?;
    end(book, &turn, cancel.reason)
}

/// What never started is refused, what may have run is unknown; what the
/// worker still has may say so itself, as long as there is patience.
fn settle(
    book: &mut Book<'_>,
    call: &Call,
    reason: CancelReason,
    over: bool,
) -> Result<(), Refused> {
    let reason = match reason {
        CancelReason::Forked => UnknownReason::Forked,
        CancelReason::Imported => UnknownReason::Imported,
        _ => UnknownReason::Cancelled,
    };
    match call.status {
        Status::Done { .. } => Ok(()),
        Status::Asks | Status::Ready => {
            tool::settle(book, call.id, Outcome::Refused(ErrorReason::Cancelled)).map(|_| ())
        }
        Status::Running { place: Place::Worker, .. } => {
            if book.state.timer_of(call.id).is_some() {
                return tool::settle(book, call.id, tool::wait_cancelled()).map(|_| ());
            }
            if over { doubt::unknown(book, call.id, reason) } else { Ok(()) }
        }
        Status::Running { place: Place::Client | Place::Human, .. } | Status::Doubted { .. } => {
            doubt::unknown(book, call.id, reason)
        }
    }
}

fn end(book: &mut Book<'_>, turn: &Turn, reason: CancelReason) -> Result<Next, Refused> {
    let ended = match reason {
        CancelReason::Asked | CancelReason::Forked | CancelReason::Imported => EndReason::Cancelled,
        CancelReason::Interrupt(_) => EndReason::Interrupted,
        CancelReason::Rollback(_) => EndReason::RolledBack,
        CancelReason::Stuck | CancelReason::ModelFailed => EndReason::Failed,
    };
    book.record(TurnEnded { reason: ended })?;
    if ended == EndReason::RolledBack {
        let to: Offset = turn.started.before();
        book.record(Rewound { to, context: turn.before.clone(), effects: turn.effects })?;
    }
    Ok(Next::Again)
}
