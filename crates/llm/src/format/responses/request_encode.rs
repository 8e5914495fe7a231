//! The hub into a request to a provider.

use serde_json::{Map, Value, json};

use super::request_decode::{LOGPROBS, SEALED};
use super::{OURS, item, part, tool};
use crate::format::json::to_vec;
use crate::model::{
    Dialect, Effort, Item, ItemBody, Message, OutputFormat, Part, Reasoning, ReasoningRequest,
    Request, Role, ToolCall, ToolCallKind, ToolResult,
};
use crate::{Losses, RequestTarget};

/// Writes a request.
pub(super) fn encode(
    request: &Request,
    target: &RequestTarget<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    let own = request.origin == OURS;
    let mut object = Map::new();
    object.insert("model".into(), target.model.into());
    if let Some(instructions) = encode_instructions(&request.instructions, losses) {
        object.insert("instructions".into(), instructions.into());
    }
    object.insert("input".into(), encode_input(request, losses));
    encode_tools(request, own, &mut object, losses);
    encode_sampling(request, own, &mut object, losses);
    encode_text(request, &mut object);
    encode_reasoning(request, &mut object, losses);
    encode_include(request, &mut object);
    encode_labels(request, own, &mut object, losses);
    if request.stream {
        object.insert("stream".into(), true.into());
    }
    request.extra.write(OURS, &mut object, "", losses);
    to_vec(&Value::Object(object))
}

