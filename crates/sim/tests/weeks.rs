//! Two weeks in a moment: an agent that an older build began, over a store of
//! that time, lives on over every schema since, and through stops and crashes,
//! as if nothing had happened.

#![expect(clippy::unwrap_used, reason = "tests, with what they share")]

use std::sync::Arc;

use freehold_sim::{Break, Tale, Weeks, told};
use freehold_store::Memory;

/// The store of an hour into the story, as a build wrote it whose last
/// migration was the third and whose events were of the first version.
const OF_SCHEMA_3: &str = include_str!("../testdata/schema_3.sql");
const SESSION: &str = include_str!("../testdata/schema_3.session");

/// The story without any stop.
fn undisturbed() -> Tale {
    let mut weeks = Weeks::over(Arc::new(Memory::open().unwrap()), 0, 1).unwrap();
    let session = weeks.live(None, 14 * 24, &[]).unwrap();
    told(&weeks, session).unwrap()
}

#[test]
fn over_upgrades_stops_and_crashes_the_agent_ends_as_if_nothing_had_happened() {
    let store = Memory::open_at(3).unwrap();
    store.load(OF_SCHEMA_3).unwrap();
    // Nobody but an older build can use it as it is.
    store.upgrade_to(4).unwrap();
    let mut weeks = Weeks::over(Arc::new(store), 1, 2).unwrap();
    weeks.answered(1);
    let breaks = [
        (24, Break::Crash),
        (2 * 24, Break::Upgrade(5)),
        (5 * 24, Break::Roll),
        // In the three days of the wait.
        (8 * 24, Break::Upgrade(6)),
        (9 * 24, Break::Crash),
        (11 * 24 + 12, Break::Roll),
        (12 * 24 + 12, Break::Upgrade(i64::MAX)),
        (13 * 24 + 12, Break::Crash),
    ];
    let session = weeks.live(Some(SESSION.trim().parse().unwrap()), 14 * 24, &breaks).unwrap();
    let tale = told(&weeks, session).unwrap();
    assert_eq!(tale.found, [""; 0]);
    assert_eq!(tale.performed, [1, 1], "nothing was done twice");
    let undisturbed = undisturbed();
    assert_eq!(undisturbed.events.len(), tale.events.len());
    for (one, other) in undisturbed.events.iter().zip(&tale.events) {
        assert_eq!(one, other);
    }
    assert_eq!(undisturbed, tale);
    let ends = tale.events.iter().filter(|event| event.contains(": turn_ended ")).count();
    assert_eq!(ends, 4, "the order, two Thursdays, the signal: {:#?}", tale.events);
}
