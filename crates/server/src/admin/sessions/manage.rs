//! Sessions as resources.

use axum::Json as Shown;
use freehold_runtime::content::About;
use freehold_types::{Offset, PageRequest};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::input::{self, Params, TenantName};
use super::super::shape::page;
use super::access::{Access, Found, Refused};
use super::body::Json;
use super::shape;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// `idle`, `running`, `waiting`, `paused` or `sealed`.
    #[serde(default)]
    phase: Option<String>,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    limit: Option<u32>,
}

/// A tenant's sessions, newest first.
pub(super) async fn list(
    access: Access,
    Params(asked): Params<Asked>,
) -> Result<Shown<Value>, Refused> {
    let request: PageRequest = input::page(asked.after, asked.limit);
    let phase = asked.phase.as_deref();
    let found = access.sessions().list(&access.tenant, phase, &request).await?;
    Ok(Shown(page(&found, shape::row)))
}

/// A session as it stands.
pub(super) async fn get(found: Found) -> Result<Shown<Value>, Refused> {
    Ok(Shown(shape::session(&found.view().await?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Describe {
    metadata: Map<String, Value>,
}

/// Changes the metadata.
pub(super) async fn describe(
    found: Found,
    Json(describe): Json<Describe>,
) -> Result<Shown<Value>, Refused> {
    let access = &found.access;
    let metadata = describe.metadata;
    let change = |about: &mut About| about.metadata.clone_from(&metadata);
    access.sessions().describe(&access.tenant, found.session, change).await?;
    get(found).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Delete {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// Also if it was moved to another cell, where it stays.
    #[serde(default)]
    moved: bool,
}

/// Deletes a session with all that is in it.
pub(super) async fn delete(
    found: Found,
    Params(asked): Params<Delete>,
) -> Result<StatusCode, Refused> {
    let access = &found.access;
    let (sessions, tenant) = (access.sessions(), &access.tenant);
    if asked.moved && (access.key.is_none() || access.manages()) {
        sessions.forget(tenant, found.session).await?;
    } else {
        sessions.delete(tenant, found.session).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fork {
    /// The last event that both have; the last one there is where it is left
    /// out.
    #[serde(default)]
    at: Option<u64>,
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
}

/// Makes another session that begins with this one's events; the same again
/// under the same idempotency key.
pub(super) async fn fork(
    found: Found,
    headers: HeaderMap,
    Json(fork): Json<Fork>,
) -> Result<(StatusCode, Shown<Value>), Refused> {
    let view = found.view().await?;
    let request = || json!(["fork", fork.at, fork.metadata]).to_string();
    let key = super::create::key(&headers, request)?;
    let at = Offset(fork.at.unwrap_or(view.row.head));
    let about = fork.metadata.map(|metadata| About { metadata, ..About::clone(&view.about) });
    let access = &found.access;
    let (tenant, session) = (&access.tenant, found.session);
    let receipt = access.sessions().fork(tenant, session, at, access.by(), about, key).await?;
    Ok((StatusCode::CREATED, Shown(shape::receipt(&receipt))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rewind {
    /// The last event that counts: the end of a turn.
    to: u64,
}

/// Has the model forget what came after an event. The events stay.
pub(super) async fn rewind(
    found: Found,
    Json(rewind): Json<Rewind>,
) -> Result<Shown<Value>, Refused> {
    let access = &found.access;
    let (tenant, to) = (&access.tenant, Offset(rewind.to));
    let receipt = access.sessions().rewind(tenant, found.session, to, access.by()).await?;
    Ok(Shown(shape::receipt(&receipt)))
}
