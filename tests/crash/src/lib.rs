//! Kills the real server, again and again, and looks at what is left:
//! `cargo xtask crash --seed S --count N`.
//!
//! A scripted model and a payment server that counts effects stand outside of
//! it; clients make sessions, say things and read streams, and go on after each
//! kill where they were. Over SQLite one server is killed: at random, at each
//! record of the journal in turn, and around each request that it makes. Over
//! PostgreSQL one of two nodes is killed, paused past its lease, or cut from
//! the database. In the end every turn has ended, every input and every effect
//! is accounted for, and nobody saw anything twice or not at all.

mod chance;
mod client;
mod clock;
mod cluster;
mod database;
pub mod faults;
mod http;
mod journal;
mod judge;
mod link;
mod model;
mod node;
pub mod nodes;
mod payments;
mod plan;
mod report;
mod responses;
mod rounds;
mod serve;
mod sse;
mod trap;
mod world;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

pub use report::Report;

/// What to do, and how often.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// What all choices are made of.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Faults in all; a quarter of them over PostgreSQL.
    #[arg(long, default_value_t = 200)]
    count: u32,
    /// The server. Default: a debug build, made now.
    #[arg(long)]
    freehold: Option<PathBuf>,
    /// Only over this store.
    #[arg(long)]
    only: Option<Store>,
    /// Keeps the folder with logs and data, and says where it is.
    #[arg(long)]
    keep: bool,
}

/// Where the server keeps its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Store {
    /// One server over a file.
    Sqlite,
    /// Two nodes over one database.
    Postgres,
}

/// Runs what is asked for. True if nothing was lost, doubled or stuck.
pub fn run(root: &Path, args: &Args, out: &mut dyn Write) -> Result<bool> {
    let program = match &args.freehold {
        Some(program) => program.clone(),
        None => node::build(root)?,
    };
    let of_postgres = match args.only {
        Some(Store::Sqlite) => 0,
        Some(Store::Postgres) => args.count,
        None => args.count / 4,
    };
    let mut good = true;
    for (store, count) in
        [(Store::Sqlite, args.count - of_postgres), (Store::Postgres, of_postgres)]
    {
        if count == 0 {
            continue;
        }
        let folder = node::Scratch::new(args.keep)?;
        let report = rounds::run(store, &program, folder.path(), args.seed, count)
            .with_context(|| format!("the folder is {}", folder.path().display()))?;
        writeln!(out, "{store:?}, seed {}\n{report}", args.seed)?;
        if args.keep {
            writeln!(out, "kept in {}", folder.path().display())?;
        }
        good &= report.is_good();
    }
    Ok(good)
}
