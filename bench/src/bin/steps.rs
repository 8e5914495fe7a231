//! Steps of sessions over the embedded store: `steps [--folder DIR]
//! [--rounds 10] [--seconds 2] [--at 1,16,64,256] [--sessions 1000]`, or
//! `steps --bytes`.
//!
//! A step is one guarded unit: a journal row of 1 KiB, the session's head and
//! phase, now and then a wait that opens or closes and a snapshot. It is
//! acknowledged after its commit is on the disk. Beside it, in turn: a bare log
//! (a thread that appends what waits to one file and syncs it), and a bare
//! SQLite (a thread that inserts the same rows into one table with an index,
//! in commits as large as the store's were, answering nobody). What counts is
//! the median of the rounds' ratios. `--bytes` instead says what a step hands
//! to the file and the log at several lengths of one session.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use freehold_bench::steps::{BareSqlite, Log, Stepper, begin_sessions};
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc, quantile};
use freehold_store::journal::{self, MAX_EVENTS};
use freehold_store::{Sqlite, SqliteOptions, sessions};
use freehold_types::TenantId;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The checkpointer's interval and a bit: one side's leftovers are not to be
/// the next one's burden.
const PAUSE: Duration = Duration::from_millis(500);

/// What one side did in one turn.
#[derive(Clone, Copy, Debug, Default)]
struct Turn {
    per_second: f64,
    p50: u64,
    p99: u64,
    /// Microseconds of processor time a step.
    cpu: f64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::read();
    let own = std::env::temp_dir().join(format!("freehold-bench-steps-{}", std::process::id()));
    let folder: PathBuf = args.get("folder", own);
    if args.get("bytes", false) {
        return bytes(&folder).await;
    }
    let (rounds, sessions): (usize, usize) = (args.get("rounds", 10), args.get("sessions", 1000));
    let window = Duration::from_secs_f64(args.get("seconds", 2.0));
    let at: String = args.get("at", "1,16,64,256".into());
    let mut verdict = Verdict::default();
    println!("writers   steps/s  p50/p99 us   CPU us      log/s  bare SQLite/s  of log  of SQLite");
    for writers in at.split(',').map(str::parse) {
        let writers: usize = writers?;
        let (of_log, of_sqlite) = compare(&folder, writers, sessions, rounds, window).await?;
        judge(&mut verdict, writers, of_log, of_sqlite);
    }
    println!("\n{verdict}");
    if verdict.is_met() { Ok(()) } else { Err("a bar was missed".into()) }
}

fn judge(verdict: &mut Verdict, writers: usize, of_log: f64, of_sqlite: f64) {
    let mut least = |what, measured: f64, least: f64| {
        verdict.holds(
            what,
            format!("{measured:.2}"),
            format!("at least {least}"),
            measured >= least,
        );
    };
    match writers {
        1 => least("one writer, of the log", of_log, 0.5),
        64 => {
            least("64 writers, of the log", of_log, 0.25);
            least("64 writers, of SQLite", of_sqlite, 0.6);
        }
        256 => {
            least("256 writers, of the log", of_log, 0.25);
            least("256 writers, of SQLite", of_sqlite, 0.6);
        }
        _ => {}
    }
}

/// Runs the three in turn, and gives the medians of the ratios.
async fn compare(
    folder: &Path,
    writers: usize,
    sessions: usize,
    rounds: usize,
    window: Duration,
) -> Result<(f64, f64), Failure> {
    let store = Arc::new(Sqlite::open(&SqliteOptions::new(folder.join("store")))?);
    let steppers = begin_sessions(&store, sessions.max(writers), writers).await?;
    let log = Log::start(&folder.join("log"))?;
    let mut bare = BareSqlite::open(&folder.join("bare.db"), sessions.max(writers))?;
    let mut steppers = Some(steppers);
    let (mut ours, mut logs, mut bares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = store.stats();
        let (turn, back) = steps(steppers.take().unwrap_or_default(), window).await?;
        steppers = Some(back);
        let after = store.stats();
        let batch = (after.units - before.units) / (after.commits - before.commits).max(1);
        ours.push(turn);
        tokio::time::sleep(PAUSE).await;
        logs.push(append(&log, writers, window).await?);
        tokio::time::sleep(PAUSE).await;
        bares.push(bare.run(batch.max(1), window)?);
        tokio::time::sleep(PAUSE).await;
    }
    let ratios = |others: &[f64]| {
        middle(ours.iter().zip(others).map(|(ours, other)| ours.per_second / other).collect())
    };
    let logged: Vec<f64> = logs.iter().map(|turn| turn.per_second).collect();
    let (of_log, of_sqlite) = (ratios(&logged), ratios(&bares));
    ours.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    let Turn { per_second, p50, p99, cpu } = ours[ours.len() / 2];
    println!(
        "{writers:>7} {per_second:>9.0}  {p50:>5}/{p99:<6} {cpu:>6.1} {:>10.0} {:>14.0} \
         {of_log:>7.2} {of_sqlite:>10.2}",
        middle(logged),
        middle(bares),
    );
    drop(steppers);
    store.close();
    drop((log, bare));
    std::fs::remove_dir_all(folder)?;
    Ok((of_log, of_sqlite))
}

