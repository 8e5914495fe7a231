//! Calls of tools: four records in their order, and the outside world as the
//! journal has it. Nothing is done twice that must not be, nothing is done
//! that the journal does not know of.

use std::collections::{BTreeMap, BTreeSet};

use freehold_runtime::event::{Fact, Outcome, Question, RetryRule, Verdict};
use freehold_types::{ApprovalId, CallId, Offset, SessionId};

use super::Told;
use crate::outside::Effect;
use crate::world::{World, lock};

/// A call as its journal tells it.
struct Call {
    tool: String,
    retry: RetryRule,
    intended: Offset,
    /// Each start, and where.
    started: Vec<(u32, Offset)>,
    outcome: Option<(Offset, Outcome)>,
    observed: Option<Offset>,
    /// How often somebody said that it may run again.
    repeats: u32,
    /// Where somebody said that it may start.
    approved: Option<Offset>,
}

pub(super) fn check(world: &World, all: &BTreeMap<SessionId, Told>) {
    let mut calls = BTreeMap::new();
    for told in all.values() {
        match read(told) {
            Ok(read) => calls.extend(read.into_iter().map(|(id, call)| (id, (told, call)))),
            Err(error) => world.wrong(format!("{}: {error}", told.row.id)),
        }
    }
    let mut wrong = Vec::new();
    for (id, (_, call)) in &calls {
        wrong.extend(told_in_order(call).map(|why| format!("{id} of `{}`: {why}", call.tool)));
    }
    for (key, effect) in &lock(&world.outside).effects {
        if !effect.session.is_some_and(|session| all.contains_key(&session)) {
            continue;
        }
        let call = key.parse::<CallId>().ok().and_then(|id| calls.get(&id));
        let why = match call {
            Some((told, call)) => agrees(world, told, call, effect),
            None => Some("the journal does not know it".to_owned()),
        };
        wrong.extend(why.map(|why| format!("{key} of `{}`: {why}", effect.tool)));
    }
    for ((session, asked), times) in &*lock(&world.asks) {
        let Some(told) = all.get(session) else { continue };
        let is_asked = told
            .journal
            .own()
            .any(|event| event.offset.0 == *asked && matches!(event.fact, Fact::ModelAsked(_)));
        if *times > 1 || !is_asked {
            wrong.push(format!("{session} @{asked}: a model was asked {times} times"));
        }
    }
    for wrong in wrong {
        world.wrong(wrong);
    }
}

fn read(told: &Told) -> Result<BTreeMap<CallId, Call>, String> {
    let mut calls: BTreeMap<CallId, Call> = BTreeMap::new();
    let mut asked: BTreeMap<ApprovalId, (CallId, Question)> = BTreeMap::new();
    let origins = calls_of_origins(told);
    for event in told.journal.own() {
        let at = event.offset;
        let unknown = |call: CallId| format!("event {at} is about {call}, which nobody intended");
        if call_of(&event.fact).is_some_and(|call| origins.contains(&call)) {
            continue;
        }
        match &event.fact {
            Fact::ToolIntended(fact) => {
                let call = Call {
                    tool: fact.tool.as_str().to_owned(),
                    retry: fact.retry,
                    intended: at,
                    started: Vec::new(),
                    outcome: None,
                    observed: None,
                    repeats: 0,
                    approved: None,
                };
                if calls.insert(fact.call, call).is_some() {
                    return Err(format!("{} is intended twice", fact.call));
                }
            }
            Fact::ToolStarted(fact) => {
                let call = calls.get_mut(&fact.call).ok_or_else(|| unknown(fact.call))?;
                call.started.push((fact.attempt, at));
            }
            Fact::ToolOutcome(fact) => {
                let call = calls.get_mut(&fact.call).ok_or_else(|| unknown(fact.call))?;
                if call.outcome.replace((at, fact.outcome.clone())).is_some() {
                    return Err(format!("{} has two outcomes", fact.call));
                }
            }
            Fact::ToolObserved(fact) => {
                let call = calls.get_mut(&fact.call).ok_or_else(|| unknown(fact.call))?;
                if call.observed.replace(at).is_some() {
                    return Err(format!("{} is observed twice", fact.call));
                }
            }
            Fact::ApprovalAsked(fact) => {
                asked.insert(fact.approval, (fact.call, fact.question));
            }
            Fact::ApprovalDecided(fact) if fact.verdict == Verdict::Approve => {
                let Some((call, question)) = asked.get(&fact.approval) else { continue };
                let call = calls.get_mut(call).ok_or_else(|| unknown(*call))?;
                match question {
                    Question::Start => call.approved = Some(at),
                    Question::Repeat => call.repeats += 1,
                }
            }
            _ => {}
        }
    }
    Ok(calls)
}

