//! Tools and the choice among them.

use serde_json::{Map, Value, json};

use super::ME;
use super::part::{Scope, take_cache_mark, write_cache_mark};
use crate::DecodeError;
use crate::codec::Quirk;
use crate::format::json::Fields;
use crate::model::{Extra, Request, Tool, ToolBody, ToolChoice};

/// One of `tools`.
pub(super) fn decode(value: Value, path: &str) -> Result<Tool, DecodeError> {
    let has = |name: &str| value.get(name).is_some_and(|inner| !inner.is_null());
    let is_custom =
        match (value.get("type").and_then(Value::as_str), has("function"), has("custom")) {
            (None | Some("function"), true, false) => false,
            (Some("custom"), false, true) => true,
            _ if value.is_object() => {
                let body = ToolBody::Native { dialect: ME, json: value };
                return Ok(Tool { body, cache: None, extra: Extra::default() });
            }
            _ => false,
        };
    let mut fields = Fields::new(value, path)?;
    let cached = take_cache_mark(&mut fields);
    fields.take("type");
    let mut extra = Extra::default();
    let body = if is_custom {
        let inner = fields.take("custom").unwrap_or_default();
        custom_body(inner, &fields.at("custom"), &mut extra)?
    } else {
        let inner = fields.take("function").unwrap_or_default();
        function_body(inner, &fields.at("function"), &mut extra)?
    };
    for (name, value) in fields.rest() {
        extra.insert(ME, &name, value);
    }
    let cache = cached.map(|(key, mark)| {
        extra.spell(ME, "cache", key);
        mark
    });
    Ok(Tool { body, cache, extra })
}

/// One of the deprecated `functions`, or the inside of a function tool.
pub(super) fn decode_function(value: Value, path: &str) -> Result<Tool, DecodeError> {
    let mut extra = Extra::default();
    let body = function_body(value, path, &mut extra)?;
    Ok(Tool { body, cache: None, extra })
}

fn function_body(value: Value, path: &str, extra: &mut Extra) -> Result<ToolBody, DecodeError> {
    let mut inner = Fields::new(value, path)?;
    let body = ToolBody::Function {
        name: inner.required_string("name")?,
        description: inner.string("description")?,
        schema: inner.object("parameters")?.map(Value::Object),
        strict: inner.boolean("strict")?,
    };
    let rest = inner.rest();
    if !rest.is_empty() {
        extra.insert(ME, "function", Value::Object(rest));
    }
    Ok(body)
}

fn custom_body(value: Value, path: &str, extra: &mut Extra) -> Result<ToolBody, DecodeError> {
    let mut inner = Fields::new(value, path)?;
    let body = ToolBody::Custom {
        name: inner.required_string("name")?,
        description: inner.string("description")?,
        format: inner.take_some("format").map(flat_grammar),
    };
    let rest = inner.rest();
    if !rest.is_empty() {
        extra.insert(ME, "custom", Value::Object(rest));
    }
    Ok(body)
}

/// The hub has a grammar flat, as Responses writes it; Chat nests it once.
fn flat_grammar(format: Value) -> Value {
    let is_nested = format.as_object().is_some_and(|map| {
        map.len() == 2
            && map.get("type").and_then(Value::as_str) == Some("grammar")
            && map.get("grammar").is_some_and(Value::is_object)
    });
    let Value::Object(mut map) = format else { return format };
    if is_nested && let Some(Value::Object(inner)) = map.shift_remove("grammar") {
        map.extend(inner);
    }
    Value::Object(map)
}

fn nested_grammar(format: &Value) -> Value {
    match format {
        Value::Object(map)
            if map.get("type").and_then(Value::as_str) == Some("grammar")
                && !map.contains_key("grammar") =>
        {
            let mut inner = map.clone();
            inner.shift_remove("type");
            json!({"type": "grammar", "grammar": inner})
        }
        other => other.clone(),
    }
}

