//! Bad input and bad times: `cargo xtask faults --freehold BIN`.
//!
//! The real server with a scripted model and a payment server, and one fault
//! after the other: what it answers meanwhile must be a clear error, what it
//! accepted before must be kept, and it must serve again by itself.

mod away;
mod blob;
mod desk;
mod disk;
mod refusals;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::node::{self, Scratch};
use desk::Checks;

/// Which server, and for how long its database is away.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The server. Default: a debug build, made now.
    #[arg(long)]
    freehold: Option<PathBuf>,
    /// Seconds that PostgreSQL is gone.
    #[arg(long, default_value_t = 60)]
    away: u64,
    /// Only what has this in its name.
    #[arg(long)]
    only: Option<String>,
    /// Keeps the folder with logs and data, and says where it is.
    #[arg(long)]
    keep: bool,
}

/// Something that goes wrong, tried in a folder of its own.
type Fault<'a> = dyn Fn(&Path, &mut Checks) -> Result<()> + 'a;

/// Gives it all of them. True if each was met as it must be.
pub fn run(root: &Path, args: &Args, out: &mut dyn Write) -> Result<bool> {
    let program = match &args.freehold {
        Some(program) => program.clone(),
        None => node::build(root)?,
    };
    let scratch = Scratch::new(args.keep)?;
    let mut good = true;
    let faults: [(&str, &Fault<'_>); 7] = [
        ("refused requests", &|folder, checks| refusals::run(&program, folder, checks)),
        ("approvals", &|folder, checks| refusals::approvals(&program, folder, checks)),
        ("a full disk", &|folder, checks| disk::full(&program, folder, checks)),
        ("a read-only data folder", &|folder, checks| disk::read_only(&program, folder, checks)),
        ("a missing blob", &|folder, checks| blob::run(&program, folder, checks)),
        ("a database that may not be written", &|folder, checks| {
            away::read_only(&program, folder, checks)
        }),
        ("a database that is gone", &|folder, checks| {
            away::gone(&program, folder, args.away, checks)
        }),
    ];
    for (at, (name, fault)) in faults.into_iter().enumerate() {
        if args.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        let folder = scratch.path().join(at.to_string());
        std::fs::create_dir_all(&folder)?;
        let mut checks = Checks::default();
        fault(&folder, &mut checks)
            .with_context(|| format!("{name}; the folder is {}", folder.display()))?;
        writeln!(out, "{name}\n{checks}")?;
        good &= checks.are_good();
    }
    if args.keep {
        writeln!(out, "kept in {}", scratch.path().display())?;
    }
    Ok(good)
}
