//! Requests and answers from and to the other dialects.

use super::*;
use crate::model::{
    Annotation, Choice, Extra, Item, ItemBody, Message, Part, PartBody, Role, Stop, StopReason,
};

#[test]
fn chat_becomes_alternating_messages_with_results_first() {
    let (out, lost) = cross(
        Dialect::Chat,
        &json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "be kind"},
                {"role": "user", "content": "a"},
                {"role": "user", "content": "b"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call.1", "type": "function", "function": {"name": "f", "arguments": "{\"x\":1}"}},
                    {"id": "call.2", "type": "function", "function": {"name": "g", "arguments": ""}},
                ]},
                {"role": "user", "content": "wait"},
                {"role": "tool", "tool_call_id": "call.1", "content": "one"},
                {"role": "tool", "tool_call_id": "call.2", "content": "two"},
                {"role": "developer", "content": "be brief"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"properties": {}}}}],
            "tool_choice": "required",
            "parallel_tool_calls": false,
            "max_completion_tokens": 50,
            "stop": ["x", "\n"],
            "user": "u1",
        }),
    );
    assert_eq!(
        out,
        json!({
            "model": "m",
            "max_tokens": 50,
            "system": [{"type": "text", "text": "be kind"}, {"type": "text", "text": "be brief"}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1}},
                    {"type": "tool_use", "id": "call_2", "name": "g", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": "one"},
                    {"type": "tool_result", "tool_use_id": "call_2", "content": "two"},
                    {"type": "text", "text": "wait"},
                ]},
            ],
            "tools": [{"name": "f", "input_schema": {"properties": {}, "type": "object"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
            "stop_sequences": ["x"],
            "metadata": {"user_id": "u1"},
        })
    );
    assert_eq!(lost, ["stop"]);
}

#[test]
fn input_that_is_no_object_still_goes_as_one() {
    let (out, lost) = cross(
        Dialect::Chat,
        &json!({"model": "m", "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"x\":"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "bad"},
        ]}),
    );
    assert_eq!(out["messages"][1]["content"][0]["input"], json!({"raw_input": "{\"x\":"}));
    assert_eq!(lost, ["extra.tool_call.input"]);
}

