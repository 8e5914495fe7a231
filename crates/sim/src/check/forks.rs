//! Forks are there once they were acknowledged, and begin with what their
//! origin has up to there, whatever became of it since.

use std::collections::BTreeMap;

use freehold_runtime::event::Fact;
use freehold_types::SessionId;

use super::Told;
use crate::world::{World, lock};

pub(super) fn check(world: &World, all: &BTreeMap<SessionId, Told>) {
    let mut wrong = Vec::new();
    for (id, told) in all {
        let base = usize::try_from(told.journal.base).unwrap_or(usize::MAX);
        let Some(first) = told.journal.own().find_map(|event| match &event.fact {
            Fact::ForkedFrom(fact) => Some(fact),
            _ => None,
        }) else {
            if base > 0 {
                wrong.push(format!("the fork {id} does not say whose it is"));
            }
            continue;
        };
        let Some(parent) = all.get(&first.parent) else { continue };
        if parent.journal.events.get(..base) != told.journal.events.get(..base) {
            wrong.push(format!("the fork {id} does not begin as {} up to {base}", first.parent));
        }
        let noted = parent.journal.events.iter().any(|event| match &event.fact {
            Fact::Forked(fact) => fact.child == *id && fact.at.0 == told.journal.base,
            _ => false,
        });
        if !noted {
            wrong.push(format!("{} has no word of its fork {id}", first.parent));
        }
    }
    let book = lock(&world.book);
    for (parent, child, at) in &book.forked {
        let gone = book.deleted.contains(child) || book.maybe_deleted.contains(child);
        if !gone && all.get(child).is_none_or(|told| told.journal.base != *at) {
            wrong.push(format!("the fork {child} of {parent} at {at} was acknowledged: not so"));
        }
    }
    drop(book);
    for wrong in wrong {
        world.wrong(wrong);
    }
}
