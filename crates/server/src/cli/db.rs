//! `freehold db`: looks at the database that the configuration names, and
//! prepares it.

use std::sync::Arc;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use freehold_server::config::Overrides;
use freehold_server::env::RealEnv;
use freehold_server::out;
use freehold_store::{Postgres, PostgresOptions, Report};
use freehold_types::Env;

use super::{ConfigArgs, block_on};

/// Look at the database that the configuration names, or prepare it.
#[derive(Debug, Args)]
pub(super) struct Db {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
    Init(Init),
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

/// Make the tables, and lay them out over several machines if asked.
///
/// A server makes its tables itself; this is for whoever wants them before, or
/// under other rights. It can be run again: what is done is left as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold db init --config freehold.toml
  freehold db init --distributed citus --print
  freehold db init --distributed citus --config freehold.toml")]
struct Init {
    /// Spread what belongs to sessions over the machines of this engine.
    #[arg(long, value_enum)]
    distributed: Option<Engine>,
    /// Shards to spread it in; more than machines, now and later.
    #[arg(long, requires = "distributed", value_parser = clap::value_parser!(u32).range(1..=64_000))]
    shards: Option<u32>,
    /// Only write the statements that lay the tables out.
    #[arg(long, requires = "distributed")]
    print: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Engine {
    /// Citus, an extension of PostgreSQL.
    Citus,
}

impl Db {
    pub(super) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Check(check) => check.run(),
            Command::Init(init) => init.run(),
        }
    }
}

/// The PostgreSQL database that the configuration names; `None`, and told, if
/// the store is SQLite.
fn postgres(config: &ConfigArgs) -> anyhow::Result<Option<PostgresOptions>> {
    let config = config.source(Overrides::default()).load()?;
    for warning in &config.warnings {
        out::note(format!("warning: {warning}"));
    }
    let options = config.store.postgres(Some(&config.secrets));
    if options.is_none() {
        out::line(
            "The store is SQLite, built in, in the data folder; it needs nothing. \
             To use PostgreSQL, set store.url.",
        );
    }
    Ok(options)
}

impl Init {
    fn run(self) -> anyhow::Result<()> {
        if self.print {
            out::line(Postgres::citus_script(self.shards).trim_end());
            return Ok(());
        }
        let Some(options) = postgres(&self.config)? else {
            if self.distributed.is_some() {
                bail!("only a PostgreSQL store can be laid out over several machines");
            }
            return Ok(());
        };
        let env: Arc<dyn Env> = Arc::new(RealEnv::new());
        block_on(Postgres::migrate(&options, &env))??;
        out::line("The tables are there.");
        if let Some(Engine::Citus) = self.distributed {
            let steps = block_on(Postgres::lay_out_over_citus(&options, self.shards))??;
            for step in &steps {
                out::line(step);
            }
            out::line("The tables are laid out over Citus.");
        }
        Ok(())
    }
}

impl Check {
    fn run(self) -> anyhow::Result<()> {
        let Some(options) = postgres(&self.config)? else { return Ok(()) };
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