/// All tools, as `tools`; empty where none can cross.
pub(super) fn encode_all(request: &Request, scope: &mut Scope<'_>) -> Vec<Value> {
    request.tools.iter().filter_map(|tool| encode(tool, scope)).collect()
}

fn encode(tool: &Tool, scope: &mut Scope<'_>) -> Option<Value> {
    let (kind, mut inner) = match &tool.body {
        ToolBody::Function { name, description, schema, strict } => {
            ("function", function_map(name, description.as_deref(), schema.as_ref(), *strict))
        }
        ToolBody::Custom { name, description, format } => {
            let mut map = function_map(name, description.as_deref(), None, None);
            if let Some(format) = format {
                map.insert("format".into(), nested_grammar(format));
            }
            ("custom", map)
        }
        ToolBody::Native { dialect: ME, json } => return Some(json.clone()),
        ToolBody::Native { .. } => {
            scope.losses.add("tool.native");
            return None;
        }
    };
    if let Some(Value::Object(rest)) = tool.extra.get(ME, kind) {
        inner.extend(rest.clone());
    }
    let mut object = Map::new();
    object.insert("type".into(), kind.into());
    object.insert(kind.into(), inner.into());
    write_cache_mark(tool.cache.as_ref(), &tool.extra, &mut object, scope);
    tool.extra.write(ME, &mut object, "tools", scope.losses);
    Some(Value::Object(object))
}

/// The function tools as the deprecated `functions`.
pub(super) fn encode_functions(request: &Request) -> Vec<Value> {
    let function = |tool: &Tool| match &tool.body {
        ToolBody::Function { name, description, schema, strict } => {
            let mut map = function_map(name, description.as_deref(), schema.as_ref(), *strict);
            if let Some(Value::Object(rest)) = tool.extra.get(ME, "function") {
                map.extend(rest.clone());
            }
            Some(Value::Object(map))
        }
        _ => None,
    };
    request.tools.iter().filter_map(function).collect()
}

fn function_map(
    name: &str,
    description: Option<&str>,
    schema: Option<&Value>,
    strict: Option<bool>,
) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("name".into(), name.into());
    if let Some(description) = description {
        map.insert("description".into(), description.into());
    }
    if let Some(schema) = schema {
        map.insert("parameters".into(), schema.clone());
    }
    if let Some(strict) = strict {
        map.insert("strict".into(), strict.into());
    }
    map
}

/// `tool_choice`, or the deprecated `function_call`.
pub(super) fn decode_choice(value: Value) -> ToolChoice {
    let named = |key: &str| {
        let map = value.as_object()?;
        let inner = map.get(key)?.as_object()?;
        let name = inner.get("name")?.as_str()?;
        let is_typed = map.get("type").is_none_or(|kind| kind == key);
        let is_plain = map.keys().all(|k| k == "type" || k == key) && inner.len() == 1;
        (is_typed && is_plain).then(|| ToolChoice::Tool(name.to_owned()))
    };
    let bare = || {
        let map = value.as_object()?;
        let name = map.get("name")?.as_str()?;
        (map.len() == 1).then(|| ToolChoice::Tool(name.to_owned()))
    };
    let word = match value.as_str() {
        Some("auto") => Some(ToolChoice::Auto),
        Some("none") => Some(ToolChoice::None),
        Some("required" | "any") => Some(ToolChoice::Required),
        _ => None,
    };
    match word.or_else(|| named("function")).or_else(|| named("custom")).or_else(bare) {
        Some(choice) => choice,
        None => ToolChoice::Native { dialect: ME, json: value },
    }
}

