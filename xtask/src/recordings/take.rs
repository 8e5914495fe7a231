//! A small representative part of a folder of recordings, for `testdata/`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::folder::{self, File};
use super::scope::{self, Scope};

/// What to take.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A folder with `INDEX.tsv`, `_licences` and recordings.
    from: PathBuf,
    /// Where the part goes; recordings that are there already stay.
    to: PathBuf,
    /// The most bytes to take.
    #[arg(long, default_value_t = 12 << 20)]
    bytes: u64,
}

/// Takes files, smallest first, as long as one shows what none before it
/// showed: a feature of a dialect, from a provider, in a form of answer.
pub(crate) fn run(args: &Args, out: &mut dyn Write) -> Result<()> {
    let mut files: Vec<(u64, File)> = Vec::new();
    for file in folder::files(&args.from)? {
        let size = std::fs::metadata(args.from.join(&file.path)).map_or(0, |meta| meta.len());
        files.push((size, file));
    }
    files.sort_by_key(|(size, _)| *size);
    let mut shown = BTreeSet::new();
    let (mut total, mut index) = (0, Vec::new());
    for (size, file) in files {
        let new: Vec<String> =
            shows(&file, &args.from).into_iter().filter(|key| !shown.contains(key)).collect();
        if new.is_empty() || total + size > args.bytes {
            continue;
        }
        total += size;
        shown.extend(new);
        copy(&args.from.join(&file.path), &args.to.join(&file.path))?;
        index.extend(file.rows.iter().map(|row| row.line.clone()));
    }
    let heading = std::fs::read_to_string(args.from.join("INDEX.tsv"))?;
    index.insert(0, heading.lines().next().unwrap_or_default().to_owned());
    index.push(String::new());
    std::fs::write(args.to.join("INDEX.tsv"), index.join("\n"))?;
    for entry in std::fs::read_dir(args.from.join("_licences"))? {
        let name = entry?.file_name();
        copy(&args.from.join("_licences").join(&name), &args.to.join("_licences").join(&name))?;
    }
    writeln!(out, "{} exchanges, {total} bytes", index.len() - 2)?;
    Ok(())
}

/// What a file shows, as words that can be compared.
fn shows(file: &File, root: &Path) -> Vec<String> {
    let mut keys = Vec::new();
    for (row, recording) in file.rows.iter().zip(file.load(root)) {
        let Ok(exchange) = recording.exchange else { continue };
        let Scope::In(dialect) = scope::of(&exchange) else { continue };
        let form = (exchange.is_sse(), exchange.status >= 400);
        keys.push(format!("{} {} {form:?}", dialect.word(), row.provider));
        keys.push(format!("{} {} {form:?}", dialect.word(), row.source));
        for feature in row.features.split(',').filter(|feature| !feature.is_empty()) {
            keys.push(format!("{} {} {form:?} {feature}", dialect.word(), row.provider));
        }
    }
    keys
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
