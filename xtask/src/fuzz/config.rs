//! Configuration files against the binary itself, which must refuse them
//! with words and never die.

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::random::Random;
use super::{corpus, mutate, now};

/// Exit codes of a command that ends by its own will.
const OWN_CODES: std::ops::RangeInclusive<i32> = 0..=100;

/// Runs `freehold check` over mutations of the example. True if none kills it.
pub(super) fn run(root: &Path, time: Duration, seed: u64, out: &mut dyn Write) -> Result<bool> {
    let example =
        std::fs::read(root.join("freehold.example.toml")).context("no example to start from")?;
    let built =
        ["release", "debug"].map(|profile| target_folder(root).join(profile).join("freehold"));
    let Some(freehold) = built.iter().find(|path| path.is_file()) else {
        bail!("build freehold first");
    };
    let mut inputs = vec![example];
    inputs.extend(corpus::kept(root)?.remove("config").unwrap_or_default());
    let file = std::env::temp_dir().join(format!("freehold-fuzz-{}.toml", std::process::id()));
    let mut random = Random::new(seed);
    let (end, mut count) = (now() + time, 0);
    while now() < end {
        let input = random.pick(&inputs).map_or(&[][..], Vec::as_slice);
        let made = mutate::mutate(input, input, &mut random);
        std::fs::write(&file, &made)?;
        let ran = Command::new(freehold).arg("check").arg("--config").arg(&file).output()?;
        let words = String::from_utf8_lossy(&ran.stderr);
        let own = ran.status.code().is_some_and(|code| OWN_CODES.contains(&code));
        if !own || words.contains("panicked") {
            let path = corpus::keep(root, "config", &made)?;
            writeln!(out, "config: seed {seed}: {}: {words}\nkept in {path}", ran.status)?;
            return Ok(false);
        }
        count += 1;
    }
    std::fs::remove_file(&file)?;
    writeln!(out, "config: {count} inputs of {} seeds", inputs.len())?;
    Ok(true)
}

fn target_folder(root: &Path) -> std::path::PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into)
}
