//! `freehold sessions`: agents' sessions in a terminal.

mod act;
mod api;
mod ask;
mod bundle;
mod line;
mod read;
mod watch;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::client::ClientArgs;
use super::{ConfigArgs, DataArgs};
use api::Api;

/// Work with agents' sessions: read, watch, talk, decide.
///
/// Speaks to a running server with the admin key of the data folder, or the key
/// that is given.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  freehold sessions new --model fast \"Find the three cheapest flights\"
  freehold sessions watch sess_0199...
  freehold sessions say sess_0199... \"Only direct ones\" --busy steer
  freehold sessions approvals
  freehold sessions approve sess_0199... appr_0199... --note \"fine by me\"
  freehold sessions timers set sess_0199... --in 3600 \"Look again\"
  freehold sessions fork sess_0199... --at 41
  freehold sessions export sess_0199... --move eu-2")]
pub(super) struct Sessions {
    #[command(subcommand)]
    command: Command,
    /// Whose; without it, the key's own tenant.
    #[arg(long, global = true)]
    tenant: Option<String>,
    /// Print JSON as the server gives it.
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    server: Server,
}

/// Which server, and as whom; anywhere on the line.
#[derive(Debug, Args)]
struct Server {
    /// The server; without it, the one that runs on the data folder.
    #[arg(long, global = true, value_name = "URL", env = "FREEHOLD_URL")]
    url: Option<String>,
    /// A file with the key to send; without it, FREEHOLD_API_KEY, else the
    /// admin key of the data folder.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The configuration; without it, freehold.toml in this folder if there is one.
    #[arg(long, global = true, value_name = "FILE", env = "FREEHOLD_CONFIG")]
    config: Option<PathBuf>,
    /// The data folder; without it, the configuration's, else the usual one.
    #[arg(long, global = true, value_name = "DIR", env = "FREEHOLD_DATA")]
    data: Option<PathBuf>,
}

impl From<Server> for ClientArgs {
    fn from(server: Server) -> Self {
        let Server { url, key_file, config, data } = server;
        Self::new(url, key_file, DataArgs { config: ConfigArgs { config }, data })
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a session, and say something in it.
    New(ask::New),
    /// List sessions, newest first.
    List(read::List),
    /// Show how one stands and what it waits for.
    Show(read::One),
    /// Print its journal.
    Journal(read::Journal),
    /// Follow what happens in it.
    Watch(watch::Watch),
    /// Say something in it.
    Say(ask::Say),
    /// Answer a call that waits for a client or a person.
    Answer(ask::Answer),
    /// Send it a signal.
    Signal(ask::Signal),
    /// Stop its turn.
    Cancel(read::One),
    /// List what sessions ask to have approved.
    Approvals(act::Approvals),
    /// Approve a call.
    Approve(act::Decide),
    /// Deny a call.
    Deny(act::Decide),
    /// Set, list and cancel timers.
    Timers(act::Timers),
    /// Set limits anew; a turn that paused at one goes on.
    Limits(act::Limits),
    /// Sum up its context.
    Compact(read::One),
    /// Have an event survive compactions.
    Pin(act::Pin),
    /// Let it go again.
    Unpin(act::Pin),
    /// Make another session that begins with its events.
    Fork(act::Fork),
    /// Have its model forget what came after an event.
    Rewind(act::Rewind),
    /// Show events and bytes, turn by turn.
    Stats(read::One),
    /// Make a token with which anyone may send it one signal.
    Webhook(act::Webhook),
    /// Write it to a file, as a copy or to move it to another cell.
    Export(bundle::Export),
    /// Take one in from a file.
    Import(bundle::Import),
    /// Refuse a bundle for good, so that its session can be unsealed.
    Refuse(bundle::Refuse),
    /// Take one back that another cell has refused.
    Unseal(bundle::Unseal),
    /// Delete it, with all that is in it.
    Delete(bundle::Delete),
}

impl Sessions {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let api = Api::new(&self.server.into(), self.tenant, self.json)?;
        match self.command {
            Command::New(new) => new.run(&api),
            Command::List(list) => list.run(&api),
            Command::Show(one) => one.show(&api),
            Command::Journal(journal) => journal.run(&api),
            Command::Watch(watch) => watch.run(&api),
            Command::Say(say) => say.run(&api),
            Command::Answer(answer) => answer.run(&api),
            Command::Signal(signal) => signal.run(&api),
            Command::Cancel(one) => one.tell(&api, "cancel", "is told to stop"),
            Command::Approvals(approvals) => approvals.run(&api),
            Command::Approve(decide) => decide.run(&api, "approve"),
            Command::Deny(decide) => decide.run(&api, "deny"),
            Command::Timers(timers) => timers.run(&api),
            Command::Limits(limits) => limits.run(&api),
            Command::Compact(one) => one.tell(&api, "compact", "is being summed up"),
            Command::Pin(pin) => pin.run(&api, true),
            Command::Unpin(pin) => pin.run(&api, false),
            Command::Fork(fork) => fork.run(&api),
            Command::Rewind(rewind) => rewind.run(&api),
            Command::Stats(one) => one.stats(&api),
            Command::Webhook(webhook) => webhook.run(&api),
            Command::Export(export) => export.run(&api),
            Command::Import(import) => import.run(&api),
            Command::Refuse(refuse) => refuse.run(&api),
            Command::Unseal(unseal) => unseal.run(&api),
            Command::Delete(delete) => delete.run(&api),
        }
    }
}
