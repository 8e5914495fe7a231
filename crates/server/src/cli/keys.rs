//! `freehold keys`: the keys that programs send.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::door::{call, list, show, text, words};
use super::{DataArgs, LimitArgs};
use freehold_server::admin::escape;
use freehold_server::out;

/// Make, list and revoke the keys that programs send.
///
/// Works while the server runs, and a change is in force when the command
/// returns. It also works while none runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold keys create --name ci --rpm 60 --expires 90d
  freehold keys create --name search --tenant acme --group research --route \"fast\" --route \"local\"
  freehold keys list --tenant acme
  freehold keys revoke key_0199...")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key. It is shown once; only its hash is kept.
    Create(Create),
    /// List the keys of a tenant.
    List(List),
    /// Take a key back; it is refused from the next request on.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
struct Create {
    /// What people call it.
    #[arg(long)]
    name: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    /// The group it is in, which must exist.
    #[arg(long)]
    group: Option<String>,
    /// A route it may call, `*` allowed; can be given often. Without it, all.
    #[arg(long = "route", value_name = "ROUTE")]
    routes: Vec<String>,
    /// When it ends: a time (2027-01-01T00:00:00Z), or from now (12h, 90d).
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// It may manage keys, groups and budgets of its tenant.
    #[arg(long)]
    admin: bool,
    #[command(flatten)]
    limits: LimitArgs,
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
struct Revoke {
    /// Its id, as `keys list` shows it.
    id: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    #[command(flatten)]
    data: DataArgs,
}

impl Keys {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Create(create) => create.run(),
            Command::List(list) => list.run(),
            Command::Revoke(revoke) => revoke.run(),
        }
    }
}

impl Create {
    fn run(self) -> anyhow::Result<()> {
        let mut body = json!({
            "name": self.name,
            "tenant": self.tenant,
            "admin": self.admin,
            "limits": self.limits.json(),
        });
        if let Some(group) = self.group {
            body["group"] = group.into();
        }
        if !self.routes.is_empty() {
            body["routes"] = self.routes.into();
        }
        if let Some(when) = self.expires {
            // A span from now is for the server's clock to add.
            let field =
                if when.parse::<jiff::Timestamp>().is_ok() { "expires_at" } else { "expires_in" };
            body[field] = when.into();
        }
        let made = call(&self.data, &Method::POST, "/v1/freehold/keys", Some(&body))?;
        if self.json {
            out::line(made.to_string());
        } else {
            out::line(text(&made, "key"));
            out::note(format!(
                "{} is in force. It is not shown again; keep it where it is needed.",
                text(&made, "id")
            ));
        }
        Ok(())
    }
}

impl List {
    fn run(self) -> anyhow::Result<()> {
        let path = format!("/v1/freehold/keys?tenant={}", escape(&self.tenant));
        let keys = list(&self.data, &path)?;
        let headings = ["ID", "NAME", "KEY", "GROUP", "ROUTES", "STATE", "EXPIRES"];
        show(self.json, &keys, &headings, |key| {
            vec![
                text(key, "id"),
                text(key, "name"),
                text(key, "prefix"),
                text(key, "group"),
                words(key, "routes"),
                state(key).to_owned(),
                text(key, "expires_at"),
            ]
        })
    }
}

fn state(key: &Value) -> &'static str {
    if key.get("revoked_at").is_some_and(|at| !at.is_null()) {
        "revoked"
    } else if key.get("admin") == Some(&Value::Bool(true)) {
        "admin"
    } else {
        "good"
    }
}

impl Revoke {
    fn run(self) -> anyhow::Result<()> {
        let path =
            format!("/v1/freehold/keys/{}?tenant={}", escape(&self.id), escape(&self.tenant));
        call(&self.data, &Method::DELETE, &path, None)?;
        out::note(format!("{} is revoked.", self.id));
        Ok(())
    }
}
