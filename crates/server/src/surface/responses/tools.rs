//! The `mcp` tools of a request: which server, which of its tools, and for
//! which of them the client is asked.

use freehold_llm::model::{Tool, ToolBody};
use freehold_runtime::event::Name;
use freehold_runtime::tools::{AskFor, McpServer, ToolSpec};
use freehold_types::{Code, Secret};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Failure;

/// The most servers of one request.
const SERVERS_MAX: usize = 32;

/// Tools that Freehold performs, taken out of a request.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) specs: Vec<ToolSpec>,
    /// As the response tells them again: without secrets.
    pub(super) shown: Vec<Value>,
    /// Headers for servers, by the name that a spec holds.
    pub(super) secrets: Vec<(Name, Secret)>,
}

#[derive(Debug, Deserialize)]
struct Asked {
    server_label: String,
    #[serde(default)]
    server_url: Option<String>,
    #[serde(default)]
    connector_id: Option<String>,
    #[serde(default)]
    tunnel_id: Option<Value>,
    #[serde(default)]
    server_description: Option<String>,
    #[serde(default)]
    allowed_tools: Option<Value>,
    #[serde(default)]
    require_approval: Option<Value>,
    #[serde(default)]
    authorization: Option<Value>,
    #[serde(default)]
    headers: Option<Map<String, Value>>,
}

/// Takes the `mcp` tools out; all others are the model's or the client's.
pub(super) fn take(tools: &mut Vec<Tool>) -> Result<Taken, Failure> {
    let mut taken = Taken::default();
    let mut rest = Vec::new();
    for (at, tool) in std::mem::take(tools).into_iter().enumerate() {
        match &tool.body {
            ToolBody::Native { json, .. } if is_mcp(json) => {
                let (spec, shown, secret) = read(json, &format!("tools[{at}]"))?;
                if let ToolSpec::Mcp(McpServer { secret: Some(name), .. }) = &spec {
                    taken.secrets.extend(secret.map(|secret| (name.clone(), secret)));
                }
                taken.specs.push(spec);
                taken.shown.push(shown);
            }
            _ => rest.push(tool),
        }
    }
    if taken.specs.len() > SERVERS_MAX {
        return Err(Failure::invalid("tools", format!("more than {SERVERS_MAX} servers")));
    }
    *tools = rest;
    Ok(taken)
}

fn is_mcp(json: &Value) -> bool {
    json.get("type").and_then(Value::as_str) == Some("mcp")
}

fn read(json: &Value, path: &str) -> Result<(ToolSpec, Value, Option<Secret>), Failure> {
    let asked = Asked::deserialize(json)
        .map_err(|error| Failure::invalid(path, format!("{path}: {error}")))?;
    let name = |text: &str, field: &str| {
        Name::new(text).map_err(|error| Failure::invalid(path, format!("{path}.{field}: {error}")))
    };
    if asked.tunnel_id.is_some() {
        let message = format!("{path}.tunnel_id: there are no tunnels here; name a `server_url`");
        return Err(Failure::of_field(Code::UnsupportedFeature, path, message));
    }
    let label = name(&asked.server_label, "server_label")?;
    let shown = shown(&asked);
    let secret = secret(&asked, path)?;
    let spec = match (&asked.server_url, &asked.connector_id) {
        (Some(url), _) => ToolSpec::Mcp(McpServer {
            url: url.clone(),
            secret: secret.is_some().then(|| Name::cut(&format!("mcp.{label}"))),
            label,
            allowed: allowed(asked.allowed_tools.as_ref(), path)?,
            approval: approval(asked.require_approval.as_ref(), path)?,
        }),
        (None, Some(connector)) => ToolSpec::Configured(name(connector, "connector_id")?),
        (None, None) => ToolSpec::Configured(label),
    };
    Ok((spec, shown, secret))
}

/// The headers that the server is sent, as a secret: none of them may come
/// into the journal.
fn secret(asked: &Asked, path: &str) -> Result<Option<Secret>, Failure> {
    let mut headers = asked.headers.clone().unwrap_or_default();
    if headers.values().any(|value| !value.is_string()) {
        return Err(Failure::invalid(path, format!("{path}.headers: expected texts")));
    }
    match &asked.authorization {
        None | Some(Value::Null) => {}
        Some(Value::String(token)) => {
            headers.insert("authorization".into(), format!("Bearer {token}").into());
        }
        Some(_) => {
            return Err(Failure::invalid(path, format!("{path}.authorization: expected a text")));
        }
    }
    Ok((!headers.is_empty()).then(|| Secret::new(Value::Object(headers).to_string())))
}

