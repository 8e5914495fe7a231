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

    pub(super) fn input_taken(&mut self, event: &Event, fact: &InputTaken) -> Fit {
        for input in &fact.inputs {
            let queued = take(&mut self.queue, |queued| queued.at == *input)
                .ok_or("an input does not wait")?;
            if queued.settings {
                self.settings = Some(queued.at);
            }
        }
        // What is said between turns is owed no answer.
        let Some(turn) = &mut self.turn else { return Ok(()) };
        turn.taken = Some(event.offset);
        turn.owes_answer = true;
        Ok(())
    }
}
