//! How resources look in answers.

use freehold_control::{Budget, Group, Key, Limits, Scope, Standing};
use freehold_types::Page;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Limits of a key or group; what is left out has no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsShape {
    requests_per_minute: Option<u64>,
    tokens_per_minute: Option<u64>,
    concurrency: Option<u32>,
}

impl From<LimitsShape> for Limits {
    fn from(shape: LimitsShape) -> Self {
        let LimitsShape { requests_per_minute, tokens_per_minute, concurrency } = shape;
        Self { requests_per_minute, tokens_per_minute, concurrency }
    }
}

fn limits(limits: Limits) -> Value {
    let Limits { requests_per_minute, tokens_per_minute, concurrency } = limits;
    json!({
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "concurrency": concurrency,
    })
}

/// A key, without the bearer key.
pub(super) fn key(key: &Key) -> Value {
    json!({
        "id": key.id.to_string(),
        "name": key.name.as_str(),
        "tenant": key.tenant.as_str(),
        "group": key.group.as_ref().map(ToString::to_string),
        "prefix": key.shown,
        "admin": key.admin,
        "routes": key.routes.patterns(),
        "limits": limits(key.limits),
        "created_at": key.created_at.to_string(),
        "expires_at": key.expires_at.map(|at| at.to_string()),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

/// A group.
pub(super) fn group(group: &Group) -> Value {
    json!({
        "name": group.id.as_str(),
        "tenant": group.tenant.as_str(),
        "parent": group.parent.as_ref().map(ToString::to_string),
        "limits": limits(group.limits),
    })
}

/// A budget, and where it stands. Amounts are decimal numbers as text: a JSON
/// number would not be exact everywhere.
pub(super) fn budget(budget: &Budget, standing: Option<&Standing>) -> Value {
    let (group, key) = match &budget.scope {
        Scope::Tenant(_) => (None, None),
        Scope::Group(_, group) => (Some(group.to_string()), None),
        Scope::Key(_, key) => (None, Some(key.to_string())),
    };
    json!({
        "id": budget.id.to_string(),
        "tenant": budget.scope.tenant().as_str(),
        "group": group,
        "key": key,
        "period": budget.period.word(),
        "amount": budget.amount.to_string(),
        "spent": standing.map(|standing| standing.spent.to_string()),
        "reserved": standing.map(|standing| standing.reserved.to_string()),
        "period_start": standing.map(|standing| standing.window.start.to_string()),
        "period_end": standing.and_then(|standing| standing.window.end).map(|end| end.to_string()),
        "overspends": standing.map(|standing| standing.overspends),
    })
}

/// A page of a list.
pub(super) fn page<T>(page: &Page<T>, shape: impl Fn(&T) -> Value) -> Value {
    let data: Vec<Value> = page.items.iter().map(shape).collect();
    json!({ "data": data, "next": page.next })
}
