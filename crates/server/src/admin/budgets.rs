//! `/v1/freehold/budgets`.

use axum::extract::{Path, State};
use axum::{Extension, Json};
use freehold_control::{NewBudget, Scope};
use freehold_types::GroupId;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::Admin;
use super::caller::Caller;
use super::input::{Input, Managed, ManagedList, TenantName, parse};
use super::shape;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    #[serde(default = "TenantName::main")]
    tenant: TenantName,
    #[serde(default)]
    group: Option<String>,
    #[serde(default)]
    key: Option<String>,
    period: String,
    /// US dollars, as a decimal number in text.
    amount: String,
}

/// Makes a budget for a key, a group, or else the tenant. What was spent
/// before does not count.
pub(super) async fn create(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Input(create): Input<Create>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let tenant = create.tenant.0;
    caller.may_manage(&tenant)?;
    let scope = match (create.group, create.key) {
        (None, None) => Scope::Tenant(tenant),
        (Some(group), None) => {
            let group =
                GroupId::new(group).map_err(|error| Problem::invalid(format!("group: {error}")))?;
            Scope::Group(tenant, group)
        }
        (None, Some(key)) => Scope::Key(tenant, parse("the key's id", &key)?),
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("a budget is for a group or a key, not for both"));
        }
    };
    may_bound(&caller, &scope)?;
    let new = NewBudget {
        scope,
        amount: parse("the amount", &create.amount)?,
        period: parse("the period", &create.period)?,
    };
    let budget = admin.control.create_budget(new).await?;
    Ok((StatusCode::CREATED, Json(shape::budget(&budget, None))))
}

/// A tenant's budgets and where they stand, oldest first.
pub(super) async fn list(
    State(admin): State<Admin>,
    ManagedList { tenant, page }: ManagedList,
) -> Result<Json<Value>, Problem> {
    let budgets = admin.control.budgets(&tenant, &page);
    Ok(Json(shape::page(&budgets, |(budget, standing)| shape::budget(budget, Some(standing)))))
}

/// One budget and where it stands.
pub(super) async fn get(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
) -> Result<Json<Value>, Problem> {
    let (budget, standing) = admin.control.budget(&tenant, parse("the budget's id", &id)?)?;
    Ok(Json(shape::budget(&budget, Some(&standing))))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Update {
    amount: String,
}

/// Another amount, in force when the answer arrives.
pub(super) async fn update(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
    Extension(caller): Extension<Caller>,
    Input(update): Input<Update>,
) -> Result<Json<Value>, Problem> {
    let amount = parse("the amount", &update.amount)?;
    let id = parse("the budget's id", &id)?;
    may_bound(&caller, &admin.control.budget(&tenant, id)?.0.scope)?;
    let budget = admin.control.update_budget(&tenant, id, amount).await?;
    Ok(Json(shape::budget(&budget, None)))
}

/// Removes a budget and what is known of its spending.
pub(super) async fn delete(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Managed(tenant): Managed,
    Extension(caller): Extension<Caller>,
) -> Result<StatusCode, Problem> {
    let id = parse("the budget's id", &id)?;
    may_bound(&caller, &admin.control.budget(&tenant, id)?.0.scope)?;
    admin.control.remove_budget(&tenant, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A tenant's own admin spends within the tenant's budget and does not set it.
fn may_bound(caller: &Caller, scope: &Scope) -> Result<(), Problem> {
    match scope {
        Scope::Tenant(_) => caller.may_manage_all(),
        Scope::Group(..) | Scope::Key(..) => Ok(()),
    }
}
