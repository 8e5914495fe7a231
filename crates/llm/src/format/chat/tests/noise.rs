//! Whatever comes from outside, no decoder panics.

use proptest::prelude::*;
use serde_json::{Map, Value};

use super::{body_of, context, events, request_of};
use crate::codec::Codec as _;
use crate::format::chat::CODEC;
use crate::model::{Dialect, Fold};

/// Names that the decoders look at, so that noise gets past the first field.
const NAMES: &[&str] = &[
    "model",
    "messages",
    "role",
    "content",
    "type",
    "text",
    "image_url",
    "url",
    "file",
    "file_data",
    "tool_calls",
    "function",
    "custom",
    "name",
    "arguments",
    "input",
    "id",
    "index",
    "tools",
    "tool_choice",
    "stop",
    "response_format",
    "json_schema",
    "schema",
    "reasoning",
    "reasoning_details",
    "reasoning_content",
    "thinking",
    "signature",
    "summary",
    "data",
    "choices",
    "delta",
    "message",
    "finish_reason",
    "logprobs",
    "usage",
    "prompt_tokens",
    "prompt_tokens_details",
    "cached_tokens",
    "error",
    "code",
    "annotations",
    "url_citation",
    "function_call",
    "audio",
    "images",
    "refusal",
    "cache_control",
    "top_logprobs",
    "n",
    "seed",
];

const WORDS: &[&str] = &[
    "",
    "user",
    "assistant",
    "tool",
    "function",
    "system",
    "text",
    "image_url",
    "file",
    "stop",
    "tool_calls",
    "reasoning.text",
    "reasoning.encrypted",
    "thinking",
    "json_schema",
    "custom",
    "data:image/png;base64,AA==",
    "fh1.messages.s..x",
    "\u{1F600}",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(WORDS).prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop::sample::select(NAMES), inner), 0..6).prop_map(|pairs| {
                let pairs = pairs.into_iter().map(|(name, value)| (name.to_owned(), value));
                Value::Object(pairs.collect::<Map<String, Value>>())
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_request_decodes_or_says_why(messages in value(), tools in value(), rest in value()) {
        let mut body = Map::new();
        if let Value::Object(rest) = rest {
            body.extend(rest);
        }
        body.insert("model".into(), "m".into());
        body.insert("messages".into(), Value::Array(vec![messages]));
        body.insert("tools".into(), Value::Array(vec![tools]));
        if let Ok(request) = CODEC.decode_request(Value::Object(body).to_string().as_bytes()) {
            // What was decoded once is a fixed point from then on.
            let (first, _) = body_of(&request, &[]);
            let (second, _) = body_of(&request_of(&first), &[]);
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn an_answer_decodes_or_says_why(message in value(), rest in value()) {
        let choice = serde_json::json!({"message": message, "logprobs": rest, "finish_reason": "stop"});
        let body = serde_json::json!({"choices": [choice], "usage": rest});
        if let Ok(answer) = CODEC.decode_answer(body.to_string().as_bytes()) {
            let request = request_of(&serde_json::json!({"model": "m", "messages": []}));
            let encoded = CODEC.encode_answer(&answer, &context(&request));
            prop_assert!(CODEC.decode_answer(&encoded).is_ok());
        }
    }

    #[test]
    fn a_stream_decodes_or_says_why(deltas in prop::collection::vec(value(), 1..5)) {
        let chunks: Vec<Value> = deltas
            .into_iter()
            .map(|delta| serde_json::json!({"id": "c", "choices": [{"index": 0, "delta": delta}]}))
            .collect();
        if let Ok(events) = events(&[super::sse(&chunks).as_bytes()]) {
            let request = request_of(&serde_json::json!({"model": "m", "messages": []}));
            let mut encoder = CODEC.stream_encoder(&context(&request));
            let (mut fold, mut out) = (Fold::new(Dialect::Chat), Vec::new());
            for event in &events {
                fold.event(event);
                encoder.event(event, &mut out);
            }
            prop_assert!(super::events(&[&out]).is_ok());
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(CODEC.decode_request(&bytes).is_err());
        prop_assert!(CODEC.decode_answer(&bytes).is_err());
        let status = CODEC.decode_error(500, &bytes).status;
        prop_assert_eq!(status, 500);
        drop(events(&[&bytes]));
    }
}
