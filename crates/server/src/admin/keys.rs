//! `/v1/freehold/keys`.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use freehold_control::{KeyChange, NewKey, Routes};
use freehold_types::{GroupId, KeyName};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::caller::Caller;
use super::input::{Input, Managed, ManagedList, TenantName, parse};
use super::shape::{self, LimitsShape};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    name: String,
    #[serde(default = "TenantName::main")]
    tenant: TenantName,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    routes: Option<Vec<String>>,
    #[serde(default)]
    limits: LimitsShape,
    #[serde(default)]
    expires_at: Option<String>,
    /// From now: `90d`, `12h`, `30m`.
    #[serde(default)]
    expires_in: Option<String>,
}

/// Makes a key. The answer has the bearer key as `key`, this once; it is in
/// force when the answer arrives.
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Input(create): Input<Create>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let tenant = create.tenant.0;
    caller.may_manage(&tenant)?;
    let expires_at = ending(&admin, create.expires_at.as_deref(), create.expires_in.as_deref())?;
    let new = NewKey {
        tenant,
        group: create.group.as_deref().map(group).transpose()?,
        name: name(&create.name)?,
        admin: create.admin,
        routes: create.routes.as_deref().map_or(Ok(Routes::ALL), routes)?,
        limits: create.limits.into(),
        expires_at,
    };
    let issued = admin.control.create_key(new).await?;
    let mut answer = shape::key(&issued.key);
    answer["key"] = issued.secret.reveal().into();
    Ok((StatusCode::CREATED, Json(answer)))
}

/// A tenant's keys, revoked ones too, oldest first.
pub(super) async fn list(
    State(admin): State<Admin>,
    ManagedList { tenant, page }: ManagedList,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shape::page(&admin.control.keys(Some(&tenant), &page), shape::key)))
}

/// One key.
pub(super) async fn get(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
) -> Result<Json<Value>, Problem> {
    let key = admin.control.key(&tenant, parse("the key's id", &id)?)?;
    Ok(Json(shape::key(&key)))
}

/// What to change; a field that is left out stays, `null` takes it away.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out, null and a value are three things")]
pub(super) struct Update {
    #[serde(default)]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    group: Option<Option<String>>,
    #[serde(default)]
    admin: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    routes: Option<Option<Vec<String>>>,
    #[serde(default)]
    limits: Option<LimitsShape>,
    #[serde(default, deserialize_with = "present")]
    expires_at: Option<Option<String>>,
}

/// Tells `null` from what is not there.
fn present<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    T::deserialize(from).map(Some)
}

/// Changes a key; in force when the answer arrives.
pub(super) async fn update(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
    Input(update): Input<Update>,
) -> Result<Json<Value>, Problem> {
    let set_group = |name: Option<String>| name.as_deref().map(group).transpose();
    let set_routes = |list: Option<Vec<String>>| list.as_deref().map_or(Ok(Routes::ALL), routes);
    let set_end = |at: Option<String>| ending(&admin, at.as_deref(), None);
    let change = KeyChange {
        group: update.group.map(set_group).transpose()?,
        name: update.name.as_deref().map(name).transpose()?,
        admin: update.admin,
        routes: update.routes.map(set_routes).transpose()?,
        limits: update.limits.map(Into::into),
        expires_at: update.expires_at.map(set_end).transpose()?,
    };
    let key = admin.control.update_key(&tenant, parse("the key's id", &id)?, change).await?;
    Ok(Json(shape::key(&key)))
}

/// Takes a key back; it is refused when the answer arrives.
pub(super) async fn revoke(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
) -> Result<Json<Value>, Problem> {
    let key = admin.control.revoke_key(&tenant, parse("the key's id", &id)?).await?;
    Ok(Json(shape::key(&key)))
}

fn name(text: &str) -> Result<KeyName, Problem> {
    KeyName::new(text).map_err(|error| Problem::invalid(format!("name: {error}")))
}

fn group(text: &str) -> Result<GroupId, Problem> {
    GroupId::new(text).map_err(|error| Problem::invalid(format!("group: {error}")))
}

fn routes(list: &[String]) -> Result<Routes, Problem> {
    Routes::only(list).map_err(|error| Problem::invalid(format!("routes: {error}")))
}

fn ending(
    admin: &Admin,
    at: Option<&str>,
    after: Option<&str>,
) -> Result<Option<Timestamp>, Problem> {
    let end = match (at, after) {
        (None, None) => return Ok(None),
        (Some(at), None) => parse("expires_at", at)?,
        (None, Some(after)) => {
            let span = span(after).ok_or_else(|| {
                Problem::invalid("expires_in: write a number and s, m, h, d or w, such as 90d")
            })?;
            admin
                .env
                .now()
                .checked_add(span)
                .map_err(|_| Problem::invalid("expires_in: too long"))?
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("set expires_at or expires_in, not both"));
        }
    };
    if end <= admin.env.now() {
        return Err(Problem::invalid("the key would have expired already"));
    }
    Ok(Some(end))
}

fn span(text: &str) -> Option<SignedDuration> {
    let unit = text.chars().next_back()?;
    let count: i64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    count.checked_mul(seconds).map(SignedDuration::from_secs)
}
