//! Opens connections: name, address, proxy, TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use freehold_types::TransportFault;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::PoolSettings;
use super::guard::Guard;
use super::resolve::Resolver;
use super::tls::{Alpn, Roots};
use crate::options::HttpVersion;

mod proxy;

use proxy::Proxy;

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct ConnectError {
    pub(super) fault: TransportFault,
    message: String,
}

fn failed(message: impl Into<String>) -> ConnectError {
    ConnectError { fault: TransportFault::Connect, message: message.into() }
}

/// How long name, TCP and TLS may take together.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Opens connections for one pool.
#[derive(Clone)]
pub(super) struct Connector(Arc<Inner>);

struct Inner {
    proxy: Option<Proxy>,
    ca_file: Option<std::path::PathBuf>,
    alpn: Alpn,
    guard: Option<Arc<Guard>>,
    resolver: Arc<dyn Resolver>,
    roots: Arc<Roots>,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(
        settings: &PoolSettings,
        guard: Option<Arc<Guard>>,
        resolver: Arc<dyn Resolver>,
        roots: Arc<Roots>,
    ) -> Result<Self, String> {
        let proxy = settings.proxy.as_ref().map(Proxy::parse).transpose()?;
        let alpn = match settings.http {
            HttpVersion::Auto => Alpn::Both,
            HttpVersion::One => Alpn::Http1,
            HttpVersion::Two => Alpn::Http2,
        };
        let ca_file = settings.ca_file.clone();
        let limit = settings.connect.unwrap_or(CONNECT_LIMIT);
        Ok(Self(Arc::new(Inner { proxy, ca_file, alpn, guard, resolver, roots, limit })))
    }
}

impl Connector {
    /// What the proxy, if there is one, wants to see on the requests that it
    /// reads: those to http addresses.
    pub(super) fn proxy_authorization(&self) -> Option<http::HeaderValue> {
        self.0.proxy.as_ref().and_then(Proxy::authorization)
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let limit = inner.limit;
            match tokio::time::timeout(limit, inner.open(&uri)).await {
                Ok(opened) => opened,
                Err(_) => Err(ConnectError {
                    fault: TransportFault::ConnectTimeout,
                    message: format!("no connection within {limit:?}"),
                }),
            }
        })
    }
}

impl Inner {
    async fn open(&self, uri: &Uri) -> Result<Wire, ConnectError> {
        let host = uri.host().ok_or_else(|| failed("the URL has no host"))?;
        // An IPv6 address stands in brackets in a URL only.
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let https = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        if let Some(guard) = &self.guard {
            guard.check_uri(uri).map_err(refused)?;
        }
        let (tcp, proxied) = match &self.proxy {
            Some(proxy) => {
                let addresses = self.resolve(&proxy.host, proxy.port).await?;
                let mut tcp = connect(&addresses).await?;
                if https {
                    proxy.tunnel(&mut tcp, host, port).await.map_err(failed)?;
                }
                (tcp, !https)
            }
            None => {
                let addresses = self.resolve(host, port).await?;
                let tcp = match &self.guard {
                    Some(guard) => {
                        connect(&[guard.choose(host, &addresses).map_err(refused)?]).await?
                    }
                    None => connect(&addresses).await?,
                };
                (tcp, false)
            }
        };
        if !https {
            return Ok(Wire::Plain { tcp: TokioIo::new(tcp), proxied });
        }
        let config = self.roots.config(self.ca_file.as_deref(), self.alpn).map_err(failed)?;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| failed(format!("{host} is not a valid server name")))?;
        let tls = TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(|e| failed(format!("TLS: {e}")))?;
        Ok(Wire::Tls(Box::new(TokioIo::new(tls))))
    }

    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let found = self.resolver.resolve(host, port).await;
        found.map_err(|e| failed(format!("cannot look up {host}: {e}")))
    }
}

fn refused(message: String) -> ConnectError {
    ConnectError { fault: TransportFault::Refused, message }
}

async fn connect(addresses: &[SocketAddr]) -> Result<TcpStream, ConnectError> {
    let mut last = failed("the name has no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(tcp) => {
                tcp.set_nodelay(true).map_err(|e| failed(e.to_string()))?;
                return Ok(tcp);
            }
            Err(e) => last = failed(format!("{address}: {e}")),
        }
    }
    Err(last)
}

/// An open connection.
pub(super) enum Wire {
    /// Without TLS; to a proxy that takes absolute-form requests, or direct.
    Plain {
        /// The socket.
        tcp: TokioIo<TcpStream>,
        /// Whether a proxy reads the requests.
        proxied: bool,
    },
    /// With TLS.
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        match self {
            Self::Plain { proxied, .. } => Connected::new().proxy(*proxied),
            Self::Tls(tls) => {
                let connected = Connected::new();
                if tls.inner().get_ref().1.alpn_protocol() == Some(b"h2") {
                    connected.negotiated_h2()
                } else {
                    connected
                }
            }
        }
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_read(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        }
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_write(cx, buf),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain { tcp, .. } => tcp.is_write_vectored(),
            Self::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain { tcp, .. } => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Self::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        }
    }
}
