//! Tables of decisions: in this state, this cue gives these events.

use super::desk::{Desk, at, decision, name, starts};
use crate::decide::{Action, Cue, Ended, Found, Performing, Refused};
use crate::event::{
    AbortReason, Busy, CancelReason, Content, EndReason, Fact, Hash, Limits, Note, Outcome,
    Question, Repeat, Scope, TimerPurpose, UnknownReason, Usage, Verdict,
};
use crate::state::CALLS_MAX;
use freehold_types::Offset;

/// A desk whose turn waits for the calls of these tools.
fn calling(tools: &[&str]) -> Desk {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let answer = desk.answer(tools);
    desk.give(answer).unwrap();
    desk
}

fn ended(desk: &Desk, index: usize, attempt: u32, ended: Ended) -> Cue {
    Cue::ToolEnded { call: desk.call(index), attempt, ended }
}

fn ok() -> Ended {
    Ended::Ok(Content::text("ok"))
}

fn failure(desk: &Desk, reason: AbortReason) -> Cue {
    let (message, usage) = (Note::cut("no"), Usage::default());
    Cue::ModelFailed { asked: desk.asked(), reason, message, usage }
}

fn last_outcome(desk: &Desk) -> Outcome {
    let outcome = desk.events.iter().rev().find_map(|event| match &event.fact {
        Fact::ToolOutcome(outcome) => Some(outcome.outcome.clone()),
        _ => None,
    });
    outcome.unwrap()
}

fn last_end(desk: &Desk) -> EndReason {
    let end = desk.events.iter().rev().find_map(|event| match &event.fact {
        Fact::TurnEnded(end) => Some(end.reason),
        _ => None,
    });
    end.unwrap()
}

#[test]
fn a_turn_of_text() {
    let mut desk = Desk::created();
    let input = desk.give(Desk::input(Busy::Enqueue)).unwrap();
    assert_eq!(input.actions, [Action::Ask { asked: Offset(5), not_before: None }]);
    let answer = desk.answer(&[]);
    assert_eq!(desk.kinds(answer), "model_answered turn_ended");
    assert_eq!(last_end(&desk), EndReason::Done);
    assert_eq!(desk.state.usage.tokens(), 110);
}

#[test]
fn busy_input_goes_by_its_policy() {
    for (busy, wanted) in [
        (Busy::Enqueue, "input_accepted"),
        (Busy::Steer, "input_accepted"),
        (Busy::Interrupt, "input_accepted cancel_asked"),
        (Busy::Rollback, "input_accepted cancel_asked"),
    ] {
        let mut desk = Desk::created();
        desk.give(Desk::input(Busy::Enqueue)).unwrap();
        assert_eq!(desk.kinds(Desk::input(busy)), wanted, "{busy:?}");
    }
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Reject)).unwrap();
    assert!(matches!(desk.give(Desk::input(Busy::Reject)), Err(Refused::Busy(_))));
}

#[test]
fn a_quiet_input_is_one_event_and_nobody_is_asked() {
    let mut desk = Desk::created();
    let quiet = desk.give(Desk::input(Busy::Quiet)).unwrap();
    assert_eq!(quiet.events.len(), 1);
    assert_eq!((quiet.actions.len(), quiet.wake), (0, None));
    assert!(desk.state.turn.is_none() && desk.state.queue.is_empty());
    let Cue::Input { content, busy, key, .. } = Desk::input(Busy::Quiet) else { panic!() };
    desk.give(Cue::Input { content, busy, key, settings: true }).unwrap();
    assert_eq!(desk.state.settings, Some(Offset(3)), "they hold from there on");
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    assert!(matches!(desk.give(Desk::input(Busy::Quiet)), Err(Refused::Busy(_))));
}

#[test]
fn steering_joins_at_the_next_boundary() {
    let mut desk = calling(&["look"]);
    desk.give(Desk::input(Busy::Steer)).unwrap();
    let end = ended(&desk, 0, 1, ok());
    assert_eq!(desk.kinds(end), "tool_outcome tool_observed input_taken model_asked");
    desk.give(Desk::input(Busy::Steer)).unwrap();
    let answer = desk.answer(&[]);
    assert_eq!(desk.kinds(answer), "model_answered input_taken model_asked");
}

