//! The embedded store by itself: `store [--folder DIR] [--seconds 3]`.
//!
//! Commits of one small unit, alone and from 64 writers at once; exchanges
//! closed in batches, as the gateway's books do; what it takes in memory and
//! processor time.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_bench::{Args, proc, quantile};
use freehold_store::exchanges::{self, Closed, Opened, Tokens};
use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{Db, ExchangeId, KeyId, Money, Rounding, TenantId, Unit, args};
use jiff::Timestamp;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::read();
    let own = std::env::temp_dir().join(format!("freehold-bench-store-{}", std::process::id()));
    let folder: PathBuf = args.get("folder", own);
    let window = Duration::from_secs(args.get("seconds", 3));
    let pid = std::process::id();

    let before = proc::rss_kib(pid);
    let started = now();
    let store = Arc::new(Sqlite::open(&SqliteOptions::new(&folder))?);
    println!("open: {:?}, +{} KiB", started.elapsed(), proc::rss_kib(pid) - before);

    let mut unit = Unit::new("create");
    unit.run("CREATE TABLE IF NOT EXISTS bench (n BIGINT, pad TEXT)", args![]);
    store.write(unit).await?;
    for writers in [1, 64, 256] {
        units(&store, writers, window).await?;
    }
    for batch in [1, 100, 1000] {
        batches(&store, batch, window).await?;
    }
    println!("memory after: {} KiB", proc::rss_kib(pid));
    store.close();
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

/// So many writers, each with one unit at a time.
async fn units(store: &Arc<Sqlite>, writers: usize, window: Duration) -> Result<(), Failure> {
    let (start, cpu, before) = (now(), proc::cpu_us(std::process::id()), store.stats());
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    let mut unit = Unit::new("bench");
                    let args = args![1_i64, "x".repeat(1000)];
                    unit.run("INSERT INTO bench (n, pad) VALUES ($1, $2)", args);
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
    micros.sort_unstable();
    let after = store.stats();
    println!(
        "{writers} writers, units of a 1 KiB row: {}/s in {} commits, p50 {} us, p99 {} us, \
         {} us of CPU each",
        per_second(micros.len(), start.elapsed()),
        after.commits - before.commits,
        quantile(&micros, 0.5),
        quantile(&micros, 0.99),
        (proc::cpu_us(std::process::id()) - cpu) / micros.len().max(1) as u64,
    );
    Ok(())
}

/// Exchanges that open and close, so many in a unit.
async fn batches(store: &Arc<Sqlite>, batch: u32, window: Duration) -> Result<(), Failure> {
    let (start, cpu) = (now(), proc::cpu_us(std::process::id()));
    let mut micros = Vec::new();
    let mut next = u128::from(batch) << 64;
    while start.elapsed() < window {
        let rows: Vec<(Opened, Closed)> = (0..batch)
            .map(|_| {
                next += 1;
                exchange(next)
            })
            .collect::<Result<_, _>>()?;
        let sent = now();
        store.write(exchanges::open(None, rows.iter().map(|(opened, _)| opened))).await?;
        store.write(exchanges::close(rows.iter().map(|(o, c)| (o, c)))).await?;
        micros.push(u64::try_from(sent.elapsed().as_micros())?);
    }
    micros.sort_unstable();
    let exchanges = micros.len() * usize::try_from(batch)?;
    println!(
        "exchanges by {batch}: {}/s opened and closed, p50 {} us, p99 {} us a batch, \
         {} us of CPU each",
        per_second(exchanges, start.elapsed()),
        quantile(&micros, 0.5),
        quantile(&micros, 0.99),
        (proc::cpu_us(std::process::id()) - cpu) / exchanges.max(1) as u64,
    );
    Ok(())
}

fn exchange(n: u128) -> Result<(Opened, Closed), Failure> {
    let id: ExchangeId = format!("exch_{n:032x}").parse()?;
    let key: KeyId = format!("key_{:032x}", n % 16).parse()?;
    let opened = Opened {
        tenant: TenantId::main(),
        id,
        group: None,
        key,
        route: "fast".into(),
        dialect: "chat".into(),
        stream: true,
        opened_at: Timestamp::from_second(1_790_000_000)?,
        reserved: Money::from_units(1),
    };
    let closed = Closed {
        closed_at: Timestamp::from_second(1_790_000_010)?,
        provider: Some("upstream".into()),
        deployment: Some("upstream/model".into()),
        model: Some("model-1".into()),
        status: 200,
        error: None,
        attempts: 1,
        tokens: Tokens { input: 1000, output: 200, ..Tokens::default() },
        cost: Money::from_units(1),
        rounding: Rounding::default(),
        estimated: false,
        unpriced: false,
        lost: Vec::new(),
    };
    Ok((opened, closed))
}

fn per_second(count: usize, elapsed: Duration) -> u128 {
    count as u128 * 1_000_000 / elapsed.as_micros().max(1)
}

#[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
fn now() -> Instant {
    Instant::now()
}
