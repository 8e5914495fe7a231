//! An upstream that answers at once: `mock --port 18080`.
//!
//! `--latency-ms` waits before each answer, `--gap-ms` between a stream's
//! chunks, `--chunks` says how many there are, `--capacity` how many answers a
//! second it gives: requests beyond it wait their turn. `GET /stats` counts
//! requests, open connections and streams under way.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
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
    /// Between two answers, if the capacity is limited.
    interval: Option<Duration>,
    next: tokio::sync::Mutex<Instant>,
    requests: AtomicU64,
    connections: AtomicI64,
    streams: AtomicI64,
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
            r#"{{"requests":{},"connections":{},"streams":{}}}"#,
            mock.requests.load(Ordering::Relaxed),
            mock.connections.load(Ordering::Relaxed),
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
    if let Some(interval) = mock.interval {
        let turn = {
            let mut next = mock.next.lock().await;
            #[expect(clippy::disallowed_methods, reason = "a mock has no Env")]
            let turn = (*next).max(Instant::now());
            *next = turn + interval;
            turn
        };
        tokio::time::sleep_until(turn).await;
    }
    if !mock.latency.is_zero() {
        tokio::time::sleep(mock.latency).await;
    }
    if memchr::memmem::find(&body, b"\"stream\":true").is_none() {
        return Ok(full(StatusCode::OK, answers::whole(api)));
    }
    mock.streams.fetch_add(1, Ordering::Relaxed);
    let stream = Stream { parts: answers::stream(api), at: 0, timer: None, mock };
    let mut response = Response::new(Either::Right(stream));
    let kind = http::HeaderValue::from_static("text/event-stream");
    response.headers_mut().insert("content-type", kind);
    Ok(response)
}

struct Stream {
    parts: [Bytes; 3],
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
        if this.at > this.mock.chunks + 1 {
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
            at if at <= this.mock.chunks => 1,
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
fn start() -> Instant {
    Instant::now()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let args = Args::read();
    let capacity = args.get("capacity", 0_u64);
    let mock = Arc::new(Mock {
        latency: Duration::from_millis(args.get("latency-ms", 0)),
        gap: Duration::from_millis(args.get("gap-ms", 0)),
        chunks: args.get("chunks", 50),
        interval: (capacity > 0)
            .then(|| Duration::from_secs(1) / u32::try_from(capacity).unwrap_or(1)),
        next: tokio::sync::Mutex::new(start()),
        requests: AtomicU64::new(0),
        connections: AtomicI64::new(0),
        streams: AtomicI64::new(0),
    });
    let address = ("127.0.0.1", args.get("port", 18080));
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let mock = Arc::clone(&mock);
        tokio::spawn(async move {
            mock.connections.fetch_add(1, Ordering::Relaxed);
            let service = service_fn(|request| answer(Arc::clone(&mock), request));
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(socket), service)
                .await;
            drop(served);
            mock.connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
