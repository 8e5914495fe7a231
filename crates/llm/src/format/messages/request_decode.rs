//! A client's request into the hub.

use serde_json::{Map, Value};

use super::{OURS, block_decode, plain, thinking, tool};
use crate::DecodeError;
use crate::format::json::{self, Fields, kind_of};
use crate::model::{Extra, Item, OutputFormat, Part, Request, Role};

/// Fields of a request that may stand there without saying anything.
pub(super) const EMPTY: &[&str] = &[
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "stream",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
    "output_format",
    "metadata",
    "service_tier",
];

pub(super) fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Fields::new(json::parse("request body", body)?, "")?;
    let empty = plain::remember(&fields, EMPTY);
    let mut request = Request::new(OURS, fields.required_string("model")?);
    let mut late = Extra::default();
    request.instructions = system(fields.take_some("system"), &mut late)?;
    if fields.peek("messages").is_none_or(Value::is_null) {
        return Err(DecodeError::shape("messages", "is required"));
    }
    for (n, message) in fields.array("messages")?.into_iter().enumerate() {
        request.items.extend(self::message(message, &format!("messages[{n}]"))?);
    }
    request.max_tokens = fields.count("max_tokens")?;
    request.temperature = fields.number("temperature")?;
    request.top_p = fields.number("top_p")?;
    request.top_k = fields.count("top_k")?;
    request.stop = strings(fields.array("stop_sequences")?, "stop_sequences")?;
    request.stream = fields.boolean("stream")?.unwrap_or(false);
    request.stream_usage = true;
    for (n, value) in fields.array("tools")?.into_iter().enumerate() {
        request.tools.push(tool::decode(value, &format!("tools[{n}]"))?);
    }
    if let Some(choice) = fields.take_some("tool_choice") {
        tool::decode_choice(choice, &mut request)?;
    }
    let effort = output(&mut fields, &mut request, &mut late)?;
    request.reasoning = thinking::decode(fields.take_some("thinking"), effort.as_deref())?;
    if let Some(metadata) = fields.object("metadata")? {
        remember_bare("metadata", &metadata, &mut late);
        let mut metadata = Fields::new(metadata.into(), "metadata")?;
        request.user = metadata.string("user_id")?;
        leftover("metadata", metadata.rest(), &mut late);
    }
    request.service_tier = fields.string("service_tier")?;
    request.extra = Extra::new(OURS, fields.rest());
    for (name, value) in late.fields {
        request.extra.insert(OURS, &name, value);
    }
    for (name, value) in late.spelling {
        request.extra.spell(OURS, &name, value);
    }
    plain::keep(empty, &mut request.extra);
    Ok(request)
}

/// What is left of an object of which only some fields are known.
fn leftover(name: &str, rest: Map<String, Value>, extra: &mut Extra) {
    if !rest.is_empty() {
        extra.insert(OURS, name, rest.into());
    }
}

/// Remembers an object without any field.
fn remember_bare(name: &str, object: &Map<String, Value>, extra: &mut Extra) {
    if object.is_empty() {
        extra.spell(OURS, name, "bare");
    }
}

fn system(value: Option<Value>, extra: &mut Extra) -> Result<Vec<Part>, DecodeError> {
    match value {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => {
            extra.spell(OURS, "system_form", "string");
            Ok(vec![Part::text(text)])
        }
        Some(Value::Array(blocks)) => blocks
            .into_iter()
            .enumerate()
            .map(|(n, block)| block_decode::part(block, &format!("system[{n}]")))
            .collect(),
        Some(other) => {
            let found = kind_of(&other);
            Err(DecodeError::shape(
                "system",
                format!("expected a string or an array, found {found}"),
            ))
        }
    }
}

fn message(value: Value, path: &str) -> Result<Vec<Item>, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let role = match fields.required_string("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let message = format!("expected user, assistant or system, found {other:?}");
            return Err(DecodeError::shape(fields.at("role"), message));
        }
    };
    let content = fields
        .take_some("content")
        .ok_or_else(|| DecodeError::shape(fields.at("content"), "is required"))?;
    let mut items = block_decode::content(role, content, &fields.at("content"))?;
    let rest = fields.rest();
    if let Some(first) = items.first_mut().filter(|_| !rest.is_empty()) {
        first.extra.spell(OURS, "message", rest);
    }
    Ok(items)
}

fn strings(values: Vec<Value>, path: &str) -> Result<Vec<String>, DecodeError> {
    let text = |(n, value): (usize, Value)| match value {
        Value::String(text) => Ok(text),
        other => Err(DecodeError::shape(
            format!("{path}[{n}]"),
            format!("expected a string, found {}", kind_of(&other)),
        )),
    };
    values.into_iter().enumerate().map(text).collect()
}

/// `output_config` and the older `output_format`; gives the effort.
fn output(
    fields: &mut Fields,
    request: &mut Request,
    extra: &mut Extra,
) -> Result<Option<String>, DecodeError> {
    let older = fields.take_some("output_format");
    if let Some(format) = older {
        match schema(&format) {
            Some(known) => {
                request.format = Some(known);
                extra.spell(OURS, "format_in", "output_format");
            }
            None => extra.insert(OURS, "output_format", format),
        }
    }
    let Some(config) = fields.object("output_config")? else { return Ok(None) };
    remember_bare("output_config", &config, extra);
    let mut config = Fields::new(config.into(), "output_config")?;
    let effort = config.string("effort")?;
    if request.format.is_none()
        && let Some(known) = config.peek("format").and_then(schema)
    {
        config.take("format");
        request.format = Some(known);
    }
    leftover("output_config", config.rest(), extra);
    Ok(effort)
}

/// The output's form, if it has nothing in it that the hub does not know.
fn schema(format: &Value) -> Option<OutputFormat> {
    let object = format.as_object()?;
    let schema = object.get("schema")?;
    if object.len() != 2 || object.get("type")? != "json_schema" || !schema.is_object() {
        return None;
    }
    Some(OutputFormat::JsonSchema {
        name: None,
        description: None,
        schema: schema.clone(),
        strict: None,
    })
}
