//! Lists the price sheet's files, so that a provider is a file and no code.

use std::error::Error;
use std::fmt::Write as _;
use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let sheet = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("src/prices/sheet");
    println!("cargo::rerun-if-changed={}", sheet.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(&sheet)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path);
        }
    }
    files.sort();
    let mut list = String::from("&[\n");
    for path in &files {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let path = path.to_str().ok_or("a path that is not UTF-8")?;
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("sheet.rs"), list)?;
    Ok(())
}
