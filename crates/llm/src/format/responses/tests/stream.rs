//! Streams.

use serde_json::{Value, json};

use super::{data_of, decode_stream, encode_answer, encode_stream, fold, types_of};
use crate::DecodeError;
use crate::model::{
    Answer, ApiError, Choice, Delta, Dialect, Event, Extra, Item, ItemBody, Part, PartBody,
    Reasoning, Request, Role, Seal, Slot, Stop, StopReason, ToolCall, ToolCallKind, Usage,
    events_of,
};

fn call(call_id: &str, name: &str, input: &str, kind: ToolCallKind) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: call_id.into(),
        name: name.into(),
        input: input.into(),
        kind,
        cache: None,
    }))
}

fn foreign_answer() -> Answer {
    let seal = Seal { dialect: Dialect::Messages, hides: false, data: "sig".into(), item_id: None };
    let refusal = Item::new(ItemBody::Message(crate::model::Message {
        role: Role::Assistant,
        parts: vec![Part::text("a"), Part::new(PartBody::Refusal("no".into()))],
    }));
    Answer {
        origin: Dialect::Messages,
        id: "msg_1".into(),
        model: "claude".into(),
        created: None,
        choices: vec![Choice {
            items: vec![
                Item::new(ItemBody::Reasoning(Reasoning {
                    text: vec!["hm".into()],
                    summary: vec![],
                    seal: Some(seal),
                })),
                Item::new(ItemBody::Reasoning(Reasoning {
                    text: vec!["bare".into()],
                    ..Reasoning::default()
                })),
                refusal,
                call("c1", "f", "{\"a\":1}", ToolCallKind::Function),
                call("c2", "g", "free", ToolCallKind::Custom),
            ],
            stop: Some(Stop::new(StopReason::ToolCalls)),
            extra: Extra::default(),
        }],
        usage: Some(Usage { input: 3, output: 4, cache_read: Some(1), ..Usage::default() }),
        service_tier: Some("standard".into()),
        extra: Extra::default(),
    }
}

#[test]
fn a_foreign_answer_has_the_strict_shape() {
    let request = Request::new(Dialect::Responses, "m");
    let value = encode_answer(&foreign_answer(), &request);
    for name in [
        "background",
        "completed_at",
        "error",
        "frequency_penalty",
        "incomplete_details",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "presence_penalty",
        "previous_response_id",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "usage",
    ] {
        assert!(value.get(name).is_some(), "{name}");
    }
    assert_eq!(value["store"], json!(false));
    assert_eq!(value["status"], "completed");
    assert_eq!(value["service_tier"], "default");
    assert_eq!(value["usage"]["input_tokens_details"]["cached_tokens"], 1);
    assert!(value["id"].as_str().unwrap().starts_with("resp_"));
    let prefixes = ["rs_", "rs_", "msg_", "fc_", "ctc_"];
    for (item, prefix) in value["output"].as_array().unwrap().iter().zip(prefixes) {
        assert!(item["id"].as_str().unwrap().starts_with(prefix), "{item}");
    }
}

#[test]
fn a_foreign_answer_read_back_is_the_same() {
    let request = Request::new(Dialect::Responses, "m");
    let body = encode_answer(&foreign_answer(), &request).to_string();
    let back = super::super::answer_decode::decode(body.as_bytes()).unwrap();
    let bodies = |a: &Answer| a.choices[0].items.iter().map(|i| i.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&back), bodies(&foreign_answer()));
    assert_eq!(back.choices[0].stop.as_ref().unwrap().reason, StopReason::ToolCalls);
}

#[test]
fn a_foreign_stream_read_back_is_the_same() {
    let request = Request::new(Dialect::Responses, "m");
    let stream = encode_stream(&events_of(&foreign_answer()), &request);
    let back = fold(&decode_stream(&[&stream]).unwrap());
    let bodies = |a: &Answer| a.choices[0].items.iter().map(|i| i.body.clone()).collect::<Vec<_>>();
    assert_eq!(bodies(&back), bodies(&foreign_answer()));
    let usage = back.usage.unwrap();
    assert_eq!((usage.input, usage.output, usage.cache_read), (3, 4, Some(1)));
}

#[test]
fn the_terminal_event_holds_what_an_unstreamed_answer_would() {
    let request = Request::new(Dialect::Responses, "m");
    let stream = encode_stream(&events_of(&foreign_answer()), &request);
    let data = data_of(&stream);
    let last = data.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"], encode_answer(&foreign_answer(), &request));
}

#[test]
fn events_come_in_order_and_numbered() {
    let request = Request::new(Dialect::Responses, "m");
    let answer = Answer {
        choices: vec![Choice {
            items: vec![
                Item::text(Role::Assistant, "hi"),
                call("c", "f", "{}", ToolCallKind::Function),
            ],
            stop: Some(Stop::new(StopReason::ToolCalls)),
            extra: Extra::default(),
        }],
        ..foreign_answer()
    };
    let stream = encode_stream(&events_of(&answer), &request);
    assert_eq!(
        types_of(&stream),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    for (n, event) in data_of(&stream).iter().enumerate() {
        assert_eq!(event["sequence_number"], n);
    }
}

fn slot(item: u32) -> Slot {
    Slot { choice: 0, item }
}

fn start() -> Event {
    Event::Start {
        id: "x".into(),
        model: "u".into(),
        created: None,
        usage: None,
        extra: Extra::default(),
    }
}

fn end() -> Event {
    Event::End { extra: Extra::default(), service_tier: None }
}

fn input(item: u32, text: &str) -> Event {
    Event::Delta { slot: slot(item), part: 0, delta: Delta::Input(text.into()) }
}

#[test]
fn overlapping_calls_keep_their_places() {
    let head = |id: &str| call(id, "f", "", ToolCallKind::Function);
    let item_end = |n| Event::ItemEnd { slot: slot(n), extra: Extra::default() };
    let events = [
        start(),
        Event::ItemStart { slot: slot(0), head: head("a") },
        Event::ItemStart { slot: slot(1), head: head("b") },
        input(1, "{\"b\""),
        input(0, "{\"a\""),
        input(1, ":1}"),
        input(0, ":1}"),
        item_end(1),
        item_end(0),
        Event::Stop { choice: 0, stop: Stop::new(StopReason::ToolCalls), extra: Extra::default() },
        end(),
    ];
    let stream = encode_stream(&events, &Request::new(Dialect::Responses, "m"));
    let data = data_of(&stream);
    let output = &data.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["call_id"], "a");
    assert_eq!(output[0]["arguments"], "{\"a\":1}");
    assert_eq!(output[1]["arguments"], "{\"b\":1}");
    for event in data.iter().filter(|e| e["type"] == "response.output_item.done") {
        let at = usize::try_from(event["output_index"].as_u64().unwrap()).unwrap();
        assert_eq!(event["item"], output[at]);
    }
}

