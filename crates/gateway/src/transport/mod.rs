//! The real door to other machines: one pooled HTTP client per provider.
//!
//! Pools are kept per worker thread, so that a connection is driven by the
//! thread whose exchange uses it and no wake-up crosses threads.

mod body;
mod connect;
pub mod guard;
mod head;
pub mod resolve;
mod tls;

use std::cell::Cell;
use std::collections::HashMap;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_types::{
    BoxFuture, Target, Transport, TransportError, TransportFault, WireRequest, WireResponse,
};
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use self::body::TimedBody;
use self::connect::{ConnectError, Connector};
use self::guard::Guard;
use self::head::Outgoing;
use self::resolve::{Resolver, SystemResolver};
use crate::options::HttpVersion;

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Tells the transport which worker the current thread is, from 0. Threads
/// that do not say share the first worker's pools.
pub fn set_worker(index: usize) {
    WORKER.set(index);
}

/// The settings of one pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSettings {
    /// An HTTP proxy (`http://[user:password@]host:port`): CONNECT for https,
    /// absolute-form requests for http.
    pub proxy: Option<freehold_types::Secret>,
    /// PEM file of further certificate authorities.
    pub ca_file: Option<PathBuf>,
    /// HTTP versions.
    pub http: HttpVersion,
    /// How long name, TCP and TLS may take together; `None` is 10 s.
    pub connect: Option<Duration>,
}

/// How long an idle connection is kept. Below the 60 s at which common load
/// balancers drop theirs, so that we seldom write into a closed one.
const IDLE_KEPT: Duration = Duration::from_secs(50);

/// What is read from an HTTP/1 connection at once, in bytes. The buffer grows
/// with the first large answer, and stays as long as the connection.
const READ_BYTES_MAX: usize = 64 << 10;

#[derive(Clone)]
struct PooledClient {
    client: Client<Connector, Outgoing>,
    /// For http requests, which a proxy reads.
    proxy_authorization: Option<HeaderValue>,
    /// Whether http requests go out as HTTP/2.
    http2: bool,
}

/// The HTTP client of the gateway.
pub struct HttpTransport {
    workers: Box<[Mutex<Pools>]>,
    settings: arc_swap::ArcSwap<HashMap<Arc<str>, PoolSettings>>,
    guard: Arc<Guard>,
    resolver: Arc<dyn Resolver>,
    tls: Arc<tls::Roots>,
}

/// The clients of one worker, by the pool's name.
type Pools = HashMap<Option<Arc<str>>, Entry>;

struct Entry {
    settings: PoolSettings,
    client: PooledClient,
    /// The host that was asked last, nearly always the only one, and how its
    /// header says so: the client would write that anew for each request.
    host: Option<(Authority, HeaderValue)>,
}

impl Entry {
    /// The `host` header of an HTTP/1.1 request; `None` where the version is
    /// only known once there is a connection, or is another.
    fn host(&mut self, uri: &Uri) -> Option<HeaderValue> {
        if self.client.http2 || uri.scheme() != Some(&Scheme::HTTP) {
            return None;
        }
        let authority = uri.authority()?;
        if self.host.as_ref().is_none_or(|(known, _)| known != authority) {
            let value = match authority.port_u16() {
                Some(port) if port != 80 => format!("{}:{port}", authority.host()).parse(),
                _ => authority.host().parse(),
            };
            self.host = Some((authority.clone(), value.ok()?));
        }
        self.host.as_ref().map(|(_, value)| value.clone())
    }
}

impl HttpTransport {
    /// A transport with pools for `workers` threads. `guard` rules what
    /// untrusted addresses may be.
    pub fn new(workers: usize, guard: Guard) -> Self {
        Self::with_resolver(workers, guard, Arc::new(SystemResolver))
    }

    /// A transport that looks names up by `resolver`.
    pub fn with_resolver(workers: usize, guard: Guard, resolver: Arc<dyn Resolver>) -> Self {
        Self {
            workers: (0..workers.max(1)).map(|_| Mutex::default()).collect(),
            settings: arc_swap::ArcSwap::default(),
            guard: Arc::new(guard),
            resolver,
            tls: Arc::new(tls::Roots::default()),
        }
    }

    /// Puts new pool settings in force. A pool whose settings did not change
    /// keeps its connections; requests under way finish on theirs.
    pub fn configure(&self, settings: HashMap<Arc<str>, PoolSettings>) {
        self.settings.store(Arc::new(settings));
    }

