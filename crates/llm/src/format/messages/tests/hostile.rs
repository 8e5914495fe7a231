//! Nothing that comes from outside makes the codec panic.

use proptest::prelude::*;

use super::*;

const BLOCKS: &str = r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}],
"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"url","url":"u"}},
{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"t","citations":{"enabled":true}}]},
{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"fh1.responses.h.cnM.x"},
{"type":"tool_use","id":"i","name":"n","input":{"a":1}},{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]},
{"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"r"}],"is_error":true}]}],
"tools":[{"name":"n","input_schema":{}},{"type":"web_search_20250305","name":"web_search"}],
"tool_choice":{"type":"tool","name":"n","disable_parallel_tool_use":true},"thinking":{"type":"enabled","budget_tokens":5},
"output_config":{"effort":"high","format":{"type":"json_schema","schema":{}}},"metadata":{"user_id":"u","x":1}}"#;

/// Feeds a body to everything that decodes, and what comes out to everything
/// that encodes.
fn exercise(body: &[u8]) {
    if let Ok(request) = Messages.decode_request(body) {
        for quirks in [&[][..], &[Quirk::ThinkingBudgetOnly, Quirk::NoSampling]] {
            let target = RequestTarget { model: "m", quirks, default_max_tokens: 0 };
            for dialect in Dialect::ALL {
                let mut losses = Losses::default();
                let _sent =
                    format::codec(dialect).encode_request(&request, &target, &mut losses).is_ok();
            }
        }
    }
    if let Ok(answer) = Messages.decode_answer(body) {
        answer_of(&answer);
        stream_of(&crate::model::events_of(&answer));
    }
    Messages.decode_error(500, body);
    let mut decoder = Messages.stream_decoder();
    let mut out = Vec::new();
    if decoder.feed(body, &mut out).is_ok() {
        let _whole = decoder.finish(&mut out).is_ok();
    }
    stream_of(&out);
}

fn mutated(body: &[u8], changes: Vec<(prop::sample::Index, u8, bool)>) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for (index, byte, remove) in changes {
        let at = index.index(bytes.len());
        if remove {
            let end = (at + usize::from(byte)).min(bytes.len());
            bytes.drain(at..end);
        } else {
            bytes[at] = byte;
        }
        if bytes.is_empty() {
            bytes.push(b'{');
        }
    }
    bytes
}

fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, bool)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<bool>()), 1..4)
}

#[test]
fn the_request_is_one_that_decodes() {
    let request = Messages.decode_request(BLOCKS.as_bytes()).unwrap();
    let (out, losses) = request_to(&request, &[]);
    // Another issuer's reasoning is not sent.
    assert_eq!(out["messages"][1]["content"][0]["type"], "tool_use");
    let lost: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["item.reasoning.seal", "item.reasoning.summary"]);
}

proptest! {
    #[test]
    fn broken_requests_do_no_harm(changes in changes()) {
        exercise(&mutated(BLOCKS.as_bytes(), changes));
    }

    #[test]
    fn broken_streams_do_no_harm(which in 0..recordings::STREAMS.len(), changes in changes()) {
        exercise(&mutated(recordings::STREAMS[which], changes));
    }

    #[test]
    fn any_bytes_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&body);
    }
}

#[test]
fn wrong_types_name_the_field() {
    for (body, path) in [
        (
            json!({"model": "m", "messages": [{"role": "user", "content": 3}]}),
            "messages[0].content",
        ),
        (json!({"model": "m", "messages": [{"role": "tool", "content": ""}]}), "messages[0].role"),
        (json!({"model": "m"}), "messages"),
        (json!({"messages": []}), "model"),
        (
            json!({"model": "m", "messages": [{"role": "user", "content": [{"text": "x"}]}]}),
            "messages[0].content[0].type",
        ),
        (json!({"model": "m", "messages": [], "stop_sequences": [1]}), "stop_sequences[0]"),
        (json!({"model": "m", "messages": [], "thinking": {"budget_tokens": 1}}), "thinking.type"),
    ] {
        match Messages.decode_request(body.to_string().as_bytes()) {
            Err(DecodeError::Shape { path: at, .. }) => assert_eq!(at, path),
            other => panic!("{other:?}"),
        }
    }
}
