//! Contexts, told step by step.

use freehold_llm::model::{Item, ItemBody, Part, Request, Role, Tool, ToolBody, ToolChoice};
use freehold_types::Offset;
use futures_util::FutureExt as _;
use serde_json::json;

use super::chance::check_legal;
use super::paper::{Paper, input, settings};
use crate::content::{About, Input, Settings};
use crate::context::{Error, words};
use crate::decide::Cue;
use crate::event::{
    Busy, Content, Fact, LimitKind, Limits, Purpose, Repeat, Scope, TimerPurpose, Verdict,
};
use crate::tests::desk::{Desk, at, name};
use crate::tools::Toolset;

/// A desk whose first turn has begun: the input is event 2, and the model is
/// asked at event 5.
fn begun() -> Desk {
    let mut desk = Desk::created();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    desk
}

fn asked(desk: &Desk) -> Request {
    let request = Paper::of(&desk.events).ask(&settings()).unwrap();
    check_legal(&request, false);
    request
}

/// A conversation in short: who, and what.
pub(super) fn told(items: &[Item]) -> Vec<String> {
    let texts =
        |parts: &[Part]| parts.iter().filter_map(Part::as_text).collect::<Vec<_>>().join(" | ");
    items
        .iter()
        .map(|item| match &item.body {
            ItemBody::Message(m) if m.role == Role::Assistant => {
                format!("model: {}", texts(&m.parts))
            }
            ItemBody::Message(m) => format!("user: {}", texts(&m.parts)),
            ItemBody::ToolCall(call) => format!("call {} {}", call.call_id, call.name),
            ItemBody::ToolResult(result) => {
                format!("result {} {}", result.call_id, texts(&result.output))
            }
            ItemBody::Reasoning(thought) => format!("thought: {}", thought.text.join(" | ")),
            ItemBody::Native { .. } => "native".to_owned(),
        })
        .collect()
}

fn end_tool(desk: &mut Desk, index: usize, ended: crate::decide::Ended) {
    let call = desk.call(index);
    desk.give(Cue::ToolEnded { call, attempt: 1, ended }).unwrap();
}

#[test]
fn a_turn_with_tools_is_told_in_order() {
    let mut desk = begun();
    let first = asked(&desk);
    assert_eq!(told(&first.items), ["user: input 2"]);
    assert!(first.stream && first.store == Some(false) && first.reasoning.is_none());

    desk.give(desk.answer(&["look", "mail", "banned", "nothing"])).unwrap();
    end_tool(&mut desk, 1, crate::decide::Ended::Lost);
    end_tool(&mut desk, 0, crate::decide::Ended::Failed(Content::text("no such file")));
    let request = asked(&desk);
    let told = told(&request.items);
    assert_eq!(
        told[..6],
        [
            "user: input 2",
            "model: answer 6",
            "call m0 look",
            "call m1 mail",
            "call m2 banned",
            "call m3 nothing"
        ]
    );
    assert_eq!(told[6], "result m0 no such file");
    assert!(told[7].contains("may or may not have run") && told[7].contains("blindly"));
    assert!(told[8].contains("the rules here forbid it"));
    assert!(told[9].contains("no tool of this name"));
    assert_eq!(told.len(), 10);
    let joined: Vec<bool> = request.items.iter().map(|item| item.joined).collect();
    assert_eq!(joined[1..], [false, true, true, true, true, false, true, true, true]);
}

#[test]
fn quiet_inputs_are_told_where_they_came() {
    let mut desk = begun();
    desk.give(desk.answer(&[])).unwrap();
    for busy in [Busy::Quiet, Busy::Quiet, Busy::Enqueue] {
        desk.give(Desk::input(busy)).unwrap();
    }
    let words = ["user: input 2", "model: answer 6", "user: input 8", "user: input 9"];
    assert_eq!(told(&asked(&desk).items)[..4], words);
    assert_eq!(told(&asked(&desk).items)[4..], ["user: input 10"]);
}

#[test]
fn ids_that_come_again_stand_for_one_call_each() {
    let mut desk = begun();
    for _ in 0..2 {
        desk.give(desk.answer(&["look"])).unwrap();
        end_tool(&mut desk, 0, crate::decide::Ended::Ok(Content::text("found")));
    }
    let request = asked(&desk);
    let told = told(&request.items);
    assert_eq!(told[2..4], ["call m0 look", "result m0 found"]);
    assert_eq!(told[5..7], ["call call_1 look", "result call_1 found"]);
}

