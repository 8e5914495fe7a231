//! A client's request into the hub.

use serde_json::Value;

use super::{OURS, item, tool};
use crate::DecodeError;
use crate::format::json::{Fields, parse};
use crate::model::{
    Effort, Extra, Item, LogprobRequest, OutputFormat, Part, ReasoningRequest, Request, Role,
};

/// `include` value that asks for sealed reasoning.
pub(super) const SEALED: &str = "reasoning.encrypted_content";
/// `include` value that asks for token probabilities.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";

/// Reads a request.
pub(super) fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Fields::new(parse("request body", body)?, "")?;
    let mut request = Request::new(OURS, fields.required_string("model")?);
    let input = fields.take_some("input");
    request.instructions = decode_instructions(&mut fields);
    request.tools = tool::decode_all(fields.array("tools")?)?;
    request.tool_choice = fields.take_some("tool_choice").map(tool::decode_choice).transpose()?;
    request.parallel_tool_calls = fields.boolean("parallel_tool_calls")?;
    request.max_tokens = fields.count("max_output_tokens")?;
    request.temperature = fields.number("temperature")?;
    request.top_p = fields.number("top_p")?;
    request.frequency_penalty = fields.number("frequency_penalty")?;
    request.presence_penalty = fields.number("presence_penalty")?;
    request.stream = fields.boolean("stream")?.unwrap_or_default();
    // Usage is always in the terminal event.
    request.stream_usage = request.stream;
    request.metadata = fields.object("metadata")?;
    request.service_tier = fields.string("service_tier")?;
    request.prompt_cache_key = fields.string("prompt_cache_key")?;
    request.store = fields.boolean("store")?;
    let text_rest = decode_text(&mut fields, &mut request)?;
    decode_reasoning(&mut fields, &mut request)?;
    let include_rest = decode_include(&mut fields, &mut request)?;
    let spelt_user = decode_user(&mut fields, &mut request)?;

    request.extra = Extra::new(OURS, fields.rest());
    if let Some(rest) = text_rest {
        request.extra.insert(OURS, "text", rest);
    }
    if !include_rest.is_empty() {
        request.extra.insert(OURS, "include", include_rest.into());
    }
    if spelt_user {
        request.extra.spell(OURS, "user", "safety_identifier");
    }
    match input {
        Some(Value::String(text)) => {
            request.extra.spell(OURS, "input", "string");
            request.items.push(Item::text(Role::User, text));
        }
        Some(Value::Array(values)) => request.items = item::decode_all(values, "input")?,
        Some(_) => {
            return Err(DecodeError::shape("input", "expected a string or a list of items"));
        }
        None => {}
    }
    Ok(request)
}

/// Instructions that are no string stay where they are, for the provider.
fn decode_instructions(fields: &mut Fields) -> Vec<Part> {
    if !fields.peek("instructions").is_some_and(Value::is_string) {
        return Vec::new();
    }
    match fields.take("instructions") {
        Some(Value::String(text)) => vec![Part::text(text)],
        _ => Vec::new(),
    }
}

/// What of `text` the hub has no place for comes back.
fn decode_text(fields: &mut Fields, request: &mut Request) -> Result<Option<Value>, DecodeError> {
    let Some(text) = fields.take_some("text") else { return Ok(None) };
    let mut text = Fields::new(text, "text")?;
    request.verbosity = text.string("verbosity")?;
    let mut odd = None;
    if let Some(format) = text.take_some("format") {
        request.format = decode_format(&format)?;
        odd = Some(format).filter(|_| request.format.is_none());
    }
    let mut rest = text.rest();
    if let Some(format) = odd {
        rest.insert("format".into(), format);
    }
    Ok(Some(rest).filter(|r| !r.is_empty()).map(Value::Object))
}

/// `None` for a form that the hub does not know whole.
fn decode_format(format: &Value) -> Result<Option<OutputFormat>, DecodeError> {
    let mut fields = Fields::new(format.clone(), "text.format")?;
    let kind = fields.required_string("type")?;
    let format = match kind.as_str() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => OutputFormat::JsonSchema {
            name: Some(fields.required_string("name")?),
            description: fields.string("description")?,
            schema: Value::Object(
                fields
                    .object("schema")?
                    .ok_or_else(|| DecodeError::shape(fields.at("schema"), "is required"))?,
            ),
            strict: fields.boolean("strict")?,
        },
        _ => return Ok(None),
    };
    Ok(Some(format).filter(|_| fields.rest().is_empty()))
}

fn decode_reasoning(fields: &mut Fields, request: &mut Request) -> Result<(), DecodeError> {
    let Some(reasoning) = fields.take_some("reasoning") else { return Ok(()) };
    let mut fields = Fields::new(reasoning, "reasoning")?;
    let effort = fields.string("effort")?.map(|word| Effort::from_word(&word));
    let summary = fields.string("summary")?;
    let extra = Extra::new(OURS, fields.rest());
    request.reasoning = Some(ReasoningRequest {
        enabled: (effort == Some(Effort::None)).then_some(false),
        effort,
        summary,
        extra,
        ..ReasoningRequest::default()
    });
    Ok(())
}

/// What of `include` the hub has no word for comes back, in its order.
fn decode_include(fields: &mut Fields, request: &mut Request) -> Result<Vec<Value>, DecodeError> {
    let mut rest = fields.array("include")?;
    let mut asked = |word: &str| {
        let before = rest.len();
        rest.retain(|v| v != word);
        rest.len() < before
    };
    if asked(SEALED) {
        request.reasoning.get_or_insert_default().want_seal = true;
    }
    if asked(LOGPROBS) {
        let top =
            match fields.count("top_logprobs")? {
                None => None,
                Some(n) => Some(u8::try_from(n).map_err(|_| {
                    DecodeError::shape("top_logprobs", format!("{n} is more than 20"))
                })?),
            };
        request.logprobs = Some(LogprobRequest { top });
    }
    Ok(rest)
}

/// The end user has an old and a new name; true if only the new one came.
fn decode_user(fields: &mut Fields, request: &mut Request) -> Result<bool, DecodeError> {
    request.user = fields.string("user")?;
    if request.user.is_some() {
        return Ok(false);
    }
    request.user = fields.string("safety_identifier")?;
    Ok(request.user.is_some())
}

/// The field that asks for state kept between requests, if one does. A
/// stateless server refuses such a request; an unset `store` asks for nothing.
pub fn state_asked(request: &Request) -> Option<&'static str> {
    let extra = |name: &str| request.extra.get(OURS, name).filter(|v| !v.is_null());
    if request.store == Some(true) {
        return Some("store");
    }
    if extra("background") == Some(&Value::Bool(true)) {
        return Some("background");
    }
    ["conversation", "previous_response_id"].into_iter().find(|name| extra(name).is_some())
}
