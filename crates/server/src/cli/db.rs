//! `freehold db`: looks at the database that the configuration names.

use anyhow::bail;
use clap::{Args, Subcommand};
use freehold_server::config::Overrides;
use freehold_server::out;
use freehold_store::{Postgres, Report};

use super::{ConfigArgs, block_on};

/// Look at the database that the configuration names.
#[derive(Debug, Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
}

/// Say what a database is, and which of the store's needs it meets.
///
/// Each need is tried on it; nothing that was tried stays. Ends with status 0
/// if a server could use it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold db check --config freehold.toml")]
struct Check {
    #[command(flatten)]
    config: ConfigArgs,
}

impl Db {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let Command::Check(check) = self.command;
        check.run()
    }
}

impl Check {
    fn run(self) -> anyhow::Result<()> {
        let config = self.config.source(Overrides::default()).load()?;
        for warning in &config.warnings {
            out::note(format!("warning: {warning}"));
        }
        let Some(options) = config.store.postgres(Some(&config.secrets)) else {
            out::line(
                "The store is SQLite, built in, in the data folder; it needs nothing. \
                 To use PostgreSQL, set store.url.",
            );
            return Ok(());
        };
        let report = block_on(Postgres::check(&options))??;
        out::line(shown(&report));
        if !report.is_usable() {
            bail!("the store cannot use this database: what is marked `no` it must have");
        }
        Ok(())
    }
}

fn shown(report: &Report) -> String {
    let tls = if report.protected { "over TLS" } else { "without TLS" };
    let head = format!("{}, {tls}\n{}\n", report.database, report.version);
    let rows: Vec<Vec<String>> = report
        .findings
        .iter()
        .map(|finding| {
            let met = match (finding.met, finding.must) {
                (true, _) => "yes",
                (false, true) => "no",
                (false, false) => "partly",
            };
            vec![met.to_owned(), finding.need.to_owned(), finding.detail.clone()]
        })
        .collect();
    format!("{head}\n{}", out::table(&["MET", "NEED", "FOUND"], &rows))
}
