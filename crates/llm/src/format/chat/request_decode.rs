//! A client's request into the hub.

use serde_json::{Map, Value};

use super::message_decode::Conversation;
use super::{ME, thinking, tool};
use crate::DecodeError;
use crate::format::json::{self, Fields};
use crate::model::{Extra, LogprobRequest, OutputFormat, Request};

/// The whole body.
pub(super) fn decode(body: &[u8]) -> Result<Request, DecodeError> {
    let mut fields = Fields::new(json::parse("request body", body)?, "")?;
    let model = fields.required_string("model")?;
    let mut request = Request::new(ME, model);
    let mut spelling = Map::new();
    take_messages(&mut fields, &mut request)?;
    take_tools(&mut fields, &mut request, &mut spelling)?;
    take_limits(&mut fields, &mut request, &mut spelling)?;
    take_sampling(&mut fields, &mut request, &mut spelling)?;
    take_stop(&mut fields, &mut request, &mut spelling)?;
    take_logprobs(&mut fields, &mut request, &mut spelling)?;
    request.format = take_format(&mut fields)?;
    request.reasoning = thinking::take(&mut fields)?;
    request.verbosity = fields.string("verbosity")?;
    take_stream(&mut fields, &mut request, &mut spelling)?;
    take_user(&mut fields, &mut request, &mut spelling)?;
    request.metadata = fields.object("metadata")?;
    request.service_tier = fields.string("service_tier")?;
    request.prompt_cache_key = fields.string("prompt_cache_key")?;
    request.store = fields.boolean("store")?;
    request.extra = Extra::new(ME, fields.rest());
    for (name, value) in spelling {
        request.extra.spell(ME, &name, value);
    }
    Ok(request)
}

fn take_messages(fields: &mut Fields, request: &mut Request) -> Result<(), DecodeError> {
    if fields.peek("messages").is_none_or(Value::is_null) {
        return Err(DecodeError::shape("messages", "is required"));
    }
    let mut conversation = Conversation::default();
    for (n, message) in fields.array("messages")?.into_iter().enumerate() {
        conversation.decode(message, &format!("messages[{n}]"), &mut request.items)?;
    }
    Ok(())
}

fn take_tools(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    for (n, tool) in fields.array("tools")?.into_iter().enumerate() {
        request.tools.push(tool::decode(tool, &format!("tools[{n}]"))?);
    }
    if request.tools.is_empty() {
        for (n, tool) in fields.array("functions")?.into_iter().enumerate() {
            request.tools.push(tool::decode_function(tool, &format!("functions[{n}]"))?);
            spelling.insert("functions".into(), true.into());
        }
    }
    if let Some(choice) = fields.take_some("tool_choice") {
        if choice == "any" {
            spelling.insert("tool_choice".into(), choice.clone());
        } else if choice.is_object() && choice.get("type").is_none() {
            // Hugging Face's client leaves the type out.
            spelling.insert("tool_choice".into(), false.into());
        }
        request.tool_choice = Some(tool::decode_choice(choice));
    } else if let Some(choice) = fields.take_some("function_call") {
        spelling.insert("function_call".into(), true.into());
        request.tool_choice = Some(tool::decode_choice(choice));
    }
    request.parallel_tool_calls = fields.boolean("parallel_tool_calls")?;
    Ok(())
}

fn take_limits(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    request.max_tokens = fields.count("max_completion_tokens")?;
    if request.max_tokens.is_none() {
        request.max_tokens = fields.count("max_tokens")?;
        if request.max_tokens.is_some() {
            spelling.insert("max_tokens".into(), true.into());
        }
    }
    request.n = match fields.count("n")? {
        None => None,
        Some(n) => Some(
            u32::try_from(n)
                .map_err(|_| DecodeError::shape("n", "is larger than any server's limit"))?,
        ),
    };
    Ok(())
}

fn take_sampling(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    request.temperature = fields.number("temperature")?;
    request.top_p = fields.number("top_p")?;
    request.frequency_penalty = fields.number("frequency_penalty")?;
    request.presence_penalty = fields.number("presence_penalty")?;
    // Some servers take -1 for "all": that stays an extra.
    if fields.peek("top_k").is_some_and(Value::is_u64) {
        request.top_k = fields.count("top_k")?;
    }
    for key in ["seed", "random_seed"] {
        let whole = fields.peek(key).and_then(Value::as_i64);
        if request.seed.is_none() && whole.is_some() {
            request.seed = whole;
            fields.take(key);
            if key == "random_seed" {
                spelling.insert(key.into(), true.into());
            }
        }
    }
    Ok(())
}

