//! Recovery: whoever performed is gone. What it performed is closed by rule;
//! what it had not begun is owed as before.

use super::book::Book;
use super::{Refused, doubt, model};
use crate::event::{AbortReason, Doubt, Note, Usage};

pub(super) fn taken_over(book: &mut Book<'_>) -> Result<(), Refused> {
    if book.state.sealed.is_some() {
        return Ok(());
    }
    let message = Note::cut("the process that asked is gone");
    // What it used is not known here: the gateway's ledger settles it.
    model::abort(book, AbortReason::TakenOver, &message, Usage::default())?;
    let calls = book.state.turn.iter().flat_map(|turn| &turn.calls);
    let begun = |call: &&crate::state::Call| {
        call.is_with_worker() && book.state.timer_of(call.id).is_none()
    };
    let begun: Vec<_> = calls.filter(begun).cloned().collect();
    for call in begun {
        doubt::doubt(book, &call, Doubt::TakenOver)?;
    }
    Ok(())
}
