//! Timers, and all else that is due at a time.

use freehold_types::{CallId, TimerId};
use jiff::Timestamp;

use super::book::Book;
use super::owed::{deadline, may_fire};
use super::{Refused, approval, doubt, stuck, tool};
use crate::event::{
    Content, Doubt, Outcome, Repeat, Source, TimerCancelled, TimerFired, TimerPurpose, TimerSet,
    ToolOutcome,
};
use crate::state::{Call, State, TIMERS_MAX, Timer};

pub(super) fn set(
    book: &mut Book<'_>,
    due: Timestamp,
    repeat: Repeat,
    purpose: TimerPurpose,
) -> Result<(), Refused> {
    if book.state.timers.len() >= TIMERS_MAX {
        return Err(Refused::Full("timers"));
    }
    if let TimerPurpose::Call(call) = purpose {
        let runs = book.state.call(call).is_some_and(Call::is_with_worker);
        if !runs || book.state.timer_of(call).is_some() {
            return Err(Refused::NotWaiting("the call"));
        }
    }
    let timer = book.mint(TimerId::from_parts);
    book.brought(Source::User, TimerSet { timer, due, repeat, purpose })?;
    Ok(())
}

pub(super) fn cancel(book: &mut Book<'_>, timer: TimerId) -> Result<(), Refused> {
    let set = book.state.timer(timer).ok_or(Refused::NotWaiting("the timer"))?;
    match set.call {
        Some(call) => tool::settle(book, call, tool::wait_cancelled()).map(|_| ()),
        None => {
            book.record(TimerCancelled { timer })?;
            Ok(())
        }
    }
}

/// Does all that is due: expiries, deadlines, timers, and a turn that does
/// not get on.
pub(super) fn due(book: &mut Book<'_>) -> Result<(), Refused> {
    let now = book.given.now;
    let late =
        |state: &State| state.approvals.iter().find(|approval| approval.expires <= now).cloned();
    while let Some(approval) = late(&book.state) {
        approval::expire(book, &approval)?;
    }
    let late = |state: &State, call: &Call| deadline(state, call).is_some_and(|at| at <= now);
    let calls = book.state.turn.iter().flat_map(|turn| &turn.calls);
    let calls: Vec<_> = calls.filter(|call| late(&book.state, call)).cloned().collect();
    for call in calls {
        doubt::doubt(book, &call, Doubt::Timeout)?;
    }
    // Each at most once: one that repeats is due after now again.
    let timers: Vec<_> =
        book.state.timers.iter().filter(|timer| timer.due <= now).cloned().collect();
    for timer in timers {
        fire(book, &timer)?;
    }
    stuck::free(book)
}

fn fire(book: &mut Book<'_>, timer: &Timer) -> Result<(), Refused> {
    if !may_fire(&book.state, timer) {
        return Ok(());
    }
    let next = timer.call.is_none().then(|| timer.repeat.next(timer.due, book.given.now)).flatten();
    book.record(TimerFired { timer: timer.id, set: timer.set, due: timer.due, next })?;
    timer.call.map_or(Ok(()), |call| end_wait(book, call))
}

fn end_wait(book: &mut Book<'_>, call: CallId) -> Result<(), Refused> {
    let outcome = Outcome::Ok(Content::text("the time has come"));
    book.record(ToolOutcome { call, outcome })?;
    Ok(())
}
