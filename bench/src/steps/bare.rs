//! What steps of sessions are measured beside: a bare log, and a bare SQLite.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::{BODY, Failure, now};

const CHECKPOINT: Duration = Duration::from_millis(250);

/// A file to which one thread appends whatever waits, and syncs.
#[derive(Clone)]
pub struct Log(Arc<LogQueue>);

#[derive(Default)]
struct LogQueue {
    waiting: Mutex<VecDeque<(Vec<u8>, oneshot::Sender<()>)>>,
    bell: Condvar,
}

impl Log {
    /// Makes the file and starts the thread, which ends with the program.
    pub fn start(path: &Path) -> Result<Self, Failure> {
        let mut file = File::create(path)?;
        let queue = Arc::new(LogQueue::default());
        let own = Arc::clone(&queue);
        std::thread::spawn(move || {
            let mut buffer = Vec::new();
            loop {
                let waiting = own.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let mut waiting = own
                    .bell
                    .wait_while(waiting, |waiting| waiting.is_empty())
                    .unwrap_or_else(PoisonError::into_inner);
                let taken = std::mem::take(&mut *waiting);
                drop(waiting);
                buffer.clear();
                for (body, _) in &taken {
                    buffer.extend_from_slice(body);
                }
                if file.write_all(&buffer).and_then(|()| file.sync_data()).is_err() {
                    // Who waits hears of it by the end of the channel.
                    return;
                }
                for (_, answer) in taken {
                    answer.send(()).unwrap_or_default();
                }
            }
        });
        Ok(Self(queue))
    }

    /// Appends as much as a step does, and waits until it is on the disk.
    pub async fn append(&self) -> Result<(), Failure> {
        let (answer, synced) = oneshot::channel();
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back((vec![b'x'; BODY], answer));
        self.0.bell.notify_one();
        Ok(synced.await?)
    }
}

/// One table with an index, and nobody who waits.
pub struct BareSqlite {
    connection: Connection,
    sessions: Vec<(String, i64)>,
    turn: usize,
    stop: mpsc::SyncSender<()>,
    checkpointer: Option<JoinHandle<()>>,
}

impl BareSqlite {
    /// Makes the file; a thread of its own checkpoints.
    pub fn open(path: &Path, sessions: usize) -> Result<Self, Failure> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
                PRAGMA wal_autocheckpoint = 0;",
            )?;
            connection.busy_timeout(Duration::from_secs(5))?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = open()?;
        connection.execute_batch(
            "CREATE TABLE events (session TEXT, at_offset BIGINT, body BLOB);
            CREATE UNIQUE INDEX by_place ON events (session, at_offset);",
        )?;
        let (stop, stopped) = mpsc::sync_channel(1);
        let second = open()?;
        let checkpointer = std::thread::spawn(move || {
            let pages = |pragma| second.query_row(pragma, [], |row| row.get::<_, i64>(1));
            while stopped.recv_timeout(CHECKPOINT) == Err(mpsc::RecvTimeoutError::Timeout) {
                if pages("PRAGMA wal_checkpoint(PASSIVE)").is_ok_and(|pages| pages > 16_384) {
                    drop(pages("PRAGMA wal_checkpoint(RESTART)"));
                }
            }
        });
        let scattered = |n: usize| (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15) << 32;
        let sessions = (0..sessions).map(|n| (format!("sess_{:032x}", scattered(n)), 0)).collect();
        Ok(Self { connection, sessions, turn: 0, stop, checkpointer: Some(checkpointer) })
    }

    /// Inserts in commits of so many rows, and gives the rows a second.
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
    pub fn run(&mut self, batch: u64, window: Duration) -> Result<f64, Failure> {
        let sql = "INSERT INTO events (session, at_offset, body) VALUES (?1, ?2, ?3)";
        let body = [b'x'; BODY];
        let start = now();
        let mut rows = 0;
        while start.elapsed() < window {
            self.connection.execute_batch("BEGIN IMMEDIATE")?;
            let mut insert = self.connection.prepare_cached(sql)?;
            for _ in 0..batch {
                let nth = self.turn % self.sessions.len();
                self.turn += 1;
                let (session, head) = &mut self.sessions[nth];
                *head += 1;
                insert.execute(params![&*session, *head, &body[..]])?;
            }
            drop(insert);
            self.connection.execute_batch("COMMIT")?;
            rows += batch;
        }
        Ok(rows as f64 / start.elapsed().as_secs_f64())
    }
}

impl Drop for BareSqlite {
    fn drop(&mut self) {
        self.stop.send(()).unwrap_or_default();
        if let Some(checkpointer) = self.checkpointer.take() {
            drop(checkpointer.join());
        }
    }
}