#[test]
fn an_interrupt_stops_the_model_and_goes_first() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let asked = desk.asked();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let interrupt = desk.give(Desk::input(Busy::Interrupt)).unwrap();
    assert_eq!(interrupt.actions, [Action::Stop(Performing::Model(asked))]);
    let by = interrupt.events[0].offset;
    let stopped = desk.give(failure(&desk, AbortReason::Cancelled)).unwrap();
    assert_eq!(last_end(&desk), EndReason::Interrupted);
    let Fact::InputTaken(taken) = &stopped.events[3].fact else { panic!("{stopped:?}") };
    assert_eq!(taken.inputs, [by]);
    let Fact::ModelAborted(aborted) = &stopped.events[0].fact else { panic!() };
    assert!(aborted.kept);
}

#[test]
fn a_rollback_forgets_the_turn_but_not_its_effects() {
    let mut desk = calling(&["mail"]);
    let before = desk.state.turn.as_ref().unwrap().before.clone();
    desk.give(Desk::input(Busy::Rollback)).unwrap();
    desk.give(ended(&desk, 0, 1, ok())).unwrap();
    let rewound = desk.events.iter().find_map(|event| match &event.fact {
        Fact::Rewound(rewound) => Some(rewound.clone()),
        _ => None,
    });
    let rewound = rewound.unwrap();
    assert_eq!((rewound.effects, rewound.context), (1, before));
    assert!(desk.state.turn.is_some(), "the input that replaced it runs");
}

#[test]
fn parallel_calls_are_observed_together_and_in_order() {
    let mut desk = calling(&["look", "client", "mail"]);
    assert_eq!(desk.kinds(ended(&desk, 2, 1, ok())), "tool_outcome");
    assert_eq!(desk.kinds(ended(&desk, 0, 1, ok())), "tool_outcome turn_waiting");
    let answers = desk.answers(1);
    assert_eq!(
        desk.kinds(answers),
        "tool_outcome tool_observed tool_observed tool_observed model_asked"
    );
}

#[test]
fn what_may_not_start_is_told_at_once() {
    let mut desk = calling(&["nothing_such", "banned"]);
    assert_eq!(starts(&desk.crash().actions), 0);
    assert!(matches!(last_outcome(&desk), Outcome::Refused(_)));
    let many: Vec<&str> = std::iter::repeat_n("look", 40).collect();
    let answer = desk.answer(&many);
    let decision = desk.give(answer).unwrap();
    assert_eq!(starts(&decision.actions), CALLS_MAX);
}

#[test]
fn a_crash_goes_by_the_tool_s_rule() {
    for (tool, wanted) in [
        ("look", "tool_doubted tool_started"),
        ("order", "tool_doubted"),
        ("mail", "tool_doubted tool_outcome tool_observed model_asked"),
        ("pay", "tool_doubted approval_asked turn_waiting"),
        ("client", ""),
        ("wire", ""),
    ] {
        let mut desk = calling(&[tool]);
        desk.epoch += 1;
        assert_eq!(desk.kinds(Cue::TakenOver), wanted, "{tool}");
    }
}

/// The session goes on from a backup: another timeline than its events tell of.
fn restored(tool: &str) -> Desk {
    let mut desk = calling(&[tool]);
    (desk.epoch, desk.timeline) = (desk.epoch + 1, 7);
    desk
}

#[test]
fn after_a_restore_whatever_may_have_begun_in_what_was_lost_is_in_doubt() {
    for (tool, wanted) in [
        ("look", "restored tool_doubted tool_started"),
        ("order", "restored tool_doubted"),
        ("mail", "restored tool_doubted tool_outcome tool_observed model_asked"),
        ("pay", "restored tool_doubted approval_asked turn_waiting"),
        ("client", "restored"),
        // It waits for an approval, which may have been given.
        ("wire", "restored approval_lapsed tool_doubted approval_asked turn_waiting"),
    ] {
        let mut desk = restored(tool);
        assert_eq!(desk.kinds(Cue::TakenOver), wanted, "{tool}");
        assert_eq!(desk.state.timeline, 7);
        // It is told once.
        let again = desk.crash();
        assert!(again.events.iter().all(|event| event.fact.kind() != "restored"), "{tool}");
    }
    let mut desk = restored("mail");
    let decision = desk.crash();
    let outcome = decision.events.iter().find_map(|event| match &event.fact {
        Fact::ToolOutcome(outcome) => Some(outcome.outcome.clone()),
        _ => None,
    });
    assert_eq!(outcome, Some(Outcome::Unknown(UnknownReason::Restored)));
}

