//! The hub into a request to a provider.

use serde_json::{Map, Number, Value, json};

use super::block_encode::{Place, Writer, lone_text};
use super::request_decode::EMPTY;
use super::thinking::{self, Thinking};
use super::{OURS, conversation, plain, tool};
use crate::codec::{EncodeError, Losses, Quirk, RequestTarget};
use crate::model::{OutputFormat, Part, Request};

pub(super) fn encode(
    request: &Request,
    target: &RequestTarget<'_>,
    losses: &mut Losses,
) -> Result<Map<String, Value>, EncodeError> {
    let own = request.origin == OURS;
    let mut object = Map::new();
    object.insert("model".into(), target.model.into());
    let limit = request.max_tokens.unwrap_or(target.default_max_tokens).max(1);
    object.insert("max_tokens".into(), limit.into());
    write_conversation(request, losses, &mut object)?;
    let thinking = thinking::encode(request, target, limit, losses);
    write_sampling(request, target, thinking.is_on(), losses, &mut object);
    write_tools(request, losses, &mut object);
    write_output(request, thinking, losses, &mut object);
    if !request.stop.is_empty() {
        // Blank stop strings are refused here and pointless elsewhere.
        let blank = |s: &&String| own || !s.trim().is_empty();
        let stop: Vec<&String> = request.stop.iter().filter(blank).collect();
        if stop.len() < request.stop.len() {
            losses.add("stop");
        }
        if !stop.is_empty() {
            object.insert("stop_sequences".into(), json!(stop));
        }
    }
    if request.stream {
        object.insert("stream".into(), true.into());
    }
    if let Some(user) = &request.user {
        object.insert("metadata".into(), json!({"user_id": user}));
    }
    if let Some(tier) = service_tier(request, losses) {
        object.insert("service_tier".into(), tier.into());
    }
    report_unsayable(request, losses);
    write_extra(request, losses, &mut object);
    Ok(object)
}

fn write_conversation(
    request: &Request,
    losses: &mut Losses,
    object: &mut Map<String, Value>,
) -> Result<(), EncodeError> {
    let mut writer = Writer { own: request.origin == OURS, losses };
    let mut hoisted = Vec::new();
    let mut messages = conversation::encode(request, &mut writer, &mut hoisted);
    let mut parts: Vec<&Part> = request.instructions.iter().chain(hoisted).collect();
    if messages.is_empty() && !writer.own {
        // A conversation of nothing but standing orders is one that others
        // answer; here it must be somebody's turn.
        let last = parts.pop().and_then(|part| writer.part(part, Place::User));
        let Some(block) = last else {
            return Err(EncodeError {
                field: "messages".to_owned(),
                message: "there is nothing to answer: send at least one message with content"
                    .to_owned(),
            });
        };
        messages.push(json!({"role": "user", "content": [block]}));
    }
    let blocks: Vec<Value> =
        parts.iter().filter_map(|part| writer.part(part, Place::System)).collect();
    let as_string = !writer.own || request.extra.spelt(OURS, "system_form").is_some();
    let text = match blocks.as_slice() {
        [only] if as_string => lone_text(only).map(Value::from),
        _ => None,
    };
    if !blocks.is_empty() {
        object.insert("system".into(), text.unwrap_or_else(|| blocks.into()));
    }
    object.insert("messages".into(), messages.into());
    Ok(())
}

fn write_sampling(
    request: &Request,
    target: &RequestTarget<'_>,
    thinks: bool,
    losses: &mut Losses,
    object: &mut Map<String, Value>,
) {
    let own = request.origin == OURS;
    // Beside thinking the dialect refuses sampling that is not its default.
    let refused = target.has(Quirk::NoSampling) || (thinks && !own);
    let top_k = request.top_k.map(Number::from);
    for (name, value) in
        [("temperature", &request.temperature), ("top_p", &request.top_p), ("top_k", &top_k)]
    {
        let Some(value) = value else { continue };
        if refused {
            if name == "top_k" || value.as_f64() != Some(1.0) {
                losses.add(name);
            }
            continue;
        }
        // Others go up to 2.
        let hot = name == "temperature" && !own && value.as_f64().is_some_and(|t| t > 1.0);
        if hot {
            losses.add("temperature");
        }
        object.insert(name.into(), if hot { json!(1) } else { json!(value) });
    }
}

fn write_tools(request: &Request, losses: &mut Losses, object: &mut Map<String, Value>) {
    let tools: Vec<Value> = request.tools.iter().filter_map(|t| tool::encode(t, losses)).collect();
    if let Some(choice) = tool::encode_choice(request, !tools.is_empty(), losses) {
        object.insert("tool_choice".into(), choice);
    }
    if !tools.is_empty() {
        object.insert("tools".into(), tools.into());
    }
}

fn write_output(
    request: &Request,
    thinking: Thinking,
    losses: &mut Losses,
    object: &mut Map<String, Value>,
) {
    if let Some(config) = thinking.config {
        object.insert("thinking".into(), config);
    }
    let mut config = Map::new();
    if let Some(effort) = thinking.effort {
        config.insert("effort".into(), effort.into());
    }
    match &request.format {
        None | Some(OutputFormat::Text) => {}
        Some(OutputFormat::JsonObject) => losses.add("format.json_object"),
        Some(OutputFormat::JsonSchema { schema, description, .. }) => {
            let mut schema = schema.clone();
            if let (Some(description), Value::Object(map)) = (description, &mut schema) {
                map.entry("description").or_insert_with(|| description.as_str().into());
            }
            let format = json!({"type": "json_schema", "schema": schema});
            if request.extra.spelt(OURS, "format_in").is_some() {
                object.insert("output_format".into(), format);
            } else {
                config.insert("format".into(), format);
            }
        }
    }
    if !config.is_empty() {
        object.insert("output_config".into(), config.into());
    }
}

fn service_tier(request: &Request, losses: &mut Losses) -> Option<String> {
    let tier = request.service_tier.as_deref()?;
    if request.origin == OURS {
        return Some(tier.to_owned());
    }
    match tier {
        "auto" => Some("auto".to_owned()),
        "default" => Some("standard_only".to_owned()),
        _ => {
            losses.add("service_tier");
            None
        }
    }
}

/// What this dialect has no word for at all.
fn report_unsayable(request: &Request, losses: &mut Losses) {
    for (there, field) in [
        (request.frequency_penalty.is_some(), "frequency_penalty"),
        (request.presence_penalty.is_some(), "presence_penalty"),
        (request.seed.is_some(), "seed"),
        (request.n.is_some_and(|n| n > 1), "n"),
        (request.logprobs.is_some(), "logprobs"),
        (request.verbosity.is_some(), "verbosity"),
        (request.metadata.is_some(), "metadata"),
        (request.prompt_cache_key.is_some(), "prompt_cache_key"),
        (request.store == Some(true), "store"),
    ] {
        if there {
            losses.add(field);
        }
    }
}

/// Fields that only this dialect knows; objects of which some fields are
/// known are merged.
fn write_extra(request: &Request, losses: &mut Losses, object: &mut Map<String, Value>) {
    for name in ["metadata", "output_config"] {
        if request.extra.spelt(OURS, name) == Some(&json!("bare")) {
            object.entry(name).or_insert_with(|| json!({}));
        }
        if let (Some(Value::Object(rest)), Some(Value::Object(there))) =
            (request.extra.get(OURS, name), object.get_mut(name))
        {
            for (key, value) in rest {
                there.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
    }
    request.extra.write(OURS, object, "", losses);
    plain::restore(&request.extra, EMPTY, object);
}
