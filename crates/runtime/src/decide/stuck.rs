//! A turn that does not get on is found, explained and freed, so that what
//! waits behind it runs.

use super::book::Book;
use super::owed::stuck_at;
use super::{Refused, cancel, model};
use crate::event::{CancelReason, Note};
use crate::state::{Call, Turn};

/// Frees a turn past its deadline. One that is to stop already is wound down
/// by `advance` once its patience is over.
pub(super) fn free(book: &mut Book<'_>) -> Result<(), Refused> {
    let Some(turn) = &book.state.turn else { return Ok(()) };
    let late = stuck_at(&book.state, turn, book.given.rules)
        .is_some_and(|deadline| deadline <= book.given.now);
    if !late || turn.cancel.is_some() {
        return Ok(());
    }
    let message = explain(turn);
    model::fault(book, "stuck", &message)?;
    cancel::begin(book, CancelReason::Stuck)
}

/// What was open when nothing happened any more.
fn explain(turn: &Turn) -> Note {
    let mut open = Vec::new();
    if let Some(model) = turn.model {
        open.push(format!("the model asked at {}", model.asked));
    }
    for call in turn.calls.iter().filter(|call| !call.is_done()) {
        let Call { id, tool, .. } = call;
        open.push(format!("{id} of `{tool}`"));
    }
    let open = if open.is_empty() { "nothing".to_owned() } else { open.join(", ") };
    Note::cut(&format!("nothing happened since {}; open: {open}", turn.progress_at))
}
