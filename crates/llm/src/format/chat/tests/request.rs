//! Requests, there and back and from other dialects.

use serde_json::{Value, json};

use super::{body_of, request_of};
use crate::DecodeError;
use crate::codec::{Codec as _, Quirk};
use crate::format::chat::CODEC;
use crate::model::{
    Dialect, Item, ItemBody, Media, Message, Part, PartBody, Reasoning, Request, Role, Seal,
    Source, ToolCall, ToolCallKind, ToolResult,
};

fn comes_back(json: &Value) -> Request {
    let request = request_of(json);
    let (body, losses) = body_of(&request, &[]);
    assert_eq!(&body, json);
    assert_eq!(losses, Vec::<String>::new());
    request
}

#[test]
fn every_parameter_comes_back() {
    comes_back(&json!({
        "model": "m", "messages": [{"role": "user", "content": "hi"}],
        "max_completion_tokens": 9, "n": 2, "temperature": 0.5, "top_p": 1, "top_k": 4,
        "frequency_penalty": 0.1, "presence_penalty": -0.1, "seed": -3, "stop": ["a", "b"],
        "logprobs": true, "top_logprobs": 3,
        "response_format": {"type": "json_schema", "json_schema": {
            "name": "o", "description": "d", "schema": {"type": "object"}, "strict": true}},
        "reasoning_effort": "xhigh", "verbosity": "low", "stream": true,
        "stream_options": {"include_usage": true, "include_obfuscation": false},
        "safety_identifier": "u", "metadata": {"a": "b"}, "service_tier": "flex", "store": false,
        "prompt_cache_key": "k", "parallel_tool_calls": false,
        "logit_bias": {"5": 1}, "prediction": {"type": "content", "content": "x"},
    }));
}

#[test]
fn the_way_of_saying_it_comes_back() {
    comes_back(&json!({
        "model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 9, "stop": "a", "user": "u", "stream": false, "logprobs": false,
        "random_seed": 5, "top_k": -1, "response_format": {"type": "text"},
    }));
    comes_back(&json!({
        "model": "m", "messages": [], "functions": [{"name": "f", "parameters": {}}],
        "function_call": {"name": "f"}, "response_format": {"type": "grammar", "value": "x"},
    }));
    comes_back(&json!({
        "model": "m", "messages": [], "tool_choice": "any",
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "stream": true, "stream_options": {"include_usage": false},
    }));
    let request = comes_back(&json!({
        "model": "m", "messages": [], "tool_choice": {"function": {"name": "f"}},
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }));
    assert_eq!(request.tool_choice, Some(crate::model::ToolChoice::Tool("f".into())));
}

#[test]
fn every_message_comes_back() {
    let request = comes_back(&json!({"model": "m", "messages": [
        {"role": "system", "content": "s", "name": "n"},
        {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example"}}]},
        {"role": "assistant", "content": null, "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":"}},
            {"id": "c2", "type": "custom", "custom": {"name": "g", "input": "x"}, "index": 1},
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "r"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "r"}]},
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c3", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]},
            {"type": "text", "text": "said"}], "prefix": true},
        {"role": "assistant", "content": "no", "refusal": "never", "audio": {"id": "a1"}},
        {"role": "assistant", "content": null, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "r"},
    ]}));
    let kinds = request.items.iter().filter_map(|item| match &item.body {
        ItemBody::ToolResult(result) => Some(result.kind),
        _ => None,
    });
    let (f, c) = (ToolCallKind::Function, ToolCallKind::Custom);
    assert_eq!(kinds.collect::<Vec<_>>(), [f, c, f]);
    let joined = request.items.iter().filter(|item| item.joined).count();
    assert_eq!(joined, 3, "two calls after the reasoning, one text after the thinking");
}

#[test]
fn a_wrong_type_is_named_with_its_place() {
    let error = |json: Value| CODEC.decode_request(json.to_string().as_bytes()).unwrap_err();
    assert_eq!(error(json!({"model": 1})).to_string(), "model: expected a string, found a number");
    assert_eq!(error(json!({"model": "m"})).to_string(), "messages: is required");
    assert_eq!(
        error(json!({"model": "m", "messages": [{"role": "robot"}]})).to_string(),
        "messages[0].role: expected system, developer, user, assistant, tool or function, found robot"
    );
    assert_eq!(
        error(json!({"model": "m", "messages": [], "stop": [1]})).to_string(),
        "stop[0]: expected a string, found a number"
    );
    let broken = CODEC.decode_request(b"{\"model\": \"m\",}").unwrap_err();
    assert!(matches!(broken, DecodeError::Json { offset: 14, .. }), "{broken:?}");
}

fn crossing(items: Vec<Item>) -> Request {
    Request { items, ..Request::new(Dialect::Messages, "m") }
}

