//! Messages into items. One wire message of the model becomes several items:
//! its reasoning, what it says, its calls; all but the first are `joined`.

use serde_json::{Map, Value};

use super::{ME, annotation, call_id, part, reasoning};
use crate::DecodeError;
use crate::format::json::Fields;
use crate::model::{
    Annotation, Item, ItemBody, Message, Part, PartBody, Role, ToolCall, ToolCallKind, ToolResult,
};

/// What later messages need to know of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// Id, name and form of each call so far.
    calls: Vec<(String, String, ToolCallKind)>,
    /// The answer's id and choice, if it is one: goes into invented ids.
    answer: (String, u32),
    /// How many calls had no id.
    nameless: usize,
}

impl Conversation {
    /// For one choice of an answer.
    pub(super) fn of_answer(id: &str, choice: u32) -> Self {
        Self { answer: (id.to_owned(), choice), ..Self::default() }
    }

    fn invent_id(&mut self) -> String {
        self.nameless += 1;
        call_id::invent(&self.answer.0, self.answer.1, self.nameless - 1)
    }

    /// One of a request's messages.
    pub(super) fn decode(
        &mut self,
        value: Value,
        path: &str,
        items: &mut Vec<Item>,
    ) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, path)?;
        let role = fields.required_string("role")?;
        match role.as_str() {
            "system" => items.push(plain(Role::System, fields)?),
            "developer" => items.push(plain(Role::Developer, fields)?),
            "user" => items.push(plain(Role::User, fields)?),
            "assistant" => {
                let said = self.assistant(fields)?;
                items.extend(said);
            }
            "tool" | "function" => items.push(self.result(&role, fields)?),
            other => {
                return Err(DecodeError::shape(
                    fields.at("role"),
                    format!(
                        "expected system, developer, user, assistant, tool or function, found {other}"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A message of the model, in a request or an answer.
    pub(super) fn assistant(&mut self, mut fields: Fields) -> Result<Vec<Item>, DecodeError> {
        let mut items = reasoning::take(&mut fields)?;
        let empty = take_said(&mut fields, &mut items)?;
        let had_content = empty.is_some();
        self.take_calls(&mut fields, &mut items)?;
        if items.is_empty() {
            items.push(message(Role::Assistant, Vec::new()));
            if had_content
                && let Some(ItemBody::Message(m)) = items.first_mut().map(|i| &mut i.body)
            {
                m.parts.push(Part::text(""));
            }
        } else if had_content && !items.iter().any(|i| matches!(i.body, ItemBody::Message(_))) {
            // An empty content beside calls or reasoning says nothing.
            if let Some(first) = items.first_mut() {
                first.extra.spell(ME, "content", empty.unwrap_or_default());
            }
        }
        for item in items.iter_mut().skip(1) {
            item.joined = true;
        }
        if let Some(first) = items.first_mut() {
            keep_message_extras(first, fields.rest());
        }
        Ok(items)
    }

    fn take_calls(
        &mut self,
        fields: &mut Fields,
        items: &mut Vec<Item>,
    ) -> Result<(), DecodeError> {
        let path = fields.at("tool_calls");
        for (n, call) in fields.array("tool_calls")?.into_iter().enumerate() {
            let mut item = tool_call(call, &format!("{path}[{n}]"))?;
            if let ItemBody::ToolCall(call) = &mut item.body {
                // A call without id could not be answered.
                if call.call_id.is_empty() {
                    call.call_id = self.invent_id();
                }
                self.calls.push((call.call_id.clone(), call.name.clone(), call.kind));
            }
            items.push(item);
        }
        // Some servers fill the deprecated field with nothing.
        let named = |call: &Map<String, Value>| {
            call.get("name").is_some_and(|name| name.as_str() != Some(""))
        };
        let legacy = fields.object("function_call")?.filter(named);
        if let Some(call) = legacy {
            let mut inner = Fields::new(call.into(), fields.at("function_call"))?;
            let name = inner.required_string("name")?;
            let call_id = self.invent_id();
            self.calls.push((call_id.clone(), name.clone(), ToolCallKind::Function));
            let mut item = Item::new(ItemBody::ToolCall(ToolCall {
                call_id,
                name,
                input: arguments(inner.take("arguments")),
                kind: ToolCallKind::Function,
                cache: None,
            }));
            item.extra.spell(ME, "function_call", true);
            items.push(item);
        }
        Ok(())
    }

    fn result(&mut self, role: &str, mut fields: Fields) -> Result<Item, DecodeError> {
        let content = fields.take("content").unwrap_or_default();
        let is_list = content.is_array();
        let output = part::decode_content(content, &fields.at("content"))?;
        let is_legacy = role == "function";
        let call_id = if is_legacy {
            // The latest call of that name is the one it answers.
            let name = fields.required_string("name")?;
            let call = self.calls.iter().rev().find(|(_, called, _)| *called == name);
            call.map_or(name, |(id, ..)| id.clone())
        } else {
            fields.required_string("tool_call_id")?
        };
        let kind = self
            .calls
            .iter()
            .rev()
            .find(|(id, ..)| *id == call_id)
            .map_or(ToolCallKind::Function, |(.., kind)| *kind);
        let mut item = Item::new(ItemBody::ToolResult(ToolResult {
            call_id,
            output,
            is_error: None,
            kind,
            cache: None,
        }));
        if is_legacy {
            item.extra.spell(ME, "function_call", true);
        }
        if is_list {
            item.extra.spell(ME, "content", "list");
        }
        keep_message_extras(&mut item, fields.rest());
        Ok(item)
    }
}

fn message(role: Role, parts: Vec<Part>) -> Item {
    Item::new(ItemBody::Message(Message { role, parts }))
}

fn plain(role: Role, mut fields: Fields) -> Result<Item, DecodeError> {
    let content = fields.take("content").unwrap_or_default();
    let is_list = content.is_array();
    let parts = part::decode_content(content, &fields.at("content"))?;
    let mut item = message(role, parts);
    if is_list {
        item.extra.spell(ME, "content", "list");
    }
    keep_message_extras(&mut item, fields.rest());
    Ok(item)
}

/// Fields of the message, on its first item. A call has fields of its own, so
/// there they stand under `message`.
fn keep_message_extras(first: &mut Item, rest: Map<String, Value>) {
    if rest.is_empty() {
        return;
    }
    if matches!(first.body, ItemBody::ToolCall(_) | ItemBody::Native { .. }) {
        first.extra.insert(ME, "message", Value::Object(rest));
        return;
    }
    for (name, value) in rest {
        first.extra.insert(ME, &name, value);
    }
}

/// Takes content, refusal, pictures, sound and annotations: everything said.
/// Returns the content if it was there but empty.
fn take_said(fields: &mut Fields, items: &mut Vec<Item>) -> Result<Option<Value>, DecodeError> {
    let content = fields.take("content").unwrap_or_default();
    let path = fields.at("content");
    let is_list = content.is_array();
    let is_empty = content == "" || content.as_array().is_some_and(Vec::is_empty);
    let empty = is_empty.then(|| content.clone());
    let mut parts = Vec::new();
    match content {
        Value::Array(list) => {
            for (n, value) in list.into_iter().enumerate() {
                if value.get("type").and_then(Value::as_str) == Some("thinking") {
                    flush(&mut parts, is_list, items);
                    items.push(reasoning::take_thinking(value));
                } else {
                    parts.push(part::decode(value, &format!("{path}[{n}]"))?);
                }
            }
        }
        content if content != "" => parts = part::decode_content(content, &path)?,
        _ => {}
    }
    if let Some(refusal) = fields.string("refusal")?.filter(|r| !r.is_empty()) {
        let mut part = Part::new(PartBody::Refusal(refusal));
        part.extra.spell(ME, "field", true);
        parts.push(part);
    }
    for image in fields.array("images")? {
        let mut part = part::decode(image, &fields.at("images"))?;
        part.extra.spell(ME, "field", true);
        parts.push(part);
    }
    if let Some(audio) = fields.object("audio")?.filter(|audio| !audio.is_empty()) {
        let mut json = Map::new();
        json.insert("audio".into(), audio.into());
        parts.push(Part::new(PartBody::Native { dialect: ME, json: json.into() }));
    }
    take_annotations(fields, &mut parts)?;
    flush(&mut parts, is_list, items);
    Ok(empty)
}

fn flush(parts: &mut Vec<Part>, is_list: bool, items: &mut Vec<Item>) {
    if parts.is_empty() {
        return;
    }
    let mut item = message(Role::Assistant, std::mem::take(parts));
    if is_list {
        item.extra.spell(ME, "content", "list");
    }
    items.push(item);
}

/// Annotations go to the text they are about; without one they stay extras.
fn take_annotations(fields: &mut Fields, parts: &mut [Part]) -> Result<(), DecodeError> {
    let text = parts.iter_mut().rev().find_map(|part| match &mut part.body {
        PartBody::Text { annotations, .. } => Some(annotations),
        _ => None,
    });
    match text {
        Some(annotations) => {
            let list = fields.array("annotations")?;
            annotations
                .extend(list.into_iter().map(annotation::decode).collect::<Vec<Annotation>>());
        }
        None if fields.peek("annotations").is_some_and(is_empty_list) => {
            fields.take("annotations");
        }
        None => {}
    }
    Ok(())
}

fn is_empty_list(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// A call's arguments: text, or, from servers that parse them, the object.
pub(super) fn arguments(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// One of a message's `tool_calls`.
fn tool_call(value: Value, path: &str) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let kind = fields.string("type")?;
    let mut function = fields.object("function")?.filter(|o| !o.is_empty());
    let mut custom = fields.object("custom")?.filter(|o| !o.is_empty());
    let is_custom = kind.as_deref() == Some("custom") || (function.is_none() && custom.is_some());
    let (key, inner) =
        if is_custom { ("custom", custom.take()) } else { ("function", function.take()) };
    let inner = inner.ok_or_else(|| DecodeError::shape(fields.at(key), "is required"))?;
    let mut inner = Fields::new(inner.into(), fields.at(key))?;
    let call_id = fields.string("id")?.unwrap_or_default();
    let has_input = inner.peek(if is_custom { "input" } else { "arguments" }).is_some();
    let mut item = Item::new(ItemBody::ToolCall(ToolCall {
        call_id,
        name: inner.required_string("name")?,
        input: arguments(inner.take(if is_custom { "input" } else { "arguments" })),
        kind: if is_custom { ToolCallKind::Custom } else { ToolCallKind::Function },
        cache: None,
    }));
    if !has_input {
        item.extra.spell(ME, "no_input", true);
    }
    let inner = inner.rest();
    for (name, value) in fields.rest() {
        item.extra.insert(ME, &name, value);
    }
    if !inner.is_empty() {
        item.extra.insert(ME, key, Value::Object(inner));
    }
    Ok(item)
}
