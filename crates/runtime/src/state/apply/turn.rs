//! Folds events of a turn and of its limits.

use super::Fit;
use crate::event::{BudgetPaused, BudgetRaised, CancelAsked, Event, Scope, TurnStarted, Usage};
use crate::state::turn::ms_between;
use crate::state::{Cancel, State, Turn};

impl State {
    pub(super) fn turn_started(&mut self, event: &Event, fact: &TurnStarted) -> Fit {
        if self.turn.is_some() {
            return Err("a turn is open");
        }
        if event.turn != Some(fact.turn) {
            return Err("its envelope names another turn");
        }
        self.turn = Some(Turn {
            id: fact.turn,
            started: event.offset,
            taken: None,
            before: self.context.up_to(event.offset.before()),
            limits: fact.limits,
            usage: Usage::default(),
            steps: 0,
            active_ms: 0,
            active_since: Some(event.at),
            progress_at: event.at,
            effects: 0,
            performed: 0,
            owes_answer: false,
            failures: 0,
            compacted: false,
            model: None,
            calls: Vec::new(),
            paused: None,
            cancel: None,
        });
        Ok(())
    }

    pub(super) fn turn_waiting(&mut self, event: &Event) -> Fit {
        self.rest(event)
    }

    pub(super) fn cancel_asked(&mut self, event: &Event, fact: &CancelAsked) -> Fit {
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        turn.cancel = Some(Cancel { reason: fact.reason, at: event.at });
        turn.paused = None;
        Ok(())
    }

    pub(super) fn turn_ended(&mut self, event: &Event) -> Fit {
        self.rest(event)?;
        let turn = self.turn.as_ref().ok_or("no turn is open")?;
        if turn.model.is_some() || !turn.calls.is_empty() {
            return Err("something of the turn is open");
        }
        self.turn = None;
        Ok(())
    }

    pub(super) fn budget_paused(&mut self, event: &Event, fact: &BudgetPaused) -> Fit {
        self.rest(event)?;
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        turn.paused = Some((fact.scope, fact.limit));
        Ok(())
    }

    pub(super) fn budget_raised(&mut self, fact: &BudgetRaised) -> Fit {
        match fact.scope {
            Scope::Session => self.limits = fact.limits,
            Scope::Turn => self.turn.as_mut().ok_or("no turn is open")?.limits = fact.limits,
            Scope::Key => {}
        }
        if let Some(turn) = &mut self.turn {
            turn.paused = None;
        }
        Ok(())
    }

    /// The time at work is over for now.
    fn rest(&mut self, event: &Event) -> Fit {
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        if let Some(since) = turn.active_since.take() {
            let worked = ms_between(since, event.at);
            turn.active_ms = turn.active_ms.saturating_add(worked);
            self.active_ms = self.active_ms.saturating_add(worked);
        }
        Ok(())
    }
}
