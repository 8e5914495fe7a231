//! Three nodes over one PostgreSQL, and many sessions: `cargo xtask nodes
//! --freehold BIN --seed S --sessions 2000 --seconds 300`.
//!
//! Each session is a client in a thread: it says things, answers the calls that
//! are its own, and reads streams, each time at whichever node chance says, and
//! goes elsewhere only when a connection is refused or reset. Meanwhile the
//! nodes are restarted one after the other, one of them is killed, and the wall
//! clock of one is wrong. In the end nothing may have failed, be lost, doubled or
//! stuck.

mod kill;
mod report;
mod respond;
mod schedule;
mod setup;
mod skew;
mod stage;
mod talk;
mod wire;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::node::{self, Scratch};
use report::Figures;
use stage::Stage;

/// What to do, and for how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all choices are made of.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Sessions at one time.
    #[arg(long, default_value_t = 2000)]
    sessions: usize,
    /// How long they are at it. It takes longer where nodes stop slowly.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// Turns that are begun in a second, all sessions together.
    #[arg(long, default_value_t = 40)]
    rate: u64,
    /// The server. Default: a debug build, made now.
    #[arg(long)]
    freehold: Option<PathBuf>,
    /// A database that is there and may be written to; its password is in
    /// PGPASSWORD. Default: a server of one's own, from Debian's packages.
    #[arg(long)]
    postgres: Option<String>,
    /// Lay the tables out over several machines first.
    #[arg(long, requires = "postgres")]
    citus: bool,
    /// How wrong the wall clock of one node is, in milliseconds; needs a C
    /// compiler (`cc`), unless it is 0.
    #[arg(long, default_value_t = 5_000, allow_negative_numbers = true)]
    skew_ms: i64,
    /// How many times as long fail-over may take: for machines that do other
    /// things too.
    #[arg(long, default_value_t = 1)]
    slack: u32,
    /// Keeps the folder with logs and data, and says where it is.
    #[arg(long)]
    keep: bool,
}

/// The stack of a client's thread.
const STACK: usize = 256 << 10;
/// One client in so many speaks the Responses API.
const RESPONSES: usize = 4;

/// Runs what is asked for. True if all is as it must be.
pub fn run(root: &Path, args: &Args, out: &mut dyn Write) -> Result<bool> {
    let program = match &args.freehold {
        Some(program) => program.clone(),
        None => node::build(root)?,
    };
    let folder = Scratch::new(args.keep)?;
    let figures = drive(&program, folder.path(), args)
        .with_context(|| format!("the folder is {}", folder.path().display()))?;
    let skew = if args.skew_ms == 0 {
        String::new()
    } else {
        format!(", one clock wrong by {} ms", args.skew_ms)
    };
    writeln!(
        out,
        "3 nodes, {} sessions, {} s, seed {}{skew}\n{figures}",
        args.sessions, args.seconds, args.seed
    )?;
    if args.keep {
        writeln!(out, "kept in {}", folder.path().display())?;
    }
    Ok(figures.is_good())
}

fn drive(program: &Path, folder: &Path, args: &Args) -> Result<Figures> {
    let cast = setup::open(program, folder, args)?;
    let think = Duration::from_millis(args.sessions as u64 * 1_000 / args.rate.max(1));
    let stage = Stage::new(args.seed, think, cast.addresses());
    let mut figures = Figures::new(args.slack);
    let made = thread::scope(|scope| {
        let mut clients = Vec::new();
        for number in 0..args.sessions {
            let stage = &stage;
            let client = move || {
                if number % RESPONSES == RESPONSES - 1 {
                    respond::run(stage, number);
                } else {
                    talk::run(stage, number);
                }
            };
            clients.push(thread::Builder::new().stack_size(STACK).spawn_scoped(scope, client)?);
        }
        let made = schedule::run(&cast, &stage, args, &mut figures);
        stage.close();
        for client in clients {
            drop(client.join());
        }
        made
    });
    made?;
    figures.judge(&cast, &stage);
    Ok(figures)
}
