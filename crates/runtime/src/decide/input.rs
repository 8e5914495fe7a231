//! Input and signals: accepted, and what becomes of the turn that runs.

use super::book::Book;
use super::{Refused, cancel};
use crate::event::{
    Busy, CancelReason, Content, Hash, InputAccepted, Name, SignalReceived, Source,
};
use crate::state::SPANS_MAX;

pub(super) fn input(
    book: &mut Book<'_>,
    content: Content,
    busy: Busy,
    key: Option<Hash>,
    settings: bool,
) -> Result<(), Refused> {
    let turn = book.state.turn.as_ref().map(|turn| turn.id);
    if let (Some(turn), Busy::Reject | Busy::Quiet) = (turn, busy) {
        return Err(Refused::Busy(turn));
    }
    let room = book.state.context.spans.len() + 2 < SPANS_MAX;
    if turn.is_some() && busy == Busy::Rollback && !room {
        return Err(Refused::Full("rewinds; compact first"));
    }
    queue(book, InputAccepted { content, busy, key, settings })
}

fn queue(book: &mut Book<'_>, input: InputAccepted) -> Result<(), Refused> {
    let (busy, runs) = (input.busy, book.state.turn.is_some());
    if busy != Busy::Quiet && !book.state.has_room() {
        return Err(Refused::QueueFull);
    }
    let at = book.brought(Source::User, input)?;
    match busy {
        Busy::Interrupt if runs => cancel::begin(book, CancelReason::Interrupt(at)),
        Busy::Rollback if runs => cancel::begin(book, CancelReason::Rollback(at)),
        // A steering input waits for the next boundary, a quiet one for nothing,
        // the others for a turn.
        Busy::Interrupt
        | Busy::Rollback
        | Busy::Steer
        | Busy::Quiet
        | Busy::Enqueue
        | Busy::Reject => Ok(()),
    }
}

pub(super) fn signal(book: &mut Book<'_>, name: Name, content: Content) -> Result<(), Refused> {
    if !book.state.has_room() {
        return Err(Refused::QueueFull);
    }
    book.brought(Source::User, SignalReceived { name, content })?;
    Ok(())
}
