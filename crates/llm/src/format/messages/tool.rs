//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use super::block_encode::block;
use super::{OURS, cache, plain};
use crate::format::json::Fields;
use crate::model::{Extra, Request, Tool, ToolBody, ToolChoice};
use crate::{DecodeError, Losses};

const EMPTY: &[&str] = &["cache_control", "strict", "description", "type"];

/// One tool. With a schema and no type of its own it is the client's; any
/// other is one that only this dialect knows.
pub(super) fn decode(value: Value, path: &str) -> Result<Tool, DecodeError> {
    let custom = match value.get("type") {
        None | Some(Value::Null) => true,
        Some(word) => word == "custom",
    };
    if !custom {
        Fields::new(value.clone(), path)?;
        let body = ToolBody::Native { dialect: OURS, json: value };
        return Ok(Tool { body, cache: None, extra: Extra::default() });
    }
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    let word = fields.take_some("type");
    let body = ToolBody::Function {
        name: fields.required_string("name")?,
        description: fields.string("description")?,
        schema: fields.object("input_schema")?.map(Value::Object),
        strict: fields.boolean("strict")?,
    };
    let cache = cache::take(&mut fields);
    let mut extra = Extra::new(OURS, fields.rest());
    plain::keep(empty, &mut extra);
    if word.is_some() {
        extra.spell(OURS, "custom", true);
    }
    Ok(Tool { body, cache, extra })
}

/// One tool; `None` where it cannot cross.
pub(super) fn encode(tool: &Tool, losses: &mut Losses) -> Option<Value> {
    let (name, description, schema, strict) = match &tool.body {
        ToolBody::Function { name, description, schema, strict } => {
            (name, description, schema, strict)
        }
        ToolBody::Native { dialect: OURS, json } => return Some(json.clone()),
        ToolBody::Native { .. } => {
            losses.add("tool.native");
            return None;
        }
        ToolBody::Custom { .. } => {
            losses.add("tool.custom");
            return None;
        }
    };
    let mut object = Map::new();
    if tool.extra.spelt(OURS, "custom").is_some() {
        object.insert("type".into(), "custom".into());
    }
    object.insert("name".into(), name.as_str().into());
    if let Some(description) = description {
        object.insert("description".into(), description.as_str().into());
    }
    let none = || json!({"type": "object", "properties": {}});
    object.insert("input_schema".into(), schema.as_ref().map_or_else(none, object_schema));
    // A foreign `strict: false` is what this dialect does by default.
    if let Some(strict) = strict.filter(|s| *s || tool.extra.origin == Some(OURS)) {
        object.insert("strict".into(), strict.into());
    }
    cache::write(tool.cache.as_ref(), &mut object, losses);
    tool.extra.write(OURS, &mut object, "tools", losses);
    plain::restore(&tool.extra, EMPTY, &mut object);
    Some(object.into())
}

/// This dialect refuses a schema without the type `object`, which others
/// take for granted.
fn object_schema(schema: &Value) -> Value {
    match schema {
        Value::Object(map) if !map.contains_key("type") => {
            let mut typed = map.clone();
            typed.insert("type".into(), "object".into());
            typed.into()
        }
        other => other.clone(),
    }
}

/// `tool_choice`, which also says whether calls may come in parallel.
pub(super) fn decode_choice(value: Value, request: &mut Request) -> Result<(), DecodeError> {
    let whole = value.clone();
    let mut fields = Fields::new(value, "tool_choice")?;
    let word = fields.required_string("type")?;
    let name = fields.string("name")?;
    let single = fields.boolean("disable_parallel_tool_use")?;
    let choice = match (word.as_str(), name) {
        ("auto", None) => ToolChoice::Auto,
        ("any", None) => ToolChoice::Required,
        ("none", None) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Tool(name),
        _ => {
            request.tool_choice = Some(ToolChoice::Native { dialect: OURS, json: whole });
            return Ok(());
        }
    };
    if !fields.rest().is_empty() {
        request.tool_choice = Some(ToolChoice::Native { dialect: OURS, json: whole });
        return Ok(());
    }
    request.tool_choice = Some(choice);
    request.parallel_tool_calls = single.map(|single| !single);
    Ok(())
}

/// `tool_choice`; `None` where nothing need be said.
pub(super) fn encode_choice(
    request: &Request,
    has_tools: bool,
    losses: &mut Losses,
) -> Option<Value> {
    let own = request.origin == OURS;
    let mut object = match &request.tool_choice {
        Some(ToolChoice::Native { dialect: OURS, json }) => return Some(json.clone()),
        Some(ToolChoice::Native { .. }) => {
            losses.add("tool_choice.native");
            return None;
        }
        // Without tools there is nothing to choose, and it would be refused.
        _ if !has_tools && !own => return None,
        Some(ToolChoice::Auto) => block("auto"),
        Some(ToolChoice::None) => block("none"),
        Some(ToolChoice::Required) => block("any"),
        Some(ToolChoice::Tool(name)) => {
            let mut object = block("tool");
            object.insert("name".into(), name.as_str().into());
            object
        }
        None if request.parallel_tool_calls == Some(false) => block("auto"),
        None => return None,
    };
    let can_say = own || request.tool_choice != Some(ToolChoice::None);
    if let Some(parallel) = request.parallel_tool_calls.filter(|p| can_say && (own || !p)) {
        object.insert("disable_parallel_tool_use".into(), (!parallel).into());
    }
    Some(object.into())
}
