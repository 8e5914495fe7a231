//! `/v1/freehold/groups`.

use axum::Json;
use axum::extract::{Path, State};
use freehold_control::Group;
use freehold_types::GroupId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::input::{Input, Managed, ManagedList};
use super::shape::{self, LimitsShape};
use crate::problem::Problem;

/// A tenant's groups, by name.
pub(super) async fn list(
    State(admin): State<Admin>,
    ManagedList { tenant, page }: ManagedList,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shape::page(&admin.control.groups(&tenant, &page), shape::group)))
}

/// One group.
pub(super) async fn get(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Managed(tenant): Managed,
) -> Result<Json<Value>, Problem> {
    Ok(Json(shape::group(&admin.control.group(&tenant, &id(&name)?)?)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Put {
    #[serde(default)]
    parent: Option<String>,
    #[serde(default)]
    limits: LimitsShape,
}

/// Makes a group, or gives it this parent and these limits.
pub(super) async fn put(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Managed(tenant): Managed,
    Input(put): Input<Put>,
) -> Result<Json<Value>, Problem> {
    let group = Group {
        tenant,
        id: id(&name)?,
        parent: put.parent.as_deref().map(id).transpose()?,
        limits: put.limits.into(),
    };
    Ok(Json(shape::group(&admin.control.put_group(group).await?)))
}

/// Removes a group that nothing is in, with its budgets.
pub(super) async fn delete(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Managed(tenant): Managed,
) -> Result<StatusCode, Problem> {
    admin.control.remove_group(&tenant, &id(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn id(name: &str) -> Result<GroupId, Problem> {
    GroupId::new(name).map_err(|error| Problem::invalid(format!("the group `{name}`: {error}")))
}
