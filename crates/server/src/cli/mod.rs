//! The command line: what a person types, and what it calls.
//!
//! A file per command. A command that manages keys, groups or budgets speaks
//! the admin API over [`door`], whether a server runs or not.

mod backup;
mod bench;
mod budgets;
mod cell;
mod chat;
mod check;
mod client;
mod db;
mod door;
mod fsck;
mod groups;
mod keys;
mod mcp_probe;
mod models;
mod secrets;
mod serve;
mod sessions;
mod usage;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use freehold_server::config::{LogFormat, LogLevel, Overrides, Source, TlsOptions};
use freehold_server::data_folder;
use freehold_store::StoreOptions;

/// Your own models and agents, on any model, on any cloud: one binary.
#[derive(Debug, Parser)]
#[command(
    name = "freehold",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Examples:
  freehold models fetch smollm2-135m-instruct    fetch small open weights once
  freehold serve                                 serve them, and your providers, on 127.0.0.1:8484
  freehold chat \"Why is the sky blue?\"           ask through the running server
  freehold keys create --name ci --rpm 60        make a key for a program
  freehold check --config freehold.toml          find mistakes before they are in force"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve requests until a signal to stop.
    Serve(serve::Serve),
    /// Check a configuration and say what it means.
    Check(check::Check),
    /// Make, list and revoke the keys that programs send.
    Keys(keys::Keys),
    /// Put keys into groups with limits of their own.
    Groups(groups::Groups),
    /// Bound what a key, a group or a tenant may spend.
    Budgets(budgets::Budgets),
    /// Show what was used and what it cost.
    Usage(usage::Usage),
    /// Look at the database that the configuration names.
    Db(db::Db),
    /// Change what seals the secrets in the store.
    Secrets(secrets::Secrets),
    /// Show what other cells know this one by.
    Cell(cell::Cell),
    /// Work with agents' sessions: read, watch, talk, decide.
    Sessions(sessions::Sessions),
    /// Copy the embedded store into a folder, while the server runs.
    Backup(backup::Backup),
    /// Make a new data folder of a backup.
    Restore(backup::Restore),
    /// Look whether what is stored can be right.
    Fsck(fsck::Fsck),
    /// Fetch, list and remove the weights of local models.
    Models(models::Models),
    /// Talk to a model through a running server.
    Chat(chat::Chat),
    /// Put load on a running server and measure it.
    Bench(bench::Bench),
    /// Look at an MCP server as a session would.
    McpProbe(mcp_probe::McpProbe),
}

impl Cli {
    /// Does what was typed.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Check(check) => check.run(),
            Command::Keys(keys) => keys.run(),
            Command::Groups(groups) => groups.run(),
            Command::Budgets(budgets) => budgets.run(),
            Command::Usage(usage) => usage.run(),
            Command::Db(db) => db.run(),
            Command::Secrets(secrets) => secrets.run(),
            Command::Cell(cell) => cell.run(),
            Command::Sessions(sessions) => sessions.run(),
            Command::Backup(backup) => backup.run(),
            Command::Restore(restore) => restore.run(),
            Command::Fsck(fsck) => fsck.run(),
            Command::Models(models) => models.run(),
            Command::Chat(chat) => chat.run(),
            Command::Bench(bench) => bench.run(),
            Command::McpProbe(probe) => probe.run(),
        }
    }
}

/// Where the configuration is.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// The configuration; without it, freehold.toml in this folder if there is one.
    #[arg(long, value_name = "FILE", env = "FREEHOLD_CONFIG")]
    config: Option<PathBuf>,
}

/// Where the data folder is.
#[derive(Clone, Debug, Args)]
struct DataArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The data folder; without it, the configuration's, else the usual one.
    #[arg(long, value_name = "DIR", env = "FREEHOLD_DATA")]
    data: Option<PathBuf>,
}

impl DataArgs {
    /// The data folder that a server with these arguments would use.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        if let Some(data) = &self.data {
            return Ok(data.clone());
        }
        let source = self.config.source(Overrides::default());
        Ok(source.load()?.server.data.unwrap_or_else(data_folder::usual))
    }

    /// The store that a server with these arguments would use, over this data
    /// folder. Where the folder is named and no configuration, it is in it.
    fn store(&self, folder: &Path) -> anyhow::Result<StoreOptions> {
        let config = self.config.source(Overrides::default()).load()?;
        Ok(config.store.resolve(folder, &config.secrets))
    }
}

impl ConfigArgs {
    fn source(&self, overrides: Overrides) -> Source {
        Source::new(self.config.clone(), overrides, freehold_server::kinds::kinds())
    }
}

/// Limits of a key or group.
#[derive(Clone, Copy, Debug, Args)]
struct LimitArgs {
    /// Requests in a minute; without it, no limit.
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,
    /// Tokens in a minute, input and output together; without it, no limit.
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,
    /// Exchanges at one time; without it, no limit.
    #[arg(long, value_name = "N")]
    concurrency: Option<u32>,
}

impl LimitArgs {
    /// As the admin API takes them.
    fn json(self) -> serde_json::Value {
        serde_json::json!({
            "requests_per_minute": self.rpm,
            "tokens_per_minute": self.tpm,
            "concurrency": self.concurrency,
        })
    }
}

/// What a server can be told in place of its configuration.
#[derive(Clone, Debug, Args)]
struct ServerArgs {
    #[command(flatten)]
    data: DataArgs,
    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDR:PORT", env = "FREEHOLD_LISTEN")]
    listen: Option<SocketAddr>,
    /// The server's certificate, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_key", env = "FREEHOLD_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's key, as PEM.
    #[arg(long, value_name = "FILE", requires = "tls_cert", env = "FREEHOLD_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// Serve TLS with a self-signed certificate, which is kept in the data folder.
    #[arg(long, conflicts_with = "tls_cert")]
    tls_dev: bool,
    /// How much is logged.
    #[arg(long, value_enum, env = "FREEHOLD_LOG")]
    log_level: Option<LogLevel>,
    /// The form of a log line; without it, text on a terminal, else json.
    #[arg(long, value_enum, env = "FREEHOLD_LOG_FORMAT")]
    log_format: Option<LogFormat>,
}

impl ServerArgs {
    /// Where the configuration comes from, and whether TLS is served with a
    /// certificate of our own making.
    fn source(self) -> (Source, bool) {
        let tls = self.tls_cert.zip(self.tls_key).map(|(cert, key)| TlsOptions { cert, key });
        let overrides = Overrides {
            listen: self.listen,
            data: self.data.data,
            tls,
            log_level: self.log_level,
            log_format: self.log_format,
        };
        (self.data.config.source(overrides), self.tls_dev)
    }
}

/// A runtime for a command that waits for one thing at a time.
fn block_on<F: Future>(future: F) -> anyhow::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
