//! Requests.

use serde_json::{Value, json};

use super::{decode_request, encode_request};
use crate::format::responses::{Responses, state_asked};
use crate::model::{
    Dialect, Effort, Item, ItemBody, LogprobRequest, Media, OutputFormat, Part, PartBody,
    Reasoning, ReasoningRequest, Request, Role, Seal, Source, Tool, ToolBody, ToolCall,
    ToolCallKind, ToolChoice, ToolResult,
};
use crate::{Codec, DecodeError, seal};

/// Reading and writing gives the same body again.
fn comes_back(value: &Value) {
    let (back, losses) = encode_request(&decode_request(value));
    assert_eq!(&back, value);
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn every_kind_of_item_comes_back_as_it_was() {
    comes_back(&json!({
        "model": "m",
        "input": [
            {"role": "user", "content": "hi"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "x"}]},
            {"type": "message", "role": "user", "status": "completed", "content": [
                {"type": "input_image", "image_url": "https://a/b.png", "detail": "low"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "AAAA"},
                {"type": "input_file", "file_url": "https://a/b.pdf"},
                {"type": "input_file", "file_id": "file-2", "detail": "high"},
                {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                {"type": "input_hologram", "depth": 3},
                {"type": "input_text", "text": "c", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "12h"}},
            ]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "s"}],
             "content": [{"type": "reasoning_text", "text": "t"}], "encrypted_content": "gAAA"},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "phase": "commentary",
             "content": [
                {"type": "output_text", "text": "see", "annotations": [
                    {"type": "url_citation", "url": "https://a", "title": "A", "start_index": 0, "end_index": 3},
                    {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1}]},
                {"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{\"a\":", "status": "completed"},
            {"type": "function_call_output", "call_id": "c1", "output": "42"},
            {"type": "function_call_output", "id": "o", "call_id": "c1", "output": [
                {"type": "input_text", "text": "x"}, {"type": "input_image", "image_url": "https://a/b.png"}]},
            {"type": "custom_tool_call", "call_id": "c2", "name": "g", "input": "free"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "done"},
            {"type": "item_reference", "id": "msg_0"},
            {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
            {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
            {"type": "computer_call_output", "call_id": "c3", "output": {"type": "computer_screenshot"}},
        ],
    }));
}

#[test]
fn every_field_comes_back_as_it_was() {
    comes_back(&json!({
        "model": "m",
        "instructions": "be brief",
        "input": "hi",
        "tools": [
            {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true, "defer_loading": true},
            {"type": "function", "name": "bare"},
            {"type": "custom", "name": "g", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "web_search", "filters": {"allowed_domains": ["a"]}},
        ],
        "tool_choice": {"type": "custom", "name": "g"},
        "parallel_tool_calls": false,
        "max_output_tokens": 100,
        "temperature": 0.5,
        "top_p": 1,
        "top_logprobs": 3,
        "text": {"odd": 1, "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "reasoning": {"effort": "xhigh", "summary": "auto", "mode": "pro"},
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs", "web_search_call.results"],
        "safety_identifier": "u",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "prompt_cache_key": "k",
        "store": false,
        "stream": true,
        "truncation": "auto",
        "max_tool_calls": 3,
        "prompt": {"id": "p"},
        "stream_options": {"include_obfuscation": false},
        "brand_new": {"x": 1},
    }));
}

#[test]
fn nulls_count_as_absent() {
    let (back, _) = encode_request(&decode_request(&json!({
        "model": "m", "input": [], "tools": null, "text": null, "reasoning": null, "include": null,
        "temperature": null, "metadata": null, "store": null, "user": null,
    })));
    assert_eq!(back, json!({"model": "m", "input": []}));
}

#[test]
fn the_hub_holds_what_the_fields_mean() {
    let request = decode_request(&json!({
        "model": "m", "input": "hi", "instructions": "i", "max_output_tokens": 9,
        "include": ["reasoning.encrypted_content", "message.output_text.logprobs"], "top_logprobs": 2,
        "reasoning": {"effort": "low"}, "text": {"format": {"type": "json_object"}, "verbosity": "high"},
        "tool_choice": {"type": "function", "name": "f"}, "user": "u", "stream": true,
    }));
    assert_eq!(request.items, [Item::text(Role::User, "hi")]);
    assert_eq!(request.instructions, [Part::text("i")]);
    assert_eq!(request.max_tokens, Some(9));
    assert_eq!(request.logprobs, Some(LogprobRequest { top: Some(2) }));
    let reasoning = request.reasoning.unwrap();
    assert_eq!((reasoning.effort, reasoning.want_seal), (Some(Effort::Low), true));
    assert_eq!(request.format, Some(OutputFormat::JsonObject));
    assert_eq!(request.verbosity.as_deref(), Some("high"));
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("f".into())));
    assert_eq!(request.user.as_deref(), Some("u"));
    assert!(request.stream && request.stream_usage);
}

#[test]
fn errors_name_the_place() {
    let message = |value: Value| {
        let error = Responses.decode_request(value.to_string().as_bytes()).unwrap_err();
        error.to_string()
    };
    assert_eq!(message(json!({"input": "x"})), "model: is required");
    assert_eq!(message(json!([])), "body: expected an object, found an array");
    assert_eq!(
        message(
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_text"}]}]})
        ),
        "input[0].content[0].text: is required"
    );
    assert_eq!(
        message(
            json!({"model": "m", "input": [{"type": "function_call", "name": "f", "arguments": "{}"}]})
        ),
        "input[0].call_id: is required"
    );
    assert_eq!(
        message(json!({"model": "m", "temperature": "hot"})),
        "temperature: expected a number, found a string"
    );
    assert_eq!(
        message(json!({"model": "m", "tools": [{"type": "function", "function": {"name": "f"}}]})),
        "tools[0].name: is required"
    );
    let error = Responses.decode_request(b"{\"model\": nope}").unwrap_err();
    assert!(matches!(error, DecodeError::Json { offset: 11, .. }), "{error:?}");
}