/// `tool_choice`; `None` where Chat cannot say it.
pub(super) fn encode_choice(
    choice: &ToolChoice,
    request: &Request,
    scope: &mut Scope<'_>,
) -> Option<Value> {
    let wants_any = scope.has(Quirk::ToolChoiceAny)
        || request.extra.spelt(ME, "tool_choice").and_then(Value::as_str) == Some("any");
    Some(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required if wants_any => "any".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(name) => {
            let is_custom = request.tools.iter().any(
                |t| matches!(&t.body, ToolBody::Custom { name: custom, .. } if custom == name),
            );
            let kind = if is_custom { "custom" } else { "function" };
            let is_untyped = request.extra.spelt(ME, "tool_choice") == Some(&Value::Bool(false));
            let mut choice = Map::new();
            if !is_untyped {
                choice.insert("type".into(), kind.into());
            }
            choice.insert(kind.into(), json!({"name": name}));
            choice.into()
        }
        ToolChoice::Native { dialect: ME, json } => json.clone(),
        ToolChoice::Native { .. } => {
            scope.losses.add("tool_choice.native");
            return None;
        }
    })
}

/// The deprecated `function_call`.
pub(super) fn encode_function_call(choice: &ToolChoice) -> Option<Value> {
    match choice {
        ToolChoice::Auto => Some("auto".into()),
        ToolChoice::None => Some("none".into()),
        ToolChoice::Tool(name) => Some(json!({"name": name})),
        ToolChoice::Native { dialect: ME, json } => Some(json.clone()),
        ToolChoice::Required | ToolChoice::Native { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Losses};

    fn with_scope<T>(f: impl FnOnce(&mut Scope<'_>) -> T) -> (T, Vec<String>) {
        let mut losses = Losses::default();
        let value = f(&mut Scope { target: None, is_ours: true, losses: &mut losses });
        (value, losses.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tools_come_back() {
        for json in [
            json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": true, "odd": 1}}),
            json!({"type": "function", "function": {"name": "f"}, "cache_control": {"type": "ephemeral"}, "odd": 2}),
            json!({"type": "custom", "custom": {"name": "c", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}),
            json!({"type": "custom", "custom": {"name": "c", "format": {"type": "text"}}}),
            json!({"type": "web_search", "parameters": {}}),
        ] {
            let tool = decode(json.clone(), "tools[0]").unwrap();
            assert_eq!(with_scope(|s| encode(&tool, s)), (Some(json), vec![]));
        }
    }

    #[test]
    fn a_grammar_is_flat_in_the_hub() {
        let json = json!({"type": "custom", "custom": {"name": "c",
            "format": {"type": "grammar", "grammar": {"syntax": "regex", "definition": "x"}}}});
        let tool = decode(json, "tools[0]").unwrap();
        let ToolBody::Custom { format, .. } = tool.body else { panic!() };
        assert_eq!(format, Some(json!({"type": "grammar", "syntax": "regex", "definition": "x"})));
    }

    #[test]
    fn a_missing_type_means_function() {
        let tool = decode(json!({"function": {"name": "f"}}), "tools[0]").unwrap();
        assert!(matches!(tool.body, ToolBody::Function { .. }));
    }

    #[test]
    fn a_foreign_native_tool_is_lost() {
        let body = ToolBody::Native { dialect: Dialect::Messages, json: json!({"type": "x"}) };
        let tool = Tool { body, cache: None, extra: Extra::default() };
        assert_eq!(with_scope(|s| encode(&tool, s)), (None, vec!["tool.native".to_owned()]));
    }

    #[test]
    fn choices_come_back() {
        let mut request = Request::new(Dialect::Chat, "m");
        request
            .tools
            .push(decode(json!({"type": "custom", "custom": {"name": "c"}}), "tools[0]").unwrap());
        for json in [
            json!("auto"),
            json!("none"),
            json!("required"),
            json!({"type": "function", "function": {"name": "f"}}),
            json!({"type": "custom", "custom": {"name": "c"}}),
            json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}),
        ] {
            let choice = decode_choice(json.clone());
            let (got, losses) = with_scope(|s| encode_choice(&choice, &request, s));
            assert_eq!((got, losses), (Some(json), vec![]));
        }
    }
}
