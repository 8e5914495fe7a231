//! What occurred in worlds, and how often: what broke, what clients did, which
//! events came of it. What never occurs is not tried, so that a run in which
//! something is missing has shown less than it says.

use std::collections::BTreeMap;

use freehold_runtime::event::KINDS;

/// All that breaks.
pub const FAULTS: &[&str] = &[
    "commit refused before it took effect",
    "commit lost before it took effect",
    "commit done, its acknowledgement lost",
    "commit done late, its acknowledgement lost",
    "commit on its way when its node crashed",
    "read failed",
    "blob unavailable",
    "store slow",
    "request delivered twice",
    "answer to a client lost",
    "model failed",
    "model's stream cut",
    "model's stream slow",
    "tool's answer lost",
    "tool slow",
    "node crashed",
    "node paused",
    "node paused past its lease",
    "node stopped in good order",
    "node cut off from the store",
    "clock jumped",
];

/// What happens in sessions, beside the kinds of events.
const DOINGS: &[&str] = &[
    "session taken from a dead node",
    "input while busy: enqueue",
    "input while busy: interrupt",
    "input while busy: rollback",
    "input while busy: steer",
    "input while busy: reject",
    "input that nobody answers",
    "key repeated",
    "content in a blob",
    "journal read under its key",
    "cron schedule fired",
    "period fired",
    "approval granted",
    "approval denied",
    "approval expired",
    "approval asked anew under changed rules",
    "tool's outcome told as unknown",
    "tool started again after a doubt",
    "fork continued",
    "session deleted",
    "cursor resumed",
];

/// Kinds of events of which no world has any: what moves a session to another
/// cell, or back from a backup, has tests of its own; nothing tells of a fault in
/// a session yet.
const NEVER: &[&str] = &["sealed", "unsealed", "arrived", "imported", "restored", "faulted"];

/// Counts of what occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    /// It occurred once more.
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// Adds the counts of another.
    pub fn add(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            *self.0.entry(what).or_default() += times;
        }
    }

    /// How often it occurred.
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or(0)
    }

    /// All that may happen in sessions: doings, then kinds of events.
    pub fn doings() -> impl Iterator<Item = &'static str> {
        let kinds = KINDS.iter().filter(|kind| !NEVER.contains(kind));
        DOINGS.iter().chain(kinds).copied()
    }

    /// What of these did not occur.
    pub fn lacks(&self, of: impl IntoIterator<Item = &'static str>) -> Vec<&'static str> {
        of.into_iter().filter(|what| self.of(what) == 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_occurred_is_named() {
        let mut tally = Tally::default();
        tally.count("node crashed");
        let mut sum = tally.clone();
        sum.add(&tally);
        assert_eq!(sum.of("node crashed"), 2);
        let lacks = sum.lacks(FAULTS.iter().copied());
        assert_eq!(lacks.len(), FAULTS.len() - 1);
        assert!(!lacks.contains(&"node crashed"));
        assert!(NEVER.iter().all(|kind| KINDS.contains(kind)));
    }
}
