//! One session and a thousand who follow it: `readers --freehold
//! target/release/freehold [--readers 1000] [--rate 5] [--seconds 30]`.
//!
//! A writer gives a session so many events a second through the API, first
//! alone, then with readers that stream it over HTTP. Every reader must have
//! every event once and in its order. A reader's delay counts from the event's
//! own time, which is before its commit, to when its bytes were read here: p99
//! at most 50 ms. And the writer must not feel the readers: its own answers may
//! take at most 10 ms longer. Exit code 1 if a bar is missed.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::io::{Error, Result};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use freehold_bench::child::sibling;
use freehold_bench::client::Client;
use freehold_bench::frames::{Frame, Frames};
use freehold_bench::site::Site;
use freehold_bench::subject::{ADMIN, watching_memory};
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc, quantile};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DELAY_MS: f64 = 50.0;
/// What readers may add to the writer's answers.
const ADDED_MS: f64 = 10.0;
/// How long readers may take to come to the end when the writer is done.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one reader saw.
#[derive(Debug, Default)]
struct Seen {
    offsets: Vec<u64>,
    /// Microseconds from each event's time.
    delays: Vec<u64>,
    broken: Option<String>,
}

fn main() -> Result<ExitCode> {
    let args = Args::read();
    let program = args.get("freehold", sibling("freehold").display().to_string());
    let readers = args.get("readers", 1_000_usize);
    let rate = args.get("rate", 5.0);
    let window = Duration::from_secs_f64(args.get("seconds", 30.0));
    let slack = args.get("slack", 1.0);

    // Nothing is asked of a model.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 9));
    let site = Site::new("readers", &program, &[("byte", nowhere)], Duration::from_secs(10))?;
    let node = site.start()?;
    let mut client = Client::new(node.address, ADMIN);
    let settings = json!({ "request": { "model": "byte" } });
    let made = client.json("POST", "/v1/freehold/sessions", &json!({ "settings": settings }))?;
    let session = made["id"].as_str().unwrap_or_default().to_owned();

    let (_, alone) = write(&mut client, &session, rate, window)?;
    let head = head(&mut client, &session)?;
    let open = Arc::new(AtomicUsize::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let following = {
        let (open, done, session) = (Arc::clone(&open), Arc::clone(&done), session.clone());
        std::thread::spawn(move || follow_all(node.address, &session, head, readers, &open, &done))
    };
    let began = now();
    while open.load(Ordering::Relaxed) < readers {
        if following.is_finished() || began.elapsed() > Duration::from_secs(60) {
            return Err(Error::other("the readers did not come to their streams"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    println!("{readers} streams opened in {:.1} s", began.elapsed().as_secs_f64());
    let cpu = proc::cpu_us(node.pid());
    let (written, memory) =
        watching_memory(node.pid(), || write(&mut client, &session, rate, window));
    let (last, beside) = written?;
    let cpu = proc::cpu_us(node.pid()) - cpu;
    std::thread::sleep(PATIENCE);
    done.store(true, Ordering::Relaxed);
    let seen = following.join().map_err(|_| Error::other("the readers panicked"))??;

    let verdict = judge(&seen, head, last, (&alone, &beside), slack);
    let cpu = percent(cpu, window);
    println!("CPU {cpu:.1} % of a core; RSS at most {:.1} MiB", mib(&memory));
    println!("\n{verdict}");
    Ok(if verdict.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Adds so many events a second: a timer far away is set, then taken back. The
/// last offset, and the times of its answers in microseconds, sorted.
fn write(
    client: &mut Client,
    session: &str,
    rate: f64,
    window: Duration,
) -> Result<(u64, Vec<u64>)> {
    let path = format!("/v1/freehold/sessions/{session}/timers");
    let timer = json!({ "in_seconds": 86_400, "input": "later" });
    let (begin, mut nth, mut head, mut times) = (now(), 0_u32, 0, Vec::new());
    let mut set: Option<String> = None;
    loop {
        let due = begin + Duration::from_secs_f64(f64::from(nth) / rate);
        if due.duration_since(begin) >= window {
            times.sort_unstable();
            return Ok((head, times));
        }
        std::thread::sleep(due.saturating_duration_since(now()));
        let asked = now();
        let receipt = match &set {
            None => client.json("POST", &path, &timer)?,
            Some(id) => client.json("DELETE", &format!("{path}/{id}"), &Value::Null)?,
        };
        times.push(u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX));
        head = receipt["head"].as_u64().ok_or_else(|| Error::other("a receipt has no head"))?;
        set = match set {
            Some(_) => None,
            None => {
                let listed = client.json("GET", &path, &Value::Null)?;
                listed["data"][0]["id"].as_str().map(str::to_owned)
            }
        };
        nth += 1;
    }
}

fn head(client: &mut Client, session: &str) -> Result<u64> {
    let shown = client.json("GET", &format!("/v1/freehold/sessions/{session}"), &Value::Null)?;
    shown["head"].as_u64().ok_or_else(|| Error::other("a session has no head"))
}

#[tokio::main(flavor = "current_thread")]
async fn follow_all(
    to: SocketAddr,
    session: &str,
    after: u64,
    readers: usize,
    open: &Arc<AtomicUsize>,
    done: &Arc<AtomicBool>,
) -> Result<Vec<Seen>> {
    let all: Arc<Mutex<Vec<Seen>>> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..readers {
        let (all, open, session) = (Arc::clone(&all), Arc::clone(open), session.to_owned());
        let done = Arc::clone(done);
        tasks.spawn(async move {
            let mut seen = Seen::default();
            if let Err(error) = follow(to, &session, after, &mut seen, &open, &done).await {
                seen.broken = Some(error.to_string());
            }
            all.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        });
    }
    while tasks.join_next().await.is_some() {}
    Ok(std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// Reads a stream until it is told to stop.
async fn follow(
    to: SocketAddr,
    session: &str,
    after: u64,
    seen: &mut Seen,
    open: &AtomicUsize,
    done: &AtomicBool,
) -> Result<()> {
    let mut socket = TcpStream::connect(to).await?;
    let path = format!("/v1/freehold/sessions/{session}/stream?after={after}");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {ADMIN}\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let (mut frames, mut part, mut counted) = (Frames::default(), vec![0; 16 << 10], false);
    loop {
        let read = tokio::time::timeout(Duration::from_millis(500), socket.read(&mut part)).await;
        let Ok(got) = read else {
            if done.load(Ordering::Relaxed) {
                return Ok(());
            }
            continue;
        };
        let got = got?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let at = wall();
        for frame in frames.push(part.get(..got).unwrap_or_default())? {
            seen.take(&frame, at)?;
        }
        if !std::mem::replace(&mut counted, true) {
            open.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Seen {
    fn take(&mut self, frame: &Frame, at: Timestamp) -> Result<()> {
        let data: Value = serde_json::from_str(&frame.data).map_err(Error::other)?;
        let made: Timestamp =
            data["at"].as_str().unwrap_or_default().parse().map_err(Error::other)?;
        let delay = at.as_microsecond() - made.as_microsecond();
        self.delays.push(u64::try_from(delay).unwrap_or(0));
        self.offsets.extend(frame.offset());
        Ok(())
    }
}

fn judge(
    seen: &[Seen],
    head: u64,
    last: u64,
    (alone, beside): (&[u64], &[u64]),
    slack: f64,
) -> Verdict {
    let expected: Vec<u64> = (head + 1..=last).collect();
    let wrong = seen.iter().filter(|one| one.offsets != expected).count() as u64;
    for broken in seen.iter().filter_map(|one| one.broken.as_ref()).take(3) {
        println!("a stream broke: {broken}");
    }
    let mut delays: Vec<u64> = seen.iter().flat_map(|one| one.delays.iter().copied()).collect();
    delays.sort_unstable();
    println!("{} events, received {} times", expected.len(), delays.len());
    for (name, times) in [
        ("to a reader", delays.as_slice()),
        ("writer's answer, alone", alone),
        ("writer's answer, with readers", beside),
    ] {
        let (p50, p99) = (ms(times, 0.5), ms(times, 0.99));
        println!(
            "{name:<30} p50 {p50:>7.2} ms  p99 {p99:>7.2} ms  most {:>7.2} ms",
            ms(times, 1.0)
        );
    }
    let mut verdict = Verdict::default();
    verdict.none("readers with a loss, a duplicate or a break", wrong);
    verdict.at_most("to a reader, p99", ms(&delays, 0.99), DELAY_MS * slack, "ms");
    let added = ms(beside, 0.5) - ms(alone, 0.5);
    verdict.at_most("what readers add to the writer, p50", added, ADDED_MS * slack, "ms");
    verdict
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn ms(sorted: &[u64], p: f64) -> f64 {
    quantile(sorted, p) as f64 / 1_000.0
}

/// Microseconds of processor time as a share of a window.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn percent(cpu_us: u64, window: Duration) -> f64 {
    cpu_us as f64 / 10_000.0 / window.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mib(samples: &[u64]) -> f64 {
    samples.iter().max().map_or(0.0, |kib| *kib as f64 / 1024.0)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}

/// The clock of the server, which is on this machine.
#[expect(clippy::disallowed_methods, reason = "events say when they were by the wall clock")]
fn wall() -> Timestamp {
    Timestamp::now()
}