#[test]
fn signals_and_timers_speak_on_the_users_side() {
    let mut desk = begun();
    desk.give(desk.answer(&[])).unwrap();
    desk.give(Cue::Signal { name: name("paid"), content: Content::Inline(json!({"sum": 3})) })
        .unwrap();
    desk.give(desk.answer(&[])).unwrap();
    let purpose = TimerPurpose::Input(input("unused"));
    desk.give(Cue::SetTimer { due: at(100), repeat: Repeat::Once, purpose }).unwrap();
    desk.now_ms = 200;
    desk.give(Cue::Due).unwrap();
    let request = asked(&desk);
    let told = told(&request.items);
    assert_eq!(told[2], "user: [Signal `paid`]\n{\"sum\":3}");
    assert!(told[4].starts_with("user: timer "), "{}", told[4]);
}

#[test]
fn what_was_said_before_a_stop_is_kept_in_words_only() {
    let mut desk = begun();
    let asked_at = desk.asked();
    let chunk = || Cue::Chunk { asked: asked_at, content: Content::text("") };
    desk.give(chunk()).unwrap();
    desk.give(Desk::input(Busy::Interrupt)).unwrap();
    desk.give(Cue::ModelFailed {
        asked: asked_at,
        reason: crate::event::AbortReason::Cancelled,
        message: crate::event::Note::cut(""),
        usage: crate::event::Usage::default(),
    })
    .unwrap();
    assert_eq!(told(&asked(&desk).items), ["user: input 2", "model: partial 6", "user: input 7"]);
}

#[test]
fn a_rollback_is_forgotten_but_not_what_it_did() {
    let mut desk = begun();
    desk.give(desk.answer(&["look"])).unwrap();
    end_tool(&mut desk, 0, crate::decide::Ended::Ok(Content::text("found")));
    desk.give(Desk::input(Busy::Rollback)).unwrap();
    desk.now_ms += 1_000;
    desk.give(Cue::Due).unwrap();
    let request = asked(&desk);
    let told = told(&request.items);
    assert_eq!(told.len(), 2);
    assert!(told[0].contains("1 call of tools") && told[0].contains("not undone"), "{}", told[0]);
    assert!(told[1].starts_with("user: input "));
}

/// Three turns, a compaction, and the next turn.
fn compacted() -> Desk {
    let mut desk = begun();
    desk.give(desk.answer(&["look"])).unwrap();
    end_tool(&mut desk, 0, crate::decide::Ended::Ok(Content::text("found")));
    desk.give(desk.answer(&[])).unwrap();
    desk.give(Cue::Compact).unwrap();
    desk
}

#[test]
fn a_summary_is_asked_for_and_stands_for_the_rest() {
    let mut desk = compacted();
    let mut wishes = settings();
    wishes.request.max_tokens = Some(10);
    wishes.request.tools = vec![function("look")];
    let request = Paper::of(&desk.events).ask(&wishes).unwrap();
    check_legal(&request, false);
    let all = told(&request.items);
    assert_eq!(all.len(), 6);
    assert_eq!(all[5], format!("user: {}", words::SUMMARISE));
    assert_eq!((request.max_tokens, request.tool_choice), (None, Some(ToolChoice::None)));
    assert_eq!(request.tools.len(), 1, "there are calls of it");

    desk.give(desk.answer(&[])).unwrap();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    let request = asked(&desk);
    let all = told(&request.items);
    assert!(all[0].starts_with("user: [Summary"), "{}", all[0]);
    assert!(all[0].contains("answer "), "its text is there");
    assert_eq!((all.len(), all[1].starts_with("user: input ")), (2, true));
}

#[test]
fn without_calls_a_summary_needs_no_tools() {
    let mut desk = begun();
    desk.give(desk.answer(&[])).unwrap();
    desk.give(Cue::Compact).unwrap();
    let mut wishes = settings();
    wishes.request.tools = vec![function("look")];
    wishes.request.tool_choice = Some(ToolChoice::Required);
    let request = Paper::of(&desk.events).ask(&wishes).unwrap();
    assert_eq!((request.tools.len(), request.tool_choice), (0, None));
}

