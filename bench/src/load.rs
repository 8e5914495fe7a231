//! A load generator: one blocking thread a connection, which costs less than
//! a runtime and measures one request at a time exactly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What to send.
#[derive(Clone, Debug)]
pub struct Shot {
    /// Loopback only.
    pub to: SocketAddr,
    /// The whole request, head and body.
    pub request: Arc<Vec<u8>>,
    /// The least events that a streamed answer has; 0 for one that is whole.
    pub events: usize,
}

impl Shot {
    /// A POST of a JSON body.
    pub fn post(to: SocketAddr, path: &str, key: &str, body: &str, events: usize) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {to}\r\ncontent-type: application/json\r\n\
             authorization: Bearer {key}\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body.as_bytes());
        Self { to, request: Arc::new(request), events }
    }
}

/// What was measured, in microseconds.
#[derive(Debug, Default)]
pub struct Sample {
    /// From the request's first byte to the answer's last.
    pub total: Vec<u64>,
    /// To the first byte of the answer's body.
    pub first: Vec<u64>,
    /// Between reads that brought chunks of a stream.
    pub gaps: Vec<u64>,
    /// From a request's due time to its first byte's sending: what this
    /// generator was late, for want of a connection or of processor time.
    pub late: Vec<u64>,
    /// Time to the answer of requests that were refused with 429 or 503.
    pub shed: Vec<u64>,
    /// Of those, the ones without `Retry-After`.
    pub shed_without_wait: u64,
    /// Other statuses and broken connections.
    pub errors: u64,
    /// An error, for the reader.
    pub error: Option<String>,
}

impl Sample {
    fn absorb(&mut self, other: Self) {
        self.total.extend(other.total);
        self.first.extend(other.first);
        self.gaps.extend(other.gaps);
        self.late.extend(other.late);
        self.shed.extend(other.shed);
        self.shed_without_wait += other.shed_without_wait;
        self.errors += other.errors;
        self.error = self.error.take().or(other.error);
    }

    fn sort(&mut self) {
        let Self { total, first, gaps, late, shed, .. } = self;
        for values in [total, first, gaps, late, shed] {
            values.sort_unstable();
        }
    }
}

/// When requests are sent.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// The next one as soon as the last is answered.
    Closed,
    /// This many a second over all connections, each with a due time from
    /// which its latency counts.
    Open(f64),
}

/// Sends for `window` over `connections` connections.
pub fn run(shot: &Shot, connections: usize, window: Duration, pace: Pace) -> Sample {
    let barrier = Arc::new(Barrier::new(connections));
    let all = Arc::new(Mutex::new(Sample::default()));
    let next = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let start = Arc::new(std::sync::OnceLock::new());
    std::thread::scope(|scope| {
        for _ in 0..connections {
            let (barrier, all, next, start) = (&barrier, &all, &next, &start);
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            let spawned = thread.spawn_scoped(scope, move || {
                let mut sample = Sample::default();
                let mut connection = Connection::default();
                barrier.wait();
                let begin = *start.get_or_init(now);
                loop {
                    let due = match pace {
                        Pace::Closed => now(),
                        Pace::Open(rate) => {
                            let nth = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
                            let due = begin + Duration::from_secs_f64(nth as f64 / rate);
                            std::thread::sleep(due.saturating_duration_since(now()));
                            due
                        }
                    };
                    if due.duration_since(begin) >= window {
                        break;
                    }
                    if let Err(error) = connection.shoot(shot, due, &mut sample) {
                        connection.socket = None;
                        sample.errors += 1;
                        sample.error.get_or_insert(error.to_string());
                    }
                }
                all.lock().unwrap_or_else(PoisonError::into_inner).absorb(sample);
            });
            drop(spawned);
        }
    });
    let mut sample = std::mem::take(&mut *all.lock().unwrap_or_else(PoisonError::into_inner));
    sample.sort();
    sample
}

#[expect(clippy::disallowed_methods, reason = "a load generator measures real time")]
fn now() -> Instant {
    Instant::now()
}

#[derive(Default)]
struct Connection {
    socket: Option<TcpStream>,
    buffer: Vec<u8>,
}

struct Head {
    length: usize,
    status: u16,
    content_length: Option<usize>,
    retry_after: bool,
}

impl Connection {
    fn shoot(&mut self, shot: &Shot, due: Instant, sample: &mut Sample) -> std::io::Result<()> {
        if self.socket.is_none() {
            let socket = TcpStream::connect(shot.to)?;
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(Duration::from_secs(60)))?;
            self.socket = Some(socket);
        }
        let Some(socket) = &mut self.socket else { return Ok(()) };
        self.buffer.clear();
        let late = now().saturating_duration_since(due);
        socket.write_all(&shot.request)?;
        let head = loop {
            read(socket, &mut self.buffer)?;
            if let Some(head) = parse_head(&self.buffer) {
                break head;
            }
        };
        let mut first = None;
        let mut last = due;
        let mut seen = head.length;
        loop {
            let body = self.buffer.get(head.length..).unwrap_or_default();
            if self.buffer.len() > seen {
                let at = now();
                match first {
                    None => first = Some(at),
                    Some(_) if shot.events > 0 => {
                        sample.gaps.push(micros(at.saturating_duration_since(last)));
                    }
                    Some(_) => {}
                }
                last = at;
                seen = self.buffer.len();
            }
            let whole = match head.content_length {
                Some(length) => body.len() >= length,
                None => body.ends_with(b"0\r\n\r\n"),
            };
            if whole {
                break;
            }
            read(socket, &mut self.buffer)?;
        }
        let total = micros(now().saturating_duration_since(due));
        sample.late.push(micros(late));
        match head.status {
            200 => {
                let body = self.buffer.get(head.length..).unwrap_or_default();
                if let Some(wrong) = wrong_stream(body, shot.events) {
                    sample.errors += 1;
                    sample.error.get_or_insert(wrong);
                }
                sample.total.push(total);
                let first = first.map_or(total, |f| micros(f.saturating_duration_since(due)));
                sample.first.push(first);
            }
            429 | 503 => {
                sample.shed.push(total);
                sample.shed_without_wait += u64::from(!head.retry_after);
            }
            other => {
                sample.errors += 1;
                let body = String::from_utf8_lossy(&self.buffer).into_owned();
                sample.error.get_or_insert(format!("status {other}: {body}"));
            }
        }
        Ok(())
    }
}

/// What is wrong with an answer that should have so many events.
fn wrong_stream(body: &[u8], events: usize) -> Option<String> {
    if events == 0 {
        return None;
    }
    if memchr::memmem::find(body, b"\"error\":{").is_some() {
        return Some("an error event in a stream".to_owned());
    }
    let seen = memchr::memmem::find_iter(body, b"data: {").count();
    (seen < events).then(|| format!("a stream of {seen} events, not of {events}"))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    let mut part = [0; 16 << 10];
    let got = socket.read(&mut part)?;
    if got == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    buffer.extend_from_slice(part.get(..got).unwrap_or_default());
    Ok(())
}

fn parse_head(buffer: &[u8]) -> Option<Head> {
    let length = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(buffer.get(..length)?).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let mut head = Head { length, status, content_length: None, retry_after: false };
    for line in text.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            head.content_length = value.trim().parse().ok();
        } else if name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = true;
        }
    }
    Some(head)
}
