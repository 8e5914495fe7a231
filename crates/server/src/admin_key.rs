//! The first admin key: made at the first start, kept in the data folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use freehold_types::Secret;

use crate::data_folder::write_private;

/// The variable that sets the first admin key.
pub const BOOTSTRAP: &str = "FREEHOLD_BOOTSTRAP_KEY";

/// Why there is no first admin key.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file cannot be read or written.
    #[error("the admin key's file {} cannot be used", .0.display())]
    File(PathBuf, #[source] io::Error),
}

/// Where it is kept.
pub fn path(data: &Path) -> PathBuf {
    data.join("admin.key")
}

/// The key that the environment sets, if it does.
pub fn given() -> Option<Secret> {
    std::env::var(BOOTSTRAP).ok().filter(|key| !key.is_empty()).map(Secret::new)
}

/// The key in the file, if there is one.
pub fn read(data: &Path) -> Result<Option<Secret>, Error> {
    let path = path(data);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Secret::new(text.trim())).filter(|key| !key.reveal().is_empty())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::File(path, error)),
    }
}

/// Keeps the key where only the owner of the data folder can read it.
pub fn write(data: &Path, key: &Secret) -> Result<(), Error> {
    if read(data)?.is_some_and(|kept| kept == *key) {
        return Ok(());
    }
    let path = path(data);
    let line = format!("{}\n", key.reveal());
    write_private(&path, line.as_bytes()).map_err(|error| Error::File(path, error))
}
