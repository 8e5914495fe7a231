//! What the compiler does not see: sizes, names, arrows, words.

mod arrows;
mod codes;
mod size;
mod source;
mod words;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use arrows::Manifest;
use source::Source;

/// Endings of files that are read as text.
const TEXT: [&str; 13] = [
    ".rs",
    ".md",
    ".toml",
    ".sh",
    ".py",
    ".js",
    ".mjs",
    ".ts",
    ".yml",
    ".json",
    ".service",
    ".txt",
    "Dockerfile",
];

/// Checks the repository and prints what is wrong. True if nothing is.
pub(crate) fn run(root: &Path, out: &mut dyn Write) -> Result<bool> {
    let (errors, warnings) = check(root)?;
    for warning in &warnings {
        writeln!(out, "warning: {warning}")?;
    }
    for error in &errors {
        writeln!(out, "error: {error}")?;
    }
    writeln!(out, "tidy: {} errors, {} warnings", errors.len(), warnings.len())?;
    Ok(errors.is_empty())
}

fn check(root: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    let paths = tracked(root)?;
    let ends = |path: &str, end: &str| path.ends_with(end);
    let rust = |path: &&String| ends(path, ".rs");
    let sources: Vec<Source> =
        paths.iter().filter(rust).map(|path| Source::read(root, path)).collect::<Result<_>>()?;
    for source in &sources {
        words::check(source, &mut errors);
    }
    size::files(&sources, &mut errors, &mut warnings);
    let list = std::fs::read_to_string(root.join("xtask/long_functions.txt")).unwrap_or_default();
    size::functions(&sources, &list, &mut errors);
    let own = |path: &&String| {
        TEXT.iter().any(|end| path.ends_with(end))
            || path.starts_with("scripts/")
            || path.starts_with(".ci/")
    };
    for path in paths.iter().filter(own).filter(|path| !path.starts_with("testdata/recordings/")) {
        let text = std::fs::read(root.join(path)).with_context(|| path.clone())?;
        words::workplace(path, &String::from_utf8_lossy(&text), &mut errors);
    }
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).ok();
    arrows::check(&manifests(root, &paths)?, architecture.as_deref(), &mut errors);
    let pages: BTreeMap<String, String> = paths
        .iter()
        .filter(|path| path.starts_with(codes::FOLDER))
        .map(|path| Ok((path.clone(), std::fs::read_to_string(root.join(path))?)))
        .collect::<Result<_>>()?;
    codes::check(&pages, &sources, &mut errors);
    if !crate::losses::is_current(root) {
        errors
            .push("docs/losses.md: not as the codecs have it; run `cargo xtask losses`".to_owned());
    }
    Ok((errors, warnings))
}

/// The files that git has or would have.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(listed.status.success(), "git ls-files failed");
    let names = String::from_utf8(listed.stdout)?;
    let there = |path: &&str| !path.is_empty() && root.join(path).is_file();
    Ok(names.split('\0').filter(there).map(str::to_owned).collect())
}

fn manifests(root: &Path, paths: &[String]) -> Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for path in paths {
        let name = match path.strip_suffix("/Cargo.toml") {
            Some("xtask") => "xtask",
            Some(folder) => match folder.strip_prefix("crates/") {
                Some(name) if !name.contains('/') => name,
                _ => continue,
            },
            None => continue,
        };
        let table =
            std::fs::read_to_string(root.join(path))?.parse().with_context(|| path.clone())?;
        found.push(Manifest { name: name.to_owned(), table });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_repository_is_tidy() {
        let (errors, _) = super::check(&crate::root()).unwrap();
        assert!(errors.is_empty(), "{}", errors.join("\n"));
    }
}