#[test]
fn an_open_call_says_in_a_summary_s_context_that_it_is_open() {
    let mut desk = begun();
    desk.give(desk.answer(&[])).unwrap();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    desk.give(desk.answer(&["client"])).unwrap();
    desk.give(Cue::Compact).unwrap();
    let all = told(&asked(&desk).items);
    assert!(all.contains(&format!("result m0 {}", words::NOT_ENDED)), "{all:?}");
    desk.give(desk.answer(&[])).unwrap();
    desk.give(desk.answers(0)).unwrap();
    let all = told(&asked(&desk).items);
    assert_eq!(all.last().unwrap(), "result m0 done", "{all:?}");
}

#[test]
fn a_pin_outlives_its_neighbours_and_is_legal() {
    for pin in [6, 9] {
        let mut desk = begun();
        desk.give(desk.answer(&["look"])).unwrap();
        end_tool(&mut desk, 0, crate::decide::Ended::Ok(Content::text("found")));
        desk.give(desk.answer(&[])).unwrap();
        let kind = if pin == 6 { "model_answered" } else { "tool_outcome" };
        assert_eq!(desk.events[pin - 1].fact.kind(), kind);
        // The result is shown where it was observed.
        let pin = Offset(if pin == 6 { 6 } else { 10 });
        desk.give(Cue::Pin { at: pin }).unwrap();
        desk.give(Cue::Compact).unwrap();
        desk.give(desk.answer(&[])).unwrap();
        desk.give(Desk::input(Busy::Enqueue)).unwrap();
        let all = told(&asked(&desk).items);
        let shown = match pin.0 {
            6 => all.contains(&format!("result m0 {}", words::NOT_KEPT)),
            _ => all.contains(&format!("user: {} | found", words::KEPT_RESULT)),
        };
        assert!(shown, "{all:?}");
    }
}

#[test]
fn what_is_read_does_not_grow_with_what_was_dropped() {
    let read = |turns: usize| {
        let mut desk = begun();
        desk.give(desk.answer(&[])).unwrap();
        for _ in 0..turns {
            desk.give(Desk::input(Busy::Enqueue)).unwrap();
            desk.give(desk.answer(&[])).unwrap();
        }
        desk.give(Cue::Compact).unwrap();
        desk.give(desk.answer(&[])).unwrap();
        desk.give(Desk::input(Busy::Enqueue)).unwrap();
        let paper = Paper::of(&desk.events);
        paper.ask(&settings()).unwrap();
        paper.read.into_inner().unwrap()
    };
    assert_eq!(read(3), read(300));
}

#[test]
fn blobs_are_read_and_a_missing_one_is_named() {
    let mut desk = begun();
    let mut paper = Paper::of(&desk.events);
    let hash = paper.swap(1);
    assert_eq!(told(&paper.ask(&settings()).unwrap().items), ["user: input 2"]);
    paper.blobs.clear();
    let error = paper.ask(&settings()).unwrap_err();
    assert!(matches!(error, Error::MissingBlob { hash: missing } if missing == hash));

    let Fact::InputAccepted(fact) = &mut paper.events[1].fact else { panic!() };
    fact.content = Content::Blob { hash, bytes: u64::MAX };
    assert!(matches!(paper.ask(&settings()), Err(Error::TooLarge)), "before it is fetched");

    desk.give(desk.answer(&[])).unwrap();
    let Fact::ModelAnswered(fact) = &mut desk.events[5].fact else { panic!() };
    fact.content = Content::text("no answer");
    let broken = Paper { events: desk.events, ..Paper::of(&[]) };
    let error = broken.ask(&settings()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { at, .. } if at.0 == 2), "{error}");
}

#[test]
fn a_gap_in_the_journal_is_told() {
    let mut paper = Paper::of(&begun().events);
    let state = paper.state();
    paper.events.remove(2);
    let (set, toolset) = (settings(), Toolset::default());
    let asked = crate::context::request(&paper, &state, &set, &toolset, Purpose::Step);
    let error = asked.now_or_never().unwrap().unwrap_err();
    assert!(matches!(error, Error::Damaged { at: Offset(3), .. }), "{error}");
}

fn function(name: &str) -> Tool {
    let body =
        ToolBody::Function { name: name.into(), description: None, schema: None, strict: None };
    Tool { body, cache: None, extra: freehold_llm::model::Extra::default() }
}