#[test]
fn a_request_for_kept_state_is_recognised() {
    let asked = |more: Value| {
        let mut body = json!({"model": "m", "input": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        state_asked(&decode_request(&body))
    };
    assert_eq!(asked(json!({})), None);
    assert_eq!(asked(json!({"store": false, "background": false, "conversation": null})), None);
    assert_eq!(asked(json!({"store": true})), Some("store"));
    assert_eq!(asked(json!({"background": true})), Some("background"));
    assert_eq!(asked(json!({"conversation": {"id": "conv_1"}})), Some("conversation"));
    assert_eq!(asked(json!({"previous_response_id": "resp_1"})), Some("previous_response_id"));
}

fn crossed(items: Vec<Item>) -> Request {
    Request { items, ..Request::new(Dialect::Messages, "x") }
}

fn function(name: &str, strict: Option<bool>) -> Tool {
    let body = ToolBody::Function { name: name.into(), description: None, schema: None, strict };
    Tool { body, cache: None, extra: crate::model::Extra::default() }
}

#[test]
fn a_crossed_request_keeps_no_state_and_says_whether_schemas_bind() {
    let request = Request {
        store: Some(true),
        tools: vec![function("f", None)],
        tool_choice: Some(ToolChoice::Required),
        reasoning: Some(ReasoningRequest {
            budget_tokens: Some(8_000),
            enabled: Some(true),
            ..ReasoningRequest::default()
        }),
        ..crossed(vec![Item::text(Role::User, "hi"), Item::text(Role::Assistant, "ho")])
    };
    let (body, losses) = encode_request(&request);
    assert_eq!(
        body,
        json!({
            "model": "m",
            "input": [
                {"type": "message", "role": "user", "content": "hi"},
                {"type": "message", "role": "assistant", "content": "ho"},
            ],
            "tools": [{"type": "function", "name": "f", "strict": false,
                "parameters": {"type": "object", "properties": {}}}],
            "tool_choice": "required",
            "reasoning": {"effort": "medium"},
            "include": ["reasoning.encrypted_content"],
            "store": false,
        })
    );
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn a_crossed_conversation_with_tools_and_pictures() {
    let png = Source::Inline(Media { media_type: "image/png".into(), data: "AAAA".into() });
    let image = Part::new(PartBody::Image { source: png, detail: None });
    let call = ToolCall {
        call_id: "toolu_1".into(),
        name: "f".into(),
        input: String::new(),
        kind: ToolCallKind::Function,
        cache: None,
    };
    let result = ToolResult {
        call_id: "toolu_1".into(),
        output: vec![Part::text("x"), image],
        is_error: Some(true),
        kind: ToolCallKind::Function,
        cache: None,
    };
    let mut first = Item::new(ItemBody::ToolCall(call));
    first.id = Some("foreign".into());
    let (body, losses) =
        encode_request(&crossed(vec![first, Item::new(ItemBody::ToolResult(result))]));
    assert_eq!(
        body["input"],
        json!([
            {"type": "function_call", "call_id": "toolu_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "toolu_1", "output": [
                {"type": "input_text", "text": "x"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
        ])
    );
    assert_eq!(losses, ["tool_result.is_error"]);
}

fn thinking(text: &str, seal: Option<Seal>) -> Item {
    Item::new(ItemBody::Reasoning(Reasoning { text: vec![text.into()], summary: vec![], seal }))
}

#[test]
fn only_reasoning_under_our_own_seal_goes_to_the_provider() {
    let seal = |dialect| {
        Some(Seal { dialect, hides: true, data: "d".into(), item_id: Some("rs_1".into()) })
    };
    let (body, losses) = encode_request(&crossed(vec![
        thinking("a", seal(Dialect::Messages)),
        thinking("b", None),
        thinking("c", seal(Dialect::Responses)),
    ]));
    assert_eq!(
        body["input"],
        json!([{"type": "reasoning", "id": "rs_1", "encrypted_content": "d",
            "summary": [{"type": "summary_text", "text": "c"}]}])
    );
    assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(losses, ["item.reasoning.seal", "item.reasoning.text"]);
}

#[test]
fn a_foreign_seal_that_a_client_returns_is_the_foreign_thinking_again() {
    let theirs =
        Seal { dialect: Dialect::Messages, hides: false, data: "sig".into(), item_id: None };
    let request = decode_request(&json!({"model": "m", "input": [{
        "type": "reasoning", "id": "rs_x", "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": seal::carry(&theirs, Dialect::Responses),
    }]}));
    let ItemBody::Reasoning(reasoning) = &request.items[0].body else { panic!() };
    assert_eq!(reasoning.text, ["hm"]);
    assert_eq!(reasoning.seal, Some(theirs));
    let (body, losses) = encode_request(&request);
    assert_eq!(body["input"], json!([]));
    assert_eq!(losses, ["item.reasoning.seal", "item.reasoning.text"]);
}

#[test]
fn what_the_dialect_cannot_say_is_reported() {
    let request = Request {
        top_k: Some(3),
        seed: Some(1),
        stop: vec!["x".into()],
        n: Some(2),
        presence_penalty: Some(1.into()),
        ..Request::new(Dialect::Chat, "x")
    };
    let (body, losses) = encode_request(&request);
    assert_eq!(body, json!({"model": "m", "input": [], "store": false}));
    assert_eq!(losses, ["n", "presence_penalty", "seed", "stop", "top_k"]);
}
