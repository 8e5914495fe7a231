//! Asking a model, and what comes of it.

use freehold_types::Offset;

use super::book::{Book, OFFERED_MAX, later};
use super::{Offered, Refused, cancel, compact, tool};
use crate::event::{
    AbortReason, BudgetPaused, CancelReason, Content, LimitKind, Listing, ModelAborted,
    ModelAnswered, ModelAsked, ModelDelta, Name, Note, Purpose, Scope, Source, ToolsListed, Usage,
};
use crate::state::ModelAttempt;

/// Asks. After failures in a row, not at once.
pub(super) fn ask(book: &mut Book<'_>, purpose: Purpose) -> Result<(), Refused> {
    let failures = book.state.turn.as_ref().map_or(0, |turn| turn.failures);
    let rules = book.given.rules;
    let not_before = (failures > 0).then(|| {
        let doubled = 1_u64.checked_shl(failures - 1).unwrap_or(u64::MAX);
        let wait = rules.backoff_ms.saturating_mul(doubled).min(rules.backoff_max_ms);
        later(book.given.now, wait)
    });
    book.record(ModelAsked { purpose, failures, not_before })?;
    Ok(())
}

pub(super) fn listed(
    book: &mut Book<'_>,
    asked: Offset,
    listings: Vec<Listing>,
    content: Content,
) -> Result<(), Refused> {
    open(book, asked)?;
    book.brought(Source::Tool, ToolsListed { asked, listings, content })?;
    Ok(())
}

pub(super) fn chunk(book: &mut Book<'_>, asked: Offset, content: Content) -> Result<(), Refused> {
    open(book, asked)?;
    book.brought(Source::Model, ModelDelta { asked, content })?;
    Ok(())
}

pub(super) fn answered(book: &mut Book<'_>, asked: Offset, answer: Offered) -> Result<(), Refused> {
    let attempt = open(book, asked)?;
    if answer.calls.len() > OFFERED_MAX {
        return Err(Refused::TooManyCalls);
    }
    let step = attempt.purpose == Purpose::Step;
    // A summary that calls tools is read for its text.
    let wanted = if step { answer.calls } else { Vec::new() };
    let at = book.brought(
        Source::Model,
        ModelAnswered {
            asked,
            model: answer.model.clone(),
            content: answer.content,
            usage: answer.usage,
            calls: u32::try_from(wanted.len()).unwrap_or(u32::MAX),
            more: step && answer.more,
        },
    )?;
    if step { tool::intend(book, at, wanted) } else { compact::answered(book, at, answer.model) }
}

pub(super) fn failed(
    book: &mut Book<'_>,
    asked: Offset,
    reason: AbortReason,
    message: &Note,
    usage: Usage,
) -> Result<(), Refused> {
    open(book, asked)?;
    abort(book, reason, message, usage)
}

/// Closes the open attempt, if there is one, and says what follows of how it
/// ended: another attempt, a pause, or the end of the turn.
pub(super) fn abort(
    book: &mut Book<'_>,
    reason: AbortReason,
    message: &Note,
    usage: Usage,
) -> Result<(), Refused> {
    let Some(turn) = &book.state.turn else { return Ok(()) };
    let Some(attempt) = turn.model else { return Ok(()) };
    // What a turn that is to stop said so far is kept; a further attempt makes
    // all items anew.
    let stops = turn.cancel.is_some();
    let kept = stops && attempt.purpose == Purpose::Step;
    let asked = attempt.asked;
    book.record(ModelAborted { asked, reason, message: message.clone(), usage, kept })?;
    if stops {
        return Ok(());
    }
    let failures = book.state.turn.as_ref().map_or(0, |turn| turn.failures);
    let again = failures < book.given.rules.failures_max;
    match (attempt.purpose, reason) {
        (_, AbortReason::Budget) => {
            book.record(BudgetPaused { scope: Scope::Key, limit: LimitKind::Cost })?;
            Ok(())
        }
        // The fold has it that the turn goes on without a compaction.
        (Purpose::Compaction, AbortReason::Final | AbortReason::Stuck) => {
            fault(book, "compaction_failed", message)
        }
        (_, AbortReason::TakenOver) => Ok(()),
        (_, AbortReason::Retryable) if again => Ok(()),
        (
            _,
            AbortReason::Retryable
            | AbortReason::Final
            | AbortReason::Cancelled
            | AbortReason::Stuck,
        ) => {
            fault(book, "model_failed", message)?;
            cancel::begin(book, CancelReason::ModelFailed)
        }
    }
}

/// Says what is wrong with the turn.
pub(super) fn fault(book: &mut Book<'_>, code: &str, message: &Note) -> Result<(), Refused> {
    book.record(crate::event::Faulted { code: Name::cut(code), message: message.clone() })?;
    Ok(())
}

fn open(book: &Book<'_>, asked: Offset) -> Result<ModelAttempt, Refused> {
    let attempt = book.state.turn.as_ref().and_then(|turn| turn.model);
    attempt.filter(|attempt| attempt.asked == asked).ok_or(Refused::Stale)
}
