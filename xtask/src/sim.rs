//! Simulated worlds: many seeds, on all cores, each world in one thread; each
//! commit of a fixed story failed in turn; and planted bugs that must be found.

use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use freehold_sim::{FAULTS, Mutation, Outcome, Setup, Stage, Tally, Way, seed_of, watch_panics};

/// Lines of a failed world's story that are shown.
const LINES: usize = 4000;
/// Failures after which no more are looked for.
const FAILURES_MAX: usize = 20;
/// One world in so many is run twice, and must be the same again.
const TWICE: u64 = 50;
/// From so many worlds on, nothing may be missing of what can occur.
const WHOLE: u64 = 1000;

/// What is simulated.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `all`, or one of: `worlds` (drawn from seeds), `commits` (each commit of
    /// a fixed story goes wrong in turn), `mutations` (each planted bug must be
    /// found), or the name of one bug.
    #[arg(default_value = "all")]
    name: String,
    /// Where the seeds begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many worlds.
    #[arg(long, default_value_t = 2000)]
    count: u64,
    /// Run the world of this very seed, and tell its whole story; with
    /// `commits`, the story whose commit of this number goes wrong.
    #[arg(long)]
    only: bool,
    /// With `commits --only`, how it goes wrong: `refused`, `not-done`, `done`,
    /// `done-later`, `crash-before` or `crash-after`.
    #[arg(long, default_value = "done")]
    way: String,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
}

/// What many worlds came to.
#[derive(Default)]
struct Sums {
    worlds: u64,
    steps: u64,
    commits: u64,
    events: u64,
    us: u64,
    twice: u64,
    tally: Tally,
    /// How to run it again, and what was wrong.
    failed: Vec<(String, Vec<String>)>,
}

impl Sums {
    fn add(&mut self, outcome: Outcome, again: impl FnOnce() -> String) {
        self.worlds += 1;
        self.steps += outcome.steps;
        self.commits += outcome.commits;
        self.events += outcome.events;
        self.us += outcome.us;
        self.tally.add(&outcome.tally);
        if !outcome.wrong.is_empty() {
            self.failed.push((again(), outcome.wrong));
        }
    }

    /// The failures, each with the command that shows it again.
    fn tell_failures(&self, out: &mut dyn Write) -> Result<()> {
        for (again, wrong) in &self.failed {
            writeln!(out, "FAILED, again with `cargo xtask sim {again}`:")?;
            for wrong in wrong {
                writeln!(out, "  {wrong}")?;
            }
        }
        Ok(())
    }
}

/// Runs what was asked for. True if all was as it must be.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<bool> {
    watch_panics();
    let mutation = Mutation::ALL.into_iter().find(|mutation| mutation.name() == args.name);
    if args.only && args.name == "commits" {
        let stage = Stage::open().map_err(anyhow::Error::msg)?;
        let outcome = stage.tell(Some((args.seed, way(&args.way)?)), true);
        return told(&outcome, out);
    }
    if args.only {
        let stage = Stage::open().map_err(anyhow::Error::msg)?;
        return told(&stage.run(setup(args.seed, mutation).told()), out);
    }
    let mut well = true;
    match (args.name.as_str(), mutation) {
        ("worlds", _) => well &= worlds(args, out)?,
        ("commits", _) => well &= commits(args, out)?,
        ("mutations", _) => well &= mutations(args, out)?,
        ("all", _) => {
            well &= worlds(args, out)?;
            well &= commits(args, out)?;
            well &= mutations(args, out)?;
        }
        (_, Some(mutation)) => well &= is_found(args, mutation, args.count, out)?,
        (name, None) => {
            let names: Vec<String> = Mutation::ALL.into_iter().map(Mutation::name).collect();
            let names = names.join(", ");
            bail!("there is no {name:?} here, but all, worlds, commits, mutations, {names}");
        }
    }
    Ok(well)
}

fn setup(seed: u64, mutation: Option<Mutation>) -> Setup {
    let setup = Setup::of(seed);
    match mutation {
        Some(mutation) => setup.with(mutation),
        None => setup,
    }
}

