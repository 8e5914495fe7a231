//! An upstream that answers at once: `mock --port 18080`.
//!
//! `--latency-ms` waits before each answer, `--gap-ms` between a stream's
//! chunks, `--chunks` says how many there are, `--capacity` how many answers a
//! second it begins: requests beyond it wait their turn, however many.
//! A streamed chat that offers tools is answered with a call of `look`.
//! `GET /stats` counts requests, open connections, requests that wait for
//! their answer and streams under way. Its first line says where it serves.
#![expect(clippy::print_stdout, reason = "it says where it serves")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use freehold_bench::Args;
use freehold_bench::answers::{self, Api};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, Sleep};

struct Mock {
    latency: Duration,
    gap: Duration,
    chunks: u64,
    workers: Option<Workers>,
    requests: AtomicU64,
    connections: AtomicI64,
    waiting: AtomicI64,
    streams: AtomicI64,
}

/// So many requests are worked on at once, for so long each; the others queue
/// in their order. Kept as the times at which each worker is free, so that
/// timers that fire late do not lower the capacity.
struct Workers {
    free_at: Mutex<BinaryHeap<Reverse<Instant>>>,
    service: Duration,
}

impl Workers {
    /// As many as give `capacity` answers a second at this latency; one, if
    /// there is none.
    fn new(capacity: u32, latency: Duration) -> Self {
        let busy = u128::from(capacity) * latency.as_nanos();
        let count = u32::try_from(busy.div_ceil(1_000_000_000)).unwrap_or(u32::MAX).max(1);
        let free_at = (0..count).map(|_| Reverse(now())).collect();
        let service = Duration::from_secs(1) * count / capacity;
        Self { free_at: Mutex::new(free_at), service }
    }

    /// When a request that comes now is done.
    fn done_at(&self) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        let begins = free_at.pop().map_or(now, |Reverse(free)| free.max(now));
        let done = begins + self.service;
        free_at.push(Reverse(done));
        done
    }
}

/// Counts as long as it lives.
struct Counted<'a>(&'a AtomicI64);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

type Answer = Response<Either<Full<Bytes>, Stream>>;

fn full(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", kind);
    response
}

async fn answer(mock: Arc<Mock>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    if request.uri().path() == "/stats" {
        let stats = format!(
            r#"{{"requests":{},"connections":{},"waiting":{},"streams":{}}}"#,
            mock.requests.load(Ordering::Relaxed),
            mock.connections.load(Ordering::Relaxed),
            mock.waiting.load(Ordering::Relaxed),
            mock.streams.load(Ordering::Relaxed)
        );
        return Ok(full(StatusCode::OK, stats));
    }
    let Some(api) = Api::of(request.uri().path()) else {
        return Ok(full(StatusCode::NOT_FOUND, "{}"));
    };
    let Ok(body) = request.into_body().collect().await else {
        return Ok(full(StatusCode::BAD_REQUEST, "{}"));
    };
    let body = body.to_bytes();
    mock.requests.fetch_add(1, Ordering::Relaxed);
    let waits = Counted::new(&mock.waiting);
    match &mock.workers {
        Some(workers) => tokio::time::sleep_until(workers.done_at()).await,
        None if mock.latency.is_zero() => {}
        None => tokio::time::sleep(mock.latency).await,
    }
    drop(waits);
    if memchr::memmem::find(&body, b"\"stream\":true").is_none() {
        return Ok(full(StatusCode::OK, answers::whole(api)));
    }
    mock.streams.fetch_add(1, Ordering::Relaxed);
    // Whoever offers tools and brings no result of one gets a call.
    let has = |needle: &[u8]| memchr::memmem::find(&body, needle).is_some();
    let calls = api == Api::Chat && has(b"\"tools\":[") && !has(b"\"role\":\"tool\"");
    let (parts, chunks) =
        if calls { (answers::calling(), 1) } else { (answers::stream(api), mock.chunks) };
    let stream = Stream { parts, chunks, at: 0, timer: None, mock };
    let mut response = Response::new(Either::Right(stream));
    let kind = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

struct Stream {
    parts: [Bytes; 3],
    chunks: u64,
    at: u64,
    timer: Option<Pin<Box<Sleep>>>,
    mock: Arc<Mock>,
}

impl Body for Stream {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.at > this.chunks + 1 {
            return Poll::Ready(None);
        }
        if this.at > 0 && !this.mock.gap.is_zero() {
            let gap = this.mock.gap;
            let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            this.timer = None;
        }
        let part = match this.at {
            0 => 0,
            at if at <= this.chunks => 1,
            _ => 2,
        };
        this.at += 1;
        Poll::Ready(this.parts.get(part).map(|p| Ok(Frame::data(p.clone()))))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.mock.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "a mock has no Env")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args = Args::read();
    let latency = Duration::from_millis(args.get("latency-ms", 0));
    let capacity = args.get("capacity", 0);
    let mock = Arc::new(Mock {
        latency,
        gap: Duration::from_millis(args.get("gap-ms", 0)),
        chunks: args.get("chunks", 50),
        workers: (capacity > 0).then(|| Workers::new(capacity, latency)),
        requests: AtomicU64::new(0),
        connections: AtomicI64::new(0),
        waiting: AtomicI64::new(0),
        streams: AtomicI64::new(0),
    });
    let address = ("127.0.0.1", args.get("port", 18080));
    let listener = tokio::net::TcpListener::bind(address).await?;
    println!("mock is ready on http://{}", listener.local_addr()?);
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            let _open = Counted::new(&mock.connections);
            let service = service_fn(|request| answer(Arc::clone(&mock), request));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
            drop(served);
        });
    }
}
