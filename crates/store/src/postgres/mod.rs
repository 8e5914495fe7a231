//! The scale-out store: PostgreSQL, or an engine that speaks its language,
//! under any number of nodes.
//!
//! A unit is a transaction of its own under READ COMMITTED, over one of a few
//! connections; PostgreSQL commits those that come together in groups by
//! itself. The statements go out in one flight; the commit follows once their
//! counts have come back. It could fly with them if each guard were a query
//! around its statement that fails on a wrong count. Measured (ARCHITECTURE.md),
//! that gains nothing; it costs the plain statements that distributed
//! engines send straight to a shard; and every lost connection would leave a
//! doubt, where now only one lost in the moment of the commit does.
//!
//! What is in flight when a connection breaks, or stands in another
//! transaction's way, is sent again where that is sound: [`fault`] decides.

mod address;
mod check;
mod citus;
mod connect;
mod fault;
mod line;
mod migrate;
mod queue;
mod reader;
mod session;
mod value;
mod writer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_types::{BoxFuture, Db, DbError, Env, Row, Secret, Unit, UnitReceipt, Value};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub use check::{Finding, Report};
use connect::{Connector, Link, Purpose};
use queue::{Queue, Refused};

use crate::OpenError;

/// How a PostgreSQL store is set up.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// `postgres://user@host:port/database`, without a password.
    pub url: String,
    /// The password.
    pub password: Option<Secret>,
    /// Connections that write: as many units are under way at one time.
    pub writers: usize,
    /// Connections that read.
    pub readers: usize,
    /// The most units, and queries, that may wait.
    pub queue_units: usize,
    /// The most bytes that either may take.
    pub queue_bytes: usize,
    /// How long a unit or a query waits for the database, tries included,
    /// before its caller hears that it is not there.
    pub patience: Duration,
    /// How long the server may take for one answer.
    pub answer_timeout: Duration,
}

impl PostgresOptions {
    /// The usual bounds, for the database at this address.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            password: None,
            writers: 16,
            readers: 4,
            queue_units: 8192,
            queue_bytes: 32 << 20,
            patience: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(15),
        }
    }

    /// Whether the address can be read; whether anybody is there is another
    /// question.
    pub fn validate(&self) -> Result<(), OpenError> {
        address::parse(&self.url, None).map(drop)
    }
}

/// A database that other nodes may use, too.
pub struct Postgres {
    shared: Arc<Shared>,
    writes: Arc<Queue<writer::Job>>,
    reads: Arc<Queue<reader::Job>>,
    patience: Duration,
    workers: tokio::sync::Mutex<Vec<JoinHandle<()>>>,
    sweeper: JoinHandle<()>,
}

/// What this node did with its database, for operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PostgresStats {
    /// Units that wait now.
    pub queued: usize,
    /// Units that took effect, each in a commit of its own.
    pub commits: u64,
    /// Units and queries that were sent again.
    pub retries: u64,
    /// Connections that are open.
    pub connections: u64,
}

/// What the workers share.
struct Shared {
    connector: Connector,
    env: Arc<dyn Env>,
    answer_timeout: Duration,
    counters: Counters,
    /// Why the last try to connect failed, until one succeeds.
    down: Mutex<Option<String>>,
    /// Held by the one unit that is sent again after a conflict.
    aside: tokio::sync::Mutex<()>,
    closing: watch::Sender<bool>,
}

#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    retries: AtomicU64,
    connections: AtomicU64,
}

/// How often what waited too long is looked for.
const SWEEP: Duration = Duration::from_millis(250);
const RETRY_MIN: Duration = Duration::from_millis(1);
const RETRY_MAX: Duration = Duration::from_millis(100);

impl Postgres {
    /// Connects, migrates, and starts the workers. A database that is not
    /// there is waited for as long as a unit would wait.
    pub async fn open(options: &PostgresOptions, env: Arc<dyn Env>) -> Result<Self, OpenError> {
        let connector = connector(options)?;
        migrate::run(&connector, &env, options.patience, crate::migrate::MIGRATIONS).await?;
        let shared = Arc::new(Shared {
            connector,
            env,
            answer_timeout: options.answer_timeout,
            counters: Counters::default(),
            down: Mutex::default(),
            aside: tokio::sync::Mutex::default(),
            closing: watch::Sender::new(false),
        });
        let writes = Arc::new(Queue::new(options.queue_units, options.queue_bytes));
        let reads = Arc::new(Queue::new(options.queue_units, options.queue_bytes));
        let mut workers = Vec::new();
        for _ in 0..options.writers.max(1) {
            workers.push(tokio::spawn(writer::run(Arc::clone(&shared), Arc::clone(&writes))));
        }
        for _ in 0..options.readers.max(1) {
            workers.push(tokio::spawn(reader::run(Arc::clone(&shared), Arc::clone(&reads))));
        }
        let sweeper =
            tokio::spawn(sweep(Arc::clone(&shared), Arc::clone(&writes), Arc::clone(&reads)));
        let workers = tokio::sync::Mutex::new(workers);
        Ok(Self { shared, writes, reads, patience: options.patience, workers, sweeper })
    }

    /// Makes the tables, or brings them up to this version.
    pub async fn migrate(options: &PostgresOptions, env: &Arc<dyn Env>) -> Result<(), OpenError> {
        let migrations = crate::migrate::MIGRATIONS;
        migrate::run(&connector(options)?, env, options.patience, migrations).await
    }