fn way(name: &str) -> Result<Way> {
    let found = Way::ALL.into_iter().find(|way| way.name() == name);
    found.ok_or_else(|| anyhow::anyhow!("a commit goes wrong by no way {name:?}"))
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has threads with a stage each do all of some numbered things, until one says
/// that it is enough. The time that it took.
#[expect(clippy::disallowed_methods, reason = "it tells how long the machine took")]
fn each(jobs: u64, count: u64, act: impl Fn(&Stage, u64) -> bool + Sync) -> Result<Duration> {
    let (began, next, stop) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
    let broken: Mutex<Option<String>> = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                let stage = match Stage::open() {
                    Ok(stage) => stage,
                    Err(error) => {
                        *held(&broken) = Some(error);
                        return;
                    }
                };
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    if !act(&stage, number) {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => bail!("the store does not open: {error}"),
        None => Ok(began.elapsed()),
    }
}

/// Worlds drawn from seeds.
fn worlds(args: &Args, out: &mut dyn Write) -> Result<bool> {
    let sums = Mutex::new(Sums::default());
    let took = each(args.jobs, args.count, |stage, number| {
        let seed = seed_of(args.seed, number);
        let mut outcome = stage.run(Setup::of(seed));
        let twice = number.is_multiple_of(TWICE);
        if twice {
            let again = stage.run(Setup::of(seed));
            if (again.pulse, again.steps, again.us) != (outcome.pulse, outcome.steps, outcome.us) {
                outcome.wrong.push("it is another world the second time".into());
            }
        }
        let mut sums = held(&sums);
        sums.twice += u64::from(twice);
        sums.add(outcome, || format!("--only --seed {seed}"));
        sums.failed.len() < FAILURES_MAX
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(
        out,
        "worlds: {} of seed {} in {:.1} s ({} us each), {} failed; {} run twice, the same each time",
        sums.worlds,
        args.seed,
        took.as_secs_f64(),
        took.as_micros() / u128::from(sums.worlds.max(1)),
        sums.failed.len(),
        sums.twice,
    )?;
    writeln!(
        out,
        "  {} steps, {} commits, {} events, {} simulated seconds",
        sums.steps,
        sums.commits,
        sums.events,
        sums.us / 1_000_000,
    )?;
    let of = |what| sums.tally.of(what);
    let before =
        of("commit refused before it took effect") + of("commit lost before it took effect");
    let after = of("commit done, its acknowledgement lost")
        + of("commit done late, its acknowledgement lost");
    writeln!(out, "  commits failed before they took effect: {before}, after: {after}")?;
    counts(out, "what broke", &sums.tally, FAULTS.iter().copied())?;
    counts(out, "what happened", &sums.tally, Tally::doings())?;
    sums.tell_failures(out)?;
    let mut lacks = sums.tally.lacks(FAULTS.iter().copied());
    lacks.extend(sums.tally.lacks(Tally::doings()));
    let is_whole = lacks.is_empty() || sums.worlds < WHOLE;
    if !lacks.is_empty() {
        writeln!(out, "NEVER OCCURRED: {}", lacks.join(", "))?;
    }
    Ok(sums.failed.is_empty() && is_whole)
}

fn counts(
    out: &mut dyn Write,
    title: &str,
    tally: &Tally,
    of: impl Iterator<Item = &'static str>,
) -> Result<()> {
    writeln!(out, "{title}:")?;
    for what in of {
        writeln!(out, "  {:>12}  {what}", tally.of(what))?;
    }
    Ok(())
}

/// Each commit of the fixed story goes wrong in turn, in each way.
fn commits(args: &Args, out: &mut dyn Write) -> Result<bool> {
    let stage = Stage::open().map_err(anyhow::Error::msg)?;
    let whole = stage.tell(None, false);
    if !whole.wrong.is_empty() {
        return told(&stage.tell(None, true), out);
    }
    let ways = Way::ALL.len() as u64;
    let sums = Mutex::new(Sums::default());
    let took = each(args.jobs, whole.commits * ways, |stage, number| {
        let index = usize::try_from(number % ways).unwrap_or(0);
        let (commit, way) = (number / ways, Way::ALL.get(index).copied().unwrap_or(Way::Done));
        let outcome = stage.tell(Some((commit, way)), false);
        let again = || format!("commits --only --seed {commit} --way {}", way.name());
        let mut sums = held(&sums);
        sums.add(outcome, again);
        sums.failed.len() < FAILURES_MAX
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    writeln!(
        out,
        "commits: each of the {} of a fixed story in each of {ways} ways, {} runs in {:.1} s, {} failed",
        whole.commits,
        sums.worlds,
        took.as_secs_f64(),
        sums.failed.len(),
    )?;
    sums.tell_failures(out)?;
    let lacks = whole.tally.lacks(Stage::told());
    if !lacks.is_empty() {
        writeln!(out, "NOT IN THE STORY: {}", lacks.join(", "))?;
    }
    Ok(sums.failed.is_empty() && lacks.is_empty())
}

/// Each planted bug is found within its number of worlds.
fn mutations(args: &Args, out: &mut dyn Write) -> Result<bool> {
    let mut found = 0;
    for mutation in Mutation::ALL {
        found += usize::from(is_found(args, mutation, mutation.within(), out)?);
    }
    writeln!(out, "planted bugs: {found} of {} found", Mutation::ALL.len())?;
    Ok(found == Mutation::ALL.len())
}

/// Whether a planted bug is found.
fn is_found(args: &Args, mutation: Mutation, within: u64, out: &mut dyn Write) -> Result<bool> {
    let sums = Mutex::new(Sums::default());
    each(args.jobs, within, |stage, number| {
        let seed = seed_of(args.seed, number);
        let outcome = stage.run(setup(seed, Some(mutation)));
        let mut sums = held(&sums);
        sums.add(outcome, || format!("{} --only --seed {seed}", mutation.name()));
        sums.failed.is_empty()
    })?;
    let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
    let name = mutation.name();
    match sums.failed.first() {
        Some((again, wrong)) => {
            let wrong: String =
                wrong.first().map_or("", String::as_str).chars().take(160).collect();
            let worlds = sums.worlds;
            writeln!(
                out,
                "  {name}: found after {worlds} of {within} worlds (`{again}`): {wrong}"
            )?;
        }
        None => writeln!(out, "  {name}: NOT FOUND in {within} worlds")?,
    }
    Ok(!sums.failed.is_empty())
}

/// Tells a world's story.
fn told(outcome: &Outcome, out: &mut dyn Write) -> Result<bool> {
    let skip = outcome.trace.len().saturating_sub(LINES);
    for line in outcome.trace.iter().skip(skip) {
        writeln!(out, "{line}")?;
    }
    for wrong in &outcome.wrong {
        writeln!(out, "WRONG: {wrong}")?;
    }
    writeln!(out, "{} commits, {} wrong", outcome.commits, outcome.wrong.len())?;
    Ok(outcome.wrong.is_empty())
}
