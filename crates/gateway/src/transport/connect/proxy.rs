//! An HTTP proxy between us and a provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_types::Secret;
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where the proxy is and how to be let through.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    basic: Option<Secret>,
}

/// The most a proxy may answer to CONNECT.
const HEAD_LIMIT: usize = 8 << 10;

impl Proxy {
    /// Reads `http://[user:password@]host:port`. Errors do not repeat it, as
    /// it may hold a password.
    pub(super) fn parse(url: &Secret) -> Result<Self, String> {
        let uri: Uri = url.reveal().parse().map_err(|_| "the proxy is no valid URL".to_owned())?;
        if uri.scheme_str() != Some("http") {
            return Err("the proxy must be given as http://host:port".to_owned());
        }
        let authority = uri.authority().ok_or("the proxy URL has no host")?.as_str();
        let basic = authority.rsplit_once('@').map(|(user, _)| Secret::new(STANDARD.encode(user)));
        let host = uri.host().ok_or("the proxy URL has no host")?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(3128), basic })
    }

    /// Asks the proxy for a tunnel (RFC 9110, section 9.3.6).
    pub(super) async fn tunnel(
        &self,
        tcp: &mut TcpStream,
        host: &str,
        port: u16,
    ) -> Result<(), String> {
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut head =
            format!("CONNECT {bracketed}:{port} HTTP/1.1\r\nHost: {bracketed}:{port}\r\n");
        if let Some(basic) = &self.basic {
            head.push_str("Proxy-Authorization: Basic ");
            head.push_str(basic.reveal());
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let broken = |e: std::io::Error| format!("the proxy: {e}");
        tcp.write_all(head.as_bytes()).await.map_err(broken)?;
        let mut answer = Vec::with_capacity(256);
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= HEAD_LIMIT {
                return Err("the proxy answered with an endless head".to_owned());
            }
            // Byte by byte, so that nothing of the tunnel is read with it.
            answer.push(tcp.read_u8().await.map_err(broken)?);
        }
        let status = answer.split(|b| *b == b' ').nth(1).unwrap_or_default();
        if status.first() == Some(&b'2') {
            Ok(())
        } else {
            Err(format!("the proxy refused the tunnel: {}", String::from_utf8_lossy(status)))
        }
    }
}
