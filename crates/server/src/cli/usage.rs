//! `freehold usage`: what was used and what it cost.

use clap::Args;
use http::Method;
use serde_json::Value;

use super::DataArgs;
use super::door::{call, show, text};
use freehold_server::admin::escape;
use freehold_server::out;

/// Show what was used and what it cost.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold usage                                  this month, by route and model
  freehold usage --by day --from 2026-11-01 --to 2026-11-30
  freehold usage --by day --provider east --group research
  freehold usage --by tenant,group,key --json")]
pub(super) struct Usage {
    /// What it is told apart by: tenant, group, key, route, provider, model, day.
    #[arg(long, value_delimiter = ',', default_value = "route,model")]
    by: Vec<String>,
    /// The first day; without it, the first of this month.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The last day; without it, today.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Only keys in just this group.
    #[arg(long)]
    group: Option<String>,
    /// Only this key, by its id.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only this model name, as clients asked for it.
    #[arg(long)]
    route: Option<String>,
    /// Only this provider.
    #[arg(long)]
    provider: Option<String>,
    /// Only this model, by the provider's name for it.
    #[arg(long)]
    model: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

impl Usage {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut path = format!("/v1/freehold/usage?by={}", escape(&self.by.join(",")));
        for (name, value) in [
            ("from", self.from),
            ("to", self.to),
            ("tenant", self.tenant),
            ("group", self.group),
            ("key", self.key),
            ("route", self.route),
            ("provider", self.provider),
            ("model", self.model),
        ] {
            if let Some(value) = value {
                path.extend(["&", name, "=", &escape(&value)]);
            }
        }
        let report = call(&self.data, &Method::GET, &path, None)?;
        let rows = report.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        let sums = ["exchanges", "errors", "lost", "input_tokens", "output_tokens", "cost"];
        let fields: Vec<&str> = self.by.iter().map(String::as_str).chain(sums).collect();
        let headings: Vec<String> = fields.iter().map(|field| field.to_uppercase()).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        show(self.json, &rows, &headings, |row| {
            fields.iter().map(|field| text(row, field)).collect()
        })?;
        if report.get("truncated") == Some(&Value::Bool(true)) {
            out::note("There is more; ask for fewer days or fewer dimensions.");
        }
        Ok(())
    }
}
