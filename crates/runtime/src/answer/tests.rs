//! Streams of events in, chunks and answers out.

use freehold_llm::model::{
    Answer, ApiError, Choice, Delta, Dialect, Event, Extra, Item, ItemBody, Part, Request, Role,
    Slot, Stop, StopReason, ToolCall, ToolCallKind, Usage as ModelUsage, events_of,
};
use freehold_types::{Code, Money};
use serde_json::{Value, json};

use super::*;
use crate::event::{AbortReason, INLINE_BYTES_MAX};
use crate::tests::desk::random::Random;

fn gather() -> Gather {
    let mut request = Request::new(Dialect::Responses, "asked");
    request.items.push(Item::text(Role::User, "x".repeat(400)));
    Gather::new(&request)
}

fn slot(item: u32) -> Slot {
    Slot { choice: 0, item }
}

fn start() -> Event {
    Event::Start {
        id: "a".into(),
        model: "m-1".into(),
        created: None,
        usage: None,
        extra: Extra::default(),
    }
}

fn text(item: u32, text: &str) -> Event {
    Event::Delta { slot: slot(item), part: 0, delta: Delta::Text(text.into()) }
}

fn head(item: u32) -> Event {
    let head = Item::new(ItemBody::Message(freehold_llm::model::Message {
        role: Role::Assistant,
        parts: Vec::new(),
    }));
    Event::ItemStart { slot: slot(item), head }
}

fn end() -> Event {
    Event::End { extra: Extra::default(), service_tier: None }
}

fn usage(input: u64, output: u64) -> Event {
    Event::Usage(ModelUsage { input, output, ..ModelUsage::default() })
}

fn give(gather: &mut Gather, events: impl IntoIterator<Item = Event>) {
    for event in events {
        gather.take(event.into());
    }
}

fn chunks(gather: &mut Gather) -> Vec<Vec<Event>> {
    std::iter::from_fn(|| gather.take_chunk())
        .map(|content| {
            let Content::Inline(value) = content else { panic!("chunks are inline") };
            let long = value.to_string().len() > CHUNK_BYTES_MAX;
            assert!(!long || value.as_array().unwrap().len() == 1, "only one event may be longer");
            serde_json::from_value(value).unwrap()
        })
        .collect()
}

fn call(id: &str, name: &str, input: &str) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: id.into(),
        name: name.into(),
        input: input.into(),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn answer(items: Vec<Item>, stop: StopReason) -> Answer {
    Answer {
        origin: Dialect::Responses,
        id: "a".into(),
        model: "m-1".into(),
        created: None,
        choices: vec![Choice { items, stop: Some(Stop::new(stop)), extra: Extra::default() }],
        usage: Some(ModelUsage { input: 30, output: 4, ..ModelUsage::default() }),
        service_tier: None,
        extra: Extra::default(),
    }
}

fn failure(gather: Gather) -> (AbortReason, String, Usage) {
    let failure = gather.finish().unwrap_err();
    (failure.reason, failure.message.to_string(), failure.usage)
}

#[test]
fn text_that_came_meanwhile_is_one_event() {
    let mut gather = gather();
    give(&mut gather, [start(), Event::Ping, head(0), text(0, "He"), text(0, "llo"), head(1)]);
    give(&mut gather, [text(1, "a"), text(0, "b"), text(0, ""), Event::Ping]);
    assert_eq!(
        chunks(&mut gather),
        [vec![
            start(),
            head(0),
            text(0, "Hello"),
            head(1),
            text(1, "a"),
            text(0, "b"),
            text(0, "")
        ]]
    );
    assert_eq!(gather.take_chunk(), None);
    give(&mut gather, [text(0, "c")]);
    assert_eq!(chunks(&mut gather), [[text(0, "c")]], "what was taken is not joined to");
}