fn shown(asked: &Asked) -> Value {
    json!({
        "type": "mcp",
        "server_label": asked.server_label,
        "server_url": asked.server_url,
        "connector_id": asked.connector_id,
        "server_description": asked.server_description,
        "allowed_tools": asked.allowed_tools,
        "require_approval": asked.require_approval.clone().unwrap_or_else(|| "always".into()),
        "headers": null,
    })
    .as_object()
    .map(|object| {
        let told = |(name, value): &(&String, &Value)| {
            !value.is_null() || matches!(name.as_str(), "headers" | "allowed_tools")
        };
        object.iter().filter(told).map(|(name, value)| (name.clone(), value.clone())).collect()
    })
    .unwrap_or_default()
}

/// A list of names, or a filter with one.
fn allowed(value: Option<&Value>, path: &str) -> Result<Option<Vec<String>>, Failure> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(None) };
    match value {
        Value::Array(_) => names(value, &format!("{path}.allowed_tools")).map(Some),
        other => filter(other, &format!("{path}.allowed_tools")).map(Some),
    }
}

fn approval(value: Option<&Value>, path: &str) -> Result<AskFor, Failure> {
    let path = format!("{path}.require_approval");
    match value {
        None | Some(Value::Null) => Ok(AskFor::Always),
        Some(Value::String(word)) if word == "always" => Ok(AskFor::Always),
        Some(Value::String(word)) if word == "never" => Ok(AskFor::Never),
        Some(Value::Object(object)) => {
            let named = |field: &str| {
                let value = object.get(field).filter(|value| !value.is_null());
                value.map(|value| filter(value, &format!("{path}.{field}"))).transpose()
            };
            match (named("always")?, named("never")?) {
                (None, Some(never)) => Ok(AskFor::AllBut(never)),
                (Some(always), None) => Ok(AskFor::Only(always)),
                // What is in neither is asked about, as where nothing is said.
                (Some(always), Some(mut never)) => {
                    never.retain(|name| !always.contains(name));
                    Ok(AskFor::AllBut(never))
                }
                (None, None) => Ok(AskFor::Always),
            }
        }
        Some(_) => Err(Failure::invalid(&path, format!("{path}: `always`, `never` or a filter"))),
    }
}

/// The names of a filter. What a server says of its own tools (`read_only`)
/// is no ground to trust it.
fn filter(value: &Value, path: &str) -> Result<Vec<String>, Failure> {
    if value.get("read_only").is_some_and(|value| !value.is_null()) {
        let message = format!("{path}.read_only: name the tools in `tool_names` instead");
        return Err(Failure::of_field(Code::UnsupportedFeature, path, message));
    }
    let names_field = value.get("tool_names").unwrap_or(&Value::Null);
    names(names_field, &format!("{path}.tool_names"))
}

fn names(value: &Value, path: &str) -> Result<Vec<String>, Failure> {
    Vec::<String>::deserialize(value)
        .map_err(|_| Failure::invalid(path, format!("{path}: expected a list of names")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(more: &Value) -> Result<(ToolSpec, Value, Option<Secret>), Failure> {
        let mut json = json!({"type": "mcp", "server_label": "s", "server_url": "https://s"});
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        read(&json, "tools[0]")
    }

    fn asks(more: &Value) -> AskFor {
        match spec(&json!({ "require_approval": more })).unwrap().0 {
            ToolSpec::Mcp(server) => server.approval,
            ToolSpec::Configured(_) => panic!(),
        }
    }

    #[test]
    fn whoever_says_nothing_is_asked() {
        assert_eq!(asks(&Value::Null), AskFor::Always);
        assert_eq!(asks(&json!("never")), AskFor::Never);
        assert_eq!(
            asks(&json!({"never": {"tool_names": ["a"]}})),
            AskFor::AllBut(vec!["a".into()])
        );
        assert_eq!(asks(&json!({"always": {"tool_names": ["a"]}})), AskFor::Only(vec!["a".into()]));
        let both = json!({"always": {"tool_names": ["a"]}, "never": {"tool_names": ["a", "b"]}});
        assert_eq!(asks(&both), AskFor::AllBut(vec!["b".into()]));
    }

    #[test]
    fn secrets_are_kept_apart_and_never_told_again() {
        let given = json!({"authorization": "hush", "headers": {"x-key": "hush"}});
        let (spec, shown, secret) = spec(&given).unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(secret.unwrap().reveal()).unwrap(),
            json!({"x-key": "hush", "authorization": "Bearer hush"})
        );
        let told = format!("{} {shown}", serde_json::to_string(&spec).unwrap());
        assert!(!told.contains("hush") && told.contains("mcp.s"), "{told}");
    }

    #[test]
    fn a_server_without_address_is_a_configured_one() {
        let json = json!({"type": "mcp", "server_label": "crm"});
        let (spec, ..) = read(&json, "tools[0]").unwrap();
        assert_eq!(spec, ToolSpec::Configured(Name::new("crm").unwrap()));
        assert!(read(&json!({"type": "mcp"}), "tools[0]").is_err());
        assert!(allowed(Some(&json!({"read_only": true})), "p").is_err());
    }
}
