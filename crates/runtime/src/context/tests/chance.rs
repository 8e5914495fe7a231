//! The context of every attempt of journals by chance is one that every
//! provider takes, and has all that the journal says it has.

use std::collections::BTreeSet;

use freehold_llm::format::codec;
use freehold_llm::model::{Dialect, Item, ItemBody, Request};
use freehold_llm::{Losses, RequestTarget};
use freehold_types::Offset;
use futures_util::FutureExt as _;

use super::paper::{Paper, settings};
use crate::context::{call, words};
use crate::event::{Busy, Event, Fact, Purpose};
use crate::state::State;
use crate::tests::random;

/// What a conversation must be for any provider.
pub(super) fn check_legal(request: &Request, paused: bool) {
    let items = &request.items;
    assert!(!items.is_empty() && !items[0].is_from_model(), "it begins with the model");
    assert!(paused || !items[items.len() - 1].is_from_model(), "it ends with the model");
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = Vec::new();
    let mut answered = false;
    for item in items {
        match &item.body {
            ItemBody::ToolCall(call) => {
                assert!(!answered || open.is_empty(), "a call between results");
                answered = false;
                assert!(!call.call_id.is_empty() && seen.insert(&*call.call_id), "an id twice");
                open.push(&call.call_id);
            }
            ItemBody::ToolResult(result) => {
                answered = true;
                let at = open.iter().position(|id| *id == result.call_id);
                open.remove(at.expect("a result without a call"));
                assert!(!result.output.is_empty());
            }
            _ if item.is_from_model() => {
                assert!(!answered || open.is_empty(), "words between results");
            }
            _ => assert!(open.is_empty(), "calls without results: {open:?}"),
        }
    }
    assert!(open.is_empty(), "calls without results: {open:?}");
    for dialect in Dialect::ALL {
        let target = RequestTarget { model: "m", quirks: &[], default_max_tokens: 9 };
        let mut losses = Losses::default();
        let body = codec(dialect).encode_request(request, &target, &mut losses).unwrap();
        // What goes out is what such a server reads.
        codec(dialect).decode_request(&body).unwrap();
    }
}

fn texts(items: &[Item]) -> String {
    serde_json::to_string(items).unwrap()
}

/// All that the live context says is in the request, once.
fn check_whole(state: &State, events: &[Event], request: &Request) {
    let all = texts(&request.items);
    let count = |what: &str| all.matches(what).count();
    let live = |at: Offset| state.context.up_to(state.head).iter().any(|span| span.has(at));
    let event = |at: Offset| &events[usize::try_from(at.0).unwrap() - 1];
    let asked_for = |asked: Offset| match &event(asked).fact {
        Fact::ModelAsked(fact) => fact.purpose,
        _ => panic!("{asked} is named as an asking"),
    };
    for it in events {
        let at = it.offset;
        match &it.fact {
            Fact::InputTaken(fact) => {
                for input in &fact.inputs {
                    let quoted = match &event(*input).fact {
                        Fact::InputAccepted(_) => format!("\"input {input}\""),
                        Fact::TimerFired(fired) => format!("\"timer {}\"", fired.set),
                        _ => continue,
                    };
                    let least = usize::from(live(at));
                    assert!(count(&quoted) >= least, "{quoted} is missing");
                }
            }
            Fact::InputAccepted(fact) if fact.busy == Busy::Quiet => {
                let least = usize::from(live(at));
                assert!(count(&format!("\"input {at}\"")) >= least, "quiet {at} is missing");
            }
            Fact::ModelAnswered(fact) if asked_for(fact.asked) == Purpose::Step => {
                assert_eq!(count(&format!("\"answer {at}\"")), usize::from(live(at)));
            }
            Fact::ModelAborted(fact) => {
                let told = events
                    .iter()
                    .filter(|e| matches!(&e.fact, Fact::ModelDelta(d) if d.asked == fact.asked))
                    .any(|e| count(&format!("partial {}", e.offset)) > 0);
                let any = events
                    .iter()
                    .any(|e| matches!(&e.fact, Fact::ModelDelta(d) if d.asked == fact.asked));
                assert_eq!(told, fact.kept && live(at) && any, "{at}");
            }
            _ => {}
        }
    }
    let summaries = count(words::SUMMARY);
    let summed =
        events.iter().any(|it| matches!(&it.fact, Fact::Compacted(fact) if live(fact.summary)));
    assert!(summed == (summaries > 0), "{summaries} summaries");
}

/// Whether the last answer is to be gone on with.
fn is_paused(events: &[Event]) -> bool {
    let last = events.iter().rev().find_map(|event| match &event.fact {
        Fact::ModelAnswered(fact) => Some(fact.more),
        _ => None,
    });
    last.unwrap_or(false)
}

#[test]
fn every_context_by_chance_is_legal_and_whole() {
    let mut asked = 0;
    for seed in 0..60 {
        let events = random::journal(seed);
        let paper = Paper::of(&events);
        let mut state = State::default();
        for (at, event) in paper.events.iter().enumerate() {
            state.apply(event).unwrap();
            let open = state.turn.as_ref().and_then(|turn| turn.model);
            // A unit is committed whole.
            let whole = paper.events.get(at + 1).is_none_or(|next| next.unit != event.unit);
            let Some(open) = open.filter(|_| whole) else { continue };
            let so_far = Paper { events: paper.events[..=at].to_vec(), ..Paper::of(&[]) };
            let request = std::panic::catch_unwind(|| {
                let request = so_far.ask(&settings()).unwrap();
                check_legal(&request, is_paused(&so_far.events));
                if open.purpose == Purpose::Step {
                    check_whole(&state, &so_far.events, &request);
                }
            });
            if let Err(panic) = request {
                eprintln!("seed {seed}, event {}", event.offset);
                std::panic::resume_unwind(panic);
            }
            asked += 1;
        }
    }
    assert!(asked > 1_000, "{asked}");
}

#[test]
fn the_arguments_of_every_call_are_found() {
    let mut found = 0;
    for seed in 0..20 {
        let paper = Paper::of(&random::journal(seed));
        for event in &paper.events {
            let Fact::ToolIntended(fact) = &event.fact else { continue };
            let (tool, text) = call(&paper, event.offset).now_or_never().unwrap().unwrap();
            assert_eq!(tool, fact.tool);
            assert_eq!(crate::event::Hash::of(text.as_bytes()), fact.args);
            found += 1;
        }
    }
    assert!(found > 200, "{found}");
}