#[test]
fn what_was_to_be_approved_before_a_restore_is_asked_as_what_may_have_run() {
    for (verdict, wanted) in [
        (Verdict::Approve, "approval_decided tool_started"),
        (Verdict::Deny, "approval_decided tool_outcome tool_observed model_asked"),
    ] {
        let mut desk = restored("wire");
        let before = desk.state.approvals[0].id;
        desk.crash();
        assert_eq!(desk.state.approvals[0].question, Question::Repeat);
        assert_eq!(desk.give(decision(before, verdict)), Err(Refused::Lapsed));
        let decided = desk.approve(0, verdict);
        assert_eq!(desk.kinds(decided), wanted);
    }
}

#[test]
fn a_query_by_key_settles_a_doubt() {
    let mut desk = calling(&["order"]);
    let decision = desk.crash();
    assert!(matches!(decision.actions[..], [Action::Query { attempt: 1, .. }]));
    let again = desk.crash();
    assert_eq!((again.events.len(), again.actions), (0, decision.actions));
    let queried = |desk: &Desk, found| Cue::Queried { call: desk.call(0), attempt: 1, found };
    let nothing = queried(&desk, Found::Nothing);
    let found = queried(&desk, Found::Ok(Content::text("it did")));
    let decision = desk.consider(nothing).unwrap();
    assert!(matches!(decision.actions[..], [Action::Start { attempt: 2, .. }]));
    assert_eq!(desk.kinds(found.clone()), "tool_outcome tool_observed model_asked");
    assert_eq!(desk.give(found), Err(Refused::Stale));
}

#[test]
fn a_person_decides_whether_a_doubtful_call_is_repeated() {
    for (verdict, wanted) in [
        (Verdict::Approve, "approval_decided tool_started"),
        (Verdict::Deny, "approval_decided tool_outcome tool_observed model_asked"),
    ] {
        let mut desk = calling(&["pay"]);
        desk.crash();
        let decision = desk.approve(0, verdict);
        assert_eq!(desk.kinds(decision), wanted);
    }
    let mut desk = calling(&["pay"]);
    desk.crash();
    desk.now_ms = 200_000;
    desk.give(Cue::Due).unwrap();
    assert_eq!(last_outcome(&desk), Outcome::Unknown(UnknownReason::NotRepeated));
}

#[test]
fn an_idempotent_call_is_repeated_only_so_often() {
    let mut desk = calling(&["look"]);
    assert_eq!(starts(&desk.crash().actions), 1);
    assert_eq!(starts(&desk.crash().actions), 1);
    assert_eq!(starts(&desk.crash().actions), 0);
    assert_eq!(last_outcome(&desk), Outcome::Unknown(UnknownReason::Attempts));
}

#[test]
fn the_end_of_a_start_that_no_longer_counts_is_stale() {
    let mut desk = calling(&["look"]);
    desk.crash();
    assert_eq!(desk.give(ended(&desk, 0, 1, ok())), Err(Refused::Stale));
    assert!(desk.give(ended(&desk, 0, 2, ok())).is_ok());
}

#[test]
fn a_call_that_takes_too_long_is_in_doubt_and_stopped() {
    let mut desk = calling(&["mail"]);
    let call = desk.call(0);
    desk.now_ms = 1_000;
    let decision = desk.give(Cue::Due).unwrap();
    assert_eq!(decision.actions[0], Action::Stop(Performing::Tool(call, 1)));
    assert_eq!(last_outcome(&desk), Outcome::Unknown(UnknownReason::Timeout));
}

