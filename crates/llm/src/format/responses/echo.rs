//! What an answer repeats of its request, in the strict shape of Open
//! Responses: every key is there, null where there is nothing to say.

use serde_json::{Map, Value, json};

use super::request_encode::{encode_format, encode_instructions};
use super::{OURS, tool};
use crate::Losses;
use crate::model::{Effort, Request, Tool, ToolBody};

/// Fields of a request that its answer repeats as they are, with what stands
/// for an absent one.
const REPEATED: [(&str, Value); 5] = [
    ("max_tool_calls", Value::Null),
    ("previous_response_id", Value::Null),
    ("prompt_cache_retention", Value::Null),
    ("top_logprobs", Value::Null),
    ("truncation", Value::Null),
];

/// The part of a response object that follows from the request alone.
pub(super) fn echo(request: &Request) -> Map<String, Value> {
    let mut dropped = Losses::default();
    let choice = request.tool_choice.as_ref();
    let choice = choice.and_then(|c| tool::encode_choice(c, &request.tools, &mut dropped));
    let number = |n: &Option<serde_json::Number>, default: f64| match n {
        Some(n) => Value::Number(n.clone()),
        None => default.into(),
    };
    let new_name = request.extra.spelt(OURS, "user").is_some();
    let (user, identifier) =
        if new_name { (None, request.user.as_ref()) } else { (request.user.as_ref(), None) };
    let value = json!({
        "background": false,
        "frequency_penalty": number(&request.frequency_penalty, 0.0),
        "instructions": encode_instructions(&request.instructions, &mut dropped),
        "max_output_tokens": request.max_tokens,
        "metadata": request.metadata.clone().unwrap_or_default(),
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "presence_penalty": number(&request.presence_penalty, 0.0),
        "prompt_cache_key": request.prompt_cache_key,
        "reasoning": reasoning(request),
        "safety_identifier": identifier,
        "service_tier": tier(request.service_tier.as_deref(), "auto"),
        "store": false,
        "temperature": number(&request.temperature, 1.0),
        "text": text(request),
        "tool_choice": choice.unwrap_or_else(|| "auto".into()),
        "tools": request.tools.iter().filter_map(strict_tool).collect::<Vec<_>>(),
        "top_p": number(&request.top_p, 1.0),
    });
    let Value::Object(mut echo) = value else { return Map::new() };
    if let Some(user) = user {
        echo.insert("user".into(), user.as_str().into());
    }
    for (name, absent) in REPEATED {
        let given = request.extra.get(OURS, name).cloned();
        echo.insert(name.to_owned(), given.unwrap_or(absent));
    }
    let top = request.logprobs.and_then(|l| l.top);
    if top.is_some() || echo.get("top_logprobs").is_none_or(Value::is_null) {
        echo.insert("top_logprobs".into(), top.unwrap_or_default().into());
    }
    if echo.get("truncation").is_none_or(Value::is_null) {
        echo.insert("truncation".into(), "disabled".into());
    }
    echo
}

/// A lane by a word that clients of this dialect know, else `other`.
pub(super) fn tier(word: Option<&str>, other: &str) -> String {
    match word {
        Some(word @ ("auto" | "default" | "flex" | "scale" | "priority")) => word.to_owned(),
        _ => other.to_owned(),
    }
}

fn text(request: &Request) -> Value {
    let mut text = match request.extra.get(OURS, "text") {
        Some(Value::Object(rest)) => rest.clone(),
        _ => Map::new(),
    };
    let format = request.format.as_ref().map(|f| encode_format(f, true));
    if let Some(format) = format {
        text.insert("format".into(), format);
    }
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    text.insert("verbosity".into(), request.verbosity.as_deref().unwrap_or("medium").into());
    Value::Object(text)
}

fn reasoning(request: &Request) -> Value {
    let asked = request.reasoning.as_ref();
    let effort = asked.and_then(|r| r.effort.as_ref()).map(Effort::word);
    json!({"effort": effort, "summary": asked.and_then(|r| r.summary.as_deref())})
}

fn strict_tool(tool: &Tool) -> Option<Value> {
    let ToolBody::Function { name, description, schema, strict } = &tool.body else {
        let one = std::slice::from_ref(tool);
        return tool::encode_all(one, true, &mut Losses::default()).pop();
    };
    let value = json!({
        "type": "function",
        "name": name,
        "description": description,
        "parameters": schema,
        "strict": strict,
    });
    let Value::Object(mut object) = value else { return None };
    super::restore(&tool.extra, &mut object);
    Some(Value::Object(object))
}
