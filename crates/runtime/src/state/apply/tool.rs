//! Folds the four records of a tool call.

use freehold_types::CallId;

use super::{Fit, push, take};
use crate::event::{
    Allowed, Binding, Doubt, Event, Hash, Name, Place, ToolDoubted, ToolIntended, ToolObserved,
    ToolOutcome, ToolStarted,
};
use crate::state::{CALLS_MAX, Call, State, Status};

impl State {
    pub(super) fn tool_intended(&mut self, event: &Event, fact: &ToolIntended) -> Fit {
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        let binding = Binding {
            args: fact.args,
            tool: tool_hash(&fact.tool, &fact.tool_version),
            rules: fact.rules,
        };
        let call = Call {
            id: fact.call,
            intended: event.offset,
            answer: fact.answer,
            tool: fact.tool.clone(),
            args: fact.args,
            bound: binding.hash(),
            retry: fact.retry,
            attempts_max: fact.attempts_max,
            timeout_ms: fact.timeout_ms,
            status: match fact.allowed {
                Allowed::ByRule => Status::Ready,
                Allowed::OnApproval | Allowed::No => Status::Asks,
            },
        };
        push(&mut turn.calls, CALLS_MAX, call, "more calls than may be open")
    }

    pub(super) fn tool_started(&mut self, event: &Event, fact: &ToolStarted) -> Fit {
        let call = self.call_mut(fact.call)?;
        let expected = match call.status {
            Status::Ready => 1,
            Status::Doubted { attempt, .. } => attempt.saturating_add(1),
            Status::Asks | Status::Running { .. } | Status::Done { .. } => {
                return Err("the call may not start");
            }
        };
        if fact.attempt != expected {
            return Err("an attempt is left out");
        }
        let timeout =
            jiff::SignedDuration::from_millis(i64::try_from(call.timeout_ms).unwrap_or(i64::MAX));
        let deadline = match fact.place {
            Place::Worker => event.at.checked_add(timeout).ok(),
            Place::Client | Place::Human => None,
        };
        call.status = Status::Running { place: fact.place, attempt: fact.attempt, deadline };
        if let Some(turn) = &mut self.turn {
            turn.effects = turn.effects.saturating_add(1);
            if fact.place == Place::Worker && fact.attempt == 1 {
                turn.performed = turn.performed.saturating_add(1);
            }
        }
        Ok(())
    }

    pub(super) fn tool_doubted(&mut self, fact: &ToolDoubted) -> Fit {
        let call = self.call_mut(fact.call)?;
        match call.status {
            Status::Running { attempt, .. } if attempt == fact.attempt => {
                call.status = Status::Doubted { attempt, resolve: fact.resolve };
                Ok(())
            }
            // No start of it is known; there may be one that was lost.
            Status::Asks | Status::Ready if fact.attempt == 0 && fact.doubt == Doubt::Restored => {
                call.status = Status::Doubted { attempt: 0, resolve: fact.resolve };
                Ok(())
            }
            _ => Err("the start is not in doubt"),
        }
    }

    pub(super) fn tool_outcome(&mut self, event: &Event, fact: &ToolOutcome) -> Fit {
        let call = self.call_mut(fact.call)?;
        if call.is_done() {
            return Err("the call has an outcome");
        }
        call.status = Status::Done { outcome: event.offset };
        Ok(())
    }

    pub(super) fn tool_observed(&mut self, fact: &ToolObserved) -> Fit {
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        let seen = Status::Done { outcome: fact.outcome };
        take(&mut turn.calls, |call| call.id == fact.call && call.status == seen)
            .ok_or("the call has no such outcome")?;
        turn.owes_answer = true;
        Ok(())
    }

    pub(super) fn call_mut(&mut self, id: CallId) -> Result<&mut Call, &'static str> {
        self.turn
            .as_mut()
            .and_then(|turn| turn.calls.iter_mut().find(|call| call.id == id))
            .ok_or("the call is not open")
    }
}

impl Binding {
    /// One hash for all three.
    pub fn hash(&self) -> Hash {
        Hash::of_all(&[self.args, self.tool, self.rules])
    }
}

/// Of a tool's name and version.
pub(crate) fn tool_hash(name: &Name, version: &Name) -> Hash {
    Hash::of_all(&[Hash::of(name.as_str().as_bytes()), Hash::of(version.as_str().as_bytes())])
}