#[test]
fn an_approval_is_decided_once_by_whom_it_asks() {
    let mut desk = calling(&["wire"]);
    let id = desk.state.approvals[0].id;
    let Cue::Decide(yes) = decision(id, Verdict::Approve) else { panic!() };
    let mut stranger = yes.clone();
    stranger.by.roles.clear();
    assert_eq!(desk.give(Cue::Decide(stranger)), Err(Refused::NotYours));
    let mut changed = yes.clone();
    changed.args = Some(Hash::of(b"others"));
    assert_eq!(desk.give(Cue::Decide(changed)), Err(Refused::ChangedArguments));
    assert_eq!(desk.kinds(Cue::Decide(yes.clone())), "approval_decided tool_started");
    assert_eq!(desk.kinds(Cue::Decide(yes)), "");
    let no = desk.give(decision(id, Verdict::Deny));
    assert_eq!(no, Err(Refused::AlreadyDecided(Verdict::Approve)));
}

#[test]
fn changed_rules_void_an_approval() {
    let mut desk = calling(&["wire"]);
    desk.rules.tools.get_mut(&name("wire")).unwrap().hash = Hash::of(b"stricter");
    let old = desk.approve(0, Verdict::Approve);
    assert_eq!(desk.kinds(old.clone()), "approval_lapsed approval_asked turn_waiting");
    assert_eq!(desk.give(old), Err(Refused::Lapsed));
    let anew = desk.approve(0, Verdict::Approve);
    assert_eq!(desk.kinds(anew), "approval_decided tool_started");
}

#[test]
fn an_approval_lapses_and_is_too_late_then() {
    let mut desk = calling(&["wire"]);
    desk.now_ms = 100_000;
    let late = desk.approve(0, Verdict::Approve);
    assert_eq!(desk.give(late), Err(Refused::Lapsed));
    assert_eq!(desk.kinds(Cue::Due), "approval_lapsed tool_outcome tool_observed model_asked");
}

#[test]
fn a_model_is_asked_again_so_often_and_later_each_time() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    for wait in [10, 20] {
        let decision = desk.give(failure(&desk, AbortReason::Retryable)).unwrap();
        let asked = desk.asked();
        assert_eq!(decision.actions, [Action::Ask { asked, not_before: Some(at(wait)) }]);
    }
    let last = failure(&desk, AbortReason::Retryable);
    assert_eq!(desk.kinds(last), "model_aborted faulted cancel_asked turn_ended");
    assert_eq!(last_end(&desk), EndReason::Failed);
}

#[test]
fn a_crash_in_mid_answer_asks_anew_and_a_complete_answer_is_not_asked_for() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let chunk = Cue::Chunk { asked: desk.asked(), content: Content::text("Let") };
    let late = chunk.clone();
    assert_eq!(desk.kinds(chunk), "model_delta");
    desk.epoch += 1;
    assert_eq!(desk.kinds(Cue::TakenOver), "model_aborted model_asked");
    assert_eq!(desk.give(late), Err(Refused::Stale));
    let answer = desk.answer(&["client"]);
    desk.give(answer).unwrap();
    assert!(desk.crash().events.is_empty());
}

#[test]
fn no_number_of_crashes_fails_a_turn_or_makes_it_wait() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    for _ in 0..20 {
        let decision = desk.crash();
        let asked = desk.asked();
        assert_eq!(decision.actions, [Action::Ask { asked, not_before: None }]);
    }
}

#[test]
fn at_a_limit_a_turn_pauses_until_it_is_raised() {
    let mut desk = Desk::created();
    desk.rules.turn_limits.steps = Some(1);
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let answer = desk.answer(&["look"]);
    desk.give(answer).unwrap();
    let end = ended(&desk, 0, 1, ok());
    assert_eq!(desk.kinds(end), "tool_outcome tool_observed budget_paused");
    assert_eq!(desk.crash().actions, []);
    let limits = Limits { steps: Some(2), ..Limits::default() };
    let raise = Cue::RaiseBudget { scope: Scope::Turn, limits };
    assert_eq!(desk.kinds(raise), "budget_raised model_asked");
    let broke = failure(&desk, AbortReason::Budget);
    assert_eq!(desk.kinds(broke), "model_aborted budget_paused");
}

