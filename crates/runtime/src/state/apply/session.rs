//! Folds events of the session as a whole.

use freehold_types::Offset;

use super::{Fit, push, take};
use crate::event::{
    Event, ForkedFrom, Imported, Pinned, Restored, Rewound, Sealed, SessionCreated, Unpinned,
};
use crate::state::{PINS_MAX, SPANS_MAX, State};

impl State {
    pub(super) fn session_created(&mut self, event: &Event, fact: &SessionCreated) -> Fit {
        if event.offset != Offset::START.next() {
            return Err("a session is created once");
        }
        self.limits = fact.limits;
        self.timeline = fact.timeline;
        Ok(())
    }

    /// What was under way was ended by the events before; what is left are
    /// things that wait for nobody in this session.
    pub(super) fn forked_from(&mut self, fact: &ForkedFrom) -> Fit {
        self.begins_anew(fact.timeline)
    }

    /// As of a fork; and whoever it was sealed for, the copy is not.
    pub(super) fn imported(&mut self, fact: &Imported) -> Fit {
        self.sealed = None;
        self.begins_anew(fact.timeline)
    }

    fn begins_anew(&mut self, timeline: u64) -> Fit {
        if self.turn.is_some() {
            return Err("a turn is open");
        }
        self.queue.clear();
        self.timers.clear();
        self.decided.clear();
        self.timeline = timeline;
        Ok(())
    }

    pub(super) fn rewound(&mut self, event: &Event, fact: &Rewound) -> Fit {
        if self.turn.is_some() {
            return Err("a turn is open");
        }
        let ends_before =
            fact.context.iter().all(|span| span.from <= span.to && span.to < event.offset);
        if fact.to >= event.offset || !ends_before || fact.context.len() > SPANS_MAX {
            return Err("its context is none");
        }
        self.context.spans.clone_from(&fact.context);
        // The event itself stays in the context: it tells of effects.
        self.context.tail = event.offset;
        self.context.tokens = 0;
        self.pins.retain(|pin| fact.context.iter().any(|span| span.has(*pin)));
        Ok(())
    }

    pub(super) fn sealed(&mut self, fact: &Sealed) -> Fit {
        if self.sealed.is_some() {
            return Err("it is sealed");
        }
        self.sealed = Some(fact.cell.clone());
        Ok(())
    }

    pub(super) fn unsealed(&mut self) -> Fit {
        self.sealed.take().map(|_| ()).ok_or("it is not sealed")
    }

    pub(super) fn restored(&mut self, fact: &Restored) -> Fit {
        if fact.timeline <= self.timeline {
            return Err("its timeline is not later");
        }
        self.timeline = fact.timeline;
        Ok(())
    }

    pub(super) fn pinned(&mut self, fact: &Pinned) -> Fit {
        if self.pins.contains(&fact.at) {
            return Err("it is pinned");
        }
        push(&mut self.pins, PINS_MAX, fact.at, "more pins than there may be")
    }

    pub(super) fn unpinned(&mut self, fact: &Unpinned) -> Fit {
        take(&mut self.pins, |pin| *pin == fact.at).map(|_| ()).ok_or("it is not pinned")
    }
}
