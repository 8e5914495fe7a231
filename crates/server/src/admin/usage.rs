//! `/v1/freehold/usage`.

use axum::extract::State;
use axum::{Extension, Json};
use freehold_store::usage::{By, Dimensions, Only, Query, Sums};
use freehold_types::{GroupId, KeyId, TenantId};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::Admin;
use super::caller::Caller;
use super::input::{Params, parse};
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Dimensions, with commas between them.
    #[serde(default)]
    by: String,
    /// The first day, in UTC; without it, the first of this month.
    #[serde(default)]
    from: Option<String>,
    /// The last day; without it, today.
    #[serde(default)]
    to: Option<String>,
    /// Only this tenant; all of them needs an admin key of `main`.
    #[serde(default)]
    tenant: Option<String>,
    /// Only keys in this group, and not in those below it; as in what follows,
    /// an empty value is what has none.
    #[serde(default)]
    group: Option<String>,
    /// Only this key, by its id.
    #[serde(default)]
    key: Option<String>,
    /// Only this name of a model, as clients asked for it.
    #[serde(default)]
    route: Option<String>,
    /// Only this provider.
    #[serde(default)]
    provider: Option<String>,
    /// Only this model, by the provider's name for it.
    #[serde(default)]
    model: Option<String>,
}

/// Sums of usage. What ended within the flush window may be missing.
pub(super) async fn report(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Params(asked): Params<Asked>,
) -> Result<Json<Value>, Problem> {
    let tenant = match asked.tenant.as_deref() {
        Some(name) => Some(
            TenantId::new(name).map_err(|error| Problem::invalid(format!("tenant: {error}")))?,
        ),
        None => caller.own_tenant(),
    };
    match &tenant {
        Some(tenant) => caller.may_manage(tenant)?,
        None => caller.may_manage_all()?,
    }
    let today = admin.env.now().to_zoned(TimeZone::UTC).date();
    let day = |text: Option<&str>, what: &str, usual: Date| {
        text.map_or(Ok(usual), |text| parse(what, text))
    };
    let by = dimensions(&asked.by)?;
    let query = Query {
        tenant,
        only: only(&asked)?,
        from: day(asked.from.as_deref(), "from", today.first_of_month())?,
        to: day(asked.to.as_deref(), "to", today)?,
        by,
    };
    let report = admin.control.usage(&query).await?;
    let data: Vec<Value> = report.rows.iter().map(|(at, sums)| row(by, at, sums)).collect();
    Ok(Json(json!({
        "from": query.from.to_string(),
        "to": query.to.to_string(),
        "data": data,
        "truncated": report.truncated,
    })))
}

fn only(asked: &Asked) -> Result<Only, Problem> {
    // What cannot be a name would match nothing, and leave its sender puzzled.
    if let Some(group) = asked.group.as_deref().filter(|group| !group.is_empty()) {
        GroupId::new(group).map_err(|error| Problem::invalid(format!("group: {error}")))?;
    }
    if let Some(key) = &asked.key {
        parse::<KeyId>("the key's id", key)?;
    }
    let text = |text: &Option<String>| text.as_deref().map(Into::into);
    Ok(Only {
        group: text(&asked.group),
        key: text(&asked.key),
        route: text(&asked.route),
        provider: text(&asked.provider),
        model: text(&asked.model),
    })
}

fn dimensions(words: &str) -> Result<By, Problem> {
    let mut by = By::default();
    for word in words.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let flag = match word {
            "tenant" => &mut by.tenant,
            "group" => &mut by.group,
            "key" => &mut by.key,
            "route" => &mut by.route,
            "provider" => &mut by.provider,
            "model" => &mut by.model,
            "day" => &mut by.day,
            other => {
                return Err(Problem::invalid(format!(
                    "by: `{other}` is none of tenant, group, key, route, provider, model and day"
                )));
            }
        };
        *flag = true;
    }
    Ok(by)
}

fn row(by: By, at: &Dimensions, sums: &Sums) -> Value {
    let mut row = Map::new();
    for (asked, name, value) in [
        (by.tenant, "tenant", &at.tenant),
        (by.day, "day", &at.day),
        (by.group, "group", &at.group),
        (by.key, "key", &at.key),
        (by.route, "route", &at.route),
        (by.provider, "provider", &at.provider),
        (by.model, "model", &at.model),
    ] {
        if asked {
            let value = (!value.is_empty()).then(|| value.to_string());
            row.insert(name.to_owned(), value.into());
        }
    }
    for (name, count) in [
        ("exchanges", sums.exchanges),
        ("errors", sums.errors),
        ("interrupted", sums.interrupted),
        ("estimated", sums.estimated),
        ("unpriced", sums.unpriced),
        ("lost", sums.lost),
        ("input_tokens", sums.tokens.input),
        ("cache_read_tokens", sums.tokens.cache_read),
        ("cache_write_tokens", sums.tokens.cache_write),
        ("output_tokens", sums.tokens.output),
        ("reasoning_tokens", sums.tokens.reasoning),
    ] {
        row.insert(name.to_owned(), count.into());
    }
    row.insert("cost".to_owned(), sums.cost.to_string().into());
    row.into()
}