#[test]
fn waiting_does_not_count_as_work() {
    let mut desk = calling(&["client"]);
    desk.now_ms = 1_000_000_000;
    desk.give(Cue::Due).unwrap();
    let answers = desk.answers(0);
    desk.give(answers).unwrap();
    assert_eq!(desk.state.turn.as_ref().unwrap().active_until(at(desk.now_ms)), 0);
    desk.now_ms += 40;
    let answer = desk.answer(&[]);
    desk.give(answer).unwrap();
    assert_eq!(desk.state.active_ms, 40);
}

#[test]
fn a_timer_fires_once_also_if_it_was_missed() {
    let mut desk = Desk::created();
    let purpose = TimerPurpose::Input(Content::text("wake"));
    let (due, repeat) = (at(100), Repeat::EveryMs(100));
    desk.give(Cue::SetTimer { due, repeat, purpose }).unwrap();
    assert_eq!(desk.kinds(Cue::Due), "");
    desk.now_ms = 5_050;
    desk.crash();
    assert_eq!(desk.kinds(Cue::Due), "timer_fired turn_started input_taken model_asked");
    assert_eq!(desk.kinds(Cue::Due), "");
    assert_eq!(desk.state.timers[0].due, at(5_100));
}

#[test]
fn a_call_that_waits_for_a_timer_is_not_in_doubt() {
    let mut desk = calling(&["wait"]);
    let purpose = TimerPurpose::Call(desk.call(0));
    let set = Cue::SetTimer { due: at(1_000_000), repeat: Repeat::Once, purpose };
    assert_eq!(desk.kinds(set), "timer_set turn_waiting");
    assert!(desk.crash().events.is_empty());
    desk.now_ms = 999_999;
    assert_eq!(desk.kinds(Cue::Due), "");
    desk.now_ms = 1_000_000;
    assert_eq!(desk.kinds(Cue::Due), "timer_fired tool_outcome tool_observed model_asked");
}

#[test]
fn a_cancel_reaches_what_runs_and_waits_for_it_in_bounds() {
    let mut desk = calling(&["mail", "client", "wire"]);
    let decision = desk.give(Cue::Cancel { turn: None }).unwrap();
    assert_eq!(decision.actions, [Action::Stop(Performing::Tool(desk.call(0), 1))]);
    assert_eq!(desk.kinds(Cue::Cancel { turn: None }), "");
    let mut patient = Desk { rules: desk.rules.clone(), ..calling(&["mail"]) };
    patient.give(Cue::Cancel { turn: None }).unwrap();
    patient.give(ended(&patient, 0, 1, ok())).unwrap();
    assert!(matches!(last_outcome(&patient), Outcome::Ok(_)));
    desk.now_ms = 500;
    desk.give(Cue::Due).unwrap();
    assert_eq!(last_outcome(&desk), Outcome::Unknown(UnknownReason::Cancelled));
    assert_eq!(last_end(&desk), EndReason::Cancelled);
}

#[test]
fn a_turn_that_does_not_get_on_is_explained_and_freed() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    desk.now_ms = 9_999;
    assert_eq!(desk.kinds(Cue::Due), "");
    desk.now_ms = 10_000;
    assert_eq!(
        desk.kinds(Cue::Due),
        "faulted cancel_asked model_aborted turn_ended turn_started input_taken model_asked"
    );
    assert!(desk.events.iter().any(|event| matches!(
        &event.fact,
        Fact::CancelAsked(asked) if asked.reason == CancelReason::Stuck
    )));
}

#[test]
fn a_compaction_is_a_step_that_limits_forbid() {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let answer = desk.answer(&[]);
    desk.give(answer).unwrap();
    let spent = Limits { steps: Some(1), ..Limits::default() };
    desk.give(Cue::RaiseBudget { scope: Scope::Session, limits: spent }).unwrap();
    assert_eq!(desk.give(Cue::Compact).unwrap_err(), Refused::AtLimit);
    let room = Limits { steps: Some(9), ..Limits::default() };
    desk.give(Cue::RaiseBudget { scope: Scope::Session, limits: room }).unwrap();
    assert_eq!(desk.kinds(Cue::Compact), "turn_started model_asked");
}

