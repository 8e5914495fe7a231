//! Calls of tools: intended, started, ended, observed.

use freehold_types::{CallId, Offset};

use super::advance::Next;
use super::book::Book;
use super::{ClientAnswer, Ended, Refused, Wanted, approval, doubt};
use crate::event::{
    Allowed, Binding, Content, Doubt, ErrorReason, Hash, LapseReason, Name, Outcome, Place,
    RetryRule, Source, ToolIntended, ToolObserved, ToolOutcome, ToolStarted,
};
use crate::state::{CALLS_MAX, Call, Status, tool_hash};

/// Intends what an answer asks for. What may not start has its outcome at
/// once; what is more than may be open is told to the model at once too.
pub(super) fn intend(
    book: &mut Book<'_>,
    answer: Offset,
    wanted: Vec<Wanted>,
) -> Result<(), Refused> {
    let mut fitting = wanted;
    let surplus = fitting.split_off(fitting.len().min(CALLS_MAX));
    for one in &surplus {
        let call = intend_one(book, answer, one, Allowed::No)?;
        let outcome = settle(book, call, Outcome::Refused(ErrorReason::TooMany))?;
        book.record(ToolObserved { call, outcome })?;
    }
    let stops = book.state.turn.as_ref().is_some_and(|turn| turn.cancel.is_some());
    for one in &fitting {
        let (allowed, refusal) = judge(book, one);
        // A turn that is to stop starts nothing; winding down refuses it.
        let allowed = if stops { Allowed::No } else { allowed };
        let call = intend_one(book, answer, one, allowed)?;
        match refusal {
            Some(reason) => {
                settle(book, call, Outcome::Refused(reason))?;
            }
            None if allowed == Allowed::OnApproval => approval::ask_to_start(book, call)?,
            None => {}
        }
    }
    Ok(())
}

/// What the rules say of a call.
fn judge(book: &Book<'_>, wanted: &Wanted) -> (Allowed, Option<ErrorReason>) {
    let Some(rules) = book.given.rules.tools.get(&wanted.tool) else {
        return (Allowed::No, Some(ErrorReason::NoSuchTool));
    };
    let turn = book.state.turn.iter();
    let waiting = turn.flat_map(|turn| &turn.calls).filter(|call| {
        matches!(call.status, Status::Ready | Status::Asks) && is_workers(book, &call.tool)
    });
    if rules.place == Place::Worker && is_spent(book, waiting.count()) {
        return (Allowed::No, Some(ErrorReason::CallLimit));
    }
    match (rules.forbidden, wanted.readable, &rules.approval) {
        (true, ..) => (Allowed::No, Some(ErrorReason::Forbidden)),
        (_, false, _) => (Allowed::No, Some(ErrorReason::BadArguments)),
        (_, _, Some(_)) => (Allowed::OnApproval, None),
        (_, _, None) => (Allowed::ByRule, None),
    }
}

fn intend_one(
    book: &mut Book<'_>,
    answer: Offset,
    wanted: &Wanted,
    allowed: Allowed,
) -> Result<CallId, Refused> {
    let call = book.mint(CallId::from_parts);
    let rules = book.given.rules.tools.get(&wanted.tool);
    let intended = ToolIntended {
        call,
        model_call: wanted.model_call.clone(),
        answer,
        tool: wanted.tool.clone(),
        tool_version: rules.map_or_else(|| Name::cut(""), |rules| rules.version.clone()),
        args: wanted.args,
        allowed,
        rules: rules.map_or_else(|| Hash::of(b""), |rules| rules.hash),
        retry: rules.map_or(RetryRule::TellUnknown, |rules| rules.retry),
        attempts_max: rules.map_or(1, |rules| rules.attempts_max),
        timeout_ms: rules.map_or(0, |rules| rules.timeout_ms),
    };
    book.record(intended)?;
    Ok(call)
}

/// The calls that may start now: all that are ready, or the worker's one after
/// the other.
pub(super) fn startable(book: &Book<'_>) -> Vec<Call> {
    let Some(turn) = &book.state.turn else { return Vec::new() };
    let mut free = !turn.calls.iter().any(Call::is_with_worker);
    let ready = turn.calls.iter().filter(|call| call.status == Status::Ready);
    let in_turn = ready.filter(|call| {
        let waits = book.given.rules.one_by_one && is_workers(book, &call.tool);
        !waits || std::mem::take(&mut free)
    });
    in_turn.cloned().collect()
}

/// Starts calls that may start.
pub(super) fn start_ready(book: &mut Book<'_>, ready: &[Call]) -> Result<Next, Refused> {
    for call in ready {
        fire(book, call)?;
    }
    Ok(Next::Again)
}

fn is_workers(book: &Book<'_>, tool: &Name) -> bool {
    book.given.rules.tools.get(tool).is_some_and(|rules| rules.place == Place::Worker)
}

