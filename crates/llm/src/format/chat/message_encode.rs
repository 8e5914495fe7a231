//! Items into messages. What the model says in one turn is one message, so
//! neighbouring items of the model are joined; an item that came from Chat
//! starts a message of its own unless it says that it was joined.

use serde_json::{Map, Value, json};

use super::part::Scope;
use super::{ME, annotation, call_id, part, reasoning};
use crate::codec::Quirk;
use crate::model::{
    Annotation, Item, ItemBody, Message, Part, PartBody, Role, Source, ToolCall, ToolCallKind,
    ToolResult,
};

/// All of a request's messages.
pub(super) fn encode_all(
    instructions: &[Part],
    items: &[Item],
    scope: &mut Scope<'_>,
) -> Vec<Value> {
    let mut messages = Vec::new();
    if !instructions.is_empty() {
        let mut message = message_of("system");
        message.insert("content".into(), content(instructions, false, scope));
        messages.push(Value::Object(message));
    }
    let mut pictures: Vec<Value> = Vec::new();
    let mut rest = items;
    while let Some(first) = rest.first() {
        if !matches!(first.body, ItemBody::ToolResult(_)) {
            push_pictures(&mut pictures, &mut messages);
        }
        let group = if first.is_from_model() { group_len(rest, scope.is_ours) } else { 1 };
        let (turn, later) = rest.split_at(group);
        rest = later;
        match &first.body {
            ItemBody::ToolResult(result) => {
                messages.push(tool_result(first, result, items, &mut pictures, scope));
            }
            ItemBody::Message(said) if said.role != Role::Assistant => {
                messages.push(plain(first, said, scope));
            }
            ItemBody::Native { from_model: false, .. } => scope.losses.add("item.native"),
            _ => messages.extend(assistant(turn, scope).map(Value::Object)),
        }
    }
    push_pictures(&mut pictures, &mut messages);
    messages
}

/// How many of the items, from the first on, are one message of the model.
fn group_len(items: &[Item], is_ours: bool) -> usize {
    let later = items.iter().skip(1);
    1 + later.take_while(|i| i.is_from_model() && (i.joined || !is_ours)).count()
}

fn message_of(role: &str) -> Map<String, Value> {
    let mut message = Map::new();
    message.insert("role".into(), role.into());
    message
}

