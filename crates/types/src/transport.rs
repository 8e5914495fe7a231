//! The door to other machines over HTTP.

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

/// One HTTP request.
#[derive(Debug)]
pub struct WireRequest {
    /// The method.
    pub method: Method,
    /// Absolute.
    pub uri: Uri,
    /// Without `host` and `content-length`, which the transport writes.
    pub headers: HeaderMap,
    /// The whole body; cheap to clone for a retry.
    pub body: Bytes,
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
