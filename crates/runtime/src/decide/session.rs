//! The session as a whole: created, forked, rewound, sealed; and which cues
//! it takes at all.

use freehold_types::{Offset, SessionId};

use super::book::Book;
use super::{Cue, Refused, cancel};
use crate::event::{
    Arrived, CancelReason, Forked, ForkedFrom, Hash, Imported, Limits, Name, Origin, Pinned,
    Rewound, Sealed, SessionCreated, Source, Span, Unpinned, Unsealed,
};
use crate::state::{Call, PINS_MAX, SPANS_MAX, State};

/// Whether the session takes the cue: a sealed one takes nothing but its
/// unsealing, one that does not exist nothing but its creation.
pub(super) fn admits(state: &State, cue: &Cue) -> Result<(), Refused> {
    let exists = state.head > Offset::START;
    if exists == matches!(cue, Cue::Create { .. }) {
        return Err(Refused::NoSession);
    }
    match (&state.sealed, cue) {
        (None, _)
        | (
            Some(_),
            Cue::Unseal { .. } | Cue::Arrived { .. } | Cue::Imported { .. } | Cue::TakenOver,
        ) => Ok(()),
        (Some(cell), _) => Err(Refused::Sealed(cell.clone())),
    }
}

pub(super) fn create(
    book: &mut Book<'_>,
    agent: Name,
    origin: Origin,
    limits: Limits,
) -> Result<(), Refused> {
    let timeline = book.given.timeline;
    book.brought(Source::User, SessionCreated { agent, origin, limits, timeline })?;
    Ok(())
}

pub(super) fn pin(book: &mut Book<'_>, at: Offset) -> Result<(), Refused> {
    let context = book.state.context.up_to(book.state.head);
    if !context.iter().any(|span| span.has(at)) {
        return Err(Refused::BadPlace("the event is not in the context"));
    }
    if book.state.pins.contains(&at) {
        return Ok(());
    }
    if book.state.pins.len() >= PINS_MAX {
        return Err(Refused::Full("pins"));
    }
    book.brought(Source::User, Pinned { at })?;
    Ok(())
}

pub(super) fn unpin(book: &mut Book<'_>, at: Offset) -> Result<(), Refused> {
    if !book.state.pins.contains(&at) {
        return Ok(());
    }
    book.brought(Source::User, Unpinned { at })?;
    Ok(())
}

/// In the parent.
pub(super) fn fork(book: &mut Book<'_>, child: SessionId, at: Offset) -> Result<(), Refused> {
    if at == Offset::START || at > book.state.head {
        return Err(Refused::BadPlace("the journal does not have the offset to fork at"));
    }
    book.brought(Source::User, Forked { child, at })?;
    Ok(())
}

/// In the child: what was under way goes on in the parent, here it is over.
pub(super) fn forked_from(book: &mut Book<'_>, parent: SessionId) -> Result<(), Refused> {
    let at = book.state.head;
    if book.state.turn.is_some() {
        cancel::begin(book, CancelReason::Forked)?;
        cancel::wind_down(book)?;
    }
    let timeline = book.given.timeline;
    book.brought(Source::User, ForkedFrom { parent, at, timeline })?;
    Ok(())
}

pub(super) fn rewind(book: &mut Book<'_>, to: Offset, context: Vec<Span>) -> Result<(), Refused> {
    if let Some(turn) = &book.state.turn {
        return Err(Refused::Busy(turn.id));
    }
    if to == Offset::START || to > book.state.head {
        return Err(Refused::BadPlace("the journal does not have the offset to rewind to"));
    }
    let fits = context.iter().all(|span| span.from <= span.to && span.to <= to);
    if !fits || context.len() >= SPANS_MAX {
        return Err(Refused::BadPlace("the context is not that of the offset"));
    }
    book.brought(Source::User, Rewound { to, context, effects: 0 })?;
    Ok(())
}

/// Only where nothing is being performed here: what waits for others moves.
pub(super) fn seal(
    book: &mut Book<'_>,
    cell: Name,
    bundle: Hash,
    at: Offset,
) -> Result<(), Refused> {
    if book.state.head != at {
        return Err(Refused::Stale);
    }
    if let Some(turn) = &book.state.turn {
        let state = &book.state;
        let performed = |call: &Call| call.is_with_worker() && state.timer_of(call.id).is_none();
        if turn.model.is_some() || turn.calls.iter().any(performed) {
            return Err(Refused::Busy(turn.id));
        }
    }
    book.brought(Source::User, Sealed { cell, bundle })?;
    Ok(())
}

pub(super) fn unseal(book: &mut Book<'_>, refusal: Hash) -> Result<(), Refused> {
    if book.state.sealed.is_none() {
        return Err(Refused::NotWaiting("the seal"));
    }
    book.brought(Source::User, Unsealed { refusal })?;
    Ok(())
}

/// In the cell that it was sealed for: all that waits goes on waiting.
pub(super) fn arrived(book: &mut Book<'_>, from: Name, bundle: Hash) -> Result<(), Refused> {
    if book.state.sealed.is_none() {
        return Err(Refused::NotWaiting("the seal"));
    }
    book.brought(Source::User, Arrived { from, bundle })?;
    Ok(())
}

/// In the copy: what was under way goes on in the original, here it is over.
pub(super) fn imported(
    book: &mut Book<'_>,
    from: Name,
    session: SessionId,
    bundle: Hash,
) -> Result<(), Refused> {
    let (at, timeline) = (book.state.head, book.given.timeline);
    if book.state.turn.is_some() {
        cancel::begin(book, CancelReason::Imported)?;
        cancel::wind_down(book)?;
    }
    book.brought(Source::User, Imported { from, session, at, bundle, timeline })?;
    Ok(())
}
