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
        let pages = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)");
        if pages.is_ok_and(|pages| pages > LOG_MAX_PAGES) {
            drop(checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)"));
        }
    }
    drop(checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)"));
}

/// Runs a checkpoint and tells how many pages the log has.
fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<i64> {
    connection.query_row(pragma, [], |row| row.get(1))
}
