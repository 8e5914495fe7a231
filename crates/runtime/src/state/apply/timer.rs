//! Folds events of timers.

use super::{Fit, push, take};
use crate::event::{Busy, Event, TimerCancelled, TimerFired, TimerPurpose, TimerSet};
use crate::state::{State, TIMERS_MAX, Timer};

impl State {
    pub(super) fn timer_set(&mut self, event: &Event, fact: &TimerSet) -> Fit {
        if self.timer(fact.timer).is_some() {
            return Err("the timer is set");
        }
        let call = match fact.purpose {
            TimerPurpose::Input(_) => None,
            TimerPurpose::Call(call) => {
                if !self.call(call).is_some_and(crate::state::Call::is_with_worker) {
                    return Err("the call does not run");
                }
                Some(call)
            }
        };
        let timer = Timer {
            id: fact.timer,
            due: fact.due,
            repeat: fact.repeat.clone(),
            set: event.offset,
            call,
        };
        push(&mut self.timers, TIMERS_MAX, timer, "more timers than there may be")
    }

    pub(super) fn timer_fired(&mut self, event: &Event, fact: &TimerFired) -> Fit {
        let at = self
            .timers
            .iter()
            .position(|timer| timer.id == fact.timer && timer.due == fact.due)
            .ok_or("the timer was not to fire then")?;
        let timer = self.timers.remove(at);
        if let Some(due) = fact.next {
            self.timers.insert(at, Timer { due, ..timer });
        }
        match timer.call {
            Some(_) => Ok(()),
            None => self.queued(event, Busy::Enqueue, false),
        }
    }

    pub(super) fn timer_cancelled(&mut self, fact: &TimerCancelled) -> Fit {
        take(&mut self.timers, |timer| timer.id == fact.timer)
            .map(|_| ())
            .ok_or("the timer is not set")
    }
}
