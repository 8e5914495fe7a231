//! Turns that go through two dialects and come back.

use serde_json::{Value, json};

use super::{TARGET, context, data_of, decode_stream, encode_stream, fold};
use crate::Losses;
use crate::format::codec;
use crate::model::{
    Delta, Dialect, Event, Extra, Item, ItemBody, Reasoning, Request, Slot, Stop, StopReason,
};

/// The answer of a provider as a client of another dialect gets it.
fn answer(from: Dialect, body: &Value, to: Dialect) -> Value {
    let answer = codec(from).decode_answer(body.to_string().as_bytes()).unwrap();
    let request = Request::new(to, "m");
    serde_json::from_slice(&codec(to).encode_answer(&answer, &context(&request))).unwrap()
}

/// A client's request as a provider of another dialect gets it.
fn request(from: Dialect, body: &Value, to: Dialect) -> (Value, Vec<String>) {
    let request = codec(from).decode_request(body.to_string().as_bytes()).unwrap();
    let mut losses = Losses::default();
    let body = codec(to).encode_request(&request, &TARGET, &mut losses).unwrap();
    (serde_json::from_slice(&body).unwrap(), losses.iter().map(ToString::to_string).collect())
}

#[test]
fn signed_thinking_comes_back_to_its_signer() {
    let thinking = json!({"type": "thinking", "thinking": "hm", "signature": "EqQBsig=="});
    let hidden = json!({"type": "redacted_thinking", "data": "EmwKhid"});
    let call = json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}});
    let first = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "c",
        "content": [thinking, hidden, {"type": "text", "text": "let me see"}, call],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": 2},
    });
    let shown = answer(Dialect::Messages, &first, Dialect::Responses);
    assert_eq!(shown["output"][0]["summary"][0]["text"], "hm");

    let mut input = vec![json!({"role": "user", "content": "go"})];
    input.extend(shown["output"].as_array().unwrap().iter().cloned());
    input.push(json!({"type": "function_call_output", "call_id": "toolu_1", "output": "1"}));
    let next = json!({"model": "m", "input": input, "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}]});
    let (sent, _) = request(Dialect::Responses, &next, Dialect::Messages);
    let content = &sent["messages"][1]["content"];
    assert_eq!(content[0], thinking);
    assert_eq!(content[1], hidden);
    assert_eq!(content[2]["text"], "let me see");
    assert_eq!(content[3]["input"], json!({"a": 1}));
}

#[test]
fn encrypted_reasoning_comes_back_to_its_provider_by_way_of_messages() {
    let reasoning = json!({"id": "rs_1", "type": "reasoning", "encrypted_content": "gAAAA=",
        "summary": [{"type": "summary_text", "text": "sum"}]});
    let call = json!({"id": "fc_1", "type": "function_call", "status": "completed",
        "call_id": "call_1", "name": "f", "arguments": "{\"a\":1}"});
    let first = json!({"id": "resp_1", "object": "response", "model": "g", "status": "completed",
        "created_at": 1, "output": [reasoning, call]});
    let shown = answer(Dialect::Responses, &first, Dialect::Messages);

    let next = json!({"model": "m", "max_tokens": 10, "messages": [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": shown["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "1"}]},
    ], "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
    let (sent, losses) = request(Dialect::Messages, &next, Dialect::Responses);
    assert_eq!(sent["input"][1], reasoning, "{losses:?}");
    assert_eq!(sent["input"][2]["arguments"], "{\"a\":1}");
    assert_eq!(sent["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(sent["store"], json!(false));
}

fn reasoning_stream(delta: Delta) -> Vec<u8> {
    let slot = Slot { choice: 0, item: 0 };
    let events = [
        Event::Start {
            id: String::new(),
            model: "u".into(),
            created: None,
            usage: None,
            extra: Extra::default(),
        },
        Event::ItemStart { slot, head: Item::new(ItemBody::Reasoning(Reasoning::default())) },
        Event::Delta { slot, part: 0, delta },
        Event::ItemEnd { slot, extra: Extra::default() },
        Event::Stop { choice: 0, stop: Stop::new(StopReason::End), extra: Extra::default() },
        Event::End { extra: Extra::default(), service_tier: None },
    ];
    encode_stream(&events, &Request::new(Dialect::Responses, "m"))
}

#[test]
fn thinking_and_summaries_are_told_apart_in_a_stream() {
    for (delta, text, summary) in [
        (Delta::Reasoning("hm".into()), vec!["hm".to_owned()], vec![]),
        (Delta::Summary("hm".into()), vec![], vec!["hm".to_owned()]),
    ] {
        let stream = reasoning_stream(delta);
        assert!(
            data_of(&stream).iter().any(|e| e["type"] == "response.reasoning_summary_text.delta")
        );
        let answer = fold(&decode_stream(&[&stream]).unwrap());
        let ItemBody::Reasoning(reasoning) = &answer.choices[0].items[0].body else { panic!() };
        assert_eq!((&reasoning.text, &reasoning.summary), (&text, &summary));
        assert_eq!(reasoning.seal, None);
    }
}

#[test]
fn a_chat_answer_becomes_items() {
    let first = json!({"id": "c", "object": "chat.completion", "created": 7, "model": "g", "choices": [{
        "index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "wait", "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{\"x\":2}"}}]}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 6, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 2}}});
    let shown = answer(Dialect::Chat, &first, Dialect::Responses);
    let kinds: Vec<&str> =
        shown["output"].as_array().unwrap().iter().filter_map(|i| i["type"].as_str()).collect();
    assert_eq!(kinds, ["message", "function_call", "function_call"]);
    assert_eq!(shown["output"][2]["arguments"], "{\"x\":2}");
    assert_eq!((&shown["status"], &shown["created_at"]), (&json!("completed"), &json!(7)));
    assert_eq!(shown["usage"]["input_tokens_details"]["cached_tokens"], 2);
}
