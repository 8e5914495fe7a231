//! Simulated worlds: many seeds, on all cores, each world in one thread.

use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, bail};
use freehold_sim::{Mutation, Outcome, Setup, Stage, seed_of, watch_panics};

/// Lines of a failed world's story that are shown.
const LINES: usize = 4000;

/// Which worlds.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `worlds`, `mutations` (each planted bug must be found), or the name of
    /// one bug.
    #[arg(default_value = "worlds")]
    name: String,
    /// Where the seeds begin. A failed world's own seed runs it again, with
    /// `--only`.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds; for a bug, at most.
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// Run the world of this very seed, and tell its whole story.
    #[arg(long)]
    only: bool,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
}

/// A world that failed.
struct Failed {
    seed: u64,
    wrong: Vec<String>,
}

#[derive(Default)]
struct Sums {
    worlds: AtomicU64,
    commits: AtomicU64,
    events: AtomicU64,
    seconds: AtomicU64,
}

/// Runs worlds. True if each was as it must be.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<bool> {
    watch_panics();
    if args.name == "mutations" {
        let mut well = true;
        for mutation in Mutation::ALL {
            well &= is_found(args, mutation, out)?;
        }
        return Ok(well);
    }
    let mutation = Mutation::ALL.into_iter().find(|mutation| mutation.name() == args.name);
    if mutation.is_none() && args.name != "worlds" {
        let names: Vec<String> = Mutation::ALL.into_iter().map(Mutation::name).collect();
        bail!("no worlds {:?}; there are worlds, mutations, {}", args.name, names.join(", "));
    }
    if args.only {
        return told(args.seed, mutation, out);
    }
    match mutation {
        Some(mutation) => is_found(args, mutation, out),
        None => worlds(args, out),
    }
}

fn setup(seed: u64, mutation: Option<Mutation>) -> Setup {
    let setup = Setup::of(seed);
    match mutation {
        Some(mutation) => setup.with(mutation),
        None => setup,
    }
}

/// Runs seeds until one fails.
fn search(args: &Args, mutation: Option<Mutation>, sums: &Sums) -> Result<Option<Failed>> {
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<Failed>> = Mutex::new(None);
    let broken: Mutex<Option<String>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..args.jobs.max(1) {
            scope.spawn(|| {
                let stage = match Stage::open() {
                    Ok(stage) => stage,
                    Err(error) => {
                        *broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                            Some(error);
                        return;
                    }
                };
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= args.count {
                        return;
                    }
                    let seed = seed_of(args.seed, number);
                    let outcome = stage.run(setup(seed, mutation));
                    count(sums, &outcome);
                    if !outcome.wrong.is_empty() {
                        stop.store(true, Ordering::Relaxed);
                        let mut failed =
                            failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        *failed = Some(Failed { seed, wrong: outcome.wrong });
                    }
                }
            });
        }
    });
    if let Some(error) = broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
        bail!("the store does not open: {error}");
    }
    Ok(failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

fn count(sums: &Sums, outcome: &Outcome) {
    sums.worlds.fetch_add(1, Ordering::Relaxed);
    sums.commits.fetch_add(outcome.commits, Ordering::Relaxed);
    sums.events.fetch_add(outcome.events, Ordering::Relaxed);
    sums.seconds.fetch_add(outcome.us / 1_000_000, Ordering::Relaxed);
}

#[expect(clippy::disallowed_methods, reason = "it tells how long the machine took")]
fn worlds(args: &Args, out: &mut dyn Write) -> Result<bool> {
    let (sums, began) = (Sums::default(), Instant::now());
    let failed = search(args, None, &sums)?;
    let took = began.elapsed();
    let sum = |of: &AtomicU64| of.load(Ordering::Relaxed);
    let worlds = sum(&sums.worlds);
    writeln!(
        out,
        "{worlds} worlds in {:.1} s ({} us each): {} commits, {} events, {} simulated seconds",
        took.as_secs_f64(),
        took.as_micros() / u128::from(worlds.max(1)),
        sum(&sums.commits),
        sum(&sums.events),
        sum(&sums.seconds),
    )?;
    match failed {
        Some(failed) => told(failed.seed, None, out),
        None => Ok(true),
    }
}

/// Whether a planted bug is found.
fn is_found(args: &Args, mutation: Mutation, out: &mut dyn Write) -> Result<bool> {
    let sums = Sums::default();
    let failed = search(args, Some(mutation), &sums)?;
    let (name, worlds) = (mutation.name(), sums.worlds.load(Ordering::Relaxed));
    match &failed {
        Some(Failed { seed, wrong }) => {
            let wrong = wrong.first().map_or("", String::as_str);
            writeln!(out, "{name}: found in world {worlds} (seed {seed}): {wrong}")?;
        }
        None => writeln!(out, "{name}: NOT FOUND in {worlds} worlds")?,
    }
    Ok(failed.is_some())
}

/// Runs one world and tells its story.
fn told(seed: u64, mutation: Option<Mutation>, out: &mut dyn Write) -> Result<bool> {
    let stage = Stage::open().map_err(anyhow::Error::msg)?;
    let outcome = stage.run(setup(seed, mutation).told());
    let skip = outcome.trace.len().saturating_sub(LINES);
    for line in outcome.trace.iter().skip(skip) {
        writeln!(out, "{line}")?;
    }
    for wrong in &outcome.wrong {
        writeln!(out, "WRONG: {wrong}")?;
    }
    writeln!(
        out,
        "seed {seed}: {} wrong; again with: cargo xtask sim --only --seed {seed}",
        outcome.wrong.len()
    )?;
    Ok(outcome.wrong.is_empty())
}
