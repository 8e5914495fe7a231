//! Timers fire when they are due, once each time, or are cancelled.

use std::collections::BTreeMap;

use freehold_runtime::event::{Fact, Repeat};
use freehold_types::TimerId;
use jiff::Timestamp;

use super::Told;
use crate::world::World;

struct Timer {
    next: Option<Timestamp>,
    repeat: Repeat,
    is_cancelled: bool,
}

pub(super) fn check(world: &World, told: &Told) {
    let mut timers: BTreeMap<TimerId, Timer> = BTreeMap::new();
    for event in &told.journal.events {
        let wrong = match &event.fact {
            Fact::TimerSet(set) => {
                let timer =
                    Timer { next: Some(set.due), repeat: set.repeat.clone(), is_cancelled: false };
                timers.insert(set.timer, timer).map(|_| "is set twice")
            }
            Fact::TimerCancelled(gone) => timers.get_mut(&gone.timer).and_then(|timer| {
                let before = std::mem::replace(&mut timer.is_cancelled, true);
                before.then_some("is cancelled twice")
            }),
            Fact::TimerFired(fired) => timers.get_mut(&fired.timer).and_then(|timer| {
                let due = timer.next.take();
                let once = timer.repeat == Repeat::Once;
                timer.next = fired.next.filter(|_| !once);
                if timer.is_cancelled {
                    Some("fires after it was cancelled")
                } else if due != Some(fired.due) {
                    Some("fires when it is not to")
                } else if event.at < fired.due {
                    Some("fires too early")
                } else if once && fired.next.is_some() {
                    Some("is to fire again, although it fires once")
                } else if fired.next.is_some_and(|next| next <= fired.due) {
                    Some("is to fire again before it fired")
                } else if fired.next != timer.repeat.next(fired.due, event.at) {
                    Some("is to fire again at another time than it should")
                } else {
                    None
                }
            }),
            // Those of its origin are the origin's.
            Fact::ForkedFrom(_) => {
                timers.clear();
                None
            }
            _ => None,
        };
        if let Some(wrong) = wrong {
            world.wrong(format!("{} @{}: a timer {wrong}", told.row.id, event.offset));
        }
    }
    for (id, timer) in timers {
        if timer.next.is_some() && !timer.is_cancelled {
            world.wrong(format!("{}: {id} neither fired nor was cancelled", told.row.id));
        }
    }
}
