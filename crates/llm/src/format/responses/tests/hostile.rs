//! Nothing from outside makes the codec panic.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{context, encode_request, encode_stream};
use crate::Codec;
use crate::format::responses::Responses;
use crate::model::{Dialect, Event, Request};

/// Words of the wire, so that random values come near to real ones.
const WORDS: &[&str] = &[
    "type",
    "role",
    "content",
    "text",
    "id",
    "status",
    "input",
    "output",
    "message",
    "assistant",
    "user",
    "reasoning",
    "summary",
    "summary_text",
    "encrypted_content",
    "function_call",
    "function_call_output",
    "custom_tool_call",
    "arguments",
    "call_id",
    "name",
    "output_text",
    "input_text",
    "input_image",
    "image_url",
    "data:image/png;base64,AA",
    "fh1.chat.s..",
    "annotations",
    "logprobs",
    "refusal",
    "item",
    "part",
    "delta",
    "response",
    "usage",
    "output_index",
    "content_index",
    "summary_index",
    "item_id",
    "model",
    "tools",
    "function",
    "parameters",
    "error",
    "completed",
    "incomplete",
    "failed",
    "incomplete_details",
    "include",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.content_part.added",
    "response.content_part.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.reasoning_text.delta",
    "response.completed",
    "response.reasoning_summary_text.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.failed",
    "web_search_call",
    "\u{1f600}",
];

fn word() -> impl Strategy<Value = String> {
    proptest::sample::select(WORDS).prop_map(str::to_owned)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (0..4u64).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((word(), inner), 0..8)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    prop::collection::vec((word(), value()), 0..8)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

/// An item that is nearly one.
fn item() -> impl Strategy<Value = Value> {
    (word(), object()).prop_map(|(kind, mut item)| {
        item["type"] = kind.into();
        item
    })
}

fn events() -> impl Strategy<Value = Vec<Value>> {
    let event = (word(), object(), prop::option::of(item()), 0..3u64);
    let event = event.prop_map(|(kind, mut event, item, index)| {
        event["type"] = kind.into();
        event["output_index"] = index.into();
        if let Some(item) = item {
            event["item"] = item;
        }
        event
    });
    prop::collection::vec(event, 0..12)
}

proptest! {
    #[test]
    fn requests(mut body in object(), items in prop::collection::vec(item(), 0..5)) {
        body["model"] = "m".into();
        body["input"] = items.into();
        if let Ok(request) = Responses.decode_request(body.to_string().as_bytes()) {
            let (once, _) = encode_request(&request);
            let again = Responses.decode_request(once.to_string().as_bytes());
            prop_assert!(again.is_ok(), "{again:?}");
            let foreign = Request { origin: Dialect::Chat, ..request };
            encode_request(&foreign);
        }
    }

    #[test]
    fn answers(mut body in object(), items in prop::collection::vec(item(), 0..5)) {
        body["output"] = items.into();
        body["error"] = Value::Null;
        if let Ok(mut answer) = Responses.decode_answer(body.to_string().as_bytes()) {
            let request = Request::new(Dialect::Responses, "m");
            let once = Responses.encode_answer(&answer, &context(&request));
            prop_assert!(serde_json::from_slice::<Value>(&once).is_ok());
            answer.origin = Dialect::Messages;
            let crossed = Responses.encode_answer(&answer, &context(&request));
            let status = serde_json::from_slice::<Value>(&crossed).unwrap()["status"].take();
            if status != "failed" {
                let back = Responses.decode_answer(&crossed);
                prop_assert!(back.is_ok(), "{back:?}");
            }
        }
    }

    #[test]
    fn streams(events in events()) {
        let mut decoder = Responses.stream_decoder();
        let mut given = Vec::new();
        for event in &events {
            let line = format!("data: {event}\n\n");
            if decoder.feed(line.as_bytes(), &mut given).is_err() {
                break;
            }
        }
        let ended = decoder.finish(&mut given).is_ok();
        let last = given.iter().rposition(|e| matches!(e, Event::End { .. } | Event::Error(_)));
        prop_assert_eq!(ended, last.is_some_and(|at| at + 1 == given.len()));
        let written = encode_stream(&given, &Request::new(Dialect::Responses, "m"));
        for data in super::data_of(&written) {
            prop_assert!(data["type"].is_string());
        }
    }

    #[test]
    fn errors(body in prop::collection::vec(any::<u8>(), 0..300), status in 400..600u16) {
        let error = Responses.decode_error(status, &body);
        prop_assert_eq!(error.status, status);
        Responses.encode_error(&error, None);
    }
}

#[test]
fn great_indices_cost_nothing() {
    let delta = json!({"type": "response.output_text.delta", "output_index": u64::MAX,
        "content_index": u64::MAX, "delta": "x"});
    let done = json!({"type": "response.completed", "response": {"id": "r", "output": []}});
    let stream = format!("data: {delta}\n\ndata: {done}\n\n");
    let answer = super::fold(&super::decode_stream(&[stream.as_bytes()]).unwrap());
    assert_eq!(answer.choices[0].items.len(), 1);
}

#[test]
fn deep_nesting_is_refused() {
    let deep = format!("{{\"model\":\"m\",\"input\":{}1{}}}", "[".repeat(9000), "]".repeat(9000));
    assert!(Responses.decode_request(deep.as_bytes()).is_err());
}
