//! The other side: a listener that plays a few bytes, and requests to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use freehold_gateway::transport::guard::Guard;
use freehold_gateway::transport::{HttpTransport, PoolSettings};
use freehold_types::{
    BodyError, Target, Timeouts, Transport as _, TransportError, WireRequest, WireResponse,
};
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const MS: Duration = Duration::from_millis(1);
/// Long enough for anything on this machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A listener that answers each connection's requests with the same bytes.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Request heads as they came.
    pub(crate) heads: mpsc::Receiver<String>,
    /// Connections that were made.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Rings when a connection has been closed by the client.
    pub(crate) closed: mpsc::Receiver<()>,
}

impl Peer {
    /// Sends each of `pieces` in turn as the answer to each request, waiting
    /// `pause` before all but the first.
    pub(crate) async fn new(pieces: &[&str], pause: Duration) -> Self {
        Self::at("127.0.0.1:0", pieces, pause).await
    }

    /// The same at an address.
    pub(crate) async fn at(address: &str, pieces: &[&str], pause: Duration) -> Self {
        let pieces: Arc<[String]> = pieces.iter().map(|p| (*p).to_owned()).collect();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heads_in, heads) = mpsc::channel(64);
        let (closed_in, closed) = mpsc::channel(64);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (pieces, heads, closed) =
                    (Arc::clone(&pieces), heads_in.clone(), closed_in.clone());
                tokio::spawn(async move {
                    serve(tcp, &pieces, pause, heads).await;
                    closed.send(()).await.ok();
                });
            }
        });
        Self { address, heads, connections, closed }
    }

    /// A whole answer.
    pub(crate) async fn answering(body: &str) -> Self {
        Self::new(&[&whole(body)], Duration::ZERO).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/x", self.address)
    }

    pub(crate) async fn head(&mut self) -> String {
        tokio::time::timeout(LONG, self.heads.recv()).await.unwrap().unwrap()
    }
}

pub(crate) fn whole(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn serve(
    mut tcp: TcpStream,
    pieces: &[String],
    pause: Duration,
    heads: mpsc::Sender<String>,
) {
    while let Some(head) = read_head(&mut tcp).await {
        heads.send(head).await.ok();
        for (n, piece) in pieces.iter().enumerate() {
            if n > 0 {
                tokio::time::sleep(pause).await;
            }
            if tcp.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
        }
        if pieces.is_empty() {
            // Silent until the client goes.
            let mut byte = [0];
            while tcp.read(&mut byte).await.is_ok_and(|n| n > 0) {}
            return;
        }
    }
}

/// Reads a request, its body too; gives its head.
pub(crate) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|l| l.strip_prefix("content-length: ").and_then(|n| n.parse().ok()))
        .unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(head)
}

pub(crate) fn timeouts() -> Timeouts {
    Timeouts { connect: LONG, headers: LONG, first_byte: LONG, idle: LONG }
}

pub(crate) fn request(url: &str) -> WireRequest {
    WireRequest {
        method: Method::POST,
        uri: url.parse().unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}").into(),
        timeouts: timeouts(),
        target: Target::Configured,
        pool: Some("p".into()),
    }
}

/// A transport whose pool `p` has these settings.
pub(crate) fn transport(settings: PoolSettings) -> HttpTransport {
    let transport = HttpTransport::new(1, Guard::default());
    transport.configure(HashMap::from([("p".into(), settings)]));
    transport
}

pub(crate) async fn send(
    transport: &HttpTransport,
    request: WireRequest,
) -> Result<WireResponse, TransportError> {
    tokio::time::timeout(LONG, transport.send(request)).await.unwrap()
}

/// A response's body to its end.
pub(crate) async fn read(mut response: WireResponse) -> Result<String, BodyError> {
    let mut text = Vec::new();
    while let Some(frame) = response.body.frame().await {
        if let Ok(data) = frame?.into_data() {
            text.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8(text).unwrap())
}