#[test]
fn the_client_s_tools_and_freehold_s_are_offered_each_name_once() {
    let mut wishes = settings();
    wishes.request.tools = vec![function("mine"), function("both")];
    let offered = vec![function("both"), function("theirs")];
    let toolset = Toolset { offered, ..Toolset::default() };
    let request = Paper::of(&begun().events).ask_for(&wishes, &toolset).unwrap();
    let names: Vec<_> = request
        .tools
        .iter()
        .map(|tool| match &tool.body {
            ToolBody::Function { name, .. } => name.as_str(),
            _ => panic!(),
        })
        .collect();
    assert_eq!(names, ["mine", "both", "theirs"]);
}

#[test]
fn a_tool_is_forced_once_for_each_input() {
    let mut wishes = settings();
    wishes.request.tools = vec![function("look")];
    wishes.request.tool_choice = Some(ToolChoice::Required);
    let choice = |desk: &Desk| Paper::of(&desk.events).ask(&wishes).unwrap().tool_choice;
    let mut desk = begun();
    assert_eq!(choice(&desk), Some(ToolChoice::Required));
    desk.give(desk.answer(&["look"])).unwrap();
    end_tool(&mut desk, 0, crate::decide::Ended::Ok(Content::text("found")));
    assert_eq!(choice(&desk), Some(ToolChoice::Auto));
    desk.give(desk.answer(&[])).unwrap();
    desk.give(Desk::input(Busy::Enqueue)).unwrap();
    assert_eq!(choice(&desk), Some(ToolChoice::Required));
}

#[test]
fn settings_are_the_session_s_until_an_input_brings_some() {
    let mut desk = begun();
    let found = |desk: &Desk, about: &About| {
        let paper = Paper { events: desk.events.clone(), ..Paper::of(&[]) };
        let state = paper.state();
        crate::context::settings(&paper, &state, about).now_or_never().unwrap()
    };
    assert!(matches!(found(&desk, &About::default()), Err(Error::NoSettings)));
    let about = About { settings: Some(Box::new(settings())), ..About::default() };
    assert_eq!(*found(&desk, &about).unwrap(), settings());

    desk.give(desk.answer(&[])).unwrap();
    let other = Settings { payer: name("key_2"), ..settings() };
    let with = Input { settings: Some(Box::new(other.clone())), ..Input::default() };
    let content = Content::Inline(json!(with));
    let input = |content| Cue::Input { content, busy: Busy::Enqueue, key: None, settings: true };
    desk.give(input(content)).unwrap();
    assert_eq!(*found(&desk, &about).unwrap(), other);

    desk.give(desk.answer(&[])).unwrap();
    desk.give(input(Content::Inline(json!(Input::default())))).unwrap();
    assert!(matches!(found(&desk, &about), Err(Error::Damaged { .. })));
}

#[test]
fn a_pause_for_money_changes_nothing_of_what_is_said() {
    let mut desk = begun();
    desk.give(Cue::ModelFailed {
        asked: desk.asked(),
        reason: crate::event::AbortReason::Budget,
        message: crate::event::Note::cut("no money"),
        usage: crate::event::Usage::default(),
    })
    .unwrap();
    let paused = desk.state.turn.as_ref().unwrap().paused;
    assert_eq!(paused, Some((Scope::Key, LimitKind::Cost)));
    desk.give(Cue::RaiseBudget { scope: Scope::Key, limits: Limits::default() }).unwrap();
    assert_eq!(told(&asked(&desk).items), ["user: input 2"]);
}

#[test]
fn a_denied_call_says_so() {
    let mut desk = begun();
    desk.give(desk.answer(&["wire"])).unwrap();
    desk.give(desk.approve(0, Verdict::Deny)).unwrap();
    let all = told(&asked(&desk).items);
    assert!(all.last().unwrap().ends_with("unless you are told to."), "{all:?}");

    desk.give(desk.answer(&["wire"])).unwrap();
    let Cue::Decide(mut decision) = desk.approve(0, Verdict::Deny) else { panic!() };
    decision.note = crate::event::Note::cut("ask Ada first");
    desk.give(Cue::Decide(decision)).unwrap();
    let all = told(&asked(&desk).items);
    assert!(all.last().unwrap().ends_with("The reason that was given: ask Ada first"), "{all:?}");
}
