//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use super::OURS;
use crate::format::json::Fields;
use crate::model::{Extra, Tool, ToolBody, ToolChoice};
use crate::{DecodeError, Losses};

/// Reads the list of tools.
pub(super) fn decode_all(values: Vec<Value>) -> Result<Vec<Tool>, DecodeError> {
    let each = values.into_iter().enumerate();
    each.map(|(n, v)| decode(v, &format!("tools[{n}]"))).collect()
}

fn decode(value: Value, path: &str) -> Result<Tool, DecodeError> {
    let kind = value.get("type").and_then(Value::as_str).map(str::to_owned);
    let mut fields = Fields::new(value, path)?;
    let body = match kind.as_deref() {
        None => return Err(DecodeError::shape(fields.at("type"), "is required")),
        Some("function") => {
            fields.take("type");
            ToolBody::Function {
                name: fields.required_string("name")?,
                description: fields.string("description")?,
                schema: fields.object("parameters")?.map(Value::Object),
                strict: fields.boolean("strict")?,
            }
        }
        Some("custom") => {
            fields.take("type");
            ToolBody::Custom {
                name: fields.required_string("name")?,
                description: fields.string("description")?,
                format: fields.take_some("format"),
            }
        }
        Some(_) => {
            let body = ToolBody::Native { dialect: OURS, json: Value::Object(fields.rest()) };
            return Ok(Tool { body, cache: None, extra: Extra::default() });
        }
    };
    Ok(Tool { body, cache: None, extra: Extra::new(OURS, fields.rest()) })
}

/// Writes the tools of a request. A tool of another dialect says expressly
/// whether its schema binds: this one would take silence for yes.
pub(super) fn encode_all(tools: &[Tool], own: bool, losses: &mut Losses) -> Vec<Value> {
    tools.iter().filter_map(|tool| encode(tool, own, losses)).collect()
}

fn encode(tool: &Tool, own: bool, losses: &mut Losses) -> Option<Value> {
    let mut object = Map::new();
    match &tool.body {
        ToolBody::Function { name, description, schema, strict } => {
            object.insert("type".into(), "function".into());
            object.insert("name".into(), name.as_str().into());
            if let Some(description) = description {
                object.insert("description".into(), description.as_str().into());
            }
            match schema {
                Some(schema) => object.insert("parameters".into(), schema.clone()),
                None if own => None,
                None => {
                    object.insert("parameters".into(), json!({"type": "object", "properties": {}}))
                }
            };
            if let Some(strict) = strict.or(if own { None } else { Some(false) }) {
                object.insert("strict".into(), strict.into());
            }
        }
        ToolBody::Custom { name, description, format } => {
            object.insert("type".into(), "custom".into());
            object.insert("name".into(), name.as_str().into());
            if let Some(description) = description {
                object.insert("description".into(), description.as_str().into());
            }
            if let Some(format) = format {
                object.insert("format".into(), flat_format(format));
            }
        }
        ToolBody::Native { dialect, json } if *dialect == OURS => return Some(json.clone()),
        ToolBody::Native { .. } => {
            losses.add("tool.native");
            return None;
        }
    }
    if tool.cache.is_some() {
        losses.add("cache_mark");
    }
    tool.extra.write(OURS, &mut object, "tools", losses);
    Some(Value::Object(object))
}

/// Chat nests a grammar one level deeper.
fn flat_format(format: &Value) -> Value {
    let nested = format.get("grammar").and_then(Value::as_object);
    match nested {
        Some(grammar) => {
            let mut flat = Map::new();
            flat.insert("type".into(), "grammar".into());
            flat.extend(grammar.clone());
            Value::Object(flat)
        }
        None => format.clone(),
    }
}

/// Reads the choice among the tools.
pub(super) fn decode_choice(value: Value) -> Result<ToolChoice, DecodeError> {
    match &value {
        Value::String(word) => match word.as_str() {
            "auto" => return Ok(ToolChoice::Auto),
            "none" => return Ok(ToolChoice::None),
            "required" => return Ok(ToolChoice::Required),
            _ => {}
        },
        Value::Object(object) => {
            let kind = object.get("type").and_then(Value::as_str);
            let name = object.get("name").and_then(Value::as_str);
            if let (Some("function" | "custom"), Some(name), 2) = (kind, name, object.len()) {
                return Ok(ToolChoice::Tool(name.to_owned()));
            }
        }
        _ => return Err(DecodeError::shape("tool_choice", "expected a string or an object")),
    }
    Ok(ToolChoice::Native { dialect: OURS, json: value })
}

/// Writes the choice; `tools` tells which kind the named one is.
pub(super) fn encode_choice(
    choice: &ToolChoice,
    tools: &[Tool],
    losses: &mut Losses,
) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(wanted) => {
            let custom = tools
                .iter()
                .any(|tool| matches!(&tool.body, ToolBody::Custom { name, .. } if name == wanted));
            let kind = if custom { "custom" } else { "function" };
            json!({"type": kind, "name": wanted})
        }
        ToolChoice::Native { dialect, json } if *dialect == OURS => json.clone(),
        ToolChoice::Native { .. } => {
            losses.add("tool_choice.native");
            return None;
        }
    })
}
