//! Tasks of the house: `cargo xtask --help`.

mod fuzz;
mod losses;
mod recordings;
mod sim;
mod tidy;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the house.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Kill the server again and again, and look at what is left.
    Crash(freehold_crash::Args),
    /// Give the server bad input and bad times, and look at what it says.
    Faults(freehold_crash::faults::Args),
    /// Run three nodes over one database under load, restart them and kill one.
    Nodes(freehold_crash::nodes::Args),
    /// Run simulated worlds in which everything that may go wrong does.
    Sim(sim::Args),
    /// Put recorded real traffic through the codecs.
    Recordings(recordings::Args),
    /// Put made-up inputs through the decoders.
    Fuzz(fuzz::Args),
    /// Write `docs/losses.md` as the codecs have it.
    Losses,
    /// Check sizes, names, arrows and words.
    Tidy,
    /// Copy a small representative part of a folder of recordings.
    TakeRecordings(recordings::take::Args),
}

/// The repository's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_owned).unwrap_or_default()
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is gone there is nobody to tell.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// Runs a task. True if it found nothing wrong.
fn run(cli: &Cli) -> Result<bool> {
    let out = &mut std::io::stdout().lock();
    match &cli.task {
        Task::Sim(args) => sim::run(args, out),
        Task::Crash(args) => freehold_crash::run(&root(), args, out),
        Task::Faults(args) => freehold_crash::faults::run(&root(), args, out),
        Task::Nodes(args) => freehold_crash::nodes::run(&root(), args, out),
        Task::Recordings(args) => recordings::run(args, out),
        Task::Fuzz(args) => fuzz::run(&root(), args, out),
        Task::Losses => losses::write(&root()).map(|()| true),
        Task::Tidy => tidy::run(&root(), out),
        Task::TakeRecordings(args) => recordings::take::run(args, out).map(|()| true),
    }
}
