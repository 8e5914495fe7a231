//! `POST sessions`.

use axum::response::IntoResponse as _;
use axum::response::Response;
use freehold_llm::Dialect;
use freehold_llm::format::codec;
use freehold_llm::model::{Item, Role};
use freehold_runtime::content::{About, Input, Settings};
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Busy, Content, Hash, Limits, Name};
use freehold_runtime::sessions::{Key, NewSession};
use freehold_runtime::tools::ToolSpec;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Access, Refused};
use super::body::Json;
use super::shape;
use crate::problem::Problem;

/// The longest idempotency key.
const KEY_BYTES_MAX: usize = 255;

/// The agent of sessions that name none.
const AGENT: &str = "session";

/// How turns are run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Run {
    /// What a request to `/v1/responses` has, without `input` and without what
    /// is about state.
    request: Map<String, Value>,
    /// Tools that Freehold performs, by their names in its configuration.
    #[serde(default)]
    tools: Vec<String>,
    #[serde(default)]
    limits: Limits,
    /// The id of the key that pays; the caller's where it is left out.
    #[serde(default)]
    payer: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    /// The agent that works in it, with its version.
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    settings: Option<Run>,
    #[serde(default)]
    metadata: Map<String, Value>,
    #[serde(default)]
    limits: Limits,
    /// A text, or items as `/v1/responses` takes them; begins a turn.
    #[serde(default)]
    input: Option<Value>,
}

/// Makes a session; durable when the answer arrives.
pub(super) async fn create(
    access: Access,
    headers: HeaderMap,
    Json(create): Json<Create>,
) -> Result<Response, Refused> {
    let settings = create.settings.map(|run| settings(&access, run)).transpose()?;
    let cues = match &create.input {
        None => Vec::new(),
        Some(_) if settings.is_none() => {
            return Err(Problem::invalid("input: needs `settings` to be answered by").into());
        }
        Some(input) => vec![cue(&said(input)?, None, Busy::Reject, None)?],
    };
    let about =
        About { settings: settings.map(Box::new), metadata: create.metadata, ..About::default() };
    let agent = create.agent.as_deref().unwrap_or(AGENT);
    let agent = Name::new(agent).map_err(|error| Problem::invalid(format!("agent: {error}")))?;
    let request = || json!([&about, agent.as_str(), &create.input]).to_string();
    let key = key(&headers, request)?;
    let said_to_be = about.clone();
    let new = NewSession { id: None, agent, about, limits: create.limits, cues, key };
    let receipt = access.sessions().create(&access.tenant, access.by(), new).await?;
    let view = access.sessions().view_of_new(&access.tenant, &receipt, said_to_be).await?;
    let mut shown = shape::session(&view);
    shown["receipt"] = shape::receipt(&receipt);
    Ok((StatusCode::CREATED, axum::Json(shown)).into_response())
}

/// Settings in the form that a journal keeps.
pub(super) fn settings(access: &Access, run: Run) -> Result<Settings, Problem> {
    let mut body = run.request;
    for field in ["input", "store", "previous_response_id", "conversation", "background"] {
        if body.contains_key(field) {
            let message = format!("settings.request.{field}: a session has this by itself");
            return Err(Problem::invalid(message));
        }
    }
    body.shift_remove("stream");
    let body = Value::Object(body).to_string();
    let request = codec(Dialect::Responses)
        .decode_request(body.as_bytes())
        .map_err(|error| Problem::invalid(format!("settings.request: {error}")))?;
    let tools = run.tools.iter().map(|name| {
        let name = Name::new(name)
            .map_err(|error| Problem::invalid(format!("settings.tools: {error}")))?;
        Ok(ToolSpec::Configured(name))
    });
    Ok(Settings {
        payer: access.payer(run.payer.as_deref())?,
        request,
        tools: tools.collect::<Result<_, Problem>>()?,
        calls_max: None,
        may_truncate: false,
        limits: run.limits,
    })
}

/// What is said: a text, or items.
pub(super) fn said(input: &Value) -> Result<Vec<Item>, Problem> {
    match input {
        Value::String(text) => Ok(vec![Item::text(Role::User, text.clone())]),
        Value::Array(_) => {
            let body = json!({"model": "any", "input": input}).to_string();
            let request = codec(Dialect::Responses).decode_request(body.as_bytes());
            Ok(request.map_err(|error| Problem::invalid(error.to_string()))?.items)
        }
        _ => Err(Problem::invalid("input: expected a text or a list of items")),
    }
}

pub(super) fn cue(
    items: &[Item],
    settings: Option<Settings>,
    busy: Busy,
    key: Option<&Key>,
) -> Result<Cue, Problem> {
    let brings = settings.is_some();
    let settings = settings.map(Box::new);
    let input = Input { items: items.to_vec(), settings, about: Map::new() };
    let content =
        serde_json::to_value(input).map_err(|error| Problem::invalid(error.to_string()))?;
    let key = key.map(|key| key.request);
    Ok(Cue::Input { content: Content::Inline(content), busy, key, settings: brings })
}

/// The client's idempotency key, if it sent one, with the hash of what `request`
/// says that it asked for.
pub(super) fn key(
    headers: &HeaderMap,
    request: impl FnOnce() -> String,
) -> Result<Option<Key>, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    let name = value.to_str().ok().filter(|name| (1..=KEY_BYTES_MAX).contains(&name.len()));
    let name = name.ok_or_else(|| {
        Problem::invalid(format!("idempotency-key: 1 to {KEY_BYTES_MAX} printable characters"))
    })?;
    Ok(Some(Key { name: name.to_owned(), request: Hash::of(request().as_bytes()) }))
}
