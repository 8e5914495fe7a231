//! Decoders against inputs that nobody sent, on stable Rust.
//!
//! Inputs are mutations of the recordings in `testdata/recordings` and of the
//! kept ones in `testdata/fuzz/TARGET`, by their JSON and by their bytes. Each
//! is a function of the seed and its number, so a failure comes again with
//! `--seed`. What failed is kept in `testdata/fuzz/TARGET` and is run first
//! from then on.

mod config;
mod corpus;
mod mutate;
mod random;
mod targets;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use random::Random;
use targets::Target;

/// An input that takes longer is a failure.
const SLOW: Duration = Duration::from_secs(2);

/// What to fuzz.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// `all`, `config`, `sse`, `scan`, or `request`, `answer`, `stream`,
    /// `error`, `tap` with `-chat`, `-responses` or `-messages`.
    target: String,
    /// How long, for each target.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where the inputs begin.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the fuzzer. True if nothing failed.
pub(crate) fn run(root: &Path, args: &Args, out: &mut dyn Write) -> Result<bool> {
    if args.target == "config" {
        return config::run(root, Duration::from_secs(args.seconds), args.seed, out);
    }
    let chosen: Vec<Target> = Target::all()
        .into_iter()
        .filter(|target| args.target == "all" || target.name() == args.target)
        .collect();
    if chosen.is_empty() {
        let names: Vec<String> = Target::all().iter().map(|target| target.name()).collect();
        bail!("no target {:?}; there are all, config, {}", args.target, names.join(", "));
    }
    let seeds = corpus::read(root)?;
    std::panic::set_hook(Box::new(|_| {}));
    let mut well = true;
    for target in chosen {
        let inputs = seeds.of(target);
        let found = fuzz(target, inputs, Duration::from_secs(args.seconds), args.seed);
        match found {
            Ok(count) => {
                writeln!(out, "{}: {count} inputs of {} seeds", target.name(), inputs.len())?;
            }
            Err((input, why)) => {
                well = false;
                let path = corpus::keep(root, &target.name(), &input)?;
                let shown = String::from_utf8_lossy(input.get(..2000).unwrap_or(&input));
                let seed = args.seed;
                writeln!(out, "{}: seed {seed}: {why}\n{shown}\nkept in {path}", target.name())?;
            }
        }
    }
    // Ours was only for the runs above.
    drop(std::panic::take_hook());
    Ok(well)
}

type Failure = (Vec<u8>, String);

fn fuzz(target: Target, inputs: &[Vec<u8>], time: Duration, seed: u64) -> Result<u64, Failure> {
    let mut random = Random::new(seed);
    for input in inputs {
        attempt(target, input, &mut random)?;
    }
    let end = now() + time;
    let mut count = inputs.len() as u64;
    while now() < end {
        let input = random.pick(inputs).map_or(&[][..], Vec::as_slice);
        let other = random.pick(inputs).map_or(&[][..], Vec::as_slice);
        let made = mutate::mutate(input, other, &mut random);
        attempt(target, &made, &mut random)?;
        count += 1;
    }
    Ok(count)
}

fn attempt(target: Target, input: &[u8], random: &mut Random) -> Result<(), Failure> {
    let start = now();
    let why = match catch_unwind(AssertUnwindSafe(|| target.run(input, random))) {
        Ok(Ok(())) if start.elapsed() < SLOW => return Ok(()),
        Ok(Ok(())) => format!("took {:?}", start.elapsed()),
        Ok(Err(why)) => why,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().map(String::as_str);
            let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("panicked: {}", words.unwrap_or("without words"))
        }
    };
    Err((input.to_vec(), why))
}

#[expect(clippy::disallowed_methods, reason = "a tool measures its own run")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What once failed must not fail again.
    #[test]
    fn kept_inputs_pass() {
        for (name, inputs) in corpus::kept(&crate::root()).unwrap() {
            let target = Target::all().into_iter().find(|target| target.name() == name);
            for input in inputs {
                if let Some(target) = target {
                    attempt(target, &input, &mut Random::new(1)).unwrap();
                }
            }
        }
    }

    #[test]
    fn a_seed_runs_every_target() {
        for target in Target::all() {
            fuzz(target, &[b"{}".to_vec()], Duration::from_millis(20), 1).unwrap();
        }
    }
}
