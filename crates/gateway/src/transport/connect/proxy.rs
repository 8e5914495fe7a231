//! An HTTP proxy between us and a provider.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_types::Secret;
use http::{HeaderValue, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where the proxy is and how to be let through.
pub(super) struct Proxy {
    pub(super) host: String,
    pub(super) port: u16,
    /// The value of Proxy-Authorization.
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
        let basic = authority.rsplit_once('@').map(|(user, _)| {
            Secret::new(format!("Basic {}", STANDARD.encode(percent_decode(user))))
        });
        let host = uri.host().ok_or("the proxy URL has no host")?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(3128), basic })
    }

    /// What lets requests through that the proxy itself reads.
    pub(super) fn authorization(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.basic.as_ref()?.reveal()).ok()?;
        value.set_sensitive(true);
        Some(value)
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
            head.push_str("Proxy-Authorization: ");
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

/// A user and password as they are, not as a URL writes them (RFC 3986,
/// section 2.1). What is no escape stays.
fn percent_decode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        let escaped = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => u8::try_from(high << 4 | low).ok(),
            _ => None,
        };
        out.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_sent_as_it_is_and_not_as_the_url_writes_it() {
        let proxy = Proxy::parse(&Secret::new("http://u%40x:p%3A%2F%25@127.0.0.1:8080")).unwrap();
        let value = proxy.authorization().unwrap();
        assert_eq!(value, format!("Basic {}", STANDARD.encode("u@x:p:/%")));
        assert!(value.is_sensitive());
        assert_eq!((proxy.host.as_str(), proxy.port), ("127.0.0.1", 8080));
        assert_eq!(percent_decode("100%"), b"100%");
        assert!(Proxy::parse(&Secret::new("http://127.0.0.1")).unwrap().basic.is_none());
        assert!(Proxy::parse(&Secret::new("socks5://127.0.0.1:1")).is_err());
    }
}
