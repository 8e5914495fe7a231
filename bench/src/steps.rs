//! What `steps` compares: sessions over a store, a bare log, a bare SQLite.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freehold_store::journal::{self, Append, Due, NewEvent};
use freehold_store::sessions::{self, NewSession};
use freehold_store::waits::{self, Wait};
use freehold_types::{BoxFuture, Db, Env, SessionId, TenantId, Unit, UnitId};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a step writes into the journal, and the others into theirs.
const BODY: usize = 1024;
const SNAPSHOT: usize = 2048;
const SNAPSHOT_EVERY: u64 = 100;
const WAIT_EVERY: u64 = 10;
const CHECKPOINT: Duration = Duration::from_millis(250);

/// One who takes steps of some sessions in turn.
pub struct Stepper {
    db: Arc<dyn Db>,
    env: Counted,
    sessions: Vec<(SessionId, u64)>,
    turn: usize,
    body: Arc<[u8]>,
    snapshot: Arc<[u8]>,
}

/// Begins sessions and deals them out.
pub async fn begin_sessions<D: Db>(
    db: &Arc<D>,
    sessions: usize,
    steppers: usize,
) -> Result<Vec<Stepper>, Failure> {
    let mut dealt: Vec<Stepper> = (0..steppers)
        .map(|n| Stepper {
            db: Arc::clone(db) as Arc<dyn Db>,
            env: Counted(n as u64 + 1),
            sessions: Vec::new(),
            turn: 0,
            body: Arc::from([b'x'; BODY]),
            snapshot: Arc::from([b's'; SNAPSHOT]),
        })
        .collect();
    for n in 0..sessions {
        // Scattered, as ids of a long time are to those of now.
        let id = format!("sess_{:032x}", (n as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15) << 32);
        let new = NewSession {
            tenant: TenantId::main(),
            id: id.parse()?,
            created_at: Timestamp::UNIX_EPOCH,
            timeline: 1,
            phase: "idle",
            due_at: None,
            node: None,
            about: "{}".into(),
            content_key: None,
        };
        let mut unit = Unit::new("begin");
        sessions::create(&mut unit, &new);
        db.write(unit).await?;
        dealt[n % steppers].sessions.push((new.id, 0));
    }
    Ok(dealt)
}

impl Stepper {
    /// The first of its sessions.
    pub fn first(&self) -> SessionId {
        self.sessions[0].0
    }

    /// One step of the session whose turn it is.
    pub async fn step(&mut self) -> Result<(), Failure> {
        let nth = self.turn % self.sessions.len();
        self.turn += 1;
        let (session, head) = self.sessions[nth];
        let tenant = TenantId::main();
        let at = Timestamp::from_microsecond(i64::try_from(head)?)?;
        let event =
            NewEvent { kind: "model_answered", version: 1, at, body: Arc::clone(&self.body) };
        let append = Append {
            tenant: &tenant,
            session,
            after: head,
            epoch: NewSession::EPOCH,
            id: UnitId::new(&self.env),
            at,
            phase: Some("running"),
            due: Due::AsBefore,
            events: std::slice::from_ref(&event),
            snapshot: (head % SNAPSHOT_EVERY == SNAPSHOT_EVERY - 1)
                .then(|| Arc::clone(&self.snapshot)),
        };
        let mut unit = Unit::new("step");
        self.sessions[nth].1 = journal::append(&mut unit, &append)?;
        match head % WAIT_EVERY {
            8 => waits::open(&mut unit, &wait(&tenant, session, at)),
            9 => waits::close(&mut unit, &tenant, session, "call_1"),
            _ => {}
        }
        self.db.write(unit).await?;
        Ok(())
    }
}

fn wait(tenant: &TenantId, session: SessionId, at: Timestamp) -> Wait {
    Wait {
        tenant: tenant.clone(),
        session,
        id: "call_1".into(),
        kind: "call".into(),
        since: at,
        expires_at: None,
        offset: 1,
    }
}

/// Ids that differ enough for a bench.
struct Counted(u64);

impl Env for Counted {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    fn fill_random(&self, out: &mut [u8]) {
        out.fill(0);
        out.iter_mut().zip(self.0.to_le_bytes()).for_each(|(out, byte)| *out = byte);
    }

    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}

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

#[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
fn now() -> Instant {
    Instant::now()
}
