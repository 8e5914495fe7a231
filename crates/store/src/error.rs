//! Why a store does not open.

use std::path::PathBuf;

use freehold_types::ErrorKind;

/// What is wrong with the data folder or the database in it, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "the data folder {} is in use by another freehold process; stop that one, or name \
         another folder with --data", .folder.display()
    )]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// A folder or file cannot be made, opened or locked.
    #[error("cannot use {}; check that it is on a local disk and that this user owns it", .path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file is a database, but of another program.
    #[error("{} is not a Freehold database; name another data folder with --data", .path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error(
        "{} is damaged; move it away and put a backup in its place", .path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// A newer Freehold wrote it.
    #[error(
        "the database has the migration {found}, and this freehold knows only {known}: it was \
         used by a newer version; run that one, or restore a backup from before the upgrade"
    )]
    Newer {
        /// The newest migration in the database.
        found: i64,
        /// The newest that this binary has.
        known: i64,
    },
    /// A migration was applied in another wording than this binary has.
    #[error(
        "the migration {number} ({name}) in the database differs from this freehold's: the two \
         come from different builds; run the build that made the database"
    )]
    Changed {
        /// Its number.
        number: i64,
        /// Its name.
        name: String,
    },
    /// A migration failed and was undone.
    #[error(
        "the migration {number} failed and was undone; report this, and run the version before"
    )]
    Migration {
        /// Its number.
        number: i64,
        /// What the database says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address of a PostgreSQL database cannot be used.
    #[error("store.url: {why}")]
    Url {
        /// What is wrong with it.
        why: String,
    },
    /// The certificates to verify a PostgreSQL server with cannot be used.
    #[error("store.url: {why}")]
    Tls {
        /// What is wrong with them.
        why: String,
    },
    /// A PostgreSQL database does not answer, or lets nobody in.
    #[error("cannot connect to the database {database}: {why}")]
    Connect {
        /// Where it should be.
        database: String,
        /// What the driver or the server says.
        why: String,
    },
    /// The tables cannot be laid out over the machines of an engine.
    #[error("the tables cannot be laid out: {why}")]
    Layout {
        /// What is wrong, and what to do.
        why: String,
    },
    /// SQLite does not open the file or set it up.
    #[error("cannot open the database {}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Conflict,
            Self::Io { .. } | Self::Sqlite { .. } | Self::Connect { .. } => ErrorKind::Unavailable,
            Self::NotOurs { .. }
            | Self::Newer { .. }
            | Self::Changed { .. }
            | Self::Url { .. }
            | Self::Layout { .. }
            | Self::Tls { .. } => ErrorKind::Invalid,
            Self::Corrupt { .. } | Self::Migration { .. } => ErrorKind::Internal,
        }
    }
}
