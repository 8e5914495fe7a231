//! One connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::activity::{Activity, Counted};
use super::drain::Drain;
use super::timed_io::{Patience, TimedIo};
use super::tls::Certificates;
use crate::config::ServerOptions;

/// What any error of a body or service turns into.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_MAX: u32 = 256;

/// What is read from an HTTP/1 connection at once, in bytes. The buffer grows
/// with the first large body up to this, and stays as long as the connection:
/// hyper's own bound of 400 KiB would hold as much for each client again as
/// its body takes.
const READ_BYTES_MAX: usize = 64 << 10;

/// How long to wait at most before looking again at a connection of which no
/// more than a byte or two has come.
const PEEK_PAUSE_MAX: Duration = Duration::from_millis(100);

/// How often an HTTP/2 client is asked whether it is still there.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address; `None` on a Unix socket.
    pub address: Option<SocketAddr>,
    /// Whether it came over TLS.
    pub tls: bool,
}

impl Peer {
    /// Whether it is on this machine.
    pub fn is_local(&self) -> bool {
        self.address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}

/// Limits of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How slow the client may be.
    pub patience: Patience,
    /// A request's head, in bytes.
    pub header_bytes_max: usize,
}

impl From<&ServerOptions> for Limits {
    fn from(options: &ServerOptions) -> Self {
        Self {
            patience: Patience {
                header: Duration::from_millis(options.header_timeout_ms),
                idle: Duration::from_millis(options.keep_alive_ms),
                write: Duration::from_millis(options.write_stall_ms),
            },
            header_bytes_max: options.header_bytes_max,
        }
    }
}

/// Serves a TCP connection until it ends or the drain is over.
pub async fn serve_tcp<S, B>(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Arc<Certificates>>,
    limits: Limits,
    drain: Drain,
    make: impl FnOnce(Peer) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Answers are written whole, so waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY");
    }
    let peer = Peer { address: Some(address), tls: tls.is_some() };
    let Some(tls) = tls else {
        let first = tokio::time::timeout(limits.patience.header, speaks_http2(&stream)).await;
        if let Ok(Ok(http2)) = first {
            serve(stream, http2, limits, drain, make(peer)).await;
        }
        return;
    };
    // Apart from the task, so that connections without TLS do not take its room.
    Box::pin(async move {
        let handshake = tokio::time::timeout(limits.patience.header, tls.accept(stream)).await;
        match handshake {
            Ok(Ok(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                serve(stream, http2, limits, drain, make(peer)).await;
            }
            Ok(Err(error)) => tracing::debug!(%address, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
        }
    })
    .await;
}

/// Serves any stream until it ends or the drain is over.
pub async fn serve<T, S, B>(stream: T, http2: bool, limits: Limits, drain: Drain, service: S)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let activity = Arc::new(Activity::default());
    let io = TimedIo::new(stream, limits.patience, Arc::clone(&activity), http2);
    let service = Counted::new(service, activity);
    // Both kinds of connection have the same two methods and no common trait.
    macro_rules! run {
        ($connection:expr) => {{
            let mut connection = $connection;
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = drain.begun() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        }};
    }
    let ended = if http2 {
        // Apart, as the room of a connection with HTTP/1 need not be as large.
        run!(Box::pin(
            http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .keep_alive_interval(PING_INTERVAL)
                .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
                .serve_connection(TokioIo::new(io), service)
        ))
    } else {
        run!(pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(limits.header_bytes_max)
                .max_buf_size(READ_BYTES_MAX.max(limits.header_bytes_max))
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades()
        ))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended");
    }
}

/// Whether a client without TLS begins with HTTP/2's preface. No method of
/// HTTP/1.1 begins with its first three bytes.
async fn speaks_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut first = [0; 3];
    let mut pause = Duration::from_millis(1);
    loop {
        match stream.peek(&mut first).await? {
            3 => return Ok(&first == b"PRI"),
            0 => return Ok(false),
            got if !b"PRI".starts_with(&first[..got]) => return Ok(false),
            // The next byte does not wake us: those there have not been read.
            _ => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PEEK_PAUSE_MAX);
            }
        }
    }
}