fn take_stop(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    match fields.take_some("stop") {
        None => {}
        Some(Value::String(one)) => {
            spelling.insert("stop".into(), true.into());
            request.stop.push(one);
        }
        Some(Value::Array(list)) => {
            for (n, stop) in list.into_iter().enumerate() {
                match stop {
                    Value::String(stop) => request.stop.push(stop),
                    other => {
                        let found = json::kind_of(&other);
                        return Err(DecodeError::shape(
                            format!("stop[{n}]"),
                            format!("expected a string, found {found}"),
                        ));
                    }
                }
            }
        }
        Some(other) => {
            let found = json::kind_of(&other);
            return Err(DecodeError::shape(
                "stop",
                format!("expected a string or an array, found {found}"),
            ));
        }
    }
    Ok(())
}

fn take_logprobs(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    match fields.boolean("logprobs")? {
        Some(true) => {
            let top = fields.count("top_logprobs")?;
            let top = match top.map(u8::try_from) {
                None => None,
                Some(Ok(top)) => Some(top),
                Some(Err(_)) => {
                    return Err(DecodeError::shape("top_logprobs", "expected at most 20"));
                }
            };
            request.logprobs = Some(LogprobRequest { top });
        }
        Some(false) => {
            spelling.insert("logprobs".into(), false.into());
        }
        None => {}
    }
    Ok(())
}

/// A form that the hub has no place for (a grammar, a server's own) stays an
/// extra as it is.
fn take_format(fields: &mut Fields) -> Result<Option<OutputFormat>, DecodeError> {
    let Some(Value::Object(format)) = fields.peek("response_format") else {
        return match fields.take_some("response_format") {
            None => Ok(None),
            Some(_) => Err(DecodeError::shape("response_format", "expected an object")),
        };
    };
    let is_known = |map: &Map<String, Value>, known: &[&str]| {
        map.keys().all(|key| known.contains(&key.as_str()))
    };
    let kind = format.get("type").and_then(Value::as_str);
    let simple = match kind {
        Some("text") if format.len() == 1 => Some(OutputFormat::Text),
        Some("json_object") if format.len() == 1 => Some(OutputFormat::JsonObject),
        _ => None,
    };
    if simple.is_some() {
        fields.take("response_format");
        return Ok(simple);
    }
    let fits = kind == Some("json_schema")
        && is_known(format, &["type", "json_schema"])
        && format.get("json_schema").and_then(Value::as_object).is_some_and(|inner| {
            is_known(inner, &["name", "description", "schema", "strict"])
                && inner.get("schema").is_some_and(Value::is_object)
        });
    if !fits {
        return Ok(None);
    }
    let mut format = fields.take("response_format").unwrap_or_default();
    let mut inner = Fields::new(format["json_schema"].take(), "response_format.json_schema")?;
    Ok(Some(OutputFormat::JsonSchema {
        name: inner.string("name")?,
        description: inner.string("description")?,
        schema: inner.take("schema").unwrap_or_default(),
        strict: inner.boolean("strict")?,
    }))
}

fn take_stream(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    match fields.boolean("stream")? {
        Some(true) => request.stream = true,
        Some(false) => {
            spelling.insert("stream".into(), false.into());
        }
        None => {}
    }
    if let Some(options) = fields.object("stream_options")? {
        let mut inner = Fields::new(options.into(), "stream_options")?;
        match inner.boolean("include_usage")? {
            Some(true) => request.stream_usage = true,
            Some(false) => {
                spelling.insert("include_usage".into(), false.into());
            }
            None => {}
        }
        let rest = inner.rest();
        if !rest.is_empty() {
            // Kept apart: the field itself is the hub's.
            spelling.insert("stream_options".into(), rest.into());
        }
    }
    Ok(())
}

fn take_user(
    fields: &mut Fields,
    request: &mut Request,
    spelling: &mut Map<String, Value>,
) -> Result<(), DecodeError> {
    request.user = fields.string("safety_identifier")?;
    if request.user.is_some() {
        spelling.insert("safety_identifier".into(), true.into());
    } else {
        request.user = fields.string("user")?;
    }
    Ok(())
}
