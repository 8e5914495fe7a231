//! A wrong wall clock for one process, by what is loaded before its libraries.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Compiles it.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let (source, shim) = (folder.join("skew.c"), folder.join("skew.so"));
    std::fs::write(&source, include_str!("skew.c"))?;
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&shim).arg(&source);
    let compiled = compile.status().context("no C compiler: install cc, or pass --skew-ms 0")?;
    if !compiled.success() {
        bail!("{} is not compiled", source.display());
    }
    Ok(shim)
}

/// What a process is started with whose clock is to be wrong.
pub(super) fn env(shim: &Path, ms: i64) -> Vec<(String, String)> {
    vec![
        ("LD_PRELOAD".to_owned(), shim.display().to_string()),
        ("SKEW_MS".to_owned(), ms.to_string()),
    ]
}
