//! Streams of other dialects told in this one: one block after another.

use super::*;
use crate::model::{
    ApiError, Delta, Extra, Item, ItemBody, Message, Reasoning, Role, Seal, Slot, Stop, StopReason,
    ToolCall, ToolCallKind, Usage,
};

fn slot(item: u32) -> Slot {
    Slot { choice: 0, item }
}

fn start() -> Event {
    Event::Start {
        id: "x".into(),
        model: "m".into(),
        created: None,
        usage: None,
        extra: Extra::default(),
    }
}

fn call(item: u32) -> Event {
    let body = ItemBody::ToolCall(ToolCall {
        call_id: format!("c{item}"),
        name: "f".into(),
        input: String::new(),
        kind: ToolCallKind::Function,
        cache: None,
    });
    Event::ItemStart { slot: slot(item), head: Item::new(body) }
}

fn message(item: u32) -> Event {
    let body = ItemBody::Message(Message { role: Role::Assistant, parts: Vec::new() });
    Event::ItemStart { slot: slot(item), head: Item::new(body) }
}

fn reasoning(item: u32) -> Event {
    let body = ItemBody::Reasoning(Reasoning::default());
    Event::ItemStart { slot: slot(item), head: Item::new(body) }
}

fn delta(item: u32, delta: Delta) -> Event {
    Event::Delta { slot: slot(item), part: 0, delta }
}

fn end(item: u32) -> Event {
    Event::ItemEnd { slot: slot(item), extra: Extra::default() }
}

fn finish(mut events: Vec<Event>, reason: StopReason) -> Vec<Value> {
    events.push(Event::Stop { choice: 0, stop: Stop::new(reason), extra: Extra::default() });
    events.push(Event::Usage(Usage { input: 3, output: 4, ..Usage::default() }));
    events.push(Event::End { extra: Extra::default(), service_tier: None });
    wire(&stream_of(&events))
}

/// The blocks in the order of the wire: type, then all content.
fn blocks(wire: &[Value]) -> Vec<(String, String)> {
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut open = None;
    for event in wire {
        let index = event["index"].as_u64();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, index), (None, Some(blocks.len() as u64)));
                open = index;
                let word = event["content_block"]["type"].as_str().unwrap();
                blocks.push((word.to_owned(), String::new()));
            }
            "content_block_delta" => {
                assert_eq!(open, index);
                let delta = &event["delta"];
                for name in ["text", "thinking", "partial_json", "signature"] {
                    let text = delta[name].as_str().unwrap_or_default();
                    blocks.last_mut().unwrap().1.push_str(text);
                }
            }
            "content_block_stop" => assert_eq!(open.take(), index),
            _ => {}
        }
    }
    assert_eq!(open, None);
    blocks
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn parallel_calls_are_told_one_after_another() {
    let input = |text: &str| Delta::Input(text.to_owned());
    let wire = finish(
        vec![
            start(),
            message(0),
            delta(0, Delta::Text("hi".into())),
            call(1),
            call(2),
            delta(2, input("{\"b\"")),
            delta(1, input("{\"a\"")),
            delta(2, input(":2}")),
            end(2),
            delta(1, input(":1}")),
            delta(0, Delta::Text(" there".into())),
            end(1),
            end(0),
        ],
        StopReason::ToolCalls,
    );
    assert_eq!(
        blocks(&wire),
        pairs(&[
            ("text", "hi"),
            ("tool_use", "{\"a\":1}"),
            ("tool_use", "{\"b\":2}"),
            ("text", " there"),
        ])
    );
    let last = &wire[wire.len() - 2];
    assert_eq!(last["delta"]["stop_reason"], "tool_use");
    assert_eq!(last["usage"], json!({"input_tokens": 3, "output_tokens": 4}));
    assert_eq!(wire.last().unwrap()["type"], "message_stop");
}

#[test]
fn text_streams_while_thinking_is_still_open() {
    let wire = finish(
        vec![
            start(),
            reasoning(0),
            delta(0, Delta::Reasoning("hm".into())),
            message(1),
            delta(1, Delta::Text("a".into())),
            end(0),
            delta(1, Delta::Text("b".into())),
            end(1),
        ],
        StopReason::End,
    );
    assert_eq!(blocks(&wire), pairs(&[("thinking", "hm"), ("text", "ab")]));
}

#[test]
fn a_foreign_seal_rides_in_the_signature_and_comes_back() {
    let seal = Seal {
        dialect: Dialect::Responses,
        hides: true,
        data: "gAAA".into(),
        item_id: Some("rs_1".into()),
    };
    let bytes = stream_of(&[
        start(),
        reasoning(0),
        delta(0, Delta::Summary("so".into())),
        delta(0, Delta::Seal(seal.clone())),
        end(0),
        Event::End { extra: Extra::default(), service_tier: None },
    ]);
    let answer = wire(&bytes);
    let signature = answer.iter().find_map(|e| e["delta"]["signature"].as_str()).unwrap();
    let request = json!({"model": "m", "messages": [{"role": "assistant", "content": [
        {"type": "thinking", "thinking": "so", "signature": signature}]}]});
    let request = Messages.decode_request(request.to_string().as_bytes()).unwrap();
    let ItemBody::Reasoning(back) = &request.items[0].body else { panic!() };
    assert_eq!(back.seal, Some(seal));
    assert_eq!(back.summary, ["so"]);
}

#[test]
fn hidden_reasoning_without_summary_is_a_redacted_block() {
    let seal =
        Seal { dialect: Dialect::Responses, hides: true, data: "gAAA".into(), item_id: None };
    let wire =
        finish(vec![start(), reasoning(0), delta(0, Delta::Seal(seal)), end(0)], StopReason::End);
    assert_eq!(blocks(&wire), pairs(&[("redacted_thinking", "")]));
}

#[test]
fn an_error_is_the_last_event() {
    let error = ApiError::new(freehold_types::Code::UpstreamBroken, "cut off");
    let wire = wire(&stream_of(&[
        start(),
        message(0),
        delta(0, Delta::Text("a".into())),
        Event::Error(error),
        delta(0, Delta::Text("b".into())),
        Event::End { extra: Extra::default(), service_tier: None },
    ]));
    assert_eq!(wire.last().unwrap()["error"]["type"], "api_error");
    let failed = finish(vec![start()], StopReason::Failed);
    assert_eq!(failed.last().unwrap()["type"], "error");
}

#[test]
fn an_empty_answer_still_has_its_frame() {
    let wire = finish(Vec::new(), StopReason::End);
    let words: Vec<&str> = wire.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(words, ["message_start", "message_delta", "message_stop"]);
    assert!(wire[0]["message"]["id"].as_str().unwrap().starts_with("msg_"));
}

#[test]
fn a_call_without_arguments_is_the_empty_object() {
    let body = b"data: {\"type\":\"message_start\",\"message\":{\"id\":\"i\"}}\n\n\
data: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"input\":{}}}\n\n\
data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"\"}}\n\n\
data: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"tool_use\"},\"usage\":{\"output_tokens\":1}}\n\n\
data: {\"type\":\"message_stop\"}\n\n";
    let answer = fold(&events(&[body]).unwrap());
    let ItemBody::ToolCall(call) = &answer.choices[0].items[0].body else { panic!() };
    assert_eq!(call.input, "{}");
}
