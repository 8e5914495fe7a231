//! How soon a session that nobody has in hand goes on: `cold --freehold
//! target/release/freehold [--events 20000] [--rounds 20]`.
//!
//! One session of so many events is made through the API, with answers that
//! stream in small parts. In each round the server is killed and started anew,
//! and the session is given an input at once: the time until its first new
//! event is with a client that streams it. In every other round it is only
//! read: the time until the last event is there. Both within 50 ms. Exit code
//! 1 if a bar is missed.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::io::{Error, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use freehold_bench::Args;
use freehold_bench::child::{Running, sibling};
use freehold_bench::client::Client;
use freehold_bench::frames::Frames;
use freehold_bench::site::Site;
use freehold_bench::subject::ADMIN;
use freehold_bench::verdict::Verdict;
use serde_json::{Value, json};

/// When a session that has nothing to do is let go of.
const IDLE: Duration = Duration::from_millis(300);
const BAR_MS: f64 = 50.0;

fn main() -> Result<ExitCode> {
    let args = Args::read();
    let program = args.get("freehold", sibling("freehold").display().to_string());
    let events = args.get("events", 20_000_u64);
    let rounds = args.get("rounds", 20_usize);
    let bar = BAR_MS * args.get("slack", 1.0);

    let mut talkative = Command::new(sibling("mock"));
    talkative.args(["--port", "0", "--chunks", "1500", "--gap-ms", "1"]);
    let (_talkative, long) = Running::serving(&mut talkative)?;
    let mut laconic = Command::new(sibling("mock"));
    let (_laconic, short) = Running::serving(laconic.args(["--port", "0", "--chunks", "3"]))?;
    let site = Site::new("cold", &program, &[("long", long), ("short", short)], IDLE)?;

    let node = site.start()?;
    let mut client = Client::new(node.address, ADMIN);
    let session = make(&mut client, events)?;
    let mut head = released(&mut client, &session)?;
    println!("{session} has {head} events; {rounds} rounds of each kind");
    drop(node);

    let (mut inputs, mut reads, mut starts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let node = site.start()?;
        starts.push(ms(node.ready_after));
        reads.push(ms(read(node.address, &session, head)?));
        drop(node);
        let node = site.start()?;
        starts.push(ms(node.ready_after));
        inputs.push(ms(give(node.address, &session, head)?));
        head = released(&mut Client::new(node.address, ADMIN), &session)?;
    }
    let mut verdict = Verdict::default();
    for (name, times) in [("start", &mut starts), ("input", &mut inputs), ("read", &mut reads)] {
        times.sort_by(f64::total_cmp);
        println!("{name:<6} median {:>6.1} ms, most {:>6.1} ms", middle(times), most(times));
    }
    verdict.at_most("from input to the first new event", most(&inputs), bar, "ms");
    verdict.at_most("from asking to the last event", most(&reads), bar, "ms");
    println!("\n{verdict}");
    Ok(if verdict.is_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A session of so many events, at least.
fn make(client: &mut Client, events: u64) -> Result<String> {
    let settings = json!({ "request": { "model": "long" } });
    let made = client.json("POST", "/v1/freehold/sessions", &json!({ "settings": settings }))?;
    let id = made["id"].as_str().unwrap_or_default().to_owned();
    loop {
        let head = released(client, &id)?;
        if head >= events {
            return Ok(id);
        }
        client.json("POST", &path(&id, "/input"), &json!({ "input": "Tell me more." }))?;
    }
}

/// Waits until no turn runs in a session and nobody has it in hand. Its head.
fn released(client: &mut Client, session: &str) -> Result<u64> {
    for _ in 0..3_000 {
        let shown = client.json("GET", &path(session, ""), &Value::Null)?;
        if shown["turn"].is_null() {
            std::thread::sleep(IDLE + Duration::from_millis(200));
            return shown["head"].as_u64().ok_or_else(|| Error::other("a session has no head"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::other(format!("the turn of {session} does not end")))
}

fn path(session: &str, rest: &str) -> String {
    format!("/v1/freehold/sessions/{session}{rest}")
}

/// The time from an input until a stream of the session has its first event.
fn give(to: SocketAddr, session: &str, head: u64) -> Result<Duration> {
    let mut client = Client::new(to, ADMIN);
    let settings = json!({ "request": { "model": "short" } });
    let input = json!({ "input": "And now?", "settings": settings });
    let began = now();
    let receipt = client.json("POST", &path(session, "/input"), &input)?;
    if receipt["first"] != head + 1 {
        return Err(Error::other(format!("not the first new event: {receipt}")));
    }
    first(to, session, head)?;
    Ok(began.elapsed())
}

/// The time from asking for a stream of the session until its last event is
/// there.
fn read(to: SocketAddr, session: &str, head: u64) -> Result<Duration> {
    let began = now();
    first(to, session, head - 1)?;
    Ok(began.elapsed())
}

/// Waits for the event after an offset.
fn first(to: SocketAddr, session: &str, after: u64) -> Result<()> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let path = path(session, &format!("/stream?after={after}"));
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {to}\r\nauthorization: Bearer {ADMIN}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let (mut frames, mut part) = (Frames::default(), vec![0; 64 << 10]);
    loop {
        let got = socket.read(&mut part)?;
        let came = frames.push(part.get(..got).unwrap_or_default())?;
        if let Some(frame) = came.first() {
            return match frame.offset() {
                Some(offset) if offset == after + 1 => Ok(()),
                _ => Err(Error::other(format!("not the event after {after}: {frame:?}"))),
            };
        }
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn most(sorted: &[f64]) -> f64 {
    sorted.last().copied().unwrap_or(f64::NAN)
}

#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
fn now() -> Instant {
    Instant::now()
}
