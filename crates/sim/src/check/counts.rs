//! Counts what happened in a session.

use std::collections::BTreeMap;

use freehold_runtime::event::{
    Busy, Content, Event, Fact, LapseReason, Outcome, Repeat, TimerPurpose, Verdict,
};
use freehold_runtime::state::State;
use freehold_types::TimerId;

use super::Told;
use crate::world::{World, lock};

pub(super) fn count(world: &World, told: &Told) {
    let mut state = State::default();
    let mut timers: BTreeMap<TimerId, Repeat> = BTreeMap::new();
    let mut tally = lock(&world.tally);
    tally.count("journal read under its key");
    if told.journal.base > 0 && told.journal.own().count() > 2 {
        tally.count("fork continued");
    }
    for event in &told.journal.events {
        if event.offset.0 > told.journal.base {
            tally.count(event.fact.kind());
            for _ in contents(&event.fact).iter().filter(|one| matches!(one, Content::Blob { .. }))
            {
                tally.count("content in a blob");
            }
            if let Some(what) = doing(&state, event, &timers) {
                tally.count(what);
            }
        }
        if let Fact::TimerSet(set) = &event.fact {
            timers.insert(set.timer, set.repeat.clone());
        }
        // What does not fold was found before.
        if state.apply(event).is_err() {
            return;
        }
    }
}

/// The contents that a fact brings.
pub(super) fn contents(fact: &Fact) -> Vec<&Content> {
    match fact {
        Fact::InputAccepted(fact) => vec![&fact.content],
        Fact::SignalReceived(fact) => vec![&fact.content],
        Fact::ModelDelta(fact) => vec![&fact.content],
        Fact::ModelAnswered(fact) => vec![&fact.content],
        Fact::ToolOutcome(fact) => match &fact.outcome {
            Outcome::Ok(content) | Outcome::Failed(content) => vec![content],
            _ => Vec::new(),
        },
        Fact::TimerSet(fact) => match &fact.purpose {
            TimerPurpose::Input(content) => vec![content],
            TimerPurpose::Call(_) => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn doing(state: &State, event: &Event, timers: &BTreeMap<TimerId, Repeat>) -> Option<&'static str> {
    Some(match &event.fact {
        Fact::InputAccepted(fact) if fact.busy == Busy::Quiet => "input that nobody answers",
        Fact::InputAccepted(fact) if state.turn.is_some() => match fact.busy {
            Busy::Reject | Busy::Quiet => return None,
            Busy::Enqueue => "input while busy: enqueue",
            Busy::Interrupt => "input while busy: interrupt",
            Busy::Rollback => "input while busy: rollback",
            Busy::Steer => "input while busy: steer",
        },
        Fact::TimerFired(fact) => match timers.get(&fact.timer)? {
            Repeat::Once => return None,
            Repeat::EveryMs(_) => "period fired",
            Repeat::Cron(_) => "cron schedule fired",
        },
        Fact::ApprovalDecided(fact) => match fact.verdict {
            Verdict::Approve => "approval granted",
            Verdict::Deny => "approval denied",
        },
        Fact::ApprovalLapsed(fact) => match fact.reason {
            LapseReason::Expired => "approval expired",
            LapseReason::Changed => "approval asked anew under changed rules",
            LapseReason::Cancelled | LapseReason::Restored => return None,
        },
        Fact::ToolOutcome(fact) if matches!(fact.outcome, Outcome::Unknown(_)) => {
            "tool's outcome told as unknown"
        }
        Fact::ToolStarted(fact) if fact.attempt > 1 => "tool started again after a doubt",
        _ => return None,
    })
}
