//! Copies an embedded database while its server writes.
//!
//! The copy is made page by page under one snapshot, which makes no writer
//! wait; the log grows until it is over. It needs no lock on the data folder,
//! for it changes nothing in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use freehold_types::{BlobName, SessionId, TenantId};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::{APPLICATION_ID, DATABASE};

/// A database that has just been copied, and its copy.
pub struct DatabaseCopy {
    live: Connection,
    copy: Connection,
}

/// Why a database is not copied, or its copy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is none.
    #[error("there is no Freehold database in {}", .0.display())]
    Absent(PathBuf),
    /// A file cannot be made or synced.
    #[error("cannot write {}", .0.display())]
    Io(PathBuf, #[source] std::io::Error),
    /// SQLite does not do it.
    #[error("cannot copy the database in {}", .0.display())]
    Sqlite(PathBuf, #[source] rusqlite::Error),
    /// What is in it cannot be right.
    #[error("the database is damaged: {0}; take a backup of before")]
    Damaged(String),
}

/// Somebody else may hold the database for a moment.
const BUSY: Duration = Duration::from_millis(50);
const BUSY_MAX: u32 = 200;

const BLOBS: &str = "SELECT tenant, session, hash FROM blob_refs
    WHERE (tenant, session, hash) > (?1, ?2, ?3) ORDER BY tenant, session, hash LIMIT ?4";
const LIVES: &str = "SELECT 1 FROM sessions WHERE tenant = ?1 AND id = ?2 AND deleted_at IS NULL";
const SESSIONS: &str = "SELECT COUNT(*) FROM sessions WHERE deleted_at IS NULL";
const SCHEMA: &str = "SELECT MAX(number) FROM migrations";
const HAS_KEYS: &str = "SELECT COUNT(*) FROM sqlite_schema WHERE name = 'tenant_keys'";
const MASTER: &str = "SELECT master FROM tenant_keys WHERE tenant = 'main'";

impl DatabaseCopy {
    /// Copies the database of this data folder to this new file, on disk when
    /// this returns. Blocks.
    pub fn take(folder: &Path, to: &Path) -> Result<Self, CopyError> {
        let failed = |error| CopyError::Sqlite(folder.to_owned(), error);
        let from = folder.join(DATABASE);
        if !from.is_file() {
            return Err(CopyError::Absent(folder.to_owned()));
        }
        // Not read-only: without a server the log may have to be set up.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let live = Connection::open_with_flags(from, flags).map_err(failed)?;
        let id: i64 =
            live.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(failed)?;
        if id != APPLICATION_ID {
            return Err(CopyError::Absent(folder.to_owned()));
        }
        let io = |error| CopyError::Io(to.to_owned(), error);
        let file = crate::folder::private_file(to).map_err(io)?;
        copy_pages(&live, to).map_err(failed)?;
        file.sync_all().map_err(io)?;
        Ok(Self { live, copy: open_copy(to)? })
    }

    /// The last migration that the copy has.
    pub fn schema(&self) -> Result<i64, CopyError> {
        self.ask(|copy| copy.query_row(SCHEMA, [], |row| row.get(0)))
    }

    /// How many sessions are in the copy.
    pub fn sessions(&self) -> Result<u64, CopyError> {
        self.ask(|copy| copy.query_row(SESSIONS, [], |row| row.get(0)))
    }

    /// The name of the master key that it is sealed with; `None` if nothing
    /// was sealed yet.
    pub fn master(&self) -> Result<Option<String>, CopyError> {
        self.ask(|copy| {
            if copy.query_row(HAS_KEYS, [], |row| row.get::<_, i64>(0))? == 0 {
                return Ok(None);
            }
            copy.query_row(MASTER, [], |row| row.get(0)).optional()
        })
    }

    /// The blobs that sessions in the copy refer to, by the batch.
    pub fn blobs(&self, after: Option<&BlobName>, limit: u32) -> Result<Vec<BlobName>, CopyError> {
        let tenant = after.map_or("", |name| name.tenant.as_str());
        let session = after.map_or_else(String::new, |name| name.session.to_string());
        let hash = after.map_or(&[][..], |name| &name.hash);
        let rows: Vec<(String, String, Vec<u8>)> = self.ask(|copy| {
            let mut statement = copy.prepare_cached(BLOBS)?;
            let args = params![tenant, session, hash, limit];
            let rows =
                statement.query_map(args, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            rows.collect()
        })?;
        rows.into_iter()
            .map(|(tenant, session, hash)| {
                let damaged = || CopyError::Damaged(format!("a blob's name in {session}"));
                Ok(BlobName {
                    tenant: tenant.parse().map_err(|_| damaged())?,
                    session: session.parse().map_err(|_| damaged())?,
                    hash: hash.try_into().map_err(|_| damaged())?,
                })
            })
            .collect()
    }

    /// Whether a session of the copy has been deleted since.
    pub fn is_gone(&self, tenant: &TenantId, session: SessionId) -> Result<bool, CopyError> {
        let args = params![tenant.as_str(), session.to_string()];
        let found = self.live.query_row(LIVES, args, |_| Ok(())).optional();
        let failed = |error| CopyError::Sqlite(PathBuf::from(DATABASE), error);
        Ok(found.map_err(failed)?.is_none())
    }

    fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, CopyError> {
        ask(&self.copy).map_err(|error| CopyError::Sqlite(PathBuf::from("the copy"), error))
    }
}

/// Sees to it that a database file that was copied from elsewhere is whole.
pub fn check_copy(path: &Path) -> Result<(), CopyError> {
    let found: String = open_copy(path)?
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| CopyError::Damaged(error.to_string()))?;
    if found == "ok" { Ok(()) } else { Err(CopyError::Damaged(found)) }
}

/// All pages in one go: in several, each write in between would begin it anew.
fn copy_pages(live: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    let backup = Backup::new(live, &mut copy)?;
    for _ in 0..BUSY_MAX {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(BUSY),
        }
    }
    Err(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
        Some("another process holds the database".to_owned()),
    ))
}

/// Nobody writes to it, so no file comes to lie beside it.
fn open_copy(path: &Path) -> Result<Connection, CopyError> {
    let failed = |error| CopyError::Sqlite(path.to_owned(), error);
    let absolute = std::path::absolute(path).map_err(|e| CopyError::Io(path.to_owned(), e))?;
    let mut uri = String::from("file:");
    for byte in absolute.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => {
                uri.push('%');
                let digits = [byte >> 4, byte & 15];
                uri.extend(digits.iter().filter_map(|d| char::from_digit(u32::from(*d), 16)));
            }
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(uri, flags).map_err(failed)
}
