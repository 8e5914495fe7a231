//! Folds events of asking a model.

use freehold_types::Offset;

use super::Fit;
use crate::event::{
    AbortReason, Compacted, Event, ModelAborted, ModelAnswered, ModelAsked, ModelDelta, Purpose,
    Span, ToolsListed, Usage,
};
use crate::state::{ModelAttempt, SPANS_MAX, State};

impl State {
    pub(super) fn model_asked(&mut self, event: &Event, fact: &ModelAsked) -> Fit {
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        if turn.model.is_some() {
            return Err("a model is asked already");
        }
        turn.model = Some(ModelAttempt {
            asked: event.offset,
            purpose: fact.purpose,
            not_before: fact.not_before,
        });
        turn.steps = turn.steps.saturating_add(1);
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    pub(super) fn tools_listed(&mut self, event: &Event, fact: &ToolsListed) -> Fit {
        self.open(fact.asked)?;
        self.listed = Some(event.offset);
        Ok(())
    }

    pub(super) fn model_delta(&mut self, fact: &ModelDelta) -> Fit {
        self.open(fact.asked).map(|_| ())
    }

    pub(super) fn model_answered(&mut self, fact: &ModelAnswered) -> Fit {
        let attempt = self.close(fact.asked, fact.usage)?;
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        turn.failures = 0;
        if attempt.purpose == Purpose::Step {
            turn.owes_answer = fact.more;
            self.context.tokens = fact.usage.tokens();
        }
        Ok(())
    }

    pub(super) fn model_aborted(&mut self, fact: &ModelAborted) -> Fit {
        let attempt = self.close(fact.asked, fact.usage)?;
        let turn = self.turn.as_mut().ok_or("no turn is open")?;
        // A process that is gone is no failing of the model's: however often
        // that happens, the turn goes on. Its limit of steps bounds it.
        if fact.reason != AbortReason::TakenOver {
            turn.failures = turn.failures.saturating_add(1);
        }
        let for_good = matches!(fact.reason, AbortReason::Final | AbortReason::Stuck);
        if attempt.purpose == Purpose::Compaction && for_good {
            turn.compacted = true;
            turn.failures = 0;
        }
        Ok(())
    }

    pub(super) fn compacted(&mut self, event: &Event, fact: &Compacted) -> Fit {
        if fact.kept.len() >= SPANS_MAX {
            return Err("more spans than a context may have");
        }
        if fact.inputs != self.context.up_to(fact.summary.before()) {
            return Err("it is of another context");
        }
        if fact.summary.next() != event.offset {
            return Err("its summary is not before it");
        }
        self.context.spans = vec![Span { from: fact.summary, to: fact.summary }];
        self.context.spans.extend(&fact.kept);
        self.context.tail = event.offset.next();
        self.context.tokens = 0;
        if let Some(turn) = &mut self.turn {
            turn.compacted = true;
        }
        Ok(())
    }

    fn open(&self, asked: Offset) -> Result<ModelAttempt, &'static str> {
        self.turn
            .as_ref()
            .and_then(|turn| turn.model)
            .filter(|attempt| attempt.asked == asked)
            .ok_or("the attempt is not open")
    }

    fn close(&mut self, asked: Offset, usage: Usage) -> Result<ModelAttempt, &'static str> {
        let attempt = self.open(asked)?;
        self.usage = self.usage.plus(usage);
        if let Some(turn) = &mut self.turn {
            turn.model = None;
            turn.usage = turn.usage.plus(usage);
        }
        Ok(attempt)
    }
}
