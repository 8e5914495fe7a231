//! `/v1/freehold/groups`.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use freehold_control::Group;
use freehold_types::GroupId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::caller::Caller;
use super::input::{Input, Listed, Params, Whose};
use super::shape::{self, LimitsShape};
use crate::problem::Problem;

/// A tenant's groups, by name.
pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Params(params): Params<Listed>,
) -> Result<Json<Value>, Problem> {
    let page = params.page();
    caller.may_manage(&params.tenant.0)?;
    Ok(Json(shape::page(&admin.control.groups(&params.tenant.0, &page), shape::group)))
}

/// One group.
pub(super) async fn get(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(Whose { tenant }): Params<Whose>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage(&tenant.0)?;
    Ok(Json(shape::group(&admin.control.group(&tenant.0, &id(&name)?)?)))
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
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(Whose { tenant }): Params<Whose>,
    Input(put): Input<Put>,
) -> Result<Json<Value>, Problem> {
    caller.may_manage(&tenant.0)?;
    let group = Group {
        tenant: tenant.0,
        id: id(&name)?,
        parent: put.parent.as_deref().map(id).transpose()?,
        limits: put.limits.into(),
    };
    Ok(Json(shape::group(&admin.control.put_group(group).await?)))
}

/// Removes a group that nothing is in, with its budgets.
pub(super) async fn delete(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    Params(Whose { tenant }): Params<Whose>,
) -> Result<StatusCode, Problem> {
    caller.may_manage(&tenant.0)?;
    admin.control.remove_group(&tenant.0, &id(&name)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn id(name: &str) -> Result<GroupId, Problem> {
    GroupId::new(name).map_err(|error| Problem::invalid(format!("the group `{name}`: {error}")))
}
