//! The embedded store: SQLite behind one writing thread.
//!
//! The writer commits at once when idle, else whatever arrived while the last
//! commit waited for the disk. Readers have connections and threads of their
//! own; a third party moves the log into the file. Other processes are kept
//! out by a lock on the data folder.

mod checkpoint;
mod copy;
mod queue;
mod reader;
mod value;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use freehold_types::{BoxFuture, Db, DbError, Row, Unit, UnitReceipt, Value};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio::sync::oneshot;

use crate::OpenError;
use crate::folder::Folder;
use crate::migrate::{self, MIGRATIONS};
use checkpoint::Doorbell;
pub use copy::{CopyError, DatabaseCopy, check_copy};
use queue::{Queue, Refused};

pub(crate) use value::{fault, query};
pub(crate) use writer::run_unit;

/// `FRHD`, so that tools and we ourselves know the file.
const APPLICATION_ID: i64 = 0x4652_4844;
/// The database's file in a data folder.
pub(crate) const DATABASE: &str = "freehold.db";
const STACK_BYTES: usize = 1 << 20;
/// Different statements, prepared once for each connection.
const STATEMENTS_KEPT: usize = 64;

/// How an embedded store is set up.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    /// The data folder; made if it is not there.
    pub folder: PathBuf,
    /// The most units that may wait for the writer.
    pub queue_units: usize,
    /// The most bytes that they may take.
    pub queue_bytes: usize,
    /// Threads that read.
    pub readers: usize,
}

impl SqliteOptions {
    /// The usual bounds, in this folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), queue_units: 8192, queue_bytes: 32 << 20, readers: 2 }
    }
}

/// A data folder's database. Dropping it flushes and closes it.
pub struct Sqlite {
    writes: Arc<Queue<writer::Job>>,
    reads: Arc<Queue<reader::Job>>,
    doorbell: Arc<Doorbell>,
    counters: Arc<Counters>,
    /// Taken by the first one who closes.
    threads: Mutex<Option<Threads>>,
}

/// What the writer did since the store was opened, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteStats {
    /// Units that wait now.
    pub queued: usize,
    /// Commits that succeeded.
    pub commits: u64,
    /// Units that were tried in them.
    pub units: u64,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    units: AtomicU64,
}

struct Threads {
    writer: JoinHandle<()>,
    readers: Vec<JoinHandle<()>>,
    checkpointer: JoinHandle<()>,
    /// Given up last of all.
    folder: Folder,
}

impl Sqlite {
    /// Locks the folder, opens or makes the database, migrates it and starts
    /// the threads. Blocks for as long as recovery and migrations take.
    pub fn open(options: &SqliteOptions) -> Result<Self, OpenError> {
        let folder = Folder::own(&options.folder)?;
        let path = folder.database()?;
        let mut writing = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, WRITER_PRAGMAS)?;
        claim(&writing, &path)?;
        migrate::run(&mut writing, MIGRATIONS)?;

        let writes = Arc::new(Queue::new(options.queue_units, options.queue_bytes));
        let reads = Arc::new(Queue::new(options.queue_units, options.queue_bytes));
        let doorbell = Arc::new(Doorbell::default());
        let counters = Arc::new(Counters::default());
        let checkpointing =
            connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, CHECKPOINTER_PRAGMAS)?;
        let mut readers = Vec::new();
        for _ in 0..options.readers.max(1) {
            let reading = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_PRAGMAS)?;
            let queue = Arc::clone(&reads);
            readers.push(spawn("store-read", &path, move || reader::run(&reading, &queue))?);
        }
        let checkpointer = {
            let doorbell = Arc::clone(&doorbell);
            let run = move || checkpoint::run(&checkpointing, &doorbell);
            spawn("store-checkpoint", &path, run)?
        };
        let writer = {
            let (queue, doorbell) = (Arc::clone(&writes), Arc::clone(&doorbell));
            let counters = Arc::clone(&counters);
            let run = move || writer::run(&writing, &queue, &doorbell, &counters);
            spawn("store-write", &path, run)?
        };
        let threads = Threads { writer, readers, checkpointer, folder };
        Ok(Self { writes, reads, doorbell, counters, threads: Mutex::new(Some(threads)) })
    }

    /// Commits all that is queued, refuses all else, closes the files and
    /// gives up the folder. Blocks until then.
    pub fn close(&self) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.writes.close();
        self.reads.close();
        if let Some(Threads { writer, readers, checkpointer, folder }) = threads {
            // A thread that went down has told its callers; nothing to add.
            drop(writer.join());
            for reader in readers {
                drop(reader.join());
            }
            self.doorbell.close();
            drop(checkpointer.join());
            drop(folder);
        }
    }

    /// What the writer did and has to do.
    pub fn stats(&self) -> SqliteStats {
        SqliteStats {
            queued: self.writes.len(),
            commits: self.counters.commits.load(Ordering::Relaxed),
            units: self.counters.units.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        self.close();
    }
}

impl Db for Sqlite {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let (answer, outcome) = oneshot::channel();
        let weight = unit.weight();
        let queued = self.writes.push(writer::Job { unit, answer }, weight);
        Box::pin(async move {
            queued.map_err(refused)?;
            // The writer answers each job that it takes, unless it goes down
            // with it.
            outcome.await.unwrap_or_else(|_| Err(DbError::InDoubt("the writer stopped".into())))
        })
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        let (answer, rows) = oneshot::channel();
        let weight = args.iter().map(Value::weight).sum();
        let queued = self.reads.push(reader::Job { sql, args, answer }, weight);
        Box::pin(async move {
            queued.map_err(refused)?;
            rows.await.unwrap_or_else(|_| Err(DbError::Unavailable("the reader stopped".into())))
        })
    }
}

fn refused(why: Refused) -> DbError {
    DbError::Unavailable(match why {
        Refused::Full => "its queue is full".into(),
        Refused::Closed => "it is closed".into(),
    })
}

/// A commit is on the disk when it returns; checkpoints are not its business.
/// The page size is the default: measured, larger ones gain nothing.
const WRITER_PRAGMAS: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -4096;
    PRAGMA journal_size_limit = 67108864;";
const CHECKPOINTER_PRAGMAS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 0;
    PRAGMA cache_size = 0;";
const READER_PRAGMAS: &str = "
    PRAGMA query_only = ON;
    PRAGMA cache_size = -1024;";

/// The writer and a blocking checkpoint may wait for each other this long.
const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

fn connect(path: &Path, access: OpenFlags, pragmas: &str) -> Result<Connection, OpenError> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(pragmas)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    };
    connect().map_err(|source| describe(path, source))
}

/// Marks a new database as ours, and refuses one that is somebody else's.
fn claim(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let pragma = |name: &str| connection.query_row(name, [], |row| row.get::<_, i64>(0));
    let claim = || {
        if pragma("PRAGMA application_id")? == APPLICATION_ID {
            return Ok(true);
        }
        let empty = pragma("SELECT COUNT(*) FROM sqlite_schema")? == 0;
        if empty {
            connection.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        Ok(empty)
    };
    match claim() {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::NotOurs { path: path.to_owned() }),
        Err(source) => Err(describe(path, source)),
    }
}

fn describe(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Corrupt { path, source }
        }
        _ => OpenError::Sqlite { path, source },
    }
}

fn spawn(
    name: &str,
    path: &Path,
    run: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    std::thread::Builder::new()
        .name(name.into())
        .stack_size(STACK_BYTES)
        .spawn(run)
        .map_err(|source| OpenError::Io { path: path.to_owned(), source })
}
