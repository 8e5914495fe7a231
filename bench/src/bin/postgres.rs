//! The PostgreSQL store beside pgbench: `postgres --url postgres://user@host/db
//! [--rounds 5] [--seconds 3] [--connections 64] [--at 1,16,64,256]`.
//!
//! Both do one session's guarded unit: the head moves if it is where it should
//! be, a row of 1 KiB, a projection; each writer with a session of its own.
//! Both have as many connections: one a writer, up to `--connections`. pgbench
//! sends all in one flight and looks at no count; the store sends the commit
//! after the counts. The two take turns; what counts is the median of the
//! ratios.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_bench::{Args, proc, quantile};
use freehold_store::{Postgres, PostgresOptions};
use freehold_types::{BoxFuture, Db, Env, Unit, args};
use jiff::Timestamp;

type Failure = Box<dyn std::error::Error + Send + Sync>;

const TABLES: &str = "
    DROP TABLE IF EXISTS bench_heads, bench_journal, bench_views;
    CREATE TABLE bench_heads (tenant TEXT COLLATE \"C\", session TEXT COLLATE \"C\", epoch BIGINT,
        next BIGINT, PRIMARY KEY (tenant, session));
    CREATE TABLE bench_journal (tenant TEXT COLLATE \"C\", session TEXT COLLATE \"C\", at BIGINT,
        body TEXT, PRIMARY KEY (tenant, session, at));
    CREATE TABLE bench_views (tenant TEXT COLLATE \"C\", session TEXT COLLATE \"C\", steps BIGINT,
        PRIMARY KEY (tenant, session));
    INSERT INTO bench_heads SELECT 'main', 's' || n, 1, 0 FROM generate_series(0, 999) n;
    INSERT INTO bench_views SELECT 'main', 's' || n, 0 FROM generate_series(0, 999) n;
    CHECKPOINT";

const PGBENCH: &str = r"
\set n :n + 1
\startpipeline
BEGIN;
UPDATE bench_heads SET next = next + 1 WHERE tenant = 'main' AND session = 's' || :client_id AND epoch = 1 AND next = :n - 1;
INSERT INTO bench_journal (tenant, session, at, body) VALUES ('main', 's' || :client_id, :n, :body);
INSERT INTO bench_views (tenant, session, steps) VALUES ('main', 's' || :client_id, 1) ON CONFLICT (tenant, session) DO UPDATE SET steps = bench_views.steps + 1;
COMMIT;
\endpipeline
";

const HEAD: &str = "UPDATE bench_heads SET next = next + 1
    WHERE tenant = $1 AND session = $2 AND epoch = $3 AND next = $4";
const JOURNAL: &str =
    "INSERT INTO bench_journal (tenant, session, at, body) VALUES ($1, $2, $3, $4)";
const VIEW: &str = "INSERT INTO bench_views (tenant, session, steps) VALUES ($1, $2, 1)
    ON CONFLICT (tenant, session) DO UPDATE SET steps = bench_views.steps + 1";

/// What one side did in one turn.
struct Turn {
    per_second: f64,
    p50: u64,
    p99: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::read();
    let url: String = args.get("url", "postgres://postgres@localhost/postgres".into());
    let (rounds, seconds): (usize, u64) = (args.get("rounds", 5), args.get("seconds", 3));
    let connections: usize = args.get("connections", 64);
    let at: String = args.get("at", "1,16,64,256".into());
    let folder = std::env::temp_dir().join(format!("freehold-bench-pg-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let script = folder.join("unit.sql");
    std::fs::write(&script, PGBENCH)?;
    println!("writers  store/s  pgbench/s  ratio  store p50/p99 us  store CPU us each");
    for writers in at.split(',').map(str::parse) {
        let writers: usize = writers?;
        let (mut store, mut pgbench, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let mut cpu = Vec::new();
        for _ in 0..rounds {
            reset(&url)?;
            let before = proc::cpu_us(std::process::id());
            let ours = units(&url, connections.min(writers), writers, seconds).await?;
            let used = proc::cpu_us(std::process::id()) - before;
            reset(&url)?;
            let theirs = run_pgbench(&url, &script, connections.min(writers), seconds)?;
            ratios.push(ours.per_second / theirs);
            #[expect(clippy::cast_precision_loss, reason = "microseconds of a few seconds")]
            cpu.push(used as f64 / (ours.per_second * seconds as f64));
            store.push(ours);
            pgbench.push(theirs);
        }
        let middle = |mut values: Vec<f64>| {
            values.sort_unstable_by(f64::total_cmp);
            values[values.len() / 2]
        };
        store.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
        let typical = &store[store.len() / 2];
        println!(
            "{writers:>7}  {:>7.0}  {:>9.0}  {:>5.2}  {:>8}/{:<8} {:>6.0}",
            typical.per_second,
            middle(pgbench),
            middle(ratios),
            typical.p50,
            typical.p99,
            middle(cpu),
        );
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

fn reset(url: &str) -> Result<(), Failure> {
    let done = Command::new("psql")
        .args(["-q", "-v", "ON_ERROR_STOP=1", url, "-c", "SET client_min_messages = error"])
        .args(TABLES.split(';').flat_map(|sql| ["-c", sql]))
        .status()?;
    if done.success() { Ok(()) } else { Err("psql failed".into()) }
}

/// So many writers, each with one unit at a time.
async fn units(
    url: &str,
    connections: usize,
    writers: usize,
    seconds: u64,
) -> Result<Turn, Failure> {
    let mut options = PostgresOptions::new(url);
    options.writers = connections;
    let store = Arc::new(Postgres::open(&options, Arc::new(RealEnv(now()))).await?);
    let window = Duration::from_secs(seconds);
    let start = now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = Arc::clone(&store);
            let session: Arc<str> = format!("s{writer}").into();
            let body: Arc<str> = "x".repeat(1024).into();
            tokio::spawn(async move {
                let mut micros = Vec::new();
                let mut at = 0_i64;
                while start.elapsed() < window {
                    let mut unit = Unit::new("bench");
                    unit.expect(1, HEAD, args!["main", Arc::clone(&session), 1_i64, at]);
                    at += 1;
                    unit.run(JOURNAL, args!["main", Arc::clone(&session), at, Arc::clone(&body)]);
                    unit.run(VIEW, args!["main", Arc::clone(&session)]);
                    let sent = now();
                    store.write(unit).await?;
                    micros.push(u64::try_from(sent.elapsed().as_micros())?);
                }
                Ok::<_, Failure>(micros)
            })
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    store.close().await;
    micros.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "a count of a few seconds")]
    let per_second = micros.len() as f64 / elapsed;
    Ok(Turn { per_second, p50: quantile(&micros, 0.5), p99: quantile(&micros, 0.99) })
}

/// What pgbench says of transactions a second.
fn run_pgbench(url: &str, script: &Path, clients: usize, seconds: u64) -> Result<f64, Failure> {
    let body = format!("body={}", "x".repeat(1024));
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-j", "1", "-D", "n=0", "-D", &body])
        .args(["-c", &clients.to_string(), "-T", &seconds.to_string(), "-f"])
        .arg(script)
        .arg(url)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let told = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    let tps = told.ok_or_else(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok(tps.parse()?)
}

/// The real world, but for the calendar.
struct RealEnv(Instant);

impl Env for RealEnv {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn fill_random(&self, out: &mut [u8]) {
        out.fill(128);
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

#[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
fn now() -> Instant {
    Instant::now()
}
