//! Compaction: a summary for old context, and proof that nothing open is in
//! what it drops.

use std::fmt;

use freehold_types::{Offset, TurnId};

use super::book::Book;
use super::{Refused, limits, model};
use crate::event::{Compacted, Name, Note, Purpose, Span, TurnStarted};
use crate::state::{SPANS_MAX, State, part};

/// Whether the next step is to be a compaction: once a turn.
pub(super) fn is_needed(book: &Book<'_>) -> bool {
    let state = &book.state;
    let crowded = state.context.spans.len() + 2 >= SPANS_MAX;
    let large = book.given.rules.compact_at_tokens.is_some_and(|at| state.context.tokens >= at);
    let fresh = state.turn.as_ref().is_some_and(|turn| !turn.compacted);
    fresh && (crowded || large) && droppable(state)
}

fn droppable(state: &State) -> bool {
    !plan(state, state.head).1.is_empty()
}

/// Somebody asks for it; between steps only.
pub(super) fn asked(book: &mut Book<'_>) -> Result<(), Refused> {
    let state = &book.state;
    if let Some(turn) = &state.turn {
        let free = turn.model.is_none() && turn.paused.is_none() && turn.cancel.is_none();
        if !free {
            return Err(Refused::Busy(turn.id));
        }
    }
    if !droppable(state) {
        return Err(Refused::NothingToCompact);
    }
    if limits::is_reached(state, book.given.now) {
        return Err(Refused::AtLimit);
    }
    if state.turn.is_none() {
        let turn = book.mint(TurnId::from_parts);
        book.record(TurnStarted { turn, limits: book.given.rules.turn_limits })?;
    }
    model::ask(book, Purpose::Compaction)
}

/// The summary came.
pub(super) fn answered(book: &mut Book<'_>, summary: Offset, by: Name) -> Result<(), Refused> {
    let inputs = book.state.context.up_to(summary.before());
    let (kept, dropped) = plan(&book.state, summary.before());
    let compacted = Compacted { inputs, kept, dropped, summary, model: by };
    if let Err(lost) = check(&book.state, &compacted) {
        // Better a long context than one that forgot what it must not.
        return model::fault(book, "compaction_failed", &Note::cut(&lost.to_string()));
    }
    book.record(compacted)?;
    Ok(())
}

/// What of the context up to `head` is kept and what is dropped: all before
/// the turn that runs; if there is nothing, what the turn did before its last
/// open answer. What is pinned and what the turn is about stay.
fn plan(state: &State, head: Offset) -> (Vec<Span>, Vec<Span>) {
    let inputs = state.context.up_to(head);
    let mut pins = state.pins.clone();
    let turn = state.turn.as_ref();
    pins.extend(turn.and_then(|turn| turn.taken));
    let open = turn.into_iter().flat_map(|turn| &turn.calls).map(|call| call.answer).min();
    let end = open.unwrap_or(head.next());
    let start = turn.map_or(end, |turn| turn.started.min(end));
    let (kept, dropped) = part(&inputs, start, &pins);
    let only_summaries = dropped.iter().all(|span| span.from == span.to);
    if only_summaries { part(&inputs, end, &pins) } else { (kept, dropped) }
}

/// Something that a compaction must not drop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A pinned event.
    Pin(Offset),
    /// The answer of a call that is open, approvals and timers of it included.
    Call(Offset),
    /// An event that is neither kept nor summed up.
    Unaccounted(Offset),
    /// The context would have more spans than it may.
    Spans,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pin(at) => write!(f, "the pinned event {at}"),
            Self::Call(at) => write!(f, "the open call of the answer {at}"),
            Self::Unaccounted(at) => write!(f, "the event {at}, which it does not name"),
            Self::Spans => f.write_str("count of its spans"),
        }
    }
}

/// Whether all survives that must: by the numbers, without asking a model.
pub fn check(state: &State, compacted: &Compacted) -> Result<(), Lost> {
    let within = |spans: &[Span], at: Offset| spans.iter().any(|span| span.has(at));
    let Compacted { inputs, kept, dropped, .. } = compacted;
    if kept.len() + 1 >= SPANS_MAX {
        return Err(Lost::Spans);
    }
    let lost = state.pins.iter().find(|pin| within(inputs, **pin) && !within(kept, **pin));
    if let Some(pin) = lost {
        return Err(Lost::Pin(*pin));
    }
    let calls = state.turn.iter().flat_map(|turn| &turn.calls);
    let lost = calls.map(|call| call.answer).find(|answer| !within(kept, *answer));
    if let Some(answer) = lost {
        return Err(Lost::Call(answer));
    }
    let length = |spans: &[Span]| -> u64 {
        spans.iter().map(|span| (span.to.0 - span.from.0).saturating_add(1)).sum()
    };
    if length(inputs) != length(kept) + length(dropped) {
        let ends = inputs.iter().flat_map(|span| [span.from, span.to]);
        let missing = ends.into_iter().find(|at| !within(kept, *at) && !within(dropped, *at));
        return Err(Lost::Unaccounted(missing.unwrap_or(compacted.summary)));
    }
    Ok(())
}
