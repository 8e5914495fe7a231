//! Streams, as OpenAI and the compatible servers send them.

use serde_json::{Value, json};

use super::{context, events, fold, json_of, request_of, sse};
use crate::DecodeError;
use crate::codec::Codec as _;
use crate::format::chat::CODEC;
use crate::model::{ApiError, Event, Item, ItemBody, Request, StopReason, events_of};
use freehold_types::Code;

fn chunk(delta: &Value, finish: &Value) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
}

fn deltas(deltas: &[Value], finish: &str) -> Vec<Value> {
    let mut chunks: Vec<Value> = deltas.iter().map(|d| chunk(d, &Value::Null)).collect();
    chunks.push(chunk(&json!({}), &json!(finish)));
    chunks
}

fn usage_chunk() -> Value {
    json!({"id": "c1", "created": 5, "model": "m", "choices": [],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}})
}

fn with_usage() -> Request {
    request_of(&json!({"model": "m", "messages": [], "stream": true,
        "stream_options": {"include_usage": true}}))
}

/// Decodes, encodes, decodes: what a client of the second stream hears.
fn answer_json(text: &str) -> Value {
    json_of(&fold(&events(&[text.as_bytes()]).unwrap()), &with_usage())
}

fn encoded(events: &[Event], request: &Request) -> String {
    let mut encoder = CODEC.stream_encoder(&context(request));
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn rich() -> String {
    let mut chunks = deltas(
        &[
            json!({"role": "assistant", "content": ""}),
            json!({"reasoning_content": "h\u{e4}"}),
            json!({"reasoning_content": "m"}),
            json!({"content": "Hel"}),
            json!({"content": "lo"}),
            json!({"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]}),
            json!({"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]}),
            json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\":1}"}}]}),
            json!({"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]}),
        ],
        "tool_calls",
    );
    chunks.push(usage_chunk());
    sse(&chunks)
}

#[test]
fn a_rich_stream_is_the_answer() {
    let json = answer_json(&rich());
    let message = &json["choices"][0]["message"];
    assert_eq!(
        (&message["content"], &message["reasoning_content"]),
        (&json!("Hello"), &json!("h\u{e4}m"))
    );
    let inputs: Vec<&Value> = message["tool_calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["function"]["arguments"])
        .collect();
    assert_eq!(inputs, ["{\"x\":1}", "{}"]);
    assert_eq!(json["usage"]["total_tokens"], 7);
}

#[test]
fn splits_do_not_matter() {
    let text = rich();
    let whole = events(&[text.as_bytes()]).unwrap();
    for at in 0..=text.len() {
        let (a, b) = text.as_bytes().split_at(at);
        assert_eq!(events(&[a, b]).unwrap(), whole, "split at {at}");
    }
    let bytes: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
    assert_eq!(events(&bytes).unwrap(), whole);
}

#[test]
fn encoding_gives_the_same_answer_again() {
    let first = events(&[rich().as_bytes()]).unwrap();
    let again = events(&[encoded(&first, &with_usage()).as_bytes()]).unwrap();
    assert_eq!(json_of(&fold(&again), &with_usage()), json_of(&fold(&first), &with_usage()));
    let unfolded = encoded(&events_of(&fold(&first)), &with_usage());
    let again = events(&[unfolded.as_bytes()]).unwrap();
    assert_eq!(json_of(&fold(&again), &with_usage()), json_of(&fold(&first), &with_usage()));
}

#[test]
fn the_role_comes_first_the_usage_only_if_asked_and_done_once() {
    let events = events(&[rich().as_bytes()]).unwrap();
    let text = encoded(&events, &with_usage());
    let lines: Vec<&str> = text.split("\n\n").filter(|l| !l.is_empty()).collect();
    assert!(lines[0].contains(r#""delta":{"role":"assistant","content":""}"#), "{}", lines[0]);
    assert!(lines[lines.len() - 2].contains(r#""choices":[],"usage":{"prompt_tokens":3"#));
    assert_eq!(lines.iter().filter(|l| **l == "data: [DONE]").count(), 1);
    let unasked = request_of(&json!({"model": "m", "messages": [], "stream": true}));
    assert!(!encoded(&events, &unasked).contains("usage"));
}

#[test]
fn the_lane_is_told_though_no_usage_is() {
    let mut chunks = deltas(&[json!({"content": "a"})], "stop");
    for chunk in &mut chunks {
        chunk["service_tier"] = "flex".into();
    }
    let events = events(&[sse(&chunks).as_bytes()]).unwrap();
    let request = request_of(&json!({"model": "m", "messages": [], "stream": true}));
    let again = super::events(&[encoded(&events, &request).as_bytes()]).unwrap();
    assert_eq!(fold(&again).service_tier.as_deref(), Some("flex"));
}

#[test]
fn azures_first_chunk_has_no_choices_and_a_chunk_may_have_no_delta() {
    let first =
        json!({"id": "", "model": "", "created": 0, "choices": [], "prompt_filter_results": [1]});
    let no_delta = json!({"id": "c1", "model": "m", "choices": [{"index": 0, "finish_reason": null,
        "content_filter_results": {"hate": {}}}]});
    let mut chunks = vec![first];
    chunks.extend(deltas(&[json!({"content": "a"})], "stop"));
    chunks.insert(2, no_delta);
    let events = events(&[sse(&chunks).as_bytes()]).unwrap();
    assert!(matches!(&events[0], Event::Start { id, .. } if id == "c1"));
    let json = json_of(&fold(&events), &with_usage());
    assert_eq!(json["prompt_filter_results"], json!([1]));
    assert_eq!(json["choices"][0]["content_filter_results"], json!({"hate": {}}));
}

#[test]
fn calls_all_numbered_zero_are_told_apart_by_id() {
    let call = |id: &str| json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": "f", "arguments": "{}"}}]});
    let json = answer_json(&sse(&deltas(&[call("a"), call("b"), call("c")], "stop")));
    let calls = json["choices"][0]["message"]["tool_calls"].as_array().unwrap();
    let ids: Vec<&str> = calls.iter().map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn usage_may_come_with_the_last_content_and_repeatedly() {
    let mut chunks = deltas(&[json!({"content": "a"})], "stop");
    for (n, chunk) in chunks.iter_mut().enumerate() {
        chunk["usage"] = json!({"prompt_tokens": 1, "completion_tokens": n, "total_tokens": n + 1});
    }
    let events = events(&[sse(&chunks).as_bytes()]).unwrap();
    let counts: Vec<u64> = events
        .iter()
        .filter_map(|e| match e {
            Event::Usage(usage) => Some(usage.output),
            _ => None,
        })
        .collect();
    assert_eq!(counts, [1]);
}

#[test]
fn an_end_without_done_is_whole_only_with_a_finish_reason() {
    let whole = sse(&deltas(&[json!({"content": "a"})], "stop")).replace("data: [DONE]\n\n", "");
    assert!(matches!(events(&[whole.as_bytes()]).unwrap().last(), Some(Event::End { .. })));
    let cut = format!("data: {}\n\n", chunk(&json!({"content": "a"}), &Value::Null));
    assert_eq!(events(&[cut.as_bytes()]), Err(DecodeError::Truncated));
    assert_eq!(events(&[b"data: [DONE]\n\n"]), Err(DecodeError::Truncated));
    assert_eq!(events(&[b""]), Err(DecodeError::Truncated));
}

#[test]
fn what_was_counted_before_a_cut_is_told() {
    let mut first = chunk(&json!({"content": "a"}), &Value::Null);
    first["usage"] = json!({"prompt_tokens": 8, "completion_tokens": 1});
    let mut decoder = CODEC.stream_decoder();
    let mut out = Vec::new();
    decoder.feed(format!("data: {first}\n\n").as_bytes(), &mut out).unwrap();
    assert_eq!(decoder.finish(&mut out), Err(DecodeError::Truncated));
    assert!(matches!(out.last(), Some(Event::Usage(usage)) if usage.input == 8));
}

#[test]
fn an_error_in_mid_stream_ends_it() {
    let good = format!("data: {}\n\n", chunk(&json!({"content": "a"}), &Value::Null));
    for bad in [
        "event: error\ndata: {\"error\":{\"message\":\"bad\",\"code\":400}}\n\n",
        "data: {\"id\":\"c1\",\"choices\":[],\"error\":{\"message\":\"bad\",\"code\":400}}\n\n",
        "event: error\ndata: {\"message\":\"bad\",\"code\":400}\n\n",
        "data: {\"object\":\"error\",\"message\":\"bad\",\"code\":400}\n\n",
    ] {
        let events = events(&[good.as_bytes(), bad.as_bytes(), good.as_bytes()]).unwrap();
        let Some(Event::Error(error)) = events.last() else { panic!("{bad}: {events:?}") };
        assert_eq!((error.message.as_str(), error.status), ("bad", 400), "{bad}");
    }
}

#[test]
fn our_error_is_openais_event_and_the_last() {
    let error = ApiError::new(Code::UpstreamBroken, "it broke");
    let end = Event::End { extra: crate::model::Extra::default(), service_tier: None };
    let text = encoded(&[Event::Error(error), end], &with_usage());
    let data = text.strip_prefix("data: ").unwrap().trim_end();
    let json: Value = serde_json::from_str(data).unwrap();
    assert_eq!(json["error"]["message"], "it broke");
}

#[test]
fn mistrals_thinking_parts_are_reasoning() {
    let text = sse(&deltas(
        &[
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]}),
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]}),
            json!({"content": [{"type": "text", "text": "a"}]}),
            json!({"content": "b"}),
        ],
        "stop",
    ));
    let message = &answer_json(&text)["choices"][0]["message"];
    assert_eq!((&message["reasoning_content"], &message["content"]), (&json!("hm"), &json!("ab")));
}

#[test]
fn signed_details_in_fragments_become_one_entry() {
    let detail = |text: Value, signature: Value| {
        json!({"content": "", "reasoning": text, "reasoning_details": [
            {"type": "reasoning.text", "text": text, "signature": signature, "format": "f", "index": 0}]})
    };
    let text = sse(&deltas(
        &[
            detail(json!(""), json!("")),
            detail(json!("h"), Value::Null),
            detail(json!("m"), Value::Null),
            json!({"reasoning_details": [{"type": "reasoning.text", "signature": "sig", "format": "f", "index": 0}]}),
            json!({"content": "a"}),
        ],
        "stop",
    ));
    let events = events(&[text.as_bytes()]).unwrap();
    let answer = fold(&events);
    let Item { body: ItemBody::Reasoning(thought), .. } = &answer.choices[0].items[0] else {
        panic!("{answer:?}")
    };
    assert_eq!(thought.text, ["hm"]);
    assert_eq!(thought.seal.as_ref().map(|s| s.data.as_str()), Some("sig"));
    let json = json_of(&answer, &with_usage());
    assert_eq!(
        json["choices"][0]["message"]["reasoning_details"],
        json!([{"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "f", "index": 0}])
    );
    let again = super::events(&[encoded(&events, &with_usage()).as_bytes()]).unwrap();
    assert_eq!(json_of(&fold(&again), &with_usage()), json);
}

#[test]
fn alternatives_stay_apart() {
    let at = |n: u32, text: &str, finish: Value| {
        json!({"id": "c1", "model": "m", "choices": [
        {"index": n, "delta": {"content": text}, "finish_reason": finish}]})
    };
    let text = sse(&[
        at(0, "a", Value::Null),
        at(1, "x", Value::Null),
        at(1, "y", json!("length")),
        at(0, "b", json!("stop")),
    ]);
    let answer = fold(&events(&[text.as_bytes()]).unwrap());
    assert_eq!(answer.choices.len(), 2);
    assert_eq!(answer.choices[1].items, [Item::text(crate::model::Role::Assistant, "xy")]);
    assert_eq!(answer.choices[1].stop.as_ref().map(|s| s.reason), Some(StopReason::MaxTokens));
}

#[test]
fn the_old_function_call_streams_both_ways() {
    let text = sse(&deltas(
        &[
            json!({"function_call": {"name": "f", "arguments": ""}}),
            json!({"function_call": {"arguments": "{}"}}),
        ],
        "function_call",
    ));
    let request = request_of(&json!({"model": "m", "messages": [], "functions": [{"name": "f"}]}));
    let events = events(&[text.as_bytes()]).unwrap();
    let json = json_of(&fold(&events), &request);
    assert_eq!(
        json["choices"][0]["message"]["function_call"],
        json!({"name": "f", "arguments": "{}"})
    );
    let encoded = encoded(&events, &request);
    assert!(encoded.contains(r#""delta":{"function_call":{"arguments":"{}"}}"#), "{encoded}");
}
