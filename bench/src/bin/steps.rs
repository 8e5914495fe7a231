//! Steps of sessions, in this process: `steps [--over sqlite|postgres|bytes]
//! [--rounds 5] [--seconds 1] [--at 1,16,64,256] [--sessions 1000]
//! [--fsync-ms 0] [--connections 64] [--folder DIR]`.
//!
//! A step is what the runtime does with a cue: `decide`, the event sealed, one
//! guarded unit (a journal row of 1 KiB, the session's head under its epoch; in
//! two of ten a timer is set or cancelled, in one of 128 there is a snapshot),
//! acknowledged after its commit is on the disk. Over SQLite there are in turn
//! beside it a bare log (a thread that appends what waits to one file and syncs
//! it) and a bare SQLite (a thread that inserts such rows into one table with an
//! index, in commits as large as the store's were, answering nobody); over
//! PostgreSQL pgbench with the same unit in one flight and as many connections.
//! What counts is the median of the rounds' ratios. `--fsync-ms 2` delays every
//! sync of all of them. `--over bytes` says what a step hands to the file and
//! the log at several lengths of one session.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use freehold_bench::child::Scratch;
use freehold_bench::steps::{
    BareSqlite, Failure, Log, PgBench, Stepper, Turn, appends, begin_sessions, env, middle, steps,
};
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc, slow};
use freehold_store::{Postgres, PostgresOptions, Sqlite, SqliteOptions};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The checkpointer's interval and a bit: one side's leftovers are not to be
/// the next one's burden.
const PAUSE: Duration = Duration::from_millis(500);

struct Plan {
    folder: PathBuf,
    rounds: usize,
    sessions: usize,
    seconds: u64,
    writers: Vec<usize>,
    connections: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::read();
    let delay = args.get("fsync-ms", 0);
    if delay > 0
        && let Some(ended) = slow::again(delay)?
    {
        return if ended.success() { Ok(()) } else { Err("it failed on the slow disk".into()) };
    }
    let own = Scratch::new("bench-steps")?;
    let at: String = args.get("at", "1,16,64,256".into());
    let plan = Plan {
        folder: args.get("folder", own.path().join("run")),
        rounds: args.get("rounds", 5),
        sessions: args.get("sessions", 1000),
        seconds: args.get("seconds", 1),
        writers: at.split(',').map(str::parse).collect::<Result<_, _>>()?,
        connections: args.get("connections", 64),
    };
    let mut verdict = Verdict::default();
    match args.get("over", "sqlite".to_owned()).as_str() {
        "sqlite" => over_sqlite(&plan, &mut verdict).await?,
        "postgres" => over_postgres(&plan, own.path(), &mut verdict).await?,
        "bytes" => bytes(&plan.folder, &mut verdict).await?,
        other => return Err(format!("--over {other}: sqlite, postgres or bytes").into()),
    }
    println!("\n{verdict}");
    if verdict.is_met() { Ok(()) } else { Err("a bar was missed".into()) }
}

