//! The data folder: ours alone, and closed to other users.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::OpenError;
use crate::sqlite::DATABASE;

/// A data folder that this process owns until the value is dropped, or the
/// process dies, however it dies.
pub(crate) struct Folder {
    path: PathBuf,
    /// The lock lives as long as this descriptor.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there, and locks it.
    pub(crate) fn own(path: &Path) -> Result<Self, OpenError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::Io { path, source }
        };
        private_folder(path).map_err(io(path))?;
        let lock_path = path.join("freehold.lock");
        let lock = private_file(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(io(&lock_path)(source)),
        }
    }

    /// The database's file, which is there once this returns: SQLite gives its
    /// side files the mode of this one.
    pub(crate) fn database(&self) -> Result<PathBuf, OpenError> {
        let path = self.path.join(DATABASE);
        match private_file(&path) {
            Ok(_) => Ok(path),
            Err(source) => Err(OpenError::Io { path, source }),
        }
    }
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

pub(crate) fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
