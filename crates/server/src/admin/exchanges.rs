//! `/v1/freehold/exchanges`.

use axum::extract::State;
use axum::{Extension, Json};
use freehold_control::Lost;
use freehold_store::exchanges::Exchange;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Admin;
use super::caller::Caller;
use super::input::{self, Params, TenantName, parse};
use super::shape;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default = "TenantName::main")]
    tenant: TenantName,
    /// `open`, `closed` or `interrupted`.
    #[serde(default)]
    state: Option<String>,
    /// A key's id.
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// A tenant's exchanges, newest first.
pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Params(asked): Params<Asked>,
) -> Result<Json<Value>, Problem> {
    let tenant = asked.tenant.0;
    caller.may_manage(&tenant)?;
    let state = asked.state.as_deref().map(|text| parse("the state", text)).transpose()?;
    let key = asked.key.as_deref().map(|text| parse("the key's id", text)).transpose()?;
    let page = input::page(asked.after, asked.limit);
    let found = admin.control.exchanges(&tenant, state, key, &page).await?;
    Ok(Json(shape::page(&found, exchange)))
}

fn exchange(exchange: &Exchange) -> Value {
    let opened = &exchange.opened;
    let mut row = json!({
        "id": opened.id.to_string(),
        "state": exchange.state.word(),
        "tenant": opened.tenant.as_str(),
        "group": opened.group.as_ref().map(ToString::to_string),
        "key": opened.key.to_string(),
        "route": &*opened.route,
        "dialect": &*opened.dialect,
        "stream": opened.stream,
        "opened_at": opened.opened_at.to_string(),
        "reserved": opened.reserved.to_string(),
    });
    if let (Some(closed), Value::Object(row)) = (&exchange.closed, &mut row) {
        let more = json!({
            "closed_at": closed.closed_at.to_string(),
            "deployment": closed.deployment.as_deref(),
            "provider": closed.provider.as_deref(),
            "model": closed.model.as_deref(),
            "status": closed.status,
            "error": closed.error.as_deref(),
            "attempts": closed.attempts,
            "input_tokens": closed.tokens.input,
            "cache_read_tokens": closed.tokens.cache_read,
            "cache_write_tokens": closed.tokens.cache_write,
            "output_tokens": closed.tokens.output,
            "reasoning_tokens": closed.tokens.reasoning,
            "cost": closed.cost.to_string(),
            "estimated": closed.estimated,
            "unpriced": closed.unpriced,
            "lost": closed.lost.iter().map(lost).collect::<Vec<_>>(),
        });
        if let Value::Object(more) = more {
            row.extend(more);
        }
    }
    row
}

/// An attempt that gave no answer and may be billed all the same; its tokens
/// are estimated.
fn lost(lost: &Lost) -> Value {
    json!({
        "deployment": &*lost.deployment,
        "provider": &*lost.provider,
        "model": &*lost.model,
        "input_tokens": lost.input_tokens,
        "output_tokens": lost.output_tokens,
        "cost": lost.cost.to_string(),
        "estimated": true,
        "unpriced": lost.unpriced,
    })
}
