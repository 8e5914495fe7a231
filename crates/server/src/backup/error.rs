//! Why a backup is not taken or not restored.

use std::io;
use std::path::PathBuf;

use freehold_types::{BlobError, DbError};

use crate::master_key;

/// What is wrong, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is something in the folder.
    #[error("{} is not empty: a backup goes into a folder of its own", .0.display())]
    NotEmpty(PathBuf),
    /// The data folder is in use already.
    #[error(
        "{} holds a database already: a backup is restored into a new data folder (--data)", .0.display()
    )]
    Occupied(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot use {}", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// It is no backup, or an unfinished one.
    #[error(
        "{} has no manifest.json: it is no backup, or one that was not finished", .0.display()
    )]
    Unfinished(PathBuf),
    /// The manifest cannot be read.
    #[error("manifest.json cannot be read: {0}")]
    Manifest(String),
    /// Another version made it.
    #[error("the backup has the format {found}, and this freehold knows only {known}")]
    Format {
        /// Its format.
        found: u32,
        /// The newest known.
        known: u32,
    },
    /// Something is not as it was when the backup was taken.
    #[error("{what} is not as the backup was taken: {why}; nothing was restored")]
    Changed {
        /// The file.
        what: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The master key that signs is not here.
    #[error(
        "the backup is sealed with the master key {0}, which is not here: put master.key into the \
         data folder, or give it in FREEHOLD_MASTER_KEY"
    )]
    NoKey(String),
    /// The master key is missing or wrong.
    #[error(transparent)]
    MasterKey(#[from] master_key::Error),
    /// The database cannot be copied.
    #[error(transparent)]
    Copy(#[from] freehold_store::CopyError),
    /// The restored database does not open.
    #[error(transparent)]
    Open(#[from] freehold_store::OpenError),
    /// The restored keys cannot be used.
    #[error(transparent)]
    Control(#[from] freehold_control::Error),
    /// The restored database does not take a change.
    #[error(transparent)]
    Store(#[from] DbError),
    /// A blob cannot be read or put.
    #[error(transparent)]
    Blob(#[from] BlobError),
}