#[test]
fn a_chunk_is_at_most_four_kib_however_text_is_written() {
    for c in ["a", "\u{1f600}", "\"", "\u{1}", "\n\u{e4}"] {
        let mut gather = gather();
        let all = c.repeat(20_000);
        give(&mut gather, [start(), head(0), text(0, &all)]);
        let chunks = chunks(&mut gather);
        let joined: String = chunks.iter().flatten().filter_map(said).collect();
        assert!(joined == all && chunks.len() > 4);
        for chunk in &chunks[1..chunks.len() - 1] {
            assert!(json!(chunk).to_string().len() > CHUNK_BYTES_MAX * 9 / 10, "they are filled");
        }
    }
}

fn said(event: &Event) -> Option<&str> {
    match event {
        Event::Delta { delta, .. } => text_of(delta),
        _ => None,
    }
}

#[test]
fn a_large_single_event_goes_alone_and_whole() {
    let mut gather = gather();
    let json = json!({"data": "x".repeat(2 * INLINE_BYTES_MAX)});
    let native = Event::Native { dialect: Dialect::Responses, name: "n".into(), json };
    give(&mut gather, [start(), native.clone(), head(0)]);
    assert_eq!(chunks(&mut gather), [vec![start()], vec![native], vec![head(0)]]);
}

#[test]
fn the_chunks_of_any_stream_fold_to_its_answer() {
    for seed in 0..30 {
        let mut random = Random(seed);
        let mut gather = gather();
        let mut events = vec![start(), head(0), head(1)];
        for _ in 0..random.below(120) {
            let said = "ab\u{e4}\"".repeat(random.pick(&[0, 1, 3, 40, 3_000]));
            events.push(text(u32::try_from(random.below(2)).unwrap(), &said));
        }
        let stop =
            Event::Stop { choice: 0, stop: Stop::new(StopReason::End), extra: Extra::default() };
        events.extend([stop, usage(7, 8), end()]);
        let mut fold = Fold::new(Dialect::Responses);
        for event in events {
            gather.take(event.into());
            if random.one_in(5) {
                chunks(&mut gather).iter().flatten().for_each(|event| fold.event(event));
            }
        }
        chunks(&mut gather).iter().flatten().for_each(|event| fold.event(event));
        let offered = gather.finish().unwrap();
        let whole = serde_json::to_value(fold.finish().unwrap()).unwrap();
        assert_eq!(offered.content, Content::Inline(whole), "seed {seed}");
    }
}

#[test]
fn a_whole_answer_is_offered_with_its_calls_usage_and_cost() {
    let mut gather = gather();
    let whole = answer(
        vec![
            Item::text(Role::Assistant, "so"),
            call("c1", "look", "{\"b\": 1, \"a\": 2}"),
            call("c2", "list", ""),
            call("c3", "bad", "{\"b\":"),
        ],
        StopReason::ToolCalls,
    );
    give(&mut gather, events_of(&whole).into_iter().take(3));
    assert!(!gather.is_over());
    gather.take(Said::Cost(Money::from_units(2)));
    give(&mut gather, events_of(&whole).into_iter().skip(3));
    assert!(gather.is_over());
    let offered = gather.finish().unwrap();
    assert_eq!(offered.model.as_str(), "m-1");
    assert_eq!(offered.usage, Usage { input: 30, output: 4, cost: Money::from_units(2) });
    assert!(!offered.more);
    let readable: Vec<_> = offered.calls.iter().map(|call| call.readable).collect();
    assert_eq!(readable, [true, true, false], "no arguments are an empty object");
    assert_eq!(offered.calls[1].args, crate::event::Hash::of(b"{}"));
    let Content::Inline(value) = offered.content else { panic!() };
    assert_eq!(serde_json::from_value::<Answer>(value).unwrap(), whole);
}

#[test]
fn a_pause_asks_for_more() {
    let mut gather = gather();
    give(&mut gather, events_of(&answer(vec![], StopReason::Pause)));
    assert!(gather.finish().unwrap().more);
}

