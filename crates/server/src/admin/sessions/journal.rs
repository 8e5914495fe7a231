//! `GET sessions/{id}/journal`: the events, by the page.

use axum::Json as Shown;
use freehold_types::Offset;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input::{Params, TenantName};
use super::access::{Found, Refused};
use super::shape;

/// The events of a page where nothing is said, and the most.
const LIMIT: usize = 100;
const LIMIT_MAX: usize = 256;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// The offset before the first.
    #[serde(default)]
    after: Option<u64>,
    /// The last offset.
    #[serde(default)]
    up_to: Option<u64>,
    #[serde(default)]
    limit: Option<usize>,
}

/// Events after an offset, oldest first; `next` goes into `after`.
pub(super) async fn page(
    found: Found,
    Params(asked): Params<Asked>,
) -> Result<Shown<Value>, Refused> {
    let limit = asked.limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX);
    let after = Offset(asked.after.unwrap_or_default());
    let up_to = Offset(asked.up_to.unwrap_or(u64::MAX >> 1));
    let access = &found.access;
    let events = access.sessions().read(&access.tenant, found.session, after, up_to, limit).await?;
    let more = events.len() == limit;
    let last = events.last().filter(|last| more && last.offset < up_to);
    let next = last.map(|last| last.offset.0.to_string());
    let data: Vec<Value> = events.iter().filter_map(shape::event).collect();
    Ok(Shown(json!({ "data": data, "next": next })))
}
