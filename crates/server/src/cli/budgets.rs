//! `freehold budgets`: what may be spent.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::DataArgs;
use super::door::{call, list, show, text};
use freehold_server::admin::escape;
use freehold_server::out;

/// Bound what a key, a group or a tenant may spend.
///
/// What an exchange can cost at most is reserved before it, and what it did
/// cost is settled after it, so that no number of clients spends more.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold budgets create --amount 500 --period month
  freehold budgets create --amount 20 --period day --group research
  freehold budgets create --amount 5 --key key_0199...
  freehold budgets list
  freehold budgets set bud_0199... --amount 800")]
pub(super) struct Budgets {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a budget.
    Create(Create),
    /// List the budgets of a tenant, with what is spent of them.
    List(List),
    /// Change a budget's amount.
    Set(Set),
    /// Remove a budget.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Create {
    /// What may be spent in a period, in US dollars.
    #[arg(long)]
    amount: String,
    /// How long it lasts before it starts afresh.
    #[arg(long, default_value = "total", value_parser = ["total", "day", "week", "month", "year"])]
    period: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    /// For a group and the groups in it; without it or a key, for the tenant.
    #[arg(long, conflicts_with = "key")]
    group: Option<String>,
    /// For one key, by its id.
    #[arg(long)]
    key: Option<String>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct List {
    /// Whose.
    #[arg(long, default_value = "main")]
    tenant: String,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct Set {
    /// Its id.
    id: String,
    /// What may be spent in a period, in US dollars.
    #[arg(long)]
    amount: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    #[command(flatten)]
    data: DataArgs,
}

#[derive(Debug, Args)]
struct Delete {
    /// Its id.
    id: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    #[command(flatten)]
    data: DataArgs,
}

impl Budgets {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(),
            Command::List(list) => list.run(),
            Command::Set(set) => {
                let body = json!({ "amount": set.amount });
                call(&set.data, &Method::PATCH, &path(&set.id, &set.tenant), Some(&body))?;
                out::note(format!("{} allows {}.", set.id, set.amount));
                Ok(())
            }
            Command::Delete(delete) => {
                call(&delete.data, &Method::DELETE, &path(&delete.id, &delete.tenant), None)?;
                out::note(format!("{} is gone.", delete.id));
                Ok(())
            }
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let body = json!({
            "tenant": self.tenant,
            "group": self.group,
            "key": self.key,
            "period": self.period,
            "amount": self.amount,
        });
        let made = call(&self.data, &Method::POST, "/v1/freehold/budgets", Some(&body))?;
        if self.json {
            out::line(made.to_string());
        } else {
            out::line(text(&made, "id"));
        }
        Ok(())
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/freehold/budgets?tenant={}", escape(&self.tenant));
        let budgets = list(&self.data, &path)?;
        let headings = ["ID", "GROUP", "KEY", "PERIOD", "AMOUNT", "SPENT", "RESERVED"];
        show(self.json, &budgets, &headings, |budget| {
            let fields = ["id", "group", "key", "period", "amount", "spent", "reserved"];
            fields.iter().map(|field| text(budget, field)).collect()
        })
    }
}

fn path(id: &str, tenant: &str) -> String {
    format!("/v1/freehold/budgets/{}?tenant={}", escape(id), escape(tenant))
}
