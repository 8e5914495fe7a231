//! Clients that go away: in the middle of a stream, before its first byte, in
//! the middle of what they send.

use std::io::{Error, Read as _, Result, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::answers::{self, Api};
use crate::load::Shot;

/// When a client goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// After so many events of its stream.
    Events(usize),
    /// As that, but it closed its own side when it had sent its request.
    HalfClosed(usize),
    /// So long after its request, before the answer begins.
    BeforeAnswer(Duration),
    /// The same, and it asked for a whole answer.
    BeforeWhole(Duration),
    /// When it has sent half of its request.
    MidUpload,
}

impl When {
    /// What the nth client does: three in four leave their streams.
    pub fn of(nth: u64) -> Self {
        // Spread over the kinds and the moments, the same in every run.
        let dice = nth.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let few = usize::try_from(dice % 8).unwrap_or(0) + 1;
        let moment = Duration::from_millis(dice % 15);
        match nth % 20 {
            0 | 1 => Self::MidUpload,
            2 => Self::BeforeWhole(moment),
            3 | 4 => Self::BeforeAnswer(moment),
            5 | 6 => Self::HalfClosed(few),
            _ => Self::Events(few),
        }
    }
}

/// What became of the clients.
#[derive(Debug, Default)]
pub struct Left {
    /// In a stream, of which events had come.
    pub in_stream: u64,
    /// Without an answer to expect: a server takes them for gone.
    pub half_closed: u64,
    /// Before their answer began.
    pub before_answer: u64,
    /// With half a request sent.
    pub mid_upload: u64,
    /// Those who could not do what they were to do.
    pub failed: u64,
    /// Why, for one of them.
    pub error: Option<String>,
}

/// Sends `count` clients, each on a connection of its own, `at_once` at one
/// time, to a server's routes `byte` and `cross` in turn.
pub fn storm(to: SocketAddr, key: &str, count: u64, at_once: usize) -> Left {
    let next = AtomicU64::new(0);
    let all = Mutex::new(Left::default());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= count {
                        break;
                    }
                    let when = When::of(nth);
                    let gone = one(to, key, nth, when);
                    let mut left = all.lock().unwrap_or_else(PoisonError::into_inner);
                    match (gone, when) {
                        (Err(error), _) => {
                            left.failed += 1;
                            left.error.get_or_insert(format!("{when:?}: {error}"));
                        }
                        (Ok(()), When::Events(_)) => left.in_stream += 1,
                        (Ok(()), When::HalfClosed(_)) => left.half_closed += 1,
                        (Ok(()), When::MidUpload) => left.mid_upload += 1,
                        (Ok(()), _) => left.before_answer += 1,
                    }
                }
            });
        }
    });
    all.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn one(to: SocketAddr, key: &str, nth: u64, when: When) -> Result<()> {
    let model = if nth.is_multiple_of(2) { "byte" } else { "cross" };
    let bytes = if when == When::MidUpload { 400_000 } else { 600 };
    let stream = !matches!(when, When::BeforeWhole(_));
    let request = request(to, key, model, bytes, stream);
    match when {
        When::MidUpload => {
            let half = request.get(..request.len() / 2).unwrap_or_default();
            let socket = sent(to, half)?;
            std::thread::sleep(Duration::from_millis(5));
            drop(socket);
        }
        When::BeforeAnswer(moment) | When::BeforeWhole(moment) => {
            let socket = sent(to, &request)?;
            std::thread::sleep(moment);
            drop(socket);
        }
        When::HalfClosed(events) => {
            let mut socket = sent(to, &request)?;
            socket.shutdown(Shutdown::Write)?;
            // A server may well take this for a client that has gone.
            read_events(&mut socket, events).ok();
        }
        When::Events(events) => read_events(&mut sent(to, &request)?, events)?,
    }
    Ok(())
}

fn request(to: SocketAddr, key: &str, model: &str, bytes: usize, stream: bool) -> Vec<u8> {
    let body = answers::request(Api::Chat, model, bytes, stream);
    Shot::post(to, "/v1/chat/completions", key, &body, 0).request.to_vec()
}

fn sent(to: SocketAddr, request: &[u8]) -> Result<TcpStream> {
    let mut socket = TcpStream::connect(to)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    socket.write_all(request)?;
    Ok(socket)
}

/// How an answer begins that is one.
const OK: &[u8] = b"HTTP/1.1 200 ";

fn read_events(socket: &mut TcpStream, events: usize) -> Result<()> {
    let mut seen = Vec::new();
    let mut part = [0; 4 << 10];
    while memchr::memmem::find_iter(&seen, b"data: {").count() < events {
        let got = socket.read(&mut part)?;
        seen.extend_from_slice(part.get(..got).unwrap_or_default());
        if got == 0 || !seen.iter().zip(OK).all(|(a, b)| a == b) {
            return Err(Error::other(String::from_utf8_lossy(&seen).into_owned()));
        }
    }
    Ok(())
}

/// Opens streams and keeps them. Gives them and, of the ones that were
/// refused, the statuses with their bodies.
pub fn hold(to: SocketAddr, key: &str, count: usize) -> (Vec<TcpStream>, Vec<String>) {
    let request = request(to, key, "byte", 600, true);
    let mut held = Vec::new();
    let mut refused = Vec::new();
    for _ in 0..count {
        let opened = sent(to, &request).and_then(|mut socket| {
            read_events(&mut socket, 1)?;
            Ok(socket)
        });
        match opened {
            Ok(socket) => held.push(socket),
            Err(error) => refused.push(error.to_string()),
        }
    }
    (held, refused)
}