fn plain(item: &Item, said: &Message, scope: &mut Scope<'_>) -> Value {
    let role = match said.role {
        Role::System => "system",
        Role::Developer if scope.has(Quirk::NoDeveloperRole) => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let mut message = message_of(role);
    let is_list = item.extra.spelt(ME, "content").is_some();
    message.insert("content".into(), content(&said.parts, is_list, scope));
    item.extra.write(ME, &mut message, "messages", scope.losses);
    Value::Object(message)
}

/// Parts as a message's content: one plain text is a string.
fn content(parts: &[Part], is_list: bool, scope: &mut Scope<'_>) -> Value {
    let encoded: Vec<Value> = parts.iter().filter_map(|p| part::encode(p, scope)).collect();
    as_content(encoded, is_list, scope.has(Quirk::StringContent))
}

fn as_content(mut encoded: Vec<Value>, is_list: bool, only_string: bool) -> Value {
    // A text with a cache mark or a field of its own is more than its words.
    let is_plain = |part: &Value| part.as_object().is_some_and(|map| map.len() == 2);
    let is_text = |part: &Value| is_plain(part) && part.get("text").is_some_and(Value::is_string);
    if only_string && encoded.iter().all(is_text) {
        let texts: Vec<&str> = encoded.iter().filter_map(|part| part["text"].as_str()).collect();
        return texts.join("\n\n").into();
    }
    match encoded.as_mut_slice() {
        [] if !is_list => "".into(),
        [one] if !is_list && is_text(one) => one["text"].take(),
        _ => encoded.into(),
    }
}

/// A tool's result. Chat takes only text there; pictures and documents follow
/// in a message of the user, as the field does it.
fn tool_result(
    item: &Item,
    result: &ToolResult,
    items: &[Item],
    pictures: &mut Vec<Value>,
    scope: &mut Scope<'_>,
) -> Value {
    if result.is_error == Some(true) {
        scope.losses.add("tool_result.is_error");
    }
    let mut texts = Vec::new();
    let mut moved = Vec::new();
    for part in &result.output {
        let is_text = match &part.body {
            PartBody::Text { .. } | PartBody::Refusal(_) => true,
            PartBody::File { source, .. } => matches!(source, Source::Text(_)),
            _ => false,
        };
        if is_text || scope.is_ours {
            texts.extend(part::encode(part, scope));
        } else if let PartBody::Native { dialect, .. } = &part.body
            && *dialect != ME
        {
            scope.losses.add("tool_result.native");
        } else {
            moved.extend(part::encode(part, scope));
        }
    }
    if !moved.is_empty() {
        if texts.is_empty() {
            texts.push(json!({"type": "text", "text": "(see the next user message)"}));
        }
        let told = format!("Returned by the tool call {}:", result.call_id);
        pictures.push(json!({"type": "text", "text": told}));
        pictures.append(&mut moved);
    }
    if result.cache.is_some() {
        scope.losses.add("cache_mark");
    }
    let is_legacy = item.extra.spelt(ME, "function_call").is_some();
    let mut message = message_of(if is_legacy { "function" } else { "tool" });
    if is_legacy {
        let called = items.iter().find_map(|i| match &i.body {
            ItemBody::ToolCall(call) if call.call_id == result.call_id => Some(call.name.as_str()),
            _ => None,
        });
        message.insert("name".into(), called.unwrap_or(&result.call_id).into());
    } else {
        message.insert("tool_call_id".into(), call_id::encode(&result.call_id, scope).into());
    }
    let is_list = item.extra.spelt(ME, "content").is_some();
    let only_string = scope.has(Quirk::StringContent);
    message.insert("content".into(), as_content(texts, is_list, only_string));
    item.extra.write(ME, &mut message, "messages", scope.losses);
    Value::Object(message)
}

fn push_pictures(pictures: &mut Vec<Value>, messages: &mut Vec<Value>) {
    if !pictures.is_empty() {
        let mut message = message_of("user");
        message.insert("content".into(), std::mem::take(pictures).into());
        messages.push(Value::Object(message));
    }
}

/// One message of the model; `None` if nothing of it can cross.
pub(super) fn assistant(turn: &[Item], scope: &mut Scope<'_>) -> Option<Map<String, Value>> {
    let mut said = Said::default();
    for item in turn {
        match &item.body {
            ItemBody::Message(message) => said.message(message, item, scope),
            ItemBody::ToolCall(call) => said.calls.push(tool_call(call, item, scope)),
            ItemBody::Reasoning(_) => said.content.extend(reasoning::as_thinking(item)),
            ItemBody::Native { dialect: ME, .. } => {}
            ItemBody::Native { .. } | ItemBody::ToolResult(_) => scope.losses.add("item.native"),
        }
    }
    let mut message = said.into_message(turn, scope);
    write_reasoning(turn, &mut message, scope);
    write_message_extras(turn, &mut message, scope);
    let says = |name: &str| message.get(name).is_some_and(|v| !v.is_null());
    let is_empty = message.keys().all(|k| k == "role" || k == "content") && !says("content");
    (scope.is_ours || scope.target.is_none() || !is_empty).then_some(message)
}

/// What one turn of the model says, part by part.
#[derive(Default)]
struct Said {
    content: Vec<Value>,
    refusals: Vec<String>,
    images: Vec<Value>,
    audio: Option<Value>,
    annotations: Vec<Value>,
    calls: Vec<Value>,
    is_list: bool,
}

impl Said {
    fn message(&mut self, message: &Message, item: &Item, scope: &mut Scope<'_>) {
        let is_list = item.extra.spelt(ME, "content").and_then(Value::as_str) == Some("list");
        self.is_list |= is_list;
        for part in &message.parts {
            let is_field = part.extra.spelt(ME, "field").is_some();
            match &part.body {
                PartBody::Refusal(text) if is_field || !is_list => {
                    self.refusals.push(text.clone());
                }
                PartBody::Image { .. } if scope.target.is_some() && !scope.is_ours => {
                    scope.losses.add("part.image.assistant");
                }
                PartBody::Image { .. } if is_field || !is_list => {
                    self.images.extend(part::encode(part, scope));
                }
                PartBody::Native { dialect: ME, json } if json.get("audio").is_some() => {
                    self.audio = json.get("audio").cloned();
                }
                PartBody::Text { annotations, .. } => {
                    let list: Vec<&Annotation> = annotations.iter().collect();
                    self.annotations.extend(list.into_iter().filter_map(annotation::encode));
                    self.content.extend(part::encode(part, scope));
                }
                _ => self.content.extend(part::encode(part, scope)),
            }
        }
    }

    fn into_message(mut self, turn: &[Item], scope: &mut Scope<'_>) -> Map<String, Value> {
        let mut message = message_of("assistant");
        let thinks = turn.iter().any(|item| item.extra.spelt(ME, "thinking").is_some());
        let empty = turn.first().and_then(|item| item.extra.spelt(ME, "content"));
        let empty = empty.filter(|content| *content != "list").cloned();
        let content = if self.content.is_empty() && !self.is_list {
            empty.unwrap_or_default()
        } else if scope.target.is_none() && !thinks && !(self.is_list && scope.is_ours) {
            // A client expects a string in an answer.
            joined_text(&mut self.content)
        } else {
            as_content(self.content, self.is_list || thinks, scope.has(Quirk::StringContent))
        };
        message.insert("content".into(), content);
        if !self.refusals.is_empty() {
            message.insert("refusal".into(), self.refusals.concat().into());
        } else if scope.target.is_none() {
            message.insert("refusal".into(), Value::Null);
        }
        for (name, list) in [("images", self.images), ("annotations", self.annotations)] {
            if !list.is_empty() {
                message.insert(name.into(), list.into());
            }
        }
        if let Some(audio) = self.audio {
            message.insert("audio".into(), audio);
        }
        let mut calls = self.calls;
        if let Some(at) = calls.iter().position(|call| call.get("function_call").is_some()) {
            let mut legacy = calls.remove(at);
            message.insert("function_call".into(), legacy["function_call"].take());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".into(), calls.into());
        }
        message
    }
}

/// All texts in one string. Parts that are no text have no place in it.
fn joined_text(content: &mut [Value]) -> Value {
    let mut all = String::new();
    for text in content.iter().filter_map(|part| part.get("text")?.as_str()) {
        all.push_str(text);
    }
    all.into()
}

fn tool_call(call: &ToolCall, item: &Item, scope: &mut Scope<'_>) -> Value {
    let mut inner = Map::new();
    inner.insert("name".into(), call.name.as_str().into());
    if item.extra.spelt(ME, "function_call").is_some() {
        inner.insert("arguments".into(), call.input.as_str().into());
        return json!({"function_call": inner});
    }
    let (kind, input) = match call.kind {
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    };
    let mut text = call.input.as_str();
    if call.kind == ToolCallKind::Function && text.is_empty() && !scope.is_ours {
        // Servers that parse arguments refuse an empty text.
        text = "{}";
    }
    if !(text.is_empty() && item.extra.spelt(ME, "no_input").is_some()) {
        inner.insert(input.into(), text.into());
    }
    if let Some(Value::Object(rest)) = item.extra.get(ME, kind) {
        inner.extend(rest.clone());
    }
    if call.cache.is_some() {
        scope.losses.add("cache_mark");
    }
    let mut object = Map::new();
    object.insert("id".into(), call_id::encode(&call.call_id, scope).into());
    object.insert("type".into(), kind.into());
    object.insert(kind.into(), inner.into());
    item.extra.write(ME, &mut object, "messages.tool_calls", scope.losses);
    object.shift_remove("message");
    Value::Object(object)
}

fn write_message_extras(turn: &[Item], message: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    for item in turn {
        match &item.body {
            ItemBody::Message(_) | ItemBody::Reasoning(_) => {
                item.extra.write(ME, message, "messages", scope.losses);
            }
            ItemBody::ToolCall(_) | ItemBody::Native { .. } => {
                if let Some(Value::Object(rest)) = item.extra.get(ME, "message") {
                    message.extend(rest.clone());
                }
            }
            ItemBody::ToolResult(_) => {}
        }
    }
}

/// Reasoning beside the content: as it came, or as the target wants it.
fn write_reasoning(turn: &[Item], message: &mut Map<String, Value>, scope: &mut Scope<'_>) {
    let thoughts: Vec<&Item> = turn
        .iter()
        .filter(|item| {
            let is_kind =
                matches!(item.body, ItemBody::Reasoning(_) | ItemBody::Native { dialect: ME, .. });
            is_kind && item.extra.spelt(ME, "thinking").is_none()
        })
        .collect();
    if thoughts.is_empty() {
        return;
    }
    let Some(target) = scope.target else {
        if !reasoning::write_as_it_came(&thoughts, message) {
            write_for_client(&thoughts, message);
        }
        return;
    };
    if target.has(Quirk::ReasoningContent) {
        let text: String = thoughts.iter().filter_map(|item| text_of(item)).collect();
        message.insert("reasoning_content".into(), text.into());
        lose(&thoughts, false, scope);
    } else if !reasoning::write_as_it_came(&thoughts, message) {
        let is_own = |item: &&Item| matches!(&item.body, ItemBody::Reasoning(r) if reasoning::is_own_seal(r));
        if thoughts.iter().any(is_own) {
            let list = thoughts.iter().filter(|i| is_own(i)).flat_map(|i| reasoning::details(i));
            message.insert(reasoning::DETAILS.into(), list.collect());
        } else {
            lose(&thoughts, true, scope);
        }
    } else {
        drop_foreign_seals(message, &thoughts, scope);
    }
}

fn text_of(item: &Item) -> Option<String> {
    match &item.body {
        ItemBody::Reasoning(reasoning) => Some(reasoning::as_text(reasoning)),
        _ => None,
    }
}

/// A seal of another dialect that a client sent back in our envelope means
/// nothing to a Chat server.
fn drop_foreign_seals(message: &mut Map<String, Value>, thoughts: &[&Item], scope: &mut Scope<'_>) {
    let foreign = |item: &&&Item| match &item.body {
        ItemBody::Reasoning(r) => r.seal.is_some() && !reasoning::is_own_seal(r),
        _ => false,
    };
    if !thoughts.iter().any(|item| foreign(&item)) {
        return;
    }
    scope.losses.add("item.reasoning.seal");
    let kept = thoughts.iter().filter(|item| !foreign(item));
    let list: Vec<Value> = kept.flat_map(|item| reasoning::details(item)).collect();
    message.shift_remove(reasoning::DETAILS);
    if !list.is_empty() {
        message.insert(reasoning::DETAILS.into(), list.into());
    }
}

fn lose(thoughts: &[&Item], texts_too: bool, scope: &mut Scope<'_>) {
    for item in thoughts {
        let ItemBody::Reasoning(reasoning) = &item.body else { continue };
        if texts_too && !reasoning.text.is_empty() {
            scope.losses.add("item.reasoning.text");
        }
        if texts_too && !reasoning.summary.is_empty() {
            scope.losses.add("item.reasoning.summary");
        }
        if reasoning.seal.is_some() {
            scope.losses.add("item.reasoning.seal");
        }
    }
}

/// For a client: one string that most of them show, and the list with the
/// seals, which they return.
fn write_for_client(thoughts: &[&Item], message: &mut Map<String, Value>) {
    let texts: Vec<String> =
        thoughts.iter().filter_map(|item| text_of(item)).filter(|t| !t.is_empty()).collect();
    if !texts.is_empty() {
        message.insert("reasoning_content".into(), texts.join("\n\n").into());
    }
    let is_sealed = |item: &&Item| matches!(&item.body, ItemBody::Reasoning(r) if r.seal.is_some());
    if thoughts.iter().any(is_sealed) {
        let list = thoughts.iter().flat_map(|item| reasoning::details(item));
        message.insert(reasoning::DETAILS.into(), list.collect());
    }
}
