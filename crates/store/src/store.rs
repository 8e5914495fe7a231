//! One of the two stores, for whoever is configured with either.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use freehold_types::{BoxFuture, Db, DbError, Env, Row, Unit, UnitReceipt, Value};

use crate::folder::Folder;
use crate::{OpenError, Postgres, PostgresOptions, Sqlite, SqliteOptions};

/// Which store, and how it is set up.
#[derive(Clone, Debug)]
pub enum StoreOptions {
    /// The embedded one.
    Sqlite(SqliteOptions),
    /// The one that nodes share, and the data folder that is this node's
    /// alone.
    Postgres(PostgresOptions, PathBuf),
}

/// The store that was configured.
pub enum Store {
    /// The embedded one.
    Sqlite(Arc<Sqlite>),
    /// The one that nodes share.
    Postgres(Postgres, OwnFolder),
}

/// A data folder that no other process of this machine uses.
pub struct OwnFolder(Mutex<Option<Folder>>);

impl OwnFolder {
    /// Makes the folder if there is none, and keeps other processes out of it
    /// until this is dropped.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Mutex::new(Some(Folder::own(path)?))))
    }
}

/// What a store did, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStats {
    /// Units that wait now.
    pub queued: usize,
    /// Commits that succeeded.
    pub commits: u64,
}

impl Store {
    /// Opens and migrates it.
    pub async fn open(options: &StoreOptions, env: Arc<dyn Env>) -> Result<Self, OpenError> {
        match options {
            StoreOptions::Sqlite(options) => {
                let own = options.clone();
                let opened = tokio::task::spawn_blocking(move || Sqlite::open(&own)).await;
                let opened = opened.map_err(|error| OpenError::Io {
                    path: options.folder.clone(),
                    source: std::io::Error::other(error),
                })?;
                Ok(Self::Sqlite(Arc::new(opened?)))
            }
            StoreOptions::Postgres(options, folder) => {
                let own = OwnFolder::lock(folder)?;
                Ok(Self::Postgres(Postgres::open(options, env).await?, own))
            }
        }
    }

    /// Commits all that is queued, refuses all else, and lets go of the
    /// database.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(sqlite) => {
                let sqlite = Arc::clone(sqlite);
                // It only fails if closing panics, which is told already.
                drop(tokio::task::spawn_blocking(move || sqlite.close()).await);
            }
            Self::Postgres(postgres, own) => {
                postgres.close().await;
                own.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            }
        }
    }

    /// Whether other nodes may use it at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(..))
    }

    /// What it did and has to do.
    pub fn stats(&self) -> StoreStats {
        match self {
            Self::Sqlite(sqlite) => {
                let stats = sqlite.stats();
                StoreStats { queued: stats.queued, commits: stats.commits }
            }
            Self::Postgres(postgres, _) => {
                let stats = postgres.stats();
                StoreStats { queued: stats.queued, commits: stats.commits }
            }
        }
    }

    fn db(&self) -> &dyn Db {
        match self {
            Self::Sqlite(sqlite) => &**sqlite,
            Self::Postgres(postgres, _) => postgres,
        }
    }
}

impl Db for Store {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        self.db().write(unit)
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        self.db().read(sql, args)
    }
}