impl Plan {
    fn window(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

async fn over_sqlite(plan: &Plan, verdict: &mut Verdict) -> Result<(), Failure> {
    println!("writers   steps/s  p50/p99 us   CPU us      log/s  bare SQLite/s  of log  of SQLite");
    for &writers in &plan.writers {
        let (of_log, of_sqlite) = beside_bare(plan, writers).await?;
        match writers {
            1 => verdict.at_least("SQLite, 1 writer, of the log", of_log, 0.5),
            64 | 256 => {
                verdict.at_least(format!("SQLite, {writers} writers, of the log"), of_log, 0.25);
                let what = format!("SQLite, {writers} writers, of bare SQLite");
                verdict.at_least(what, of_sqlite, 0.6);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Runs the three in turn, and gives the medians of the ratios.
async fn beside_bare(plan: &Plan, writers: usize) -> Result<(f64, f64), Failure> {
    let (folder, window) = (&plan.folder, plan.window());
    let count = plan.sessions.max(writers);
    let store = Arc::new(Sqlite::open(&SqliteOptions::new(folder.join("store")))?);
    let (sessions, steppers) = begin_sessions(&store, count, writers).await?;
    let log = Log::start(&folder.join("log"))?;
    let mut bare = BareSqlite::open(&folder.join("bare.db"), count)?;
    let mut steppers = Some(steppers);
    let (mut ours, mut logs, mut bares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let before = store.stats();
        let (turn, back) = steps(steppers.take().unwrap_or_default(), window).await?;
        steppers = Some(back);
        let after = store.stats();
        let batch = (after.units - before.units) / (after.commits - before.commits).max(1);
        ours.push(turn);
        tokio::time::sleep(PAUSE).await;
        logs.push(appends(&log, writers, window).await?.per_second);
        tokio::time::sleep(PAUSE).await;
        bares.push(bare.run(batch.max(1), window)?);
        tokio::time::sleep(PAUSE).await;
    }
    let (of_log, of_sqlite) = (ratio(&ours, &logs), ratio(&ours, &bares));
    println!(
        "{} {:>10.0} {:>14.0} {of_log:>7.2} {of_sqlite:>10.2}",
        shown(writers, ours),
        middle(logs),
        middle(bares),
    );
    drop((steppers, sessions));
    store.close();
    drop((log, bare));
    std::fs::remove_dir_all(folder)?;
    Ok((of_log, of_sqlite))
}

async fn over_postgres(plan: &Plan, scratch: &Path, verdict: &mut Verdict) -> Result<(), Failure> {
    println!("writers   steps/s  p50/p99 us   CPU us  pgbench/s  mean us  of pgbench");
    for &writers in &plan.writers {
        let mut server = PgBench::start(scratch)?;
        let connections = plan.connections.min(writers);
        let mut options = PostgresOptions::new(server.url());
        options.writers = connections;
        let store = Arc::new(Postgres::open(&options, env()).await?);
        server.make_tables()?;
        let count = plan.sessions.max(writers);
        let (sessions, steppers) = begin_sessions(&store, count, writers).await?;
        let mut steppers = Some(steppers);
        let (mut ours, mut theirs, mut means) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            server.checkpoint()?;
            let turn = steps(steppers.take().unwrap_or_default(), plan.window()).await?;
            ours.push(turn.0);
            steppers = Some(turn.1);
            let (tps, mean) = server.run(connections, count, plan.seconds)?;
            theirs.push(tps);
            means.push(mean);
        }
        let of_pgbench = ratio(&ours, &theirs);
        println!(
            "{} {:>10.0} {:>8.0} {of_pgbench:>11.2}",
            shown(writers, ours),
            middle(theirs),
            middle(means),
        );
        verdict.at_least(format!("PostgreSQL, {writers} writers, of pgbench"), of_pgbench, 0.6);
        drop((steppers, sessions));
        store.close().await;
    }
    Ok(())
}

fn ratio(ours: &[Turn], others: &[f64]) -> f64 {
    middle(ours.iter().zip(others).map(|(ours, other)| ours.per_second / other).collect())
}

/// A line's beginning: the turn in the middle.
fn shown(writers: usize, mut turns: Vec<Turn>) -> String {
    turns.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let Turn { per_second, p50, p99, cpu } =
        turns.get(turns.len() / 2).copied().unwrap_or_default();
    format!("{writers:>7} {per_second:>9.0}  {p50:>5}/{p99:<6} {cpu:>6.1}")
}

/// Windows of 500 steps of one session, by what they hand to the system. Each
/// begins and ends with all of the log in the file.
#[expect(clippy::cast_precision_loss, reason = "megabytes")]
async fn bytes(folder: &Path, verdict: &mut Verdict) -> Result<(), Failure> {
    const WINDOW: u64 = 500;
    let store = Arc::new(Sqlite::open(&SqliteOptions::new(folder))?);
    let (sessions, mut steppers) = begin_sessions(&store, 1, 1).await?;
    let mut stepper: Stepper = steppers.remove(0);
    let (mut taken, mut means) = (0, Vec::new());
    for middle in [500, 2_000, 20_000] {
        while taken < middle - WINDOW / 2 {
            stepper.step().await?;
            taken += 1;
        }
        tokio::time::sleep(PAUSE).await;
        let before = proc::written_bytes(std::process::id());
        for _ in 0..WINDOW {
            stepper.step().await?;
        }
        taken += WINDOW;
        tokio::time::sleep(PAUSE).await;
        let all = proc::written_bytes(std::process::id()) - before;
        let mean = all as f64 / WINDOW as f64;
        println!("around step {middle}: {mean:.0} bytes a step");
        means.push(mean);
    }
    let (head, cold) = stepper.cold().await?;
    println!("a session of {head} events, read back by its snapshot: {cold:?}");
    drop((stepper, sessions));
    store.close();
    std::fs::remove_dir_all(folder)?;
    let (least, most) =
        means.iter().fold((f64::MAX, 0.0_f64), |(a, b), mean| (a.min(*mean), b.max(*mean)));
    verdict.at_most("difference between the windows", (most / least - 1.0) * 100.0, 5.0, "%");
    Ok(())
}
