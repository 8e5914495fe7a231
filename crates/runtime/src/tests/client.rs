//! Decisions about what a client asks for besides an answer: how many calls and
//! how many at once, what is only said, which tools there are.

use super::desk::{Desk, starts};
use crate::decide::{Cue, Ended, Refused};
use crate::event::{Busy, Content, ErrorReason, Fact, Listing, Outcome, Verdict};

fn asked() -> Desk {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    desk
}

fn refused(desk: &Desk) -> usize {
    let limit = Outcome::Refused(ErrorReason::CallLimit);
    let outcomes = desk.events.iter().filter_map(|event| match &event.fact {
        Fact::ToolOutcome(fact) => Some(&fact.outcome),
        _ => None,
    });
    outcomes.filter(|outcome| **outcome == limit).count()
}

fn ended(desk: &Desk, index: usize) -> Cue {
    Cue::ToolEnded { call: desk.call(index), attempt: 1, ended: Ended::Ok(Content::text("ok")) }
}

#[test]
fn no_more_calls_start_than_the_client_allows() {
    let mut desk = asked();
    desk.rules.calls_max = Some(2);
    // The client's own calls do not count, nor do those that nobody performs.
    let answer = desk.answer(&["look", "client", "nothing_such", "wire", "look", "mail"]);
    let decision = desk.give(answer).unwrap();
    assert_eq!((starts(&decision.actions), refused(&desk)), (1, 2));
    let approved = desk.approve(0, Verdict::Approve);
    assert_eq!(starts(&desk.give(approved).unwrap().actions), 1);
    for index in [0, 3] {
        desk.give(ended(&desk, index)).unwrap();
    }
    desk.give(desk.answers(1)).unwrap();
    let decision = desk.give(desk.answer(&["look"])).unwrap();
    assert_eq!((starts(&decision.actions), refused(&desk)), (0, 3));
    assert_eq!(desk.kinds(desk.answer(&[])), "model_answered turn_ended");
}

#[test]
fn a_new_answer_to_the_client_has_calls_of_its_own() {
    let mut desk = asked();
    desk.rules.calls_max = Some(1);
    desk.give(desk.answer(&["look", "client"])).unwrap();
    desk.give(ended(&desk, 0)).unwrap();
    let with_settings =
        Cue::Input { content: Content::text("x"), busy: Busy::Steer, key: None, settings: true };
    desk.give(with_settings).unwrap();
    desk.give(desk.answers(1)).unwrap();
    let decision = desk.give(desk.answer(&["look", "look"])).unwrap();
    assert_eq!((starts(&decision.actions), refused(&desk)), (1, 1));
}

#[test]
fn rules_that_came_meanwhile_bind_a_call_that_waited() {
    let mut desk = asked();
    desk.give(desk.answer(&["wire"])).unwrap();
    desk.rules.calls_max = Some(0);
    let approved = desk.approve(0, Verdict::Approve);
    assert_eq!(starts(&desk.give(approved).unwrap().actions), 0);
    assert_eq!(refused(&desk), 1);
}

#[test]
fn calls_can_be_started_one_after_the_other() {
    let mut desk = asked();
    desk.rules.one_by_one = true;
    let answer = desk.answer(&["look", "mail", "client", "look"]);
    assert_eq!(starts(&desk.give(answer).unwrap().actions), 1);
    let started = |desk: &Desk| {
        let calls = &desk.state.turn.as_ref().unwrap().calls;
        calls.iter().map(|call| call.attempt().is_some()).collect::<Vec<_>>()
    };
    assert_eq!(started(&desk), [true, false, true, false]);
    assert_eq!(starts(&desk.give(ended(&desk, 0)).unwrap().actions), 1);
    assert_eq!(started(&desk), [false, true, true, false]);
    // Whoever takes over starts no second one beside it.
    desk.crash();
    let running = desk.state.turn.as_ref().unwrap().calls.iter().filter(|c| c.is_with_worker());
    assert!(running.count() <= 1);
}

#[test]
fn what_is_only_said_asks_nobody() {
    let mut desk = Desk::created();
    let decision = desk.give(Desk::input(Busy::Quiet)).unwrap();
    assert_eq!(decision.actions, []);
    assert_eq!(decision.wake, None);
    assert!(desk.state.turn.is_none() && desk.state.queue.is_empty());
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    assert!(matches!(desk.give(Desk::input(Busy::Quiet)), Err(Refused::Busy(_))));
}

#[test]
fn what_servers_list_is_remembered_by_its_event() {
    let mut desk = asked();
    let asked = desk.asked();
    let listed = || Cue::Listed {
        asked,
        listings: vec![Listing { server: 1, tools: 1 }],
        content: Content::text("tools"),
    };
    assert_eq!(desk.kinds(listed()), "tools_listed");
    assert_eq!(desk.state.listed, Some(desk.state.head));
    desk.give(desk.answer(&[])).unwrap();
    assert_eq!(desk.give(listed()).unwrap_err(), Refused::Stale);
}
