//! The fold: one event at a time, one file a family.
//!
//! It refuses what no decision would have recorded, so that a damaged journal
//! is found where it is damaged and not somewhere after.

mod input;
mod model;
mod question;
mod session;
mod timer;
mod tool;
mod turn;

use freehold_types::Offset;

pub(crate) use tool::tool_hash;

use super::State;
use crate::event::{Busy, Event, Fact};

/// An event that does not fit the events before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {offset} (`{kind}`) does not fit the journal before it: {why}")]
pub struct Illegal {
    /// Where.
    pub offset: Offset,
    /// Its kind.
    pub kind: &'static str,
    /// What does not fit.
    pub why: &'static str,
}

/// What does not fit.
type Fit = Result<(), &'static str>;

impl State {
    /// Takes in the next event. On an error the state is not to be used.
    pub fn apply(&mut self, event: &Event) -> Result<(), Illegal> {
        let illegal = |why| Illegal { offset: event.offset, kind: event.fact.kind(), why };
        if event.offset != self.head.next() {
            return Err(illegal("its offset does not follow"));
        }
        self.head = event.offset;
        self.labels = self.labels.union(&event.labels);
        self.fold(event).map_err(illegal)?;
        self.progress(event);
        Ok(())
    }

    fn fold(&mut self, event: &Event) -> Fit {
        match &event.fact {
            Fact::SessionCreated(fact) => self.session_created(event, fact),
            Fact::Forked(_) | Fact::Faulted(_) => Ok(()),
            Fact::ForkedFrom(fact) => self.forked_from(fact),
            Fact::Rewound(fact) => self.rewound(event, fact),
            Fact::Sealed(fact) => self.sealed(fact),
            Fact::Unsealed(_) | Fact::Arrived(_) => self.unsealed(),
            Fact::Imported(fact) => self.imported(fact),
            Fact::Restored(fact) => self.restored(fact),
            Fact::Pinned(fact) => self.pinned(fact),
            Fact::Unpinned(fact) => self.unpinned(fact),
            Fact::InputAccepted(fact) if fact.busy == Busy::Quiet => {
                self.joined(event, fact.settings)
            }
            Fact::InputAccepted(fact) => self.queued(event, fact.busy, fact.settings),
            Fact::SignalReceived(_) => self.queued(event, Busy::Enqueue, false),
            Fact::InputTaken(fact) => self.input_taken(event, fact),
            Fact::TurnStarted(fact) => self.turn_started(event, fact),
            Fact::TurnWaiting(_) => self.turn_waiting(event),
            Fact::CancelAsked(fact) => self.cancel_asked(event, fact),
            Fact::TurnEnded(_) => self.turn_ended(event),
            Fact::BudgetPaused(fact) => self.budget_paused(event, fact),
            Fact::BudgetRaised(fact) => self.budget_raised(fact),
            Fact::ModelAsked(fact) => self.model_asked(event, fact),
            Fact::ToolsListed(fact) => self.tools_listed(event, fact),
            Fact::ModelDelta(fact) => self.model_delta(fact),
            Fact::ModelAnswered(fact) => self.model_answered(fact),
            Fact::ModelAborted(fact) => self.model_aborted(fact),
            Fact::Compacted(fact) => self.compacted(event, fact),
            Fact::ToolIntended(fact) => self.tool_intended(event, fact),
            Fact::ToolStarted(fact) => self.tool_started(event, fact),
            Fact::ToolDoubted(fact) => self.tool_doubted(fact),
            Fact::ToolOutcome(fact) => self.tool_outcome(event, fact),
            Fact::ToolObserved(fact) => self.tool_observed(fact),
            Fact::ApprovalAsked(fact) => self.approval_asked(fact),
            Fact::ApprovalDecided(fact) => self.approval_decided(fact),
            Fact::ApprovalLapsed(fact) => self.approval_lapsed(fact),
            Fact::TimerSet(fact) => self.timer_set(event, fact),
            Fact::TimerFired(fact) => self.timer_fired(event, fact),
            Fact::TimerCancelled(fact) => self.timer_cancelled(fact),
        }
    }

    /// Whatever happens in a turn shows that it gets on, and ends a wait.
    fn progress(&mut self, event: &Event) {
        let rests = matches!(event.fact, Fact::TurnWaiting(_) | Fact::BudgetPaused(_));
        let Some(turn) = &mut self.turn else { return };
        if event.turn != Some(turn.id) {
            return;
        }
        turn.progress_at = turn.progress_at.max(event.at);
        if !rests && turn.paused.is_none() && turn.active_since.is_none() {
            turn.active_since = Some(event.at);
        }
    }
}

/// Adds to a list that has a bound.
fn push<T>(list: &mut Vec<T>, max: usize, item: T, why: &'static str) -> Fit {
    if list.len() >= max {
        return Err(why);
    }
    list.push(item);
    Ok(())
}

/// Takes the one item out of a list that `is` it.
fn take<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool) -> Option<T> {
    let at = list.iter().position(is)?;
    Some(list.remove(at))
}
