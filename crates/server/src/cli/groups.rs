//! `freehold groups`: keys that share limits.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::door::{call, list, show, text};
use super::{DataArgs, LimitArgs};
use freehold_server::admin::escape;
use freehold_server::out;

/// Put keys into groups with limits of their own.
///
/// Groups nest; a key is under the limits and budgets of its group and of all
/// groups above it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold groups set research --rpm 600
  freehold groups set vision --parent research --concurrency 8
  freehold groups list
  freehold groups delete vision")]
pub(super) struct Groups {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a group, or change its parent and limits.
    Set(Set),
    /// List the groups of a tenant.
    List(List),
    /// Remove a group that nothing is in.
    Delete(Delete),
}

#[derive(Debug, Args)]
struct Set {
    /// Its name, unique in the tenant.
    name: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    /// The group it is part of.
    #[arg(long)]
    parent: Option<String>,
    #[command(flatten)]
    limits: LimitArgs,
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
struct Delete {
    /// Its name.
    name: String,
    /// Whose it is.
    #[arg(long, default_value = "main")]
    tenant: String,
    #[command(flatten)]
    data: DataArgs,
}

impl Groups {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Set(set) => {
                let body = json!({ "parent": set.parent, "limits": set.limits.json() });
                call(&set.data, &Method::PUT, &path(&set.name, &set.tenant), Some(&body))?;
                out::note(format!("The group {} is in force.", set.name));
                Ok(())
            }
            Command::List(args) => {
                let path = format!("/v1/freehold/groups?tenant={}", escape(&args.tenant));
                let groups = list(&args.data, &path)?;
                show(args.json, &groups, &["NAME", "PARENT", "LIMITS"], |group| {
                    vec![text(group, "name"), text(group, "parent"), text(group, "limits")]
                })
            }
            Command::Delete(delete) => {
                call(&delete.data, &Method::DELETE, &path(&delete.name, &delete.tenant), None)?;
                out::note(format!("The group {} is gone.", delete.name));
                Ok(())
            }
        }
    }
}

fn path(name: &str, tenant: &str) -> String {
    format!("/v1/freehold/groups/{}?tenant={}", escape(name), escape(tenant))
}