/// All steppers at once, each with one step at a time.
async fn steps(steppers: Vec<Stepper>, window: Duration) -> Result<(Turn, Vec<Stepper>), Failure> {
    let (start, cpu) = (now(), proc::cpu_us(std::process::id()));
    let tasks: Vec<_> = steppers
        .into_iter()
        .map(|mut stepper| {
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    let sent = now();
                    stepper.step().await?;
                    micros.push(u64::try_from(sent.elapsed().as_micros())?);
                }
                Ok::<_, Failure>((stepper, micros))
            })
        })
        .collect();
    let (mut back, mut micros) = (Vec::new(), Vec::new());
    for task in tasks {
        let (stepper, own) = task.await??;
        back.push(stepper);
        micros.extend(own);
    }
    Ok((turn(micros, start.elapsed(), cpu), back))
}

/// The same over the bare log.
async fn append(log: &Log, writers: usize, window: Duration) -> Result<Turn, Failure> {
    let (start, cpu) = (now(), proc::cpu_us(std::process::id()));
    let tasks: Vec<_> = (0..writers)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    let sent = now();
                    log.append().await?;
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
    Ok(turn(micros, start.elapsed(), cpu))
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
fn turn(mut micros: Vec<u64>, elapsed: Duration, cpu_before: u64) -> Turn {
    micros.sort_unstable();
    let used = proc::cpu_us(std::process::id()) - cpu_before;
    Turn {
        per_second: micros.len() as f64 / elapsed.as_secs_f64(),
        p50: quantile(&micros, 0.5),
        p99: quantile(&micros, 0.99),
        cpu: used as f64 / micros.len().max(1) as f64,
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Windows of 500 steps of one session, by what they hand to the system. Each
/// begins and ends with all of the log in the file.
#[expect(clippy::cast_precision_loss, reason = "megabytes")]
async fn bytes(folder: &Path) -> Result<(), Failure> {
    const WINDOW: u64 = 500;
    let store = Arc::new(Sqlite::open(&SqliteOptions::new(folder))?);
    let mut stepper = begin_sessions(&store, 1, 1).await?.remove(0);
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
    cold(&store, &stepper).await?;
    store.close();
    std::fs::remove_dir_all(folder)?;
    let (least, most) =
        means.iter().fold((f64::MAX, 0.0_f64), |(a, b), mean| (a.min(*mean), b.max(*mean)));
    let mut verdict = Verdict::default();
    verdict.at_most("difference between the windows", (most / least - 1.0) * 100.0, 5.0, "%");
    print!("{verdict}");
    if verdict.is_met() { Ok(()) } else { Err("a bar was missed".into()) }
}

/// What a node reads of a long session before its first step in it: the row,
/// the snapshot, and what came since.
async fn cold(store: &Arc<Sqlite>, stepper: &Stepper) -> Result<(), Failure> {
    let (tenant, session) = (TenantId::main(), stepper.first());
    let start = now();
    let row = sessions::get(&**store, &tenant, session).await?.ok_or("no such session")?;
    let from = journal::snapshot(&**store, &tenant, session).await?.map_or(0, |found| found.offset);
    let tail = journal::read(&**store, &tenant, session, from, row.head, MAX_EVENTS).await?;
    println!(
        "a session of {} events, cold: {} of them read in {:?}",
        row.head,
        tail.len(),
        start.elapsed()
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a bench program measures real time")]
fn now() -> Instant {
    Instant::now()
}
