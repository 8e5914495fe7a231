//! The inputs that fuzzing begins with.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use freehold_llm::Dialect;

use super::targets::Target;
use crate::recordings::bodies;

/// Recorded bodies over this are left out: small ones mutate to more.
const SEED_LIMIT: usize = 24 << 10;

/// Inputs by target.
pub(super) struct Corpus(BTreeMap<Target, Vec<Vec<u8>>>);

impl Corpus {
    pub(super) fn of(&self, target: Target) -> &[Vec<u8>] {
        self.0.get(&target).map_or(&[], Vec::as_slice)
    }
}

/// The recordings' bodies and the kept inputs.
pub(super) fn read(root: &Path) -> Result<Corpus> {
    let mut all: BTreeMap<Target, Vec<Vec<u8>>> = BTreeMap::new();
    let mut add = |target, body: &[u8]| {
        if body.len() <= SEED_LIMIT {
            all.entry(target).or_default().push(body.to_vec());
        }
    };
    for body in bodies::of(&root.join("testdata/recordings"))? {
        let dialect = body.dialect;
        for target in targets(dialect, body.kind) {
            add(target, &body.bytes);
        }
    }
    for (name, inputs) in kept(root)? {
        if let Some(target) = Target::all().into_iter().find(|target| target.name() == name) {
            all.entry(target).or_default().splice(0..0, inputs);
        }
    }
    Ok(Corpus(all))
}

fn targets(dialect: Dialect, kind: bodies::Kind) -> Vec<Target> {
    match kind {
        bodies::Kind::Request => vec![Target::Request(dialect), Target::Scan],
        bodies::Kind::Answer => vec![Target::Answer(dialect)],
        bodies::Kind::Stream => vec![Target::Stream(dialect), Target::Tap(dialect), Target::Sse],
        bodies::Kind::Error => vec![Target::Error(dialect)],
    }
}

/// The inputs under `testdata/fuzz`, by folder.
pub(super) fn kept(root: &Path) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    let Ok(folders) = std::fs::read_dir(root.join("testdata/fuzz")) else { return Ok(all) };
    for folder in folders {
        let folder = folder?;
        let Ok(files) = std::fs::read_dir(folder.path()) else { continue };
        let mut paths: Vec<_> = files.collect::<std::io::Result<Vec<_>>>()?;
        paths.sort_by_key(std::fs::DirEntry::file_name);
        for file in paths {
            let name = folder.file_name().to_string_lossy().into_owned();
            all.entry(name).or_default().push(std::fs::read(file.path())?);
        }
    }
    Ok(all)
}

/// Keeps an input that failed; gives its path.
pub(super) fn keep(root: &Path, target: &str, input: &[u8]) -> Result<String> {
    let folder = root.join("testdata/fuzz").join(target);
    std::fs::create_dir_all(&folder)?;
    let sum = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, b| {
        (sum ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = folder.join(format!("{sum:016x}"));
    std::fs::write(&path, input)?;
    Ok(path.display().to_string())
}
