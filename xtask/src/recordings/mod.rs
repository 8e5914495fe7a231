//! Recorded real traffic, put through the codecs.
//!
//! Every exchange of a folder is decoded, encoded and compared; its stream is
//! split and cut everywhere; and all of it is taken to every other dialect
//! and judged there by readers that share no code with the codecs.
//!
//! In scope is what a codec reads: model calls of the dialects that are built,
//! and counts of tokens. `later` are model calls of dialects to come.
//! `not_ours` is all that no codec reads: other services of the providers
//! (files, threads, images, a response fetched by its id), and the endpoints
//! that pass through as bytes, embeddings and legacy completions among them,
//! where there is nothing to decode or to lose. `unreadable` is a file that
//! holds no exchange.

pub(crate) mod bodies;
mod check;
mod exchange;
mod explained;
mod folder;
mod frames;
mod json;
mod normal;
mod report;
mod scope;
pub(crate) mod take;
mod wire;
mod yaml;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

use explained::Explained;
use folder::{File, Recording};
use report::{Fate, Report};
use scope::Scope;

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with `INDEX.tsv` and recordings.
    folder: PathBuf,
    /// Only recordings whose path contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Write every finding without explanation here, a line each.
    #[arg(long)]
    findings: Option<PathBuf>,
}

/// Checks a folder and prints the report. True if all is well.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<bool> {
    let explained = Explained::read(&crate::root().join("testdata/explained.tsv"))?;
    let mut files = folder::files(&args.folder)?;
    files.retain(|file| file.path.contains(&args.only));
    let mut checked = check_all(&args.folder, &files);
    checked.sort_by(|a, b| a.1.cmp(&b.1));
    let mut report = Report::default();
    for (provider, name, fate) in checked {
        report.add(&provider, &name, fate, &explained);
    }
    if let Some(path) = &args.findings {
        std::fs::write(path, report.lines().join("\n"))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(report.write(&explained, out)?)
}

type Checked = (String, String, Fate);

/// Checks the files on all processors.
fn check_all(root: &Path, files: &[File]) -> Vec<Checked> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let fates: Vec<Checked> = file.load(root).into_iter().map(fate).collect();
                    if let Ok(mut all) = all.lock() {
                        all.extend(fates);
                    }
                }
            });
        }
    });
    all.into_inner().unwrap_or_default()
}

fn fate(recording: Recording) -> Checked {
    let Recording { provider, name, exchange } = recording;
    let fate = match &exchange {
        Err(why) => Fate::Unreadable(format!("{why:#}")),
        Ok(exchange) => match scope::of(exchange) {
            Scope::NotOurs => Fate::NotOurs,
            Scope::Later => Fate::Later,
            Scope::In(dialect) => checked(check::run(exchange, dialect)),
            Scope::Count => checked(check::run_count(exchange)),
        },
    };
    (provider, name, fate)
}

fn checked(outcome: check::Outcome) -> Fate {
    Fate::Checked { stream: outcome.resplit, crossed: outcome.crossed, findings: outcome.findings }
}
