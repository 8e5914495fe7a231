//! To the other dialects and back.

use serde_json::{Value, json};

use super::{body_of, context, events, fold, request_of, sse};
use crate::Dialect;
use crate::codec::{AnswerContext, Codec as _, IdSource, Losses, RequestTarget};
use crate::format::{CODECS, chat::CODEC, codec};
use crate::losses;
use crate::model::{Answer, Fold, Item, ItemBody};

fn others() -> impl Iterator<Item = Dialect> {
    Dialect::ALL.into_iter().filter(|d| *d != Dialect::Chat)
}

#[test]
fn a_conversation_with_tools_comes_back_from_every_dialect() {
    let json = json!({"model": "m", "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "q"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "assistant", "content": "wait", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}},
            {"id": "call_2", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
        {"role": "tool", "tool_call_id": "call_2", "content": "two"},
    ], "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
       "max_completion_tokens": 10});
    let request = request_of(&json);
    for dialect in others() {
        let target = RequestTarget { model: "m", quirks: &[], default_max_tokens: 10 };
        let mut losses = Losses::default();
        let body = codec(dialect).encode_request(&request, &target, &mut losses).unwrap();
        let back = codec(dialect).decode_request(&body).unwrap();
        let (body, _) = body_of(&back, &[]);
        assert_eq!(body["messages"], json["messages"], "{dialect:?}");
        assert_eq!(body["max_completion_tokens"], 10, "{dialect:?}");
        let name = &body["tools"][0]["function"]["name"];
        assert_eq!(name, "f", "{dialect:?}");
    }
}

fn stream() -> String {
    let delta = |delta: Value| json!({"id": "c1", "model": "m", "created": 5, "choices": [{"index": 0, "delta": delta}]});
    sse(&[
        delta(json!({"role": "assistant", "reasoning_content": "hm"})),
        delta(json!({"content": "Hel"})),
        delta(json!({"content": "lo"})),
        delta(
            json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}]}),
        ),
        delta(
            json!({"tool_calls": [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]}),
        ),
        delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"x\":1}"}}]})),
        json!({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13,
                "prompt_tokens_details": {"cached_tokens": 5}}}),
    ])
}

/// What every crossing must keep.
#[derive(Debug, PartialEq)]
struct Kept {
    text: String,
    /// Id, name and input.
    calls: Vec<[String; 3]>,
    stop: String,
    /// Input, output, read from the cache.
    usage: [u64; 3],
}

fn kept(answer: &Answer) -> Kept {
    let (mut text, mut calls) = (String::new(), Vec::new());
    for Item { body, .. } in &answer.choices[0].items {
        match body {
            ItemBody::Message(m) => text.extend(m.parts.iter().filter_map(|p| p.as_text())),
            ItemBody::ToolCall(c) => {
                calls.push([c.call_id.clone(), c.name.clone(), c.input.clone()]);
            }
            _ => {}
        }
    }
    let usage = answer.usage.clone().unwrap_or_default();
    let stop = format!("{:?}", answer.choices[0].stop.as_ref().map(|s| s.reason));
    let usage = [usage.input, usage.output, usage.cache_read.unwrap_or_default()];
    Kept { text, calls, stop, usage }
}

#[test]
fn a_stream_crosses_with_all_that_matters() {
    let first = events(&[stream().as_bytes()]).unwrap();
    let wanted = kept(&fold(&first));
    assert_eq!(wanted.text, "Hello");
    for dialect in others() {
        let request = crate::model::Request::new(dialect, "m");
        let context =
            AnswerContext { request: &request, model: "m", ids: IdSource::new(3), created: 1 };
        let mut encoder = codec(dialect).stream_encoder(&context);
        let mut bytes = Vec::new();
        for event in &first {
            encoder.event(event, &mut bytes);
        }
        let mut decoder = codec(dialect).stream_decoder();
        let mut second = Vec::new();
        decoder.feed(&bytes, &mut second).unwrap();
        decoder.finish(&mut second).unwrap();
        let mut there = Fold::new(dialect);
        for event in &second {
            there.event(event);
        }
        assert_eq!(kept(&there.finish().unwrap()), wanted, "{dialect:?}");
        // And back into a stream of Chat.
        let mut request = crate::model::Request::new(Dialect::Chat, "m");
        request.stream_usage = true;
        let mut encoder = CODEC.stream_encoder(&super::context(&request));
        let mut bytes = Vec::new();
        for event in &second {
            encoder.event(event, &mut bytes);
        }
        assert_eq!(kept(&fold(&events(&[&bytes]).unwrap())), wanted, "{dialect:?} and back");
    }
}

#[test]
fn an_answer_crosses_with_all_that_matters() {
    let answer = fold(&events(&[stream().as_bytes()]).unwrap());
    for dialect in others() {
        let request = crate::model::Request::new(dialect, "m");
        let body = codec(dialect).encode_answer(&answer, &context(&request));
        let there = codec(dialect).decode_answer(&body).unwrap();
        assert_eq!(kept(&there), kept(&answer), "{dialect:?}");
        let body = CODEC.encode_answer(&there, &context(&request));
        assert_eq!(kept(&CODEC.decode_answer(&body).unwrap()), kept(&answer), "{dialect:?}");
    }
}

#[test]
fn every_name_in_a_support_table_is_a_field() {
    for codec in CODECS {
        for row in codec.fields() {
            assert!(losses::is_field(row.field), "{:?}: {}", codec.dialect(), row.field);
        }
        let names: std::collections::BTreeSet<_> =
            codec.fields().iter().map(|row| row.field).collect();
        assert_eq!(names.len(), codec.fields().len(), "{:?}: twice", codec.dialect());
    }
}

#[test]
fn the_loss_table_has_every_pair() {
    let table = losses::table(CODECS);
    assert_eq!(table.pairs.len(), CODECS.len() * (CODECS.len() - 1));
    let pair = table.pairs.iter().find(|p| p.from == "chat" && p.to == "messages").unwrap();
    assert!(pair.lost.contains(&"seed") && pair.lost.contains(&"logprobs"), "{:?}", pair.lost);
    assert!(pair.extra.contains(&"logit_bias"));
    let page = table.to_markdown();
    assert!(page.contains("## chat to messages") && page.contains("| `seed` |"));
    let json: Value = serde_json::from_str(&table.to_json()).unwrap();
    assert_eq!(json["pairs"].as_array().unwrap().len(), table.pairs.len());
}
