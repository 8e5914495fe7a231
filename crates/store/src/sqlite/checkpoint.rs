//! Moves committed pages from the log into the database file, off the commit
//! path: with automatic checkpoints a commit's p99 grows sixteenfold.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

/// How long commits collect before a checkpoint.
const INTERVAL: Duration = Duration::from_millis(250);
/// From this many pages in the log (64 MiB) a checkpoint makes writers wait,
/// for under steady load a log without a pause never starts over.
const LOG_MAX_PAGES: i64 = 16_384;
/// So many pages (4 MiB) it may have left to move while they wait.
const LEFT_MAX_PAGES: i64 = 1024;
/// Passes to get there. Each moves what came during the one before, so each is
/// shorter, unless the disk does not keep up with the writers; then they wait.
const PASSES: usize = 8;

/// Tells the checkpointing thread that there is something to do, or that this
/// was all.
#[derive(Default)]
pub(super) struct Doorbell {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    dirty: bool,
    closed: bool,
}

impl Doorbell {
    /// Something was committed.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        if !state.dirty {
            state.dirty = true;
            self.bell.notify_one();
        }
    }

    /// Nothing more will be.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_one();
    }

    /// Sleeps until something was committed and a while has passed. `false`
    /// once closed.
    fn wait(&self) -> bool {
        let state = self.lock();
        let idle = |state: &mut State| !state.dirty && !state.closed;
        let state = self.bell.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        let (mut state, _) = self
            .bell
            .wait_timeout_while(state, INTERVAL, |state| !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        state.dirty = false;
        !state.closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checkpoints until closed. A checkpoint that fails or does not get through
/// is tried again after the next commit; the log keeps everything until then.
pub(super) fn run(connection: &Connection, doorbell: &Doorbell) {
    while doorbell.wait() {
        if let Ok(log) = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")
            && log.pages > LOG_MAX_PAGES
        {
            start_over(connection, log);
        }
    }
    drop(checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
}

/// Makes the log start from its beginning, with little left to do while
/// writers wait.
fn start_over(connection: &Connection, mut log: Log) {
    for _ in 0..PASSES {
        if log.pages - log.moved <= LEFT_MAX_PAGES {
            break;
        }
        match checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)") {
            // A backup reads what was before: nothing moves until it is over,
            // and no writer has to wait for that.
            Ok(next) if next.moved == log.moved => return,
            Ok(next) => log = next,
            Err(_) => return,
        }
    }
    drop(checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)"));
}

/// How long the log is, and how much of it is in the file.
#[derive(Clone, Copy)]
struct Log {
    pages: i64,
    moved: i64,
}

/// Runs a checkpoint.
fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<Log> {
    connection.query_row(pragma, [], |row| Ok(Log { pages: row.get(1)?, moved: row.get(2)? }))
}
