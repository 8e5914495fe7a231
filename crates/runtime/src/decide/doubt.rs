//! Calls of which nobody knows whether they ran. The only place where a call
//! is started a second time.

use freehold_types::CallId;

use super::book::Book;
use super::{Found, Refused, approval, tool};
use crate::event::{
    Doubt, LapseReason, Outcome, Place, Resolve, RetryRule, ToolDoubted, UnknownReason,
};
use crate::state::{Call, Status};

/// A start that has no outcome and will get none by itself: its rule decides.
pub(super) fn doubt(book: &mut Book<'_>, call: &Call, doubt: Doubt) -> Result<(), Refused> {
    // One that was not started may have been, in what was lost.
    let attempt = call.attempt().or((doubt == Doubt::Restored).then_some(0));
    let Some(attempt) = attempt else { return Ok(()) };
    let stops = book.state.turn.as_ref().is_some_and(|turn| turn.cancel.is_some());
    let resolve = match call.status {
        _ if stops => Resolve::Unknown,
        // Whoever was to decide is told that they may have done so before.
        Status::Asks => Resolve::Ask,
        _ => resolve(book, call, attempt),
    };
    if let Some(id) = book.state.approval_of(call.id).map(|approval| approval.id) {
        approval::lapse(book, id, LapseReason::Restored)?;
    }
    book.record(ToolDoubted { call: call.id, attempt, doubt, resolve })?;
    match resolve {
        Resolve::Query => Ok(()),
        Resolve::Restart => tool::start(book, call.id, Place::Worker, attempt.saturating_add(1)),
        Resolve::Ask => approval::ask_to_repeat(book, call.id),
        Resolve::Unknown => {
            let reason = match (stops, call.retry, doubt) {
                (true, ..) => UnknownReason::Cancelled,
                (_, _, Doubt::Restored) => UnknownReason::Restored,
                (_, RetryRule::Idempotent | RetryRule::QueryByKey, _) => UnknownReason::Attempts,
                (_, _, Doubt::Timeout) => UnknownReason::Timeout,
                (_, _, Doubt::TakenOver | Doubt::Lost) => UnknownReason::Lost,
            };
            unknown(book, call.id, reason)
        }
    }
}

/// How a doubt is resolved, by the rule that the call was intended under.
fn resolve(book: &Book<'_>, call: &Call, attempt: u32) -> Resolve {
    let may_run = book.given.rules.tools.get(&call.tool).is_some_and(|rules| !rules.forbidden);
    match call.retry {
        RetryRule::QueryByKey => Resolve::Query,
        RetryRule::Idempotent if may_run && attempt < call.attempts_max => Resolve::Restart,
        RetryRule::AskHuman => Resolve::Ask,
        RetryRule::Idempotent | RetryRule::TellUnknown => Resolve::Unknown,
    }
}

/// What the tool said about the call by its key.
pub(super) fn queried(
    book: &mut Book<'_>,
    id: CallId,
    attempt: u32,
    found: Found,
) -> Result<(), Refused> {
    let call = book.state.call(id).ok_or(Refused::Stale)?.clone();
    if call.status != (Status::Doubted { attempt, resolve: Resolve::Query }) {
        return Err(Refused::Stale);
    }
    match found {
        Found::Ok(content) => tool::brought(book, id, Outcome::Ok(content)),
        Found::Failed(content) => tool::brought(book, id, Outcome::Failed(content)),
        Found::Unclear => unknown(book, id, UnknownReason::QueryFailed),
        Found::Nothing => again(book, &call, attempt),
    }
}

/// It never ran, so starting it again is a first time; but not without end,
/// and not in a turn that is to stop.
fn again(book: &mut Book<'_>, call: &Call, attempt: u32) -> Result<(), Refused> {
    let stops = book.state.turn.as_ref().is_some_and(|turn| turn.cancel.is_some());
    let may_run = book.given.rules.tools.get(&call.tool).is_some_and(|rules| !rules.forbidden);
    if stops {
        return unknown(book, call.id, UnknownReason::Cancelled);
    }
    if !may_run || attempt >= call.attempts_max {
        return unknown(book, call.id, UnknownReason::Attempts);
    }
    tool::start(book, call.id, Place::Worker, attempt.saturating_add(1))
}

/// A person said that it may run again.
pub(super) fn repeat(book: &mut Book<'_>, call: &Call) -> Result<(), Refused> {
    let Some(attempt) = call.attempt() else { return Ok(()) };
    let may_run = book.given.rules.tools.get(&call.tool).is_some_and(|rules| !rules.forbidden);
    if !may_run {
        return unknown(book, call.id, UnknownReason::NotRepeated);
    }
    tool::start(book, call.id, Place::Worker, attempt.saturating_add(1))
}

/// The model is told that nobody knows.
pub(super) fn unknown(
    book: &mut Book<'_>,
    call: CallId,
    reason: UnknownReason,
) -> Result<(), Refused> {
    tool::settle(book, call, Outcome::Unknown(reason)).map(|_| ())
}
