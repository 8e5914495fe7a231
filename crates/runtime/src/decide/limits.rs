//! Limits: at one the turn pauses and asks; it does not fail.

use super::Refused;
use super::book::Book;
use crate::event::{BudgetPaused, BudgetRaised, LimitKind, Limits, Scope, Source, Usage};
use crate::state::State;
use jiff::Timestamp;

/// Pauses the turn if a limit is reached.
pub(super) fn pause(book: &mut Book<'_>) -> Result<bool, Refused> {
    let Some((scope, limit)) = reached(&book.state, book.given.now) else { return Ok(false) };
    book.record(BudgetPaused { scope, limit })?;
    Ok(true)
}

/// Whether a limit forbids that a model is asked, in a turn or for a new one.
pub(super) fn is_reached(state: &State, now: Timestamp) -> bool {
    let of_session = || first(state.limits, state.steps, state.usage, state.active_ms);
    reached(state, now).is_some() || (state.turn.is_none() && of_session().is_some())
}

/// The limit that forbids a next step.
fn reached(state: &State, now: Timestamp) -> Option<(Scope, LimitKind)> {
    let turn = state.turn.as_ref()?;
    let active = turn.active_until(now);
    let session_active = state.active_ms.saturating_add(active.saturating_sub(turn.active_ms));
    first(turn.limits, turn.steps, turn.usage, active).map(|limit| (Scope::Turn, limit)).or_else(
        || {
            first(state.limits, state.steps, state.usage, session_active)
                .map(|limit| (Scope::Session, limit))
        },
    )
}

fn first(limits: Limits, steps: u64, usage: Usage, active_ms: u64) -> Option<LimitKind> {
    let at = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
    if at(steps, limits.steps) {
        Some(LimitKind::Steps)
    } else if at(usage.tokens(), limits.tokens) {
        Some(LimitKind::Tokens)
    } else if limits.cost.is_some_and(|limit| usage.cost >= limit) {
        Some(LimitKind::Cost)
    } else if at(active_ms, limits.active_ms) {
        Some(LimitKind::Active)
    } else {
        None
    }
}

/// Sets limits anew; a turn that was paused tries again and may pause again.
pub(super) fn raised(book: &mut Book<'_>, scope: Scope, limits: Limits) -> Result<(), Refused> {
    if scope == Scope::Turn && book.state.turn.is_none() {
        return Err(Refused::NotWaiting("no turn"));
    }
    book.brought(Source::User, BudgetRaised { scope, limits })?;
    Ok(())
}