/// One text; several are paragraphs of it.
pub(super) fn encode_instructions(parts: &[Part], losses: &mut Losses) -> Option<String> {
    let mut texts = Vec::new();
    for part in parts {
        match part.as_text() {
            Some(text) => texts.push(text),
            None => losses.add("part.native"),
        }
        if part.cache.is_some() {
            losses.add("cache_mark");
        }
        part.extra.write(OURS, &mut Map::new(), "instructions", losses);
    }
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

fn encode_input(request: &Request, losses: &mut Losses) -> Value {
    if request.extra.spelt(OURS, "input").is_some()
        && let [Item { body: ItemBody::Message(message), .. }] = request.items.as_slice()
        && let (true, [part]) = (item::is_plain_text(&message.parts), message.parts.as_slice())
    {
        return part.as_text().unwrap_or_default().into();
    }
    let items = request.items.iter();
    Value::Array(items.filter_map(|item| encode_item(item, request.origin, losses)).collect())
}

/// Writes one item of the conversation; `None` where it cannot be said, which
/// is a loss. Ids of other dialects are not sent: the provider would look
/// for them among its own.
pub(super) fn encode_item(item: &Item, origin: Dialect, losses: &mut Losses) -> Option<Value> {
    let mut object = Map::new();
    match &item.body {
        ItemBody::Message(message) => encode_message(item, message, origin, &mut object, losses),
        ItemBody::Reasoning(reasoning) => {
            encode_thinking(item, reasoning, origin, &mut object, losses)?;
        }
        ItemBody::ToolCall(call) => encode_call(item, call, origin, &mut object, losses),
        ItemBody::ToolResult(result) => encode_result(item, result, origin, &mut object, losses),
        ItemBody::Native { dialect, json, .. } if *dialect == OURS => {
            return Some(with_late(json, item));
        }
        ItemBody::Native { .. } => {
            losses.add("item.native");
            return None;
        }
    }
    item.extra.write(OURS, &mut object, "input", losses);
    Some(Value::Object(object))
}

/// A native item with the fields that its stream told late.
pub(super) fn with_late(json: &Value, item: &Item) -> Value {
    let mut json = json.clone();
    if let (Value::Object(object), Some(OURS)) = (&mut json, item.extra.origin) {
        object.extend(item.extra.fields.clone());
    }
    json
}

fn insert_id(item: &Item, origin: Dialect, object: &mut Map<String, Value>) {
    if let Some(id) = item.id.as_deref().filter(|_| origin == OURS) {
        object.insert("id".into(), id.into());
    }
}

fn encode_message(
    item: &Item,
    message: &Message,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    if item.extra.spelt(OURS, "type").is_none() {
        object.insert("type".into(), "message".into());
    }
    insert_id(item, origin, object);
    let role = match message.role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    object.insert("role".into(), role.into());
    object.insert(
        "content".into(),
        encode_content(item, &message.parts, message.role, origin, losses),
    );
}

/// A single plain text of another dialect goes as a string, which every
/// server of this dialect takes for every role.
fn encode_content(
    item: &Item,
    parts: &[Part],
    role: Role,
    origin: Dialect,
    losses: &mut Losses,
) -> Value {
    let string = origin != OURS || item.extra.spelt(OURS, "content").is_some();
    if let (true, true, [part]) = (string, item::is_plain_text(parts), parts) {
        return part.as_text().unwrap_or_default().into();
    }
    let each = parts.iter();
    Value::Array(each.filter_map(|p| part::encode(p, role, origin, losses)).collect())
}

/// The provider takes back only reasoning that it can check: by its own seal,
/// or, inside the dialect, by whatever the client sent.
fn encode_thinking(
    item: &Item,
    reasoning: &Reasoning,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Option<()> {
    let seal = reasoning.seal.as_ref();
    let ours = seal.is_some_and(|s| s.dialect == OURS);
    let shown = item.extra.spelt(OURS, "shown").is_some();
    if !ours && (origin != OURS || seal.is_some() || shown) {
        if !reasoning.text.is_empty() {
            losses.add("item.reasoning.text");
        }
        if !reasoning.summary.is_empty() {
            losses.add("item.reasoning.summary");
        }
        if seal.is_some() {
            losses.add("item.reasoning.seal");
        }
        return None;
    }
    object.insert("type".into(), "reasoning".into());
    let id = seal.and_then(|s| s.item_id.as_ref()).or(item.id.as_ref().filter(|_| origin == OURS));
    if let Some(id) = id {
        object.insert("id".into(), id.as_str().into());
    }
    // What another dialect calls the thinking was this one's summary.
    let texts = if origin == OURS { &[][..] } else { &reasoning.text[..] };
    let summary = reasoning.summary.iter().chain(texts);
    object.insert("summary".into(), summary.map(|text| text_part("summary_text", text)).collect());
    if origin == OURS && !reasoning.text.is_empty() {
        let content = reasoning.text.iter().map(|text| text_part("reasoning_text", text));
        object.insert("content".into(), content.collect());
    }
    if let Some(seal) = seal {
        object.insert("encrypted_content".into(), seal.data.as_str().into());
    }
    Some(())
}

pub(super) fn text_part(kind: &str, text: &str) -> Value {
    json!({"type": kind, "text": text})
}

fn encode_call(
    item: &Item,
    call: &ToolCall,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let (kind, field) = match call.kind {
        ToolCallKind::Function => ("function_call", "arguments"),
        ToolCallKind::Custom => ("custom_tool_call", "input"),
    };
    let empty = call.input.is_empty() && call.kind == ToolCallKind::Function && origin != OURS;
    let input = if empty { "{}" } else { &call.input };
    object.insert("type".into(), kind.into());
    insert_id(item, origin, object);
    object.insert("call_id".into(), call.call_id.as_str().into());
    object.insert("name".into(), call.name.as_str().into());
    object.insert(field.into(), input.into());
    if call.cache.is_some() {
        losses.add("cache_mark");
    }
}

fn encode_result(
    item: &Item,
    result: &ToolResult,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let kind = match result.kind {
        ToolCallKind::Function => "function_call_output",
        ToolCallKind::Custom => "custom_tool_call_output",
    };
    object.insert("type".into(), kind.into());
    insert_id(item, origin, object);
    object.insert("call_id".into(), result.call_id.as_str().into());
    let output = if result.output.is_empty() && origin != OURS {
        "".into()
    } else {
        encode_content(item, &result.output, Role::User, origin, losses)
    };
    object.insert("output".into(), output);
    if result.is_error == Some(true) {
        losses.add("tool_result.is_error");
    }
    if result.cache.is_some() {
        losses.add("cache_mark");
    }
}

fn encode_tools(
    request: &Request,
    own: bool,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let tools = tool::encode_all(&request.tools, own, losses);
    // A choice without tools is refused.
    let any = own || !tools.is_empty();
    if !tools.is_empty() {
        object.insert("tools".into(), tools.into());
    }
    let choice = request.tool_choice.as_ref().filter(|_| any);
    let choice = choice.and_then(|c| tool::encode_choice(c, &request.tools, losses));
    if let Some(choice) = choice {
        object.insert("tool_choice".into(), choice);
    }
    if let Some(parallel) = request.parallel_tool_calls.filter(|_| any) {
        object.insert("parallel_tool_calls".into(), parallel.into());
    }
}

fn encode_sampling(
    request: &Request,
    own: bool,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    if let Some(max) = request.max_tokens {
        object.insert("max_output_tokens".into(), max.into());
    }
    if let Some(temperature) = &request.temperature {
        object.insert("temperature".into(), temperature.clone().into());
    }
    if let Some(top_p) = &request.top_p {
        object.insert("top_p".into(), top_p.clone().into());
    }
    // Open Responses has the penalties, OpenAI refuses them: they are sent
    // where the client wrote them in this dialect.
    let penalties: [(&'static str, _); 2] = [
        ("frequency_penalty", &request.frequency_penalty),
        ("presence_penalty", &request.presence_penalty),
    ];
    for (name, value) in penalties {
        match value {
            Some(value) if own => {
                object.insert(name.into(), value.clone().into());
            }
            Some(_) => losses.add(name),
            None => {}
        }
    }
    let lost = [
        (request.top_k.is_some(), "top_k"),
        (request.seed.is_some(), "seed"),
        (!request.stop.is_empty(), "stop"),
        (request.n.is_some_and(|n| n > 1), "n"),
    ];
    for (there, name) in lost {
        if there {
            losses.add(name);
        }
    }
    if let Some(top) = request.logprobs.and_then(|l| l.top) {
        object.insert("top_logprobs".into(), top.into());
    }
}

fn encode_text(request: &Request, object: &mut Map<String, Value>) {
    let mut text = match request.extra.get(OURS, "text") {
        Some(Value::Object(rest)) => rest.clone(),
        _ => Map::new(),
    };
    if let Some(format) = &request.format {
        text.insert("format".into(), encode_format(format, false));
    }
    if let Some(verbosity) = &request.verbosity {
        text.insert("verbosity".into(), verbosity.as_str().into());
    }
    if !text.is_empty() {
        object.insert("text".into(), text.into());
    }
}

/// Writes the output format; `strict_shape` as an answer shows it, with every
/// key.
pub(super) fn encode_format(format: &OutputFormat, strict_shape: bool) -> Value {
    match format {
        OutputFormat::Text => json!({"type": "text"}),
        OutputFormat::JsonObject => json!({"type": "json_object"}),
        OutputFormat::JsonSchema { name, description, schema, strict } => {
            let mut value =
                json!({"type": "json_schema", "name": name.as_deref().unwrap_or("output")});
            if description.is_some() || strict_shape {
                value["description"] = json!(description);
            }
            value["schema"] = schema.clone();
            if strict.is_some() || strict_shape {
                value["strict"] = strict.unwrap_or_default().into();
            }
            value
        }
    }
}

fn encode_reasoning(request: &Request, object: &mut Map<String, Value>, losses: &mut Losses) {
    let Some(reasoning) = &request.reasoning else { return };
    let mut value = Map::new();
    if let Some(effort) = effort(reasoning, request.origin, losses) {
        value.insert("effort".into(), effort.word().into());
    }
    if let Some(summary) = &reasoning.summary {
        value.insert("summary".into(), summary.as_str().into());
    }
    reasoning.extra.write(OURS, &mut value, "reasoning", losses);
    if !value.is_empty() {
        object.insert("reasoning".into(), value.into());
    }
}

/// The effort by word; a budget in tokens becomes the nearest word.
fn effort(reasoning: &ReasoningRequest, origin: Dialect, losses: &mut Losses) -> Option<Effort> {
    if let Some(effort) = &reasoning.effort {
        return Some(effort.clone());
    }
    match (reasoning.enabled, reasoning.budget_tokens) {
        (Some(false), _) if origin != OURS => {
            // `none` is refused by models that always think and by those that
            // never do; saying nothing is right for the latter only.
            losses.add("reasoning.enabled");
            None
        }
        (_, Some(budget)) => Some(match budget {
            0..=2_048 => Effort::Low,
            2_049..=8_192 => Effort::Medium,
            _ => Effort::High,
        }),
        _ => None,
    }
}

/// Reasoning of another dialect's request comes back sealed, so that nothing
/// hangs on what the provider keeps. Models that do not reason refuse the
/// wish, so it is only added where reasoning was asked for or is there.
fn encode_include(request: &Request, object: &mut Map<String, Value>) {
    let mut include = Vec::new();
    let reasoning = request.reasoning.as_ref();
    let asked = reasoning.is_some_and(|r| {
        r.want_seal
            || request.origin != OURS
                && r.enabled != Some(false)
                && (r.effort.is_some() || r.enabled.is_some() || r.budget_tokens.is_some())
    });
    let sealed = |item: &Item| matches!(&item.body, ItemBody::Reasoning(r) if r.seal.as_ref().is_some_and(|s| s.dialect == OURS));
    if asked || request.origin != OURS && request.items.iter().any(sealed) {
        include.push(Value::from(SEALED));
    }
    if request.logprobs.is_some() {
        include.push(Value::from(LOGPROBS));
    }
    if let Some(Value::Array(rest)) = request.extra.get(OURS, "include") {
        include.extend(rest.iter().cloned());
    }
    if !include.is_empty() {
        object.insert("include".into(), include.into());
    }
}

fn encode_labels(
    request: &Request,
    own: bool,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    if let Some(user) = &request.user {
        let new_name = request.extra.spelt(OURS, "user").is_some();
        let name = if new_name { "safety_identifier" } else { "user" };
        object.insert(name.into(), user.as_str().into());
    }
    if let Some(metadata) = &request.metadata {
        object.insert("metadata".into(), metadata.clone().into());
    }
    match request.service_tier.as_deref() {
        None => {}
        Some("standard_only") if request.origin == Dialect::Messages => {
            object.insert("service_tier".into(), "default".into());
        }
        Some(tier) if request.origin != Dialect::Messages || tier == "auto" => {
            object.insert("service_tier".into(), tier.into());
        }
        Some(_) => losses.add("service_tier"),
    }
    if let Some(key) = &request.prompt_cache_key {
        object.insert("prompt_cache_key".into(), key.as_str().into());
    }
    // State of a crossed conversation is the client's, never the provider's.
    let store = if own { request.store } else { Some(false) };
    if let Some(store) = store {
        object.insert("store".into(), store.into());
    }
}