#[test]
fn a_stream_that_breaks_off_is_tried_again_and_its_part_counted() {
    let mut told = gather();
    give(&mut told, [start(), usage(50, 1), head(0), text(0, &"x".repeat(400))]);
    let (reason, message, used) = failure(told);
    assert_eq!((reason, used.input, used.output), (AbortReason::Retryable, 50, 100));
    assert!(message.contains("broke off"));
    let mut untold = gather();
    give(&mut untold, [start(), head(0), text(0, &"x".repeat(40))]);
    let (_, _, used) = failure(untold);
    assert_eq!((used.input, used.output), (104, 10), "estimated");
    let (_, _, used) = failure(gather());
    assert_eq!(used, Usage::default(), "nothing came, so nothing is known to be used");
}

#[test]
fn errors_are_told_apart_by_what_helps() {
    for (code, reason) in [
        (Code::UpstreamBroken, AbortReason::Retryable),
        (Code::OverloadShed, AbortReason::Retryable),
        (Code::LimitRequests, AbortReason::Retryable),
        (Code::BudgetExhausted, AbortReason::Budget),
        (Code::KeyRevoked, AbortReason::Final),
        (Code::ModelNotFound, AbortReason::Final),
        (Code::InvalidRequest, AbortReason::Final),
    ] {
        let mut gather = gather();
        give(&mut gather, [start(), head(0), Event::Error(ApiError::new(code, "no\nluck")), end()]);
        gather.take(Said::Cost(Money::from_units(1)));
        let (told, message, used) = failure(gather);
        assert_eq!((told, &*message), (reason, "no luck"), "{code}");
        assert_eq!(used.cost, Money::from_units(1));
    }
    let mut failed = gather();
    give(&mut failed, events_of(&answer(vec![], StopReason::Failed)));
    assert_eq!(failure(failed).0, AbortReason::Retryable);
}

#[test]
fn an_answer_has_bounds() {
    let mut large = gather();
    give(&mut large, [start(), head(0)]);
    let mut count = 0;
    while !large.is_over() && count < 1_000 {
        give(&mut large, [text(0, &"x".repeat(64 * 1024))]);
        count += 1;
    }
    assert!((100..200).contains(&count), "{count}");
    let (reason, message, used) = failure(large);
    assert_eq!(reason, AbortReason::Final);
    assert!(message.contains("8388608") && used.output > 2_000_000);

    let mut deep = gather();
    let nested: Value =
        serde_json::from_str(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap();
    let native = ItemBody::Native { dialect: Dialect::Responses, json: nested, from_model: true };
    give(&mut deep, [start(), Event::ItemStart { slot: slot(0), head: Item::new(native) }, end()]);
    assert_eq!(chunks(&mut deep), [[start()]]);
    assert!(failure(deep).1.contains("levels"));

    let mut wild = gather();
    let calls = (0..=OFFERED_MAX).map(|n| call(&format!("c{n}"), "look", "{}"));
    give(&mut wild, events_of(&answer(calls.collect(), StopReason::ToolCalls)));
    assert_eq!(failure(wild).0, AbortReason::Retryable);
}

#[test]
fn further_alternatives_are_not_heard() {
    let mut gather = gather();
    let mut two = answer(vec![Item::text(Role::Assistant, "one")], StopReason::End);
    two.choices.push(two.choices[0].clone());
    give(&mut gather, events_of(&two));
    assert!(chunks(&mut gather).iter().flatten().all(|event| choice_of(event) != Some(1)));
    let Content::Inline(value) = gather.finish().unwrap().content else { panic!() };
    assert_eq!(serde_json::from_value::<Answer>(value).unwrap().choices.len(), 1);
}

#[test]
fn a_part_comes_with_its_head() {
    let mut gather = gather();
    let part = Event::PartStart { slot: slot(0), part: 1, head: Part::text("") };
    give(&mut gather, [head(0), text(0, "a"), part.clone(), text(0, "b")]);
    assert_eq!(chunks(&mut gather), [[head(0), text(0, "a"), part, text(0, "b")]]);
}
