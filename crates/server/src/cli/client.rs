//! A client of a running server's public API.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use freehold_gateway::transport::guard::Guard;
use freehold_gateway::transport::{HttpTransport, PoolSettings};
use freehold_server::admin_key;
use freehold_types::{Secret, Target, Timeouts, Transport as _, WireRequest, WireResponse};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{DataArgs, door};

/// An answer that is read whole is no larger.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Which server, and as whom.
#[derive(Clone, Debug, Args)]
pub(super) struct ClientArgs {
    /// The server; without it, the one that runs on the data folder.
    #[arg(long, value_name = "URL", env = "FREEHOLD_URL")]
    url: Option<String>,
    /// A file with the key to send; without it, FREEHOLD_API_KEY, else the
    /// admin key of the data folder.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

impl ClientArgs {
    /// Arguments that came one by one.
    pub(super) fn new(url: Option<String>, key_file: Option<PathBuf>, data: DataArgs) -> Self {
        Self { url, key_file, data }
    }
}

/// The name of the one pool that is used.
const POOL: &str = "server";

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    headers: Duration::from_secs(600),
    first_byte: Duration::from_secs(600),
    idle: Duration::from_secs(300),
};

/// Sends requests to one server.
#[derive(Clone)]
pub(super) struct Client {
    transport: Arc<HttpTransport>,
    url: String,
    headers: HeaderMap,
    pool: Arc<str>,
}

impl Client {
    pub(super) fn new(args: &ClientArgs) -> anyhow::Result<Self> {
        let folder = args.data.folder()?;
        let url = match &args.url {
            Some(url) => url.clone(),
            None => door::running_url(&args.data)
                .context("no server runs on this data folder; start one with `freehold serve`, or name one with --url")?,
        };
        let key = match &args.key_file {
            Some(file) => Some(Secret::new(std::fs::read_to_string(file)?.trim())),
            None => match std::env::var("FREEHOLD_API_KEY") {
                Ok(key) => Some(Secret::new(key)),
                Err(_) => admin_key::read(&folder)?,
            },
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(key) = key {
            let mut value = HeaderValue::try_from(format!("Bearer {}", key.reveal()))
                .context("the key cannot be sent in a header")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let transport = HttpTransport::new(1, Guard::default());
        let pool: Arc<str> = POOL.into();
        // What `serve --tls-dev` made; the usual authorities count as well.
        let ca_file = Some(folder.join("tls-dev-cert.pem")).filter(|file| file.exists());
        let settings = PoolSettings { ca_file, ..PoolSettings::default() };
        transport.configure(HashMap::from([(Arc::clone(&pool), settings)]));
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { transport: Arc::new(transport), url, headers, pool })
    }

    /// Sends a body and gives the answer as it comes; an error status is an
    /// error with its body's words.
    pub(super) async fn post(&self, path: &str, body: Bytes) -> anyhow::Result<WireResponse> {
        let answer = self.send(path, body).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        let status = answer.status;
        let told = read(answer).await?;
        bail!("{status}: {}", String::from_utf8_lossy(&told).trim())
    }

    /// Sends a body and gives whatever comes back.
    pub(super) async fn send(&self, path: &str, body: Bytes) -> anyhow::Result<WireResponse> {
        self.request(Method::POST, path, body).await
    }

    /// Sends any request and gives whatever comes back.
    pub(super) async fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> anyhow::Result<WireResponse> {
        let uri: Uri = format!("{}{path}", self.url).parse().context("the URL cannot be used")?;
        let request = WireRequest {
            method,
            uri,
            headers: self.headers.clone(),
            body: body.into(),
            timeouts: TIMEOUTS,
            target: Target::Configured,
            pool: Some(Arc::clone(&self.pool)),
        };
        Ok(self.transport.send(request).await?)
    }
}

/// Bytes of a file that are read at one time.
const FILE_PIECE_BYTES: usize = 256 << 10;
/// A file that cannot be sent as it is read is no larger.
const FILE_BYTES_MAX: u64 = 1 << 30;

impl Client {
    /// Sends a file as a body, and gives the answer. Over plain HTTP it is sent
    /// as it is read; over TLS it is held in memory, and may have 1 GiB.
    pub(super) async fn send_file(
        &self,
        path: &str,
        file: &Path,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let failed = || format!("{} cannot be read", file.display());
        let opened = File::open(file).with_context(failed)?;
        let uri: Uri = format!("{}{path}", self.url).parse().context("the URL cannot be used")?;
        let mut headers = self.headers.clone();
        if let Some(key) = idempotency_key {
            let key = HeaderValue::from_str(key).context("the idempotency key cannot be sent")?;
            headers.insert("idempotency-key", key);
        }
        if uri.scheme_str() == Some("http") {
            return stream(&uri, headers, opened).await;
        }
        if opened.metadata().with_context(failed)?.len() > FILE_BYTES_MAX {
            bail!(
                "{} is larger than 1 GiB, and cannot be sent over TLS from here: send it with \
                 `curl -T FILE -X POST`, or from the server's own machine",
                file.display()
            );
        }
        let body: Bytes = std::fs::read(file).with_context(failed)?.into();
        let request = WireRequest {
            method: Method::POST,
            uri,
            headers,
            body: body.into(),
            timeouts: TIMEOUTS,
            target: Target::Configured,
            pool: Some(Arc::clone(&self.pool)),
        };
        let answer = self.transport.send(request).await?;
        Ok((answer.status, read(answer).await?))
    }
}

/// Sends a file over a connection of its own, as it is read.
async fn stream(uri: &Uri, headers: HeaderMap, file: File) -> anyhow::Result<(StatusCode, Bytes)> {
    let authority = uri.authority().context("the URL names no server")?;
    let (host, port) = (authority.host(), authority.port_u16().unwrap_or(80));
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let connection = TcpStream::connect((host, port)).await;
    let connection = connection.with_context(|| format!("{authority} cannot be reached"))?;
    let (mut send, driver) =
        hyper::client::conn::http1::handshake(TokioIo::new(connection)).await?;
    let driver = tokio::spawn(driver);
    let pieces = futures_util::stream::unfold(file, |mut file| async move {
        let mut piece = vec![0; FILE_PIECE_BYTES];
        match file.read(&mut piece) {
            Ok(0) => None,
            Ok(read) => {
                piece.truncate(read);
                Some((Ok(Frame::data(Bytes::from(piece))), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = Request::post(path).body(StreamBody::new(Box::pin(pieces)))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    let answer = send.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    driver.abort();
    Ok((status, body.map_err(|error| anyhow::anyhow!(error))?.to_bytes()))
}

/// The whole body of an answer.
pub(super) async fn read(answer: WireResponse) -> anyhow::Result<Bytes> {
    let body = Limited::new(answer.body, ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
}