    /// Lays the tables, which are there, out over a Citus cluster, as far as
    /// they are not, and tells each step.
    pub async fn lay_out_over_citus(
        options: &PostgresOptions,
        shards: Option<u32>,
    ) -> Result<Vec<String>, OpenError> {
        let connector = connector(options)?;
        let refused = |why| OpenError::Connect { database: connector.shown().to_owned(), why };
        let Link { client, .. } = connector.connect(Purpose::Migrating).await.map_err(refused)?;
        citus::lay_out(&client, shards.unwrap_or(citus::SHARDS)).await
    }

    /// The statements of [`Postgres::lay_out_over_citus`] as a script.
    pub fn citus_script(shards: Option<u32>) -> String {
        citus::script(shards.unwrap_or(citus::SHARDS))
    }

    /// Looks at what a database is and which of our needs it meets, and
    /// changes nothing that stays.
    pub async fn check(options: &PostgresOptions) -> Result<Report, OpenError> {
        check::run(&connector(options)?, options).await
    }

    /// Writes all that is queued, refuses all else, and hangs up.
    pub async fn close(&self) {
        self.begin_close();
        for worker in self.workers.lock().await.drain(..) {
            // One that went down has told its callers; nothing to add.
            drop(worker.await);
        }
    }

    /// What this node did and has to do.
    pub fn stats(&self) -> PostgresStats {
        let Counters { commits, retries, connections } = &self.shared.counters;
        PostgresStats {
            queued: self.writes.len(),
            commits: commits.load(Ordering::Relaxed),
            retries: retries.load(Ordering::Relaxed),
            connections: connections.load(Ordering::Relaxed),
        }
    }

    fn begin_close(&self) {
        self.writes.close();
        self.reads.close();
        self.shared.closing.send_replace(true);
    }

    fn until(&self) -> Duration {
        self.shared.env.monotonic() + self.patience
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.begin_close();
        self.sweeper.abort();
    }
}

impl Db for Postgres {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let (answer, outcome) = oneshot::channel();
        let (weight, until) = (unit.weight(), self.until());
        let queued = self.writes.push(writer::Job { unit, answer, until }, weight, until);
        Box::pin(async move {
            queued.map_err(refused)?;
            // A worker answers each job that it takes, unless it goes down
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
        let (weight, until) = (args.iter().map(Value::weight).sum(), self.until());
        let queued = self.reads.push(reader::Job { sql, args, answer, until }, weight, until);
        Box::pin(async move {
            queued.map_err(refused)?;
            rows.await.unwrap_or_else(|_| Err(DbError::Unavailable("the reader stopped".into())))
        })
    }
}

fn connector(options: &PostgresOptions) -> Result<Connector, OpenError> {
    Connector::new(address::parse(&options.url, options.password.as_ref())?)
}

fn refused(why: Refused) -> DbError {
    DbError::Unavailable(match why {
        Refused::Full => "its queue is full".into(),
        Refused::Closed => "it is closed".into(),
    })
}

/// Tells those who waited too long, while the workers wait for the database.
async fn sweep(
    shared: Arc<Shared>,
    writes: Arc<Queue<writer::Job>>,
    reads: Arc<Queue<reader::Job>>,
) {
    loop {
        shared.env.sleep(SWEEP).await;
        let now = shared.env.monotonic();
        for job in writes.expire(now) {
            drop(job.answer.send(Err(shared.unavailable())));
        }
        for job in reads.expire(now) {
            drop(job.answer.send(Err(shared.unavailable())));
        }
    }
}

impl Shared {
    /// The error for who waited in vain.
    fn unavailable(&self) -> DbError {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.connector.shown();
        DbError::Unavailable(match &*down {
            Some(why) => format!("the database {shown} cannot be reached: {why}"),
            None => format!("the database {shown} does not keep up"),
        })
    }

    fn note_reached(&self, why_not: Option<String>) {
        *self.down.lock().unwrap_or_else(PoisonError::into_inner) = why_not;
    }

    /// Before something is sent again.
    async fn pause(&self, tried: u32) {
        self.env.sleep(self.jittered(tried, RETRY_MIN, RETRY_MAX)).await;
    }

    fn jittered(&self, tried: u32, min: Duration, max: Duration) -> Duration {
        let mut random = [0];
        self.env.fill_random(&mut random);
        backoff(tried, min, max, random[0])
    }
}

/// Doubles from `min` to `max`; chance takes off up to half, so that those who
/// failed together do not come back together.
fn backoff(tried: u32, min: Duration, max: Duration, chance: u8) -> Duration {
    let full = min.saturating_mul(1 << tried.min(16)).min(max);
    full.mul_f64(1.0 - f64::from(chance) / 512.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_bound_and_differ() {
        let pause = |tried, chance| backoff(tried, RETRY_MIN, RETRY_MAX, chance);
        assert_eq!(pause(0, 0), RETRY_MIN);
        assert_eq!(pause(3, 0), RETRY_MIN * 8);
        assert_eq!(pause(u32::MAX, 0), RETRY_MAX);
        assert!(pause(3, 255) > RETRY_MIN * 4 && pause(3, 255) < pause(3, 100));
    }
}
