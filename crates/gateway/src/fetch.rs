//! Content that a request names by URL and the target's dialect takes only
//! inline: fetched through the guarded path.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_llm::Dialect;
use freehold_llm::model::{ApiError, Item, ItemBody, Media, Part, PartBody, Request, Source};
use freehold_types::{Code, Env, Target, Timeouts, Transport, WireBody, WireRequest};
use futures_util::future::{Either, select};
use http::header::{ACCEPT, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Uri};

use crate::Gateway;
use crate::answer::collect;
use crate::attempt::Failed;
use crate::options::FetchOptions;
use crate::plan::Deployment;
use crate::wire::Asked;

/// The most URLs that are fetched for one request.
const MOST_URLS: usize = 20;

impl Gateway {
    /// The request with its URLs replaced by what is behind them; `None` if
    /// nothing had to be fetched.
    pub(crate) async fn inline(&self, asked: &Asked<'_>) -> Result<Option<Arc<Request>>, Failed> {
        let request = asked.paper.request().map_err(Failed::ours)?;
        let mut request = (*request).clone();
        let mut fetched = 0;
        for part in parts_mut(&mut request.items) {
            let PartBody::File { source, name } = &mut part.body else { continue };
            let Source::Url(url) = source else { continue };
            fetched += 1;
            if fetched > MOST_URLS {
                return Err(Failed::ours(refused(format!(
                    "more than {MOST_URLS} URLs in one request are not fetched"
                ))));
            }
            let media = fetch(self.transport.as_ref(), self.env.as_ref(), &self.fetch, url)
                .await
                .map_err(|error| Failed::ours(refused(error)))?;
            if name.is_none() {
                *name = file_name(url);
            }
            *source = Source::Inline(media);
        }
        Ok((fetched > 0).then(|| Arc::new(request)))
    }
}

/// Whether a deployment takes inline what a request may name by URL. Chat
/// takes documents inline or by id only; every dialect takes pictures by
/// URL; engines in this process take neither.
pub(crate) fn needs_inline(asked: &Asked<'_>, deployment: &Deployment) -> bool {
    let to = deployment.speaks(asked.dialect);
    to == Dialect::Chat && to != asked.dialect && asked.scan.has_media()
}

fn refused(message: String) -> Box<ApiError> {
    Box::new(ApiError::new(Code::UrlNotFetched, message))
}

fn parts_mut(items: &mut [Item]) -> impl Iterator<Item = &mut Part> {
    items.iter_mut().flat_map(|item| match &mut item.body {
        ItemBody::Message(message) => message.parts.iter_mut(),
        ItemBody::ToolResult(result) => result.output.iter_mut(),
        _ => [].iter_mut(),
    })
}

fn file_name(url: &str) -> Option<String> {
    let path = url.parse::<Uri>().ok()?.path().to_owned();
    let name = path.rsplit('/').next()?;
    (!name.is_empty()).then(|| name.chars().take(200).collect())
}

/// Fetches an untrusted URL: guarded address on every hop, bounded size and
/// time, no credentials.
pub(crate) async fn fetch(
    transport: &dyn Transport,
    env: &dyn Env,
    options: &FetchOptions,
    url: &str,
) -> Result<Media, String> {
    let limit = Duration::from_millis(options.timeout_ms);
    let work = Box::pin(follow(transport, options, url));
    match select(work, env.sleep(limit)).await {
        Either::Left((done, _)) => done,
        Either::Right(_) => Err(format!("{} did not answer within {limit:?}", shown(url))),
    }
}

async fn follow(
    transport: &dyn Transport,
    options: &FetchOptions,
    url: &str,
) -> Result<Media, String> {
    let mut uri: Uri = url.parse().map_err(|_| format!("{} is not a valid URL", shown(url)))?;
    for _ in 0..=options.redirects_max {
        let phase = Duration::from_millis(options.timeout_ms);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        let request = WireRequest {
            method: Method::GET,
            uri: uri.clone(),
            headers,
            body: WireBody::default(),
            timeouts: Timeouts { connect: phase, headers: phase, first_byte: phase, idle: phase },
            target: Target::Untrusted,
            pool: None,
        };
        let response = transport.send(request).await.map_err(|e| e.to_string())?;
        if response.status.is_redirection() {
            let to = response.headers.get(LOCATION).and_then(|v| v.to_str().ok());
            let to = to.ok_or_else(|| format!("{} redirects to nowhere", shown(url)))?;
            uri = redirected(&uri, to)
                .ok_or_else(|| format!("{} redirects to no URL", shown(url)))?;
            continue;
        }
        if !response.status.is_success() {
            return Err(format!("{} answered {}", shown(url), response.status));
        }
        let media_type = response
            .headers
            .get(CONTENT_TYPE)
            .and_then(|v| v.to_str().ok())
            .and_then(|v| v.split(';').next())
            .map_or("application/octet-stream", str::trim)
            .to_owned();
        let most = usize::try_from(options.body_bytes_max).unwrap_or(usize::MAX);
        let body = collect(response.body, most)
            .await
            .map_err(|failed| format!("{}: {}", shown(url), failed.error.message))?;
        return Ok(Media { media_type, data: STANDARD.encode(&body) });
    }
    Err(format!("{} redirects more than {} times", shown(url), options.redirects_max))
}

/// Where a redirect leads: an absolute URL, or a path on the same host.
fn redirected(from: &Uri, to: &str) -> Option<Uri> {
    let uri: Uri = to.parse().ok()?;
    if uri.scheme().is_some() {
        return Some(uri);
    }
    if !to.starts_with('/') || to.starts_with("//") {
        return None;
    }
    Uri::builder()
        .scheme(from.scheme()?.clone())
        .authority(from.authority()?.clone())
        .path_and_query(to)
        .build()
        .ok()
}

/// A URL as errors show it: without its query, which may hold a token.
fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::transport::HttpTransport;
    use crate::transport::guard::{Guard, Network};

    /// Answers every connection with the same bytes; counts them.
    async fn peer(address: &str, answer: String) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut tcp, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(tcp.read_u8().await.unwrap());
                }
                tcp.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (address, connections)
    }

    #[tokio::test]
    async fn a_redirect_goes_through_the_guard_like_the_first_url() {
        let file = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\n%PDF";
        let (inner, reached) = peer("127.0.0.1:0", file.to_owned()).await;
        let (allowed, _) = peer("127.0.0.2:0", file.to_owned()).await;
        // 127.0.0.2 is let through and stands for a public address.
        let guard = Guard { allow: vec![Network::parse("127.0.0.2").unwrap()], allow_http: true };
        let transport = HttpTransport::new(1, guard);
        let options = FetchOptions::default();
        for (to, fetched) in [
            (format!("http://{allowed}/"), true),
            (format!("http://{inner}/"), false),
            (format!("http://localhost:{}/", inner.port()), false),
            (format!("http://[::ffff:127.0.0.1]:{}/", inner.port()), false),
            (format!("http://user@{allowed}/"), false),
            ("ftp://127.0.0.2/".to_owned(), false),
        ] {
            let moved = format!(
                "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            );
            let (first, _) = peer("127.0.0.2:0", moved).await;
            let media = follow(&transport, &options, &format!("http://{first}/a")).await;
            assert_eq!(media.is_ok(), fetched, "{to}: {:?}", media.err());
        }
        assert_eq!(reached.load(Ordering::SeqCst), 0);
    }
}
