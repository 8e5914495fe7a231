//! Folds events of input.

use super::{Fit, push, take};
use crate::event::{Busy, Event, InputTaken};
use crate::state::{QUEUE_MAX, Queued, State};

impl State {
    pub(super) fn queued(&mut self, event: &Event, busy: Busy, settings: bool) -> Fit {
        // A response of its own begins with it, in the middle of the turn.
        if let Some(turn) = self.turn.as_mut().filter(|_| settings && busy == Busy::Steer) {
            turn.performed = 0;
        }
        let queued = Queued { at: event.offset, busy, settings };
        push(&mut self.queue, QUEUE_MAX, queued, "more inputs than may wait")
    }

    /// A quiet input: part of the context from where it lies.
    pub(super) fn joined(&mut self, event: &Event, settings: bool) -> Fit {
        if self.turn.is_some() {
            return Err("a quiet input while a turn is open");
        }
        if settings {
            self.settings = Some(event.offset);
        }
        Ok(())
    }

    pub(super) fn input_taken(&mut self, event: &Event, fact: &InputTaken) -> Fit {
        for input in &fact.inputs {
            let queued = take(&mut self.queue, |queued| queued.at == *input)
                .ok_or("an input does not wait")?;
            if queued.settings {
                self.settings = Some(queued.at);
            }
        }
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        turn.taken = Some(event.offset);
        turn.owes_answer = true;
        Ok(())
    }
}
