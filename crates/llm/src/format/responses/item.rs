//! Items of a conversation: read from requests and answers alike.

use serde_json::{Map, Value};

use super::{OURS, part};
use crate::DecodeError;
use crate::format::json::Fields;
use crate::model::{
    Extra, Item, ItemBody, Message, Part, Reasoning, Role, ToolCall, ToolCallKind, ToolResult,
};
use crate::seal;

/// Kinds of item that the client's side says; all other kinds unknown to the
/// hub are the model's.
const CLIENT_KINDS: &[&str] = &[
    "item_reference",
    "mcp_approval_response",
    "additional_tools",
    "compaction_trigger",
    "configuration_update",
];

/// Reads a list of items.
pub(super) fn decode_all(values: Vec<Value>, path: &str) -> Result<Vec<Item>, DecodeError> {
    let each = values.into_iter().enumerate();
    each.map(|(n, v)| decode(v, &format!("{path}[{n}]"))).collect()
}

/// Reads one item. A kind that the hub does not know rides along as it is.
pub(super) fn decode(value: Value, path: &str) -> Result<Item, DecodeError> {
    let Some(object) = value.as_object() else {
        return Err(DecodeError::shape(path, "expected an object"));
    };
    let kind = match object.get("type") {
        Some(Value::String(kind)) => kind.clone(),
        None | Some(Value::Null) if object.contains_key("role") => "message".to_owned(),
        None | Some(Value::Null) if object.contains_key("id") => "item_reference".to_owned(),
        None | Some(Value::Null) => return Err(DecodeError::shape(path, "needs a type or a role")),
        Some(_) => return Err(DecodeError::shape(format!("{path}.type"), "expected a string")),
    };
    match kind.as_str() {
        "message" => decode_message(value, path),
        "function_call" => decode_call(value, path, ToolCallKind::Function),
        "custom_tool_call" => decode_call(value, path, ToolCallKind::Custom),
        "function_call_output" => decode_result(value, path, ToolCallKind::Function),
        "custom_tool_call_output" => decode_result(value, path, ToolCallKind::Custom),
        "reasoning" => decode_reasoning(value, path),
        _ => Ok(native(value, &kind)),
    }
}

fn native(json: Value, kind: &str) -> Item {
    let from_client = CLIENT_KINDS.contains(&kind) || kind.ends_with("_output");
    Item::new(ItemBody::Native { dialect: OURS, json, from_model: !from_client })
}

fn item(id: Option<String>, body: ItemBody, rest: Map<String, Value>) -> Item {
    Item { id, joined: false, body, extra: Extra::new(OURS, rest) }
}

fn decode_message(value: Value, path: &str) -> Result<Item, DecodeError> {
    let role = match value.get("role").and_then(Value::as_str) {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some("developer") => Role::Developer,
        Some(_) => return Ok(native(value, "message")),
        None => return Err(DecodeError::shape(format!("{path}.role"), "is required")),
    };
    let mut fields = Fields::new(value, path)?;
    fields.take("role");
    let typed = fields.take("type").is_some();
    let id = fields.string("id")?;
    let content = fields.take("content").unwrap_or_default();
    let (parts, string) = part::decode_content(content, role, &fields.at("content"))?;
    let mut item = item(id, ItemBody::Message(Message { role, parts }), fields.rest());
    if string {
        item.extra.spell(OURS, "content", "string");
    }
    if !typed {
        item.extra.spell(OURS, "type", "none");
    }
    Ok(item)
}

fn decode_call(value: Value, path: &str, kind: ToolCallKind) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let id = fields.string("id")?;
    let input = match kind {
        ToolCallKind::Function => fields.required_string("arguments")?,
        ToolCallKind::Custom => fields.required_string("input")?,
    };
    let call = ToolCall {
        call_id: fields.required_string("call_id")?,
        name: fields.required_string("name")?,
        input,
        kind,
        cache: None,
    };
    Ok(item(id, ItemBody::ToolCall(call), fields.rest()))
}

fn decode_result(value: Value, path: &str, kind: ToolCallKind) -> Result<Item, DecodeError> {
    // Without a call id it answers a call that the provider keeps; an output
    // that is neither text nor parts is for the provider to judge.
    let known = value.get("call_id").is_some_and(Value::is_string)
        && value.get("output").is_some_and(|o| o.is_string() || o.is_array());
    if !known {
        return Ok(native(value, "function_call_output"));
    }
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let id = fields.string("id")?;
    let call_id = fields.required_string("call_id")?;
    let output = fields.take("output").unwrap_or_default();
    let (output, string) = part::decode_content(output, Role::User, &fields.at("output"))?;
    let result = ToolResult { call_id, output, is_error: None, kind, cache: None };
    let mut item = item(id, ItemBody::ToolResult(result), fields.rest());
    if string {
        item.extra.spell(OURS, "content", "string");
    }
    Ok(item)
}

/// The texts of a list of parts of one kind; `None` if anything else is in it.
fn texts(value: Option<&Value>, kind: &str) -> Option<Vec<String>> {
    let Some(value) = value.filter(|v| !v.is_null()) else { return Some(Vec::new()) };
    let one = |part: &Value| {
        let part = part.as_object().filter(|p| p.len() == 2)?;
        let typed = part.get("type")?.as_str()? == kind;
        part.get("text")?.as_str().filter(|_| typed).map(str::to_owned)
    };
    value.as_array()?.iter().map(one).collect()
}

fn decode_reasoning(value: Value, path: &str) -> Result<Item, DecodeError> {
    let found = (
        texts(value.get("summary"), "summary_text"),
        texts(value.get("content"), "reasoning_text"),
    );
    let (Some(mut summary), Some(mut text)) = found else { return Ok(native(value, "reasoning")) };
    let mut fields = Fields::new(value, path)?;
    for name in ["type", "summary", "content"] {
        fields.take(name);
    }
    let id = fields.string("id")?;
    let sealed = fields.string("encrypted_content")?.filter(|data| !data.is_empty());
    let seal = sealed.map(|data| seal::read(&data, OURS, true, id.as_deref()));
    let foreign = seal.as_ref().is_some_and(|s| s.dialect != OURS);
    // Another dialect's thinking was shown as a summary: see `cross`.
    if foreign && text.is_empty() && seal.as_ref().is_some_and(|s| !s.hides) {
        text = std::mem::take(&mut summary);
    }
    let seal = seal.filter(|s| !s.data.is_empty());
    let body = ItemBody::Reasoning(Reasoning { text, summary, seal });
    let mut item = item(id, body, fields.rest());
    if foreign {
        item.extra.spell(OURS, "shown", "summary");
    }
    Ok(item)
}

/// True if the parts are what a plain string would say.
pub(super) fn is_plain_text(parts: &[Part]) -> bool {
    let [part] = parts else { return false };
    let bare = part.extra.is_empty() && part.extra.spelling.is_empty() && part.cache.is_none();
    bare && matches!(&part.body,
        crate::model::PartBody::Text { annotations, logprobs: None, .. } if annotations.is_empty())
}
