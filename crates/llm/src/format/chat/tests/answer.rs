//! Complete answers.

use serde_json::{Value, json};

use super::{json_of, request_of};
use crate::DecodeError;
use crate::codec::Codec as _;
use crate::format::chat::CODEC;
use crate::model::{
    Answer, Choice, Dialect, Extra, Item, ItemBody, Reasoning, Role, Seal, Stop, StopReason,
    ToolCall, ToolCallKind,
};

fn plain() -> crate::model::Request {
    request_of(&json!({"model": "m", "messages": []}))
}

fn comes_back(json: &Value) -> Answer {
    let answer = CODEC.decode_answer(json.to_string().as_bytes()).unwrap();
    assert_eq!(&json_of(&answer, &plain()), json);
    answer
}

#[test]
fn a_whole_answer_comes_back() {
    let answer = comes_back(&json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 5, "model": "m",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "a", "refusal": null,
                "reasoning": "hm", "annotations": [{"type": "url_citation", "url_citation":
                    {"url": "https://a.example", "title": "t", "start_index": 0, "end_index": 1}}]},
             "logprobs": {"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]},
             "finish_reason": "stop"},
            {"index": 1, "message": {"role": "assistant", "content": null, "refusal": "no"},
             "logprobs": null, "finish_reason": "length", "content_filter_results": {"x": {}}},
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        "service_tier": "default", "system_fingerprint": "fp",
    }));
    assert_eq!(answer.choices.len(), 2);
    assert_eq!(answer.choices[1].stop.as_ref().map(|s| s.reason), Some(StopReason::MaxTokens));
}

#[test]
fn an_answer_without_finish_reason_has_ended_all_the_same() {
    let body =
        json!({"choices": [{"message": {"tool_calls": [{"id": "", "function": {"name": "f"}}]}}]});
    let answer = CODEC.decode_answer(body.to_string().as_bytes()).unwrap();
    assert_eq!(answer.choices[0].stop.as_ref().map(|s| s.reason), Some(StopReason::ToolCalls));
    let ItemBody::ToolCall(call) = &answer.choices[0].items[0].body else { panic!() };
    assert!(call.call_id.starts_with("call_"));
}

#[test]
fn an_error_under_status_200_is_one() {
    let error = CODEC.decode_answer(br#"{"error":{"message":"no","code":429}}"#).unwrap_err();
    let DecodeError::Api(error) = error else { panic!("{error:?}") };
    assert_eq!((error.status, error.message.as_str()), (429, "no"));
    let error = CODEC.decode_answer(b"{}").unwrap_err();
    assert_eq!(error.to_string(), "choices: is required");
}

fn foreign() -> Answer {
    let seal = Seal { dialect: Dialect::Messages, hides: false, data: "sig".into(), item_id: None };
    Answer {
        origin: Dialect::Messages,
        id: "msg_1".into(),
        model: "upstream".into(),
        created: None,
        choices: vec![Choice {
            items: vec![
                Item::new(ItemBody::Reasoning(Reasoning {
                    text: vec!["hm".into()],
                    summary: vec![],
                    seal: Some(seal),
                })),
                Item::text(Role::Assistant, "a"),
                Item::text(Role::Assistant, "b"),
                Item::new(ItemBody::ToolCall(ToolCall {
                    call_id: "toolu_1".into(),
                    name: "f".into(),
                    input: "{}".into(),
                    kind: ToolCallKind::Function,
                    cache: None,
                })),
            ],
            stop: Some(Stop::new(StopReason::ToolCalls)),
            extra: Extra::default(),
        }],
        usage: None,
        service_tier: None,
        extra: Extra::default(),
    }
}

#[test]
fn a_foreign_answer_is_one_message_with_its_seal() {
    let json = json_of(&foreign(), &plain());
    assert!(json["id"].as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!((&json["model"], &json["created"]), (&json!("m"), &json!(99)));
    let message = &json["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning_content"]), (&json!("ab"), &json!("hm")));
    assert!(
        message["reasoning_details"][0]["signature"].as_str().unwrap().starts_with("fh1.messages.")
    );
    assert_eq!(json["choices"][0]["finish_reason"], "tool_calls");
}

#[test]
fn a_client_of_the_old_functions_gets_a_function_call() {
    let request = request_of(&json!({"model": "m", "messages": [], "functions": [{"name": "f"}]}));
    let json = json_of(&foreign(), &request);
    let message = &json["choices"][0]["message"];
    assert_eq!(message["function_call"], json!({"name": "f", "arguments": "{}"}));
    assert_eq!(message.get("tool_calls"), None);
    assert_eq!(json["choices"][0]["finish_reason"], "function_call");
}
