//! Files of a backup: written durably, hashed on the way, for their owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::{Error, Part};

const CHUNK: usize = 256 << 10;

/// What names a failure's file.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |error| Error::File(path.clone(), error)
}

/// A file that is being written.
pub(super) struct NewFile {
    path: PathBuf,
    file: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

impl NewFile {
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = BufWriter::new(file.map_err(at(path))?);
        Ok(Self { path: path.to_owned(), file, hash: Sha256::new(), bytes: 0 })
    }

    pub(super) fn add(&mut self, part: &[u8]) -> Result<(), Error> {
        self.hash.update(part);
        self.bytes += part.len() as u64;
        self.file.write_all(part).map_err(at(&self.path))
    }

    /// On disk when this returns; its name is, once its folder is synced.
    pub(super) fn close(self) -> Result<Part, Error> {
        let failed = at(&self.path);
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(&failed)?;
        Ok(Part { bytes: self.bytes, sha256: hex(&self.hash.finalize()) })
    }
}

/// What a file's content comes to; `to` hears of it on the way.
pub(super) fn read(
    path: &Path,
    mut to: impl FnMut(&[u8]) -> Result<(), Error>,
) -> Result<Part, Error> {
    let mut file = BufReader::new(File::open(path).map_err(at(path))?);
    let mut chunk = vec![0; CHUNK];
    let (mut hash, mut bytes) = (Sha256::new(), 0);
    loop {
        let read = file.read(&mut chunk).map_err(at(path))?;
        let part = chunk.get(..read).unwrap_or_default();
        if part.is_empty() {
            return Ok(Part { bytes, sha256: hex(&hash.finalize()) });
        }
        hash.update(part);
        bytes += read as u64;
        to(part)?;
    }
}

/// What some bytes come to.
pub(super) fn part(content: &[u8]) -> Part {
    Part { bytes: content.len() as u64, sha256: hex(&Sha256::digest(content)) }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
