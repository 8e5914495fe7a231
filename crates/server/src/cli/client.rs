//! A client of a running server's public API.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::Args;
use freehold_gateway::transport::guard::Guard;
use freehold_gateway::transport::{HttpTransport, PoolSettings};
use freehold_server::admin_key;
use freehold_types::{Secret, Target, Timeouts, Transport as _, WireRequest, WireResponse};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Uri};
use http_body_util::{BodyExt as _, Limited};

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

/// The whole body of an answer.
pub(super) async fn read(answer: WireResponse) -> anyhow::Result<Bytes> {
    let body = Limited::new(answer.body, ANSWER_BYTES_MAX).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!(error))?.to_bytes())
}