fn call(id: &str, input: &str) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: id.into(),
        name: "f".into(),
        input: input.into(),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn result(id: &str, output: Vec<Part>) -> Item {
    Item::new(ItemBody::ToolResult(ToolResult {
        call_id: id.into(),
        output,
        is_error: None,
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

#[test]
fn what_the_model_said_at_once_is_one_message() {
    let mut request = crossing(vec![
        Item::text(Role::User, "q"),
        Item::text(Role::Assistant, "let me see"),
        call("c1", "{\"broken"),
        call("c2", ""),
        result("c1", vec![Part::text("one")]),
        result("c2", vec![Part::text("two")]),
    ]);
    request.instructions = vec![Part::text("be kind")];
    let (body, losses) = body_of(&request, &[]);
    assert_eq!(losses, Vec::<String>::new());
    assert_eq!(
        body["messages"],
        json!([
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": "let me see", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"broken"}},
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
        ])
    );
}

#[test]
fn pictures_of_tools_follow_all_results() {
    let media = Media { media_type: "image/png".into(), data: "AA==".into() };
    let image = PartBody::Image { source: Source::Inline(media), detail: None };
    let request = crossing(vec![
        call("c1", "{}"),
        call("c2", "{}"),
        result("c1", vec![Part::new(image)]),
        result("c2", vec![Part::text("two")]),
        Item::text(Role::User, "so?"),
    ]);
    let (body, _) = body_of(&request, &[]);
    let roles: Vec<&str> =
        body["messages"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["assistant", "tool", "tool", "user", "user"]);
    assert_eq!(body["messages"][3]["content"][1]["image_url"]["url"], "data:image/png;base64,AA==");
}

fn thought(seal: Seal) -> Item {
    let (text, summary) = (vec!["hm".into()], Vec::new());
    Item::new(ItemBody::Reasoning(Reasoning { text, summary, seal: Some(seal) }))
}

fn seal(dialect: Dialect) -> Seal {
    Seal { dialect, hides: false, data: "sig".into(), item_id: None }
}

#[test]
fn foreign_reasoning_is_lost_and_said_to_be() {
    let request =
        crossing(vec![thought(seal(Dialect::Messages)), Item::text(Role::Assistant, "a")]);
    let (body, losses) = body_of(&request, &[]);
    assert_eq!(body["messages"], json!([{"role": "assistant", "content": "a"}]));
    assert_eq!(losses, ["item.reasoning.seal", "item.reasoning.text"]);
    let (body, losses) = body_of(&request, &[Quirk::ReasoningContent]);
    assert_eq!(body["messages"][0]["reasoning_content"], "hm");
    assert_eq!(losses, ["item.reasoning.seal"]);
}

#[test]
fn a_seal_of_chats_own_goes_back_to_chat() {
    let request = crossing(vec![thought(seal(Dialect::Chat)), Item::text(Role::Assistant, "a")]);
    let (body, losses) = body_of(&request, &[]);
    assert_eq!(
        body["messages"][0]["reasoning_details"],
        json!([{"type": "reasoning.text", "text": "hm", "signature": "sig"}])
    );
    assert_eq!(losses, Vec::<String>::new());
}

#[test]
fn a_seal_from_elsewhere_does_not_reach_a_chat_server() {
    let carried = crate::seal::carry(&seal(Dialect::Messages), Dialect::Chat);
    let request =
        request_of(&json!({"model": "m", "messages": [{"role": "assistant", "content": "a",
        "reasoning_details": [{"type": "reasoning.text", "text": "hm", "signature": carried}]}]}));
    let ItemBody::Reasoning(thought) = &request.items[0].body else { panic!() };
    assert_eq!(thought.seal, Some(seal(Dialect::Messages)));
    let (body, losses) = body_of(&request, &[]);
    assert_eq!(body["messages"], json!([{"role": "assistant", "content": "a"}]));
    assert_eq!(losses, ["item.reasoning.seal"]);
}

#[test]
fn quirks_change_what_is_sent() {
    let mut request = crossing(vec![
        Item::new(ItemBody::Message(Message {
            role: Role::Developer,
            parts: vec![Part::text("a"), Part::text("b")],
        })),
        call("toolu_1", "{}"),
    ]);
    request.max_tokens = Some(5);
    request.stream = true;
    request.seed = Some(1);
    request.store = Some(true);
    let (body, losses) = body_of(
        &request,
        &[
            Quirk::NoDeveloperRole,
            Quirk::StringContent,
            Quirk::MaxTokensKey,
            Quirk::NoStreamOptions,
            Quirk::RandomSeed,
            Quirk::KnownFieldsOnly,
            Quirk::NineCharCallIds,
        ],
    );
    assert_eq!(body["messages"][0], json!({"role": "system", "content": "a\n\nb"}));
    assert_eq!(body["messages"][1]["tool_calls"][0]["id"].as_str().unwrap().len(), 9);
    assert_eq!((&body["max_tokens"], &body["random_seed"]), (&json!(5), &json!(1)));
    assert_eq!((body.get("stream_options"), body.get("store")), (None, None));
    assert_eq!(losses, ["store"]);
}

#[test]
fn usage_is_asked_for_where_the_client_would_hear_it() {
    let mut request = crossing(vec![Item::text(Role::User, "q")]);
    request.stream = true;
    assert_eq!(body_of(&request, &[]).0["stream_options"], json!({"include_usage": true}));
    let request = request_of(&json!({"model": "m", "messages": [], "stream": true}));
    assert_eq!(body_of(&request, &[]).0.get("stream_options"), None);
}
