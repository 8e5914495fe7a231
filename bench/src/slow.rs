//! A disk that takes its time: the same program again, with every sync of it
//! and of all that it starts delayed by a small preloaded library.

use std::io::{Error, Result};
use std::process::{Command, ExitStatus};

use crate::child::Scratch;

/// Set in a program that runs on the slow disk.
const MARK: &str = "FREEHOLD_BENCH_SLOW_SYNC";

/// Runs this program again on a disk whose syncs take so many milliseconds
/// longer, and gives how that ended; `None` if it runs there already.
pub fn again(delay_ms: u32) -> Result<Option<ExitStatus>> {
    if std::env::var_os(MARK).is_some() {
        return Ok(None);
    }
    let folder = Scratch::new("bench-slow")?;
    let (source, library) = (folder.path().join("slow.c"), folder.path().join("slow.so"));
    std::fs::write(&source, include_str!("slow.c"))?;
    let made = Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", &format!("-DDELAY_MS={delay_ms}"), "-o"])
        .args([&library, &source])
        .status()?;
    if !made.success() {
        return Err(Error::other("cc does not compile slow.c"));
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.args(std::env::args_os().skip(1)).env(MARK, "1").env("LD_PRELOAD", &library);
    command.status().map(Some)
}
