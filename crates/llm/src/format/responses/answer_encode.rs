//! The hub into a complete answer to a client, in the strict shape.

use serde_json::{Map, Value, json};

use super::request_encode::{text_part, with_late};
use super::{OURS, cross, echo, error, part, status, usage};
use crate::format::json::to_vec;
use crate::model::{Answer, ApiError, Item, ItemBody, Reasoning, Role, Stop, ToolCallKind, Usage};
use crate::{AnswerContext, seal};

/// Writes a complete answer.
pub(super) fn encode(answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
    let frame = Frame::new(context);
    let mut ids = context.ids;
    let crossed;
    // One without an id is an engine's, which has no ids of its own.
    let answer = if answer.origin == OURS && !answer.id.is_empty() {
        answer
    } else {
        crossed = cross::answer(answer, &mut ids);
        &crossed
    };
    let mut value = frame.response(answer, None);
    if let (true, Some(id)) = (answer.id.is_empty(), value.get_mut("id")) {
        *id = ids.next("resp_").into();
    }
    to_vec(&value)
}

/// What every response object of one exchange shares.
#[derive(Debug)]
pub(super) struct Frame {
    echo: Map<String, Value>,
    model: String,
    created: i64,
    /// The time of day as last told; a completed answer was completed then.
    pub(super) now: i64,
}

impl Frame {
    pub(super) fn new(context: &AnswerContext<'_>) -> Self {
        Self {
            echo: echo::echo(context.request),
            model: context.model.to_owned(),
            created: context.created,
            now: context.created,
        }
    }

    /// The response object of an answer in this dialect's form: as far as it
    /// came if `error` ended it.
    pub(super) fn response(&self, answer: &Answer, error: Option<&ApiError>) -> Value {
        let choice = answer.choices.first();
        let stop = choice.and_then(|c| c.stop.as_ref());
        let (status, incomplete) = match error {
            Some(_) => ("failed".to_owned(), Value::Null),
            None => status::encode(stop),
        };
        let items = choice.map(|c| c.items.as_slice()).unwrap_or_default();
        let output = encode_items(items, stop, error.is_some() || stop.is_none());
        let failure = match error {
            Some(error) => error::in_response(error),
            None if status == "failed" => json!({
                "code": "server_error",
                "message": "the provider failed before the answer was complete",
            }),
            None => Value::Null,
        };
        let tier = answer.service_tier.as_deref();
        let created = answer.created.unwrap_or(self.created);
        let told = json!({
            "id": answer.id,
            "object": "response",
            "created_at": created,
            "completed_at": (status == "completed").then(|| self.now.max(created)),
            "status": status,
            "error": failure,
            "incomplete_details": incomplete,
            "model": self.model,
            "output": output,
            "usage": encode_usage(answer.usage.as_ref()),
        });
        let Value::Object(mut object) = told else { return Value::Null };
        for (name, value) in &self.echo {
            object.insert(name.clone(), value.clone());
        }
        if answer.extra.origin == Some(OURS) {
            // The provider knows better than the request what it did.
            object.extend(answer.extra.fields.clone());
            if let Some(tier) = tier {
                object.insert("service_tier".into(), tier.into());
            }
        } else if stop.is_some() {
            object.insert("service_tier".into(), echo::tier(tier, "default").into());
        }
        Value::Object(object)
    }
}

fn encode_usage(usage: Option<&Usage>) -> Value {
    usage.map_or(Value::Null, usage::encode)
}

/// The output: what stands last in a cut answer is incomplete.
fn encode_items(items: &[Item], stop: Option<&Stop>, cut: bool) -> Vec<Value> {
    let cut = cut || status::encode(stop).0 == "incomplete";
    let last = items.len().saturating_sub(1);
    let each = items.iter().enumerate();
    each.filter_map(|(n, item)| {
        let status = if cut && n == last { "incomplete" } else { "completed" };
        encode_item(item, status)
    })
    .collect()
}

/// One output item in the strict shape; `status` where the item says none.
pub(super) fn encode_item(item: &Item, status: &str) -> Option<Value> {
    let mut object = Map::new();
    let id = item.id.as_deref().unwrap_or_default();
    match &item.body {
        ItemBody::Message(message) => {
            let role = match message.role {
                Role::System => "system",
                Role::Developer => "developer",
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            let content: Vec<Value> =
                message.parts.iter().filter_map(part::encode_output).collect();
            object.insert("id".into(), id.into());
            object.insert("type".into(), "message".into());
            object.insert("status".into(), status.into());
            object.insert("role".into(), role.into());
            object.insert("content".into(), content.into());
        }
        ItemBody::Reasoning(reasoning) => {
            object.insert("id".into(), id.into());
            object.insert("type".into(), "reasoning".into());
            let shown = item.extra.spelt(OURS, "shown").is_some();
            encode_reasoning(reasoning, shown, &mut object);
        }
        ItemBody::ToolCall(call) => {
            let (kind, field) = match call.kind {
                ToolCallKind::Function => ("function_call", "arguments"),
                ToolCallKind::Custom => ("custom_tool_call", "input"),
            };
            object.insert("id".into(), id.into());
            object.insert("type".into(), kind.into());
            object.insert("status".into(), status.into());
            object.insert(field.into(), call.input.as_str().into());
            object.insert("call_id".into(), call.call_id.as_str().into());
            object.insert("name".into(), call.name.as_str().into());
        }
        ItemBody::ToolResult(_) => {
            let dropped = &mut crate::Losses::default();
            return super::request_encode::encode_item(item, OURS, dropped);
        }
        ItemBody::Native { dialect, json, .. } if *dialect == OURS => {
            return Some(with_late(json, item));
        }
        ItemBody::Native { .. } => return None,
    }
    if item.extra.origin == Some(OURS) {
        object.extend(item.extra.fields.clone());
    }
    Some(Value::Object(object))
}

fn encode_reasoning(reasoning: &Reasoning, shown: bool, object: &mut Map<String, Value>) {
    let mut reasoning = std::borrow::Cow::Borrowed(reasoning);
    if shown {
        cross::show(reasoning.to_mut());
    }
    let summary = reasoning.summary.iter().map(|text| text_part("summary_text", text));
    object.insert("summary".into(), summary.collect());
    if !reasoning.text.is_empty() {
        let content = reasoning.text.iter().map(|text| text_part("reasoning_text", text));
        object.insert("content".into(), content.collect());
    }
    if let Some(sealed) = &reasoning.seal {
        object.insert("encrypted_content".into(), seal::carry(sealed, OURS).into());
    }
}