/// Calls that a fork begins with: what becomes of them is for its origin to
/// tell; the fork only says that for itself they are over.
fn calls_of_origins(told: &Told) -> BTreeSet<CallId> {
    let before = told.journal.events.iter().take_while(|event| event.offset.0 <= told.journal.base);
    before
        .filter_map(|event| match &event.fact {
            Fact::ToolIntended(fact) => Some(fact.call),
            _ => None,
        })
        .collect()
}

fn call_of(fact: &Fact) -> Option<CallId> {
    match fact {
        Fact::ToolStarted(fact) => Some(fact.call),
        Fact::ToolOutcome(fact) => Some(fact.call),
        Fact::ToolObserved(fact) => Some(fact.call),
        _ => None,
    }
}

/// What is not right about a call's records.
fn told_in_order(call: &Call) -> Option<String> {
    let Some((outcome, what)) = &call.outcome else { return Some("it has no outcome".into()) };
    let Some(observed) = call.observed else { return Some("nobody observed its outcome".into()) };
    let mut before = call.intended;
    for (number, (attempt, at)) in (1..).zip(&call.started) {
        if *attempt != number || *at <= before {
            return Some(format!("its starts are {:?}", call.started));
        }
        before = *at;
    }
    if *outcome <= before || observed <= *outcome {
        return Some(format!("outcome at {outcome}, observed at {observed}, before {before}"));
    }
    if matches!(what, Outcome::Refused(_)) && !call.started.is_empty() {
        return Some("it was started and then refused".into());
    }
    let most = match call.retry {
        RetryRule::Idempotent | RetryRule::QueryByKey => u32::MAX,
        RetryRule::AskHuman => 1 + call.repeats,
        RetryRule::TellUnknown => 1,
    };
    if call.started.len() as u64 > u64::from(most) {
        return Some(format!("it was started {} times", call.started.len()));
    }
    None
}

/// What is not right about what was done outside.
fn agrees(world: &World, of: &Told, call: &Call, effect: &Effect) -> Option<String> {
    let mut seen = BTreeSet::new();
    for (attempt, head) in &effect.sent {
        if !seen.insert(attempt) {
            return Some(format!("its start {attempt} was sent twice"));
        }
        let start = call.started.iter().find(|(number, _)| number == attempt);
        match start {
            None => return Some(format!("its start {attempt} was sent and never recorded")),
            Some((_, at)) if at.0 > *head && *head > 0 => {
                return Some(format!("its start {attempt} was sent before it was durable"));
            }
            Some(_) => {}
        }
    }
    let most = match effect.tool.as_str() {
        "pay" => 1 + call.repeats,
        "look" | "order" | "mail" | "wire" => 1,
        _ => 0,
    };
    if effect.runs > most {
        return Some(format!("it was done {} times, and may be {most} times", effect.runs));
    }
    let first = call.started.first().map(|(_, at)| *at);
    if effect.tool == "wire" && (call.approved.is_none() || call.approved > first) {
        return Some("it was not approved before".into());
    }
    match &call.outcome {
        Some((_, Outcome::Refused(_))) => Some("it was sent, and told to be refused".into()),
        Some((_, Outcome::Ok(content) | Outcome::Failed(content))) if effect.tool != "wait" => {
            let told = match of.journal.content(world, content) {
                Ok(told) => told,
                Err(error) => return Some(error),
            };
            let known = effect.results.iter().any(|result| told == *result);
            (!known).then(|| format!("its outcome {told} is not {:?}", effect.results))
        }
        _ => None,
    }
}
