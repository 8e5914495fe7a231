//! The door to other machines over HTTP.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::BoxFuture;

/// A response body as it arrives. Dropping it cancels the exchange with the
/// other side.
pub type BoxBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError> + Send>>;

/// How long each phase of a wire exchange may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection, TLS included.
    pub connect: Duration,
    /// From the request's last byte to the response's head.
    pub headers: Duration,
    /// From the response's head to the first byte of its body.
    pub first_byte: Duration,
    /// Between two reads of the body.
    pub idle: Duration,
}

/// Which rules a request goes out under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// An address from the operator's own configuration: sent as it is.
    Configured,
    /// An address from a client, a model, a tool or a document: the guarded
    /// path (https, resolved address checked and pinned, no credentials).
    Untrusted,
}

/// A request's whole body in parts, so that a large one with a few changes
/// need not be copied. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct WireBody(VecDeque<Bytes>);

impl WireBody {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a part at the end.
    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.0.push_back(part);
        }
    }

    /// Takes the first part.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.0.pop_front()
    }

    /// All of it in one piece; a copy only where there are several.
    pub fn to_bytes(&self) -> Bytes {
        let mut parts = self.0.iter();
        match (parts.next(), parts.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            _ => self.0.iter().flatten().copied().collect(),
        }
    }
}

impl<T: Into<Bytes>> From<T> for WireBody {
    fn from(whole: T) -> Self {
        let mut body = Self::default();
        body.push(whole.into());
        body
    }
}

/// One HTTP request.
#[derive(Debug)]
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// Absolute.
    pub uri: Uri,
    /// Without `host` and `content-length`, which the transport writes.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: WireBody,
    /// Limits per phase.
    pub timeouts: Timeouts,
    /// Trust in the address.
    pub target: Target,
    /// Names the pool and its settings (proxy, CA, HTTP version); a provider's
    /// name from the configuration. `None` is the default pool.
    pub pool: Option<Arc<str>>,
}

/// The head of an HTTP response, and its body to come.
pub struct WireResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// The body as it arrives.
    pub body: BoxBody,
}

/// What went wrong before a response's head arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Name, address, port, TLS: no connection came about.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// Connected, but no head in time.
    HeadersTimeout,
    /// The connection broke while the request was out.
    Broken,
    /// The guarded path does not allow the address.
    Refused,
}

/// A failed wire exchange.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// The phase that failed.
    pub fault: TransportFault,
    /// What happened, with host and phase, without credentials.
    pub message: String,
}

/// A response body that broke off.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// No byte came in time: the first one, or the next one.
    #[error("no data for {0:?}")]
    Stalled(Duration),
    /// The connection closed or broke before the body's end.
    #[error("the connection broke: {0}")]
    Broken(String),
}

/// The HTTP client. Faults are injected here in tests.
pub trait Transport: Send + Sync + 'static {
    /// Sends a request and waits for the response's head. Dropping the future
    /// or the body cancels the exchange on the wire.
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, TransportError>>;
}
