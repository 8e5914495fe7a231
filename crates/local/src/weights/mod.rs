//! Where weights are on this machine, and which ones come in packages.
//!
//! Weights live outside of the data folder: they are large, public and can be
//! fetched again. To add a packaged model: a row in `catalogue.rs`.

mod catalogue;
mod install;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use catalogue::{Kind, PACKAGES, Package, PackagedFile, find};

/// What went wrong with weights on disk.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading or writing failed.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The wheel is no zip archive, or lacks the file.
    #[error("{} is not the expected package: {why}", wheel.display())]
    Wheel {
        /// The wheel.
        wheel: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The content is not what the manifest says.
    #[error(
        "{} has the SHA-256 {found}, expected {expected}: remove it and fetch it again",
        path.display()
    )]
    Hash {
        /// The file.
        path: PathBuf,
        /// As the manifest has it.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A file that is no GGUF.
    #[error("{} is not a GGUF file", path.display())]
    NotGguf {
        /// The file.
        path: PathBuf,
    },
    /// A name that cannot be a folder's.
    #[error("{name:?} cannot name a model: use letters, digits, '-', '_' and '.'")]
    Name {
        /// The name.
        name: String,
    },
    /// The environment says nothing of a cache folder.
    #[error("no folder for models: set FREEHOLD_MODELS, or HOME")]
    NoFolder,
}

impl Error {
    fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { what, path: path.to_owned(), source }
    }
}

/// The models folder of this machine: a folder a model in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

/// A model in the folder, or one that could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// The row of a packaged model.
    pub package: Option<&'static Package>,
    /// Whether all its files are there (their hashes are not looked at).
    pub installed: bool,
}

impl Folder {
    /// The folder at `root`, which need not exist yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that the environment names: `FREEHOLD_MODELS`, else
    /// `freehold/models` in the user's cache folder.
    pub fn of_environment(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let path = |name: &str| variable(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        if let Some(root) = path("FREEHOLD_MODELS") {
            return Ok(Self::new(root));
        }
        let cache = if cfg!(windows) {
            path("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            path("HOME").map(|home| home.join("Library/Caches"))
        } else {
            path("XDG_CACHE_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| path("HOME").map(|home| home.join(".cache")))
        };
        cache.map(|cache| Self::new(cache.join("freehold/models"))).ok_or(Error::NoFolder)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of a model.
    pub fn of(&self, package: &Package) -> PathBuf {
        self.root.join(package.name)
    }

    /// Where the weights of a packaged model are, or will be.
    pub fn weights(&self, package: &Package) -> PathBuf {
        self.of(package).join(package.weights)
    }

    /// Whether all files of a packaged model are there, in their full size.
    pub fn is_installed(&self, package: &Package) -> bool {
        package.files.iter().all(|file| {
            let meta = std::fs::metadata(self.of(package).join(file.name));
            meta.is_ok_and(|meta| meta.is_file() && meta.len() == file.bytes)
        })
    }

    /// Reads all files of a packaged model and compares their hashes.
    pub fn verify(&self, package: &Package) -> Result<(), Error> {
        for file in package.files {
            let path = self.of(package).join(file.name);
            let found = sha256_of(&path)?;
            if found != file.sha256 {
                return Err(Error::Hash { path, expected: file.sha256.to_owned(), found });
            }
        }
        Ok(())
    }

    /// All packaged models, and the user's own GGUF files in the folder, by
    /// name.
    pub fn list(&self) -> Vec<Entry> {
        let mut entries: Vec<Entry> = PACKAGES
            .iter()
            .map(|package| Entry {
                name: package.name.to_owned(),
                path: self.of(package),
                package: Some(package),
                installed: self.is_installed(package),
            })
            .collect();
        let folders = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        for folder in folders.map(|entry| entry.path()) {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            let Some(name) = name.filter(|name| find(name).is_none()) else { continue };
            if folder.join(install::OWN_WEIGHTS).is_file() {
                entries.push(Entry { name, path: folder, package: None, installed: true });
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        entries
    }

    /// The GGUF file of a name: a packaged chat model, or one of the user's
    /// own in the folder.
    pub fn gguf(&self, name: &str) -> Option<PathBuf> {
        match find(name) {
            Some(package) => (package.kind == Kind::Chat).then(|| self.weights(package)),
            None => install::is_name(name)
                .then(|| self.root.join(name).join(install::OWN_WEIGHTS))
                .filter(|path| path.is_file()),
        }
    }
}

/// The SHA-256 of a file in hex, read in pieces.
pub fn sha256_of(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::io("reading", path))?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut piece).map_err(Error::io("reading", path))?;
        if count == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(piece.get(..count).unwrap_or_default());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut out, byte| {
        for digit in [byte >> 4, byte & 15] {
            out.extend(char::from_digit(u32::from(digit), 16));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_folder() {
        let of = |pairs: &'static [(&str, &str)]| {
            Folder::of_environment(move |name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.into())
            })
            .map(|folder| folder.root)
        };
        let set = of(&[("FREEHOLD_MODELS", "/m"), ("HOME", "/h")]);
        assert_eq!(set.unwrap(), Path::new("/m"));
        assert!(matches!(of(&[("FREEHOLD_MODELS", "")]), Err(Error::NoFolder)));
        if cfg!(target_os = "linux") {
            assert_eq!(of(&[("HOME", "/h")]).unwrap(), Path::new("/h/.cache/freehold/models"));
            let cache = of(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]);
            assert_eq!(cache.unwrap(), Path::new("/c/freehold/models"));
        }
    }

    #[test]
    fn aliases_lead_to_the_same_package() {
        assert_eq!(find("local"), find("smollm2-135m-instruct"));
        assert!(find("local").is_some() && find("nothing").is_none());
    }
}