#[test]
fn structured_output_and_effort_cross_from_chat() {
    let (out, lost) = cross(
        Dialect::Chat,
        &json!({"model": "m", "messages": [{"role": "user", "content": "a"}],
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "n", "strict": true, "schema": {"type": "object"}}},
            "reasoning_effort": "high", "temperature": 0.2, "seed": 4, "n": 2}),
    );
    assert_eq!(
        out["output_config"],
        json!({"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}}})
    );
    assert_eq!(out["thinking"], json!({"type": "adaptive"}));
    assert!(out.get("temperature").is_none());
    assert_eq!(lost, ["n", "seed", "temperature"]);
    assert_eq!(out["max_tokens"], 4096);
}

#[test]
fn images_and_documents_cross_from_chat() {
    let (out, lost) = cross(
        Dialect::Chat,
        &json!({"model": "m", "messages": [{"role": "user", "content": [
            {"type": "text", "text": "see"},
            {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}},
        ]}]}),
    );
    assert_eq!(
        out["messages"][0]["content"],
        json!([
            {"type": "text", "text": "see"},
            {"type": "image", "source": {"type": "url", "url": "https://e.org/a.png"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "document", "title": "a.pdf",
             "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        ])
    );
    assert_eq!(lost, ["part.audio", "part.file.file_id", "part.image.detail"]);
}

#[test]
fn a_conversation_of_nothing_but_system_is_asked_as_the_user() {
    let (out, _) = cross(
        Dialect::Chat,
        &json!({"model": "m", "messages": [{"role": "system", "content": "sing"}]}),
    );
    assert_eq!(
        out["messages"],
        json!([{"role": "user", "content": [{"type": "text", "text": "sing"}]}])
    );
    let empty = Request::new(Dialect::Chat, "m");
    let target = RequestTarget { model: "m", quirks: &[], default_max_tokens: 1 };
    assert!(Messages.encode_request(&empty, &target, &mut Losses::default()).is_err());
}

#[test]
fn responses_calls_and_results_cross() {
    let (out, lost) = cross(
        Dialect::Responses,
        &json!({"model": "m", "instructions": "be kind", "store": false, "max_output_tokens": 9000,
        "reasoning": {"effort": "low", "summary": "auto"},
        "input": [
            {"role": "user", "content": "a"},
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "r"},
        ]}),
    );
    assert_eq!(out["system"], "be kind");
    assert_eq!(
        out["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "c1", "name": "f", "input": {}}])
    );
    assert_eq!(out["thinking"], json!({"type": "adaptive", "display": "summarized"}));
    assert_eq!(out["output_config"], json!({"effort": "low"}));
    assert!(lost.contains(&"item.reasoning.seal".to_owned()), "{lost:?}");
}

#[test]
fn quirks_are_honoured() {
    let body = json!({"model": "m", "max_tokens": 4000, "temperature": 0.5, "top_k": 3,
        "messages": [{"role": "user", "content": "a"}],
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}});
    let request = Messages.decode_request(body.to_string().as_bytes()).unwrap();
    let (out, losses) = request_to(&request, &[Quirk::ThinkingBudgetOnly, Quirk::NoSampling]);
    assert_eq!(out["thinking"], json!({"type": "enabled", "budget_tokens": 3000}));
    assert!(out.get("temperature").is_none() && out.get("output_config").is_none());
    let lost: Vec<String> = losses.iter().map(ToString::to_string).collect();
    assert_eq!(lost, ["temperature", "top_k"]);
}

#[test]
fn a_chat_answer_becomes_a_message() {
    let body = json!({"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "look", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 4}}});
    let answer = format::codec(Dialect::Chat).decode_answer(body.to_string().as_bytes()).unwrap();
    let out = answer_of(&answer);
    assert_eq!(
        out["content"],
        json!([{"type": "text", "text": "look"},
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}])
    );
    assert_eq!((&out["stop_reason"], &out["role"]), (&json!("tool_use"), &json!("assistant")));
    assert_eq!(
        out["usage"],
        json!({"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5})
    );
}

#[test]
fn a_refusal_and_a_foreign_citation_are_said_as_text() {
    let annotation = Annotation::Url {
        url: "https://e.org".into(),
        title: "E".into(),
        start: Some(1),
        end: Some(3),
        extra: Extra::default(),
    };
    let text =
        PartBody::Text { text: "\u{e9}bcd".into(), annotations: vec![annotation], logprobs: None };
    let parts = vec![Part::new(text), Part::new(PartBody::Refusal("no".into()))];
    let items = vec![Item::new(ItemBody::Message(Message { role: Role::Assistant, parts }))];
    let choice =
        Choice { items, stop: Some(Stop::new(StopReason::Refusal)), extra: Extra::default() };
    let answer = Answer {
        origin: Dialect::Responses,
        id: String::new(),
        model: "m".into(),
        created: None,
        choices: vec![choice],
        usage: None,
        service_tier: None,
        extra: Extra::default(),
    };
    let out = answer_of(&answer);
    assert_eq!(out["content"][0]["citations"][0]["cited_text"], "bc");
    assert_eq!(out["content"][1], json!({"type": "text", "text": "no"}));
    assert_eq!(out["stop_reason"], "refusal");
    assert_eq!(out["usage"], json!({"input_tokens": 0, "output_tokens": 0}));
}

#[test]
fn a_messages_answer_crosses_to_every_dialect_with_its_text_and_calls() {
    let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "c",
        "content": [{"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "text", "text": "look"},
            {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 6, "cache_read_input_tokens": 4, "output_tokens": 5}});
    let answer = Messages.decode_answer(body.to_string().as_bytes()).unwrap();
    for dialect in [Dialect::Chat, Dialect::Responses] {
        let request = Request::new(dialect, "m");
        let codec = format::codec(dialect);
        let out = codec.encode_answer(&answer, &context(&request, "m"));
        let back = codec.decode_answer(&out).unwrap();
        let again = answer_of(&back);
        let kinds = |word: &str| {
            let content = again["content"].as_array().unwrap();
            content.iter().find(|b| b["type"] == word).cloned().unwrap_or_default()
        };
        assert_eq!(kinds("text")["text"], "look", "{dialect:?}");
        assert_eq!(kinds("tool_use")["input"], json!({"a": 1}), "{dialect:?}");
        assert_eq!(kinds("thinking")["thinking"], "hm", "{dialect:?}");
        assert_eq!(again["usage"]["input_tokens"], 6, "{dialect:?}");
    }
}