#[test]
fn a_cut_answer_ends_incomplete_with_its_last_item() {
    let answer = Answer {
        choices: vec![Choice {
            items: vec![Item::text(Role::Assistant, "hal")],
            stop: Some(Stop::new(StopReason::MaxTokens)),
            extra: Extra::default(),
        }],
        ..foreign_answer()
    };
    let stream = encode_stream(&events_of(&answer), &Request::new(Dialect::Responses, "m"));
    let data = data_of(&stream);
    let done = data.iter().find(|e| e["type"] == "response.output_item.done").unwrap();
    assert_eq!(done["item"]["status"], "incomplete");
    let last = data.last().unwrap();
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
}

#[test]
fn a_broken_stream_ends_with_error_and_failed_and_what_came() {
    let error = ApiError::new(freehold_types::Code::UpstreamBroken, "it broke");
    let events = [
        start(),
        Event::ItemStart { slot: slot(0), head: Item::text(Role::Assistant, "") },
        Event::Delta { slot: slot(0), part: 0, delta: Delta::Text("par".into()) },
        Event::Error(error),
        end(),
    ];
    let stream = encode_stream(&events, &Request::new(Dialect::Responses, "m"));
    let data = data_of(&stream);
    let [.., error, failed] = data.as_slice() else { panic!() };
    assert_eq!(error["type"], "error");
    assert_eq!(error["message"], "it broke");
    assert_eq!(error["error"]["code"], "upstream_broken");
    assert_eq!(failed["type"], "response.failed");
    assert_eq!(failed["response"]["error"], json!({"code": "server_error", "message": "it broke"}));
    assert_eq!(failed["response"]["output"][0]["content"][0]["text"], "par");
    assert_eq!(failed["response"]["output"][0]["status"], "incomplete");
}

fn sse(events: &[Value]) -> Vec<u8> {
    events.iter().flat_map(|e| format!("data: {e}\n\n").into_bytes()).collect()
}

#[test]
fn deltas_that_never_came_are_taken_from_what_is_done() {
    let message = json!({"type": "message", "id": "m1", "role": "assistant", "status": "completed",
        "content": [{"type": "output_text", "text": "hello", "annotations": [{"type": "x"}]}]});
    let done = json!({"id": "r", "model": "u", "status": "completed", "output": [message]});
    let whole = |events: &[Value]| {
        let answer = fold(&decode_stream(&[&sse(events)]).unwrap());
        let ItemBody::Message(message) = &answer.choices[0].items[0].body else { panic!() };
        assert_eq!(answer.choices[0].items.len(), 1);
        let PartBody::Text { text, annotations, .. } = &message.parts[0].body else { panic!() };
        (text.clone(), annotations.len(), answer.choices[0].stop.as_ref().unwrap().reason)
    };
    let expected = ("hello".to_owned(), 1, StopReason::End);
    let completed = json!({"type": "response.completed", "response": done});
    let delta = json!({"type": "response.output_text.delta", "item_id": "m1", "output_index": 0,
        "content_index": 0, "delta": "hel"});
    let item_done =
        json!({"type": "response.output_item.done", "output_index": 0, "item": message});
    assert_eq!(whole(std::slice::from_ref(&completed)), expected);
    assert_eq!(whole(&[item_done.clone(), completed.clone()]), expected);
    assert_eq!(whole(&[delta.clone(), completed.clone()]), expected);
    assert_eq!(whole(&[delta, item_done, completed]), expected);
}

#[test]
fn a_stream_without_its_end_is_truncated() {
    let created = sse(&[json!({"type": "response.created", "response": {"id": "r"}})]);
    assert_eq!(decode_stream(&[&created]), Err(DecodeError::Truncated));
    assert_eq!(decode_stream(&[b""]), Err(DecodeError::Truncated));
}

#[test]
fn both_shapes_of_an_error_event_are_read() {
    let flat = json!({"type": "error", "code": "server_error", "message": "m", "param": null});
    let word = json!({"type": "server_error", "code": null, "message": "m"});
    let failed = json!({"status": "failed", "error": {"code": "server_error", "message": "m"}});
    for (event, status) in [
        (flat, 500),
        (json!({"type": "error", "error": word}), 500),
        (json!({"error": {"message": "m", "code": 502}}), 502),
        (json!({"type": "response.failed", "response": failed}), 500),
    ] {
        let events = decode_stream(&[&sse(&[event])]).unwrap();
        let Some(Event::Error(error)) = events.last() else { panic!("{events:?}") };
        assert_eq!((error.message.as_str(), error.status), ("m", status));
    }
}