/// Whether as many calls of the worker's were started as may be; `waiting` are
/// those that will be.
fn is_spent(book: &Book<'_>, waiting: usize) -> bool {
    let performed = book.state.turn.as_ref().map_or(0, |turn| u64::from(turn.performed));
    let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
    book.given.rules.calls_max.is_some_and(|max| performed.saturating_add(waiting) >= max)
}

/// Starts a call, if the rules that it was allowed by still hold; else asks
/// the rules in force anew. The only place where a first start is recorded.
fn fire(book: &mut Book<'_>, call: &Call) -> Result<(), Refused> {
    match book.given.rules.tools.get(&call.tool) {
        None => settle(book, call.id, Outcome::Refused(ErrorReason::NoSuchTool)).map(|_| ()),
        Some(rules) if rules.forbidden => {
            settle(book, call.id, Outcome::Refused(ErrorReason::Forbidden)).map(|_| ())
        }
        Some(rules) if rules.approval.is_some() && bound(book, call) != Some(call.bound) => {
            approval::ask_to_start(book, call.id)
        }
        Some(rules) if rules.place == Place::Worker && is_spent(book, 0) => {
            settle(book, call.id, Outcome::Refused(ErrorReason::CallLimit)).map(|_| ())
        }
        Some(rules) => start(book, call.id, rules.place, 1),
    }
}

/// What an approval of the call would be bound to now.
pub(super) fn binding(book: &Book<'_>, call: &Call) -> Option<Binding> {
    let rules = book.given.rules.tools.get(&call.tool)?;
    let tool = tool_hash(&call.tool, &rules.version);
    Some(Binding { args: call.args, tool, rules: rules.hash })
}

pub(super) fn bound(book: &Book<'_>, call: &Call) -> Option<Hash> {
    binding(book, call).map(|binding| binding.hash())
}

pub(super) fn start(
    book: &mut Book<'_>,
    call: CallId,
    place: Place,
    attempt: u32,
) -> Result<(), Refused> {
    book.record(ToolStarted { call, place, epoch: book.given.epoch, attempt })?;
    Ok(())
}

/// What the worker says of a start.
pub(super) fn ended(
    book: &mut Book<'_>,
    id: CallId,
    attempt: u32,
    ended: Ended,
) -> Result<(), Refused> {
    let call = book.state.call(id).ok_or(Refused::Stale)?.clone();
    let open = call.is_with_worker() && call.attempt() == Some(attempt);
    if !open || book.state.timer_of(id).is_some() {
        return Err(Refused::Stale);
    }
    match ended {
        Ended::Ok(content) => brought(book, id, Outcome::Ok(content)),
        Ended::Failed(content) => brought(book, id, Outcome::Failed(content)),
        Ended::Lost => doubt::doubt(book, &call, Doubt::Lost),
    }
}

/// Answers to calls that clients and people perform. One that does not wait
/// refuses them all, so that none is half taken.
pub(super) fn client_answers(
    book: &mut Book<'_>,
    answers: Vec<ClientAnswer>,
) -> Result<(), Refused> {
    for answer in answers {
        let call = book.state.call(answer.call);
        let waits = call.is_some_and(|call| {
            matches!(call.status, Status::Running { place: Place::Client | Place::Human, .. })
        });
        if !waits {
            return Err(Refused::NotWaiting("the call"));
        }
        let outcome = if answer.is_error {
            Outcome::Failed(answer.content)
        } else {
            Outcome::Ok(answer.content)
        };
        brought(book, answer.call, outcome)?;
    }
    Ok(())
}

/// Records an outcome that came from outside.
pub(super) fn brought(book: &mut Book<'_>, call: CallId, outcome: Outcome) -> Result<(), Refused> {
    book.brought(Source::Tool, ToolOutcome { call, outcome })?;
    Ok(())
}

/// Records an outcome by the rules, and takes back what waited for the call.
pub(super) fn settle(
    book: &mut Book<'_>,
    call: CallId,
    outcome: Outcome,
) -> Result<Offset, Refused> {
    if let Some(id) = book.state.approval_of(call).map(|approval| approval.id) {
        approval::lapse(book, id, LapseReason::Cancelled)?;
    }
    if let Some(timer) = book.state.timer_of(call).map(|timer| timer.id) {
        book.record(crate::event::TimerCancelled { timer })?;
    }
    book.record(ToolOutcome { call, outcome })
}

/// Tells the model the outcomes, in the order of its calls.
pub(super) fn observe(book: &mut Book<'_>) -> Result<Next, Refused> {
    let Some(turn) = &book.state.turn else { return Ok(Next::Wait) };
    let done: Vec<_> = turn
        .calls
        .iter()
        .filter_map(|call| match call.status {
            Status::Done { outcome } => Some(ToolObserved { call: call.id, outcome }),
            _ => None,
        })
        .collect();
    for observed in done {
        book.record(observed)?;
    }
    Ok(Next::Again)
}

/// What a wait that was taken back has for a result.
pub(super) fn wait_cancelled() -> Outcome {
    Outcome::Failed(Content::text("the wait was cancelled"))
}
