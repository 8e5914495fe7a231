//! Recovery: whoever performed is gone. What it performed is closed by rule;
//! what it had not begun is owed as before, unless the session was restored
//! from a backup: then it may have begun in what was lost.

use super::book::Book;
use super::{Refused, doubt, model};
use crate::event::{AbortReason, Doubt, Note, Place, Restored, RetryRule, Usage};
use crate::state::{Call, State, Status};

pub(super) fn taken_over(book: &mut Book<'_>) -> Result<(), Refused> {
    if book.state.sealed.is_some() {
        return Ok(());
    }
    let timeline = book.given.timeline;
    let restored = timeline > book.state.timeline;
    if restored {
        book.record(Restored { timeline })?;
    }
    let message = Note::cut("the process that asked is gone");
    // What it used is not known here: the gateway's ledger settles it.
    model::abort(book, AbortReason::TakenOver, &message, Usage::default())?;
    let calls = book.state.turn.iter().flat_map(|turn| &turn.calls);
    let begun =
        |call: &&Call| is_begun(&book.state, call) || (restored && may_be_begun(book, call));
    let begun: Vec<_> = calls.filter(begun).cloned().collect();
    let doubt = if restored { Doubt::Restored } else { Doubt::TakenOver };
    for call in begun {
        doubt::doubt(book, &call, doubt)?;
    }
    Ok(())
}

fn is_begun(state: &State, call: &Call) -> bool {
    call.is_with_worker() && state.timer_of(call.id).is_none()
}

/// Whether a call that was not started in what was restored may have been in
/// what was lost, and would do harm a second time.
fn may_be_begun(book: &Book<'_>, call: &Call) -> bool {
    let ours = book.given.rules.tools.get(&call.tool);
    let ours = ours.is_none_or(|rules| rules.place == Place::Worker);
    let open = matches!(call.status, Status::Asks | Status::Ready);
    ours && open && call.retry != RetryRule::Idempotent
}
