//! Steps of sessions over HTTP: `steps_http [--program freehold]
//! [--over sqlite|postgres] [--rounds 3] [--seconds 2] [--at 1,16,64,256]
//! [--fsync-ms 0] [--peer-steps 2498] [--peer-p50-us 1400]`.
//!
//! Each client has a connection that it keeps. It makes a session, takes 20
//! steps in it, one after the other, each once the one before is acknowledged,
//! and makes the next session. A step is `POST sessions/{id}/input` of 1 KiB
//! that joins the journal and that nobody answers: decided, sealed, committed and
//! synced before the answer. The making of sessions counts in the time and not
//! among the steps. Server, store and clients share the machine.
//!
//! The peer's figures are those of a durable runtime whose service takes such
//! sessions of 20 recorded steps on a machine like this one, at 64 and at one
//! session at a time.
#![expect(clippy::print_stdout, reason = "the table is this program's result")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use freehold_bench::child::{Scratch, sibling};
use freehold_bench::steps::{BODY, Failure, PgBench, middle, now};
use freehold_bench::subject::Freehold;
use freehold_bench::verdict::Verdict;
use freehold_bench::{Args, proc, quantile, slow};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const STEPS: u64 = 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let args = Args::read();
    let delay = args.get("fsync-ms", 0);
    if delay > 0
        && let Some(ended) = slow::again(delay)?
    {
        return if ended.success() { Ok(()) } else { Err("it failed on the slow disk".into()) };
    }
    let program = args.get("program", sibling("freehold").display().to_string());
    let (rounds, seconds): (usize, f64) = (args.get("rounds", 3), args.get("seconds", 2.0));
    let at: String = args.get("at", "1,16,64,256".into());
    let (peer_steps, peer_p50): (f64, f64) =
        (args.get("peer-steps", 2498.0), args.get("peer-p50-us", 1400.0));
    let scratch = Scratch::new("bench-steps-http")?;
    let database = match args.get("over", "sqlite".to_owned()).as_str() {
        "postgres" => Some(PgBench::start(scratch.path())?),
        _ => None,
    };
    let url = database.as_ref().map(PgBench::url);
    let server = Freehold::for_sessions(&program, url.as_deref())?;
    let mut verdict = Verdict::default();
    println!("clients   steps/s  p50/p99 us  server CPU us  clients' CPU us");
    for clients in at.split(',').map(str::parse) {
        let clients: usize = clients?;
        let mut turns = Vec::new();
        for _ in 0..rounds {
            turns.push(turn(&server, clients, Duration::from_secs_f64(seconds)).await?);
        }
        let of = |what: fn(&Turn) -> f64| middle(turns.iter().map(what).collect());
        let (per_second, p50) = (of(|turn| turn.per_second), of(|turn| turn.p50));
        println!(
            "{clients:>7} {per_second:>9.0}  {p50:>5.0}/{:<6.0} {:>12.1} {:>16.1}",
            of(|turn| turn.p99),
            of(|turn| turn.server),
            of(|turn| turn.own),
        );
        match clients {
            1 => verdict.holds(
                "1 client, half of the steps",
                format!("{p50:.0} us"),
                format!("under {peer_p50:.0} us"),
                p50 < peer_p50,
            ),
            64 => verdict.at_least("64 clients, of the peer's steps", per_second / peer_steps, 8.0),
            _ => {}
        }
    }
    println!("\n{verdict}");
    if verdict.is_met() { Ok(()) } else { Err("a bar was missed".into()) }
}

struct Turn {
    per_second: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of processor time a step.
    server: f64,
    own: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
async fn turn(server: &Freehold, clients: usize, window: Duration) -> Result<Turn, Failure> {
    let (address, key): (SocketAddr, Arc<str>) = (server.address, server.key.as_str().into());
    let cpu = || (proc::cpu_us(server.pid()), proc::cpu_us(std::process::id()));
    let (start, before) = (now(), cpu());
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let key = Arc::clone(&key);
            tokio::spawn(async move {
                let mut line = Line::connect(address, &key).await?;
                let mut micros = Vec::new();
                while start.elapsed() < window {
                    line.session(&mut micros).await?;
                }
                Ok::<_, Failure>(micros)
            })
        })
        .collect();
    let mut micros = Vec::new();
    for task in tasks {
        micros.extend(task.await??);
    }
    let (elapsed, after) = (start.elapsed().as_secs_f64(), cpu());
    micros.sort_unstable();
    let each = |before: u64, after: u64| (after - before) as f64 / micros.len().max(1) as f64;
    Ok(Turn {
        per_second: micros.len() as f64 / elapsed,
        p50: quantile(&micros, 0.5) as f64,
        p99: quantile(&micros, 0.99) as f64,
        server: each(before.0, after.0),
        own: each(before.1, after.1),
    })
}

/// A connection.
struct Line {
    socket: TcpStream,
    key: Arc<str>,
    head: String,
    buffer: Vec<u8>,
}

impl Line {
    async fn connect(address: SocketAddr, key: &Arc<str>) -> Result<Self, Failure> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let head = format!("host: {address}\r\ncontent-type: application/json\r\n");
        Ok(Self { socket, key: Arc::clone(key), head, buffer: Vec::new() })
    }

    /// A session and its steps; the time that each took goes into `micros`.
    async fn session(&mut self, micros: &mut Vec<u64>) -> Result<(), Failure> {
        let create = self.post("/v1/freehold/sessions", "{}");
        let made = self.ask(&create).await?;
        let id = between(made, "\"id\":\"", '"').ok_or("a session without an id")?.to_owned();
        let body = format!("{{\"input\":\"{}\",\"busy\":\"quiet\"}}", "x".repeat(BODY));
        let step = self.post(&format!("/v1/freehold/sessions/{id}/input"), &body);
        for nth in 0..STEPS {
            let sent = now();
            let told = self.ask(&step).await?;
            micros.push(u64::try_from(sent.elapsed().as_micros())?);
            // The first event is the session's making.
            let head = between(told, "\"head\":", ',').and_then(|head| head.parse().ok());
            if head != Some(nth + 2) {
                return Err(format!("step {nth} is acknowledged as {told}").into());
            }
        }
        Ok(())
    }

    fn post(&self, path: &str, body: &str) -> Vec<u8> {
        let (length, Self { key, head, .. }) = (body.len(), self);
        format!(
            "POST {path} HTTP/1.1\r\n{head}authorization: Bearer {key}\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    /// Sends a request and gives the answer's body, if it is a good one.
    async fn ask(&mut self, request: &[u8]) -> Result<&str, Failure> {
        self.socket.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.socket.read_buf(&mut self.buffer).await? == 0 {
                return Err("the server hung up".into());
            }
            let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end])?;
            let length = between(head, "content-length: ", '\r').unwrap_or_default();
            let length: usize = length.parse().map_err(|_| format!("no length: {head}"))?;
            if self.buffer.len() < end + 4 + length {
                continue;
            }
            let good = head.starts_with("HTTP/1.1 20");
            let body = std::str::from_utf8(&self.buffer[end + 4..])?;
            return if good { Ok(body) } else { Err(format!("{head}\n{body}").into()) };
        }
    }
}

/// What stands between two marks; the last one may be the end.
fn between<'a>(text: &'a str, from: &str, to: char) -> Option<&'a str> {
    let rest = text.split_once(from)?.1;
    rest.split(to).next()
}