#[test]
fn compaction_keeps_what_is_pinned_or_open() {
    let mut desk = Desk::created();
    for _ in 0..4 {
        desk.give(Desk::input(Busy::Enqueue)).unwrap();
        let answer = desk.answer(&[]);
        desk.give(answer).unwrap();
    }
    desk.give(Cue::Pin { at: Offset(6) }).unwrap();
    desk.rules.compact_at_tokens = Some(50);
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let answer = desk.answer(&[]);
    assert_eq!(desk.kinds(answer), "model_answered compacted model_asked");
    let spans = desk.state.context.up_to(desk.state.head);
    assert!(spans.iter().any(|span| span.has(Offset(6))), "{spans:?}");
    assert!(!spans.iter().any(|span| span.has(Offset(7))), "{spans:?}");
    let taken = desk.state.turn.as_ref().unwrap().taken.unwrap();
    assert!(spans.iter().any(|span| span.has(taken)));
    // On request, with a call open: its answer stays.
    let answer = desk.answer(&["client"]);
    desk.give(answer).unwrap();
    desk.give(Cue::Compact).unwrap();
    let open = desk.state.turn.as_ref().unwrap().calls[0].answer;
    let answer = desk.answer(&[]);
    assert_eq!(desk.kinds(answer), "model_answered compacted turn_waiting");
    let spans = desk.state.context.up_to(desk.state.head);
    assert!(spans.iter().any(|span| span.has(open)), "{spans:?}");
}

#[test]
fn a_sealed_session_refuses_all_but_its_unsealing() {
    let mut desk = calling(&["client"]);
    desk.give(Cue::Seal { cell: name("eu-2"), bundle: Hash::of(b"b"), at: desk.state.head })
        .unwrap();
    for cue in [
        Desk::input(Busy::Enqueue),
        Cue::Due,
        Cue::Cancel { turn: None },
        desk.answers(0),
        Cue::Pin { at: Offset(1) },
    ] {
        assert_eq!(desk.give(cue), Err(Refused::Sealed(name("eu-2"))));
    }
    assert!(desk.crash().events.is_empty());
    desk.give(Cue::Unseal { refusal: Hash::of(b"r") }).unwrap();
    let answers = desk.answers(0);
    assert!(desk.give(answers).is_ok());
    let cue = Cue::Seal { cell: name("eu-2"), bundle: Hash::of(b"b"), at: desk.state.head };
    assert!(matches!(desk.give(cue), Err(Refused::Busy(_))), "a model is asked");
}

#[test]
fn a_fork_leaves_what_was_under_way_to_its_parent() {
    let mut desk = calling(&["mail", "client", "wire"]);
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let parent = freehold_types::SessionId::from_parts(at(0), &[3; 10]);
    let decision = desk.give(Cue::ForkedFrom { parent }).unwrap();
    assert!(decision.actions.iter().all(|action| matches!(action, Action::Stop(_))));
    let state = &desk.state;
    assert!(state.turn.is_none() && state.queue.is_empty() && state.approvals.is_empty());
}

#[test]
fn only_a_session_that_is_not_there_can_be_created() {
    assert_eq!(Desk::new().give(Desk::input(Busy::Enqueue)), Err(Refused::NoSession));
    let mut desk = Desk::created();
    let again = Cue::Create {
        agent: name("desk@1"),
        origin: crate::event::Origin::New,
        limits: Limits::default(),
    };
    assert_eq!(desk.give(again), Err(Refused::NoSession));
}

#[test]
fn answers_are_taken_all_or_none() {
    let mut desk = calling(&["client", "client"]);
    let Cue::ClientAnswers { answers: mut both } = desk.answers(0) else { panic!() };
    both.push(both[0].clone());
    let head = desk.state.head;
    let twice = desk.give(Cue::ClientAnswers { answers: both });
    assert_eq!(twice, Err(Refused::NotWaiting("the call")));
    assert_eq!(desk.state.head, head);
}