    /// The client of a pool, and the `host` header for this address if it is
    /// known.
    fn client(
        &self,
        pool: Option<&Arc<str>>,
        target: Target,
        uri: &Uri,
    ) -> Result<(PooledClient, Option<HeaderValue>), TransportError> {
        if target == Target::Untrusted {
            let guard = Some(Arc::clone(&self.guard));
            return Ok((self.build(&PoolSettings::default(), guard)?, None));
        }
        let settings = self.settings.load();
        let wanted = pool.and_then(|name| settings.get(name));
        let shard = WORKER.get() % self.workers.len();
        let Some(shard) = self.workers.get(shard) else {
            return Ok((self.build(&PoolSettings::default(), None)?, None));
        };
        // Held for a look-up and, once per pool and settings, a construction.
        let mut pools = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let key = pool.cloned();
        if let Some(entry) = pools.get_mut(&key)
            && wanted.map_or(entry.settings == PoolSettings::default(), |w| *w == entry.settings)
        {
            return Ok((entry.client.clone(), entry.host(uri)));
        }
        let settings = wanted.cloned().unwrap_or_default();
        let client = self.build(&settings, None)?;
        pools.insert(key, Entry { settings, client: client.clone(), host: None });
        Ok((client, None))
    }

    fn build(
        &self,
        settings: &PoolSettings,
        guard: Option<Arc<Guard>>,
    ) -> Result<PooledClient, TransportError> {
        let untrusted = guard.is_some();
        let resolver = Arc::clone(&self.resolver);
        let connector = Connector::new(settings, guard, resolver, Arc::clone(&self.tls))
            .map_err(|message| TransportError { fault: TransportFault::Connect, message })?;
        let proxy_authorization = connector.proxy_authorization();
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_KEPT)
            .pool_max_idle_per_host(if untrusted { 0 } else { usize::MAX })
            .http2_only(settings.http == HttpVersion::Two)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_while_idle(false)
            .http1_max_headers(200)
            .http1_max_buf_size(READ_BYTES_MAX)
            .set_host(true);
        let http2 = settings.http == HttpVersion::Two;
        Ok(PooledClient { client: builder.build(connector), proxy_authorization, http2 })
    }
}

impl Transport for HttpTransport {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, TransportError>> {
        let client = self.client(request.pool.as_ref(), request.target, &request.uri);
        let WireRequest { method, uri, headers, body, timeouts, .. } = request;
        Box::pin(async move {
            let (PooledClient { client, proxy_authorization, .. }, host) = client?;
            let asked = uri.authority().cloned();
            let (body, sent) = Outgoing::new(body);
            let mut wire = http::Request::new(body);
            *wire.method_mut() = method;
            *wire.uri_mut() = uri;
            *wire.headers_mut() = headers;
            if let Some(host) = host {
                wire.headers_mut().entry(HOST).or_insert(host);
            }
            if let Some(value) = proxy_authorization
                && wire.uri().scheme() == Some(&Scheme::HTTP)
            {
                wire.headers_mut().insert(PROXY_AUTHORIZATION, value);
            }
            let response = match head::in_time(client.request(wire), &sent, &timeouts).await {
                Some(Ok(response)) => response,
                Some(Err(error)) => return Err(describe(host_of(asked.as_ref()), &error)),
                None => {
                    return Err(TransportError {
                        fault: TransportFault::HeadersTimeout,
                        message: format!(
                            "{} sent no response head within {:?}",
                            host_of(asked.as_ref()),
                            timeouts.headers
                        ),
                    });
                }
            };
            let (head, body) = response.into_parts();
            Ok(WireResponse {
                status: head.status,
                headers: head.headers,
                body: Box::pin(TimedBody::new(body, timeouts.first_byte, timeouts.idle)),
            })
        })
    }
}

fn host_of(asked: Option<&Authority>) -> &str {
    asked.map_or("", Authority::as_str)
}

/// Names the phase that failed. The client's errors nest; the innermost says
/// what happened.
fn describe(host: &str, error: &hyper_util::client::legacy::Error) -> TransportError {
    let mut fault =
        if error.is_connect() { TransportFault::Connect } else { TransportFault::Broken };
    let mut innermost = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        innermost = cause.to_string();
        if let Some(connect) = cause.downcast_ref::<ConnectError>() {
            fault = connect.fault;
        }
        source = cause.source();
    }
    TransportError { fault, message: format!("{host}: {innermost}") }
}
