//! How a command reaches the admin API: through the socket of the server that
//! runs on the data folder, or, if none does, over the store itself.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::{DataArgs, block_on};
use freehold_server::admin;
use freehold_server::offline::Offline;

/// An answer of more than this is not one of ours.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Pages that are followed; more than anyone reads in a terminal.
const PAGES_MAX: usize = 1000;

/// Sends one request and gives the answer.
pub(super) fn call(
    data: &DataArgs,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    block_on(async {
        let door = Door::open(data).await?;
        let answer = door.call(method, path, body).await;
        door.close().await;
        answer
    })?
}

/// Follows the pages of a list and gives all that is on them.
pub(super) fn list(data: &DataArgs, path: &str) -> anyhow::Result<Vec<Value>> {
    block_on(async {
        let door = Door::open(data).await?;
        let mut all = Vec::new();
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            let between = if path.contains('?') { '&' } else { '?' };
            let page = format!("{path}{between}limit=1000&after={}", admin::escape(&after));
            let mut answer = door.call(&Method::GET, &page, None).await?;
            if let Some(Value::Array(rows)) = answer.get_mut("data").map(Value::take) {
                all.extend(rows);
            }
            match answer.get("next").and_then(Value::as_str) {
                Some(next) => next.clone_into(&mut after),
                None => break,
            }
        }
        door.close().await;
        Ok(all)
    })?
}

/// A way to the admin API.
enum Door {
    Socket(PathBuf),
    Store(Box<Offline>),
}

impl Door {
    async fn open(data: &DataArgs) -> anyhow::Result<Self> {
        let folder = data.folder()?;
        let socket = admin::socket_path(&folder);
        if UnixStream::connect(&socket).await.is_ok() {
            return Ok(Self::Socket(socket));
        }
        let offline = Offline::open(&data.store(&folder)?).await.with_context(|| {
            format!("no server listens at {}, and its store cannot be opened", socket.display())
        })?;
        Ok(Self::Store(Box::new(offline)))
    }

    async fn call(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, "admin");
        let body = match body {
            None => Bytes::new(),
            Some(value) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                serde_json::to_vec(value)?.into()
            }
        };
        let request = request.body(Full::new(body))?;
        match self {
            Self::Socket(path) => {
                let stream = UnixStream::connect(path).await?;
                let (mut send, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
                let driver = tokio::spawn(connection);
                let answer = read(send.send_request(request).await?).await;
                driver.abort();
                answer
            }
            Self::Store(offline) => read(offline.call(request).await).await,
        }
    }

    async fn close(self) {
        if let Self::Store(offline) = self {
            offline.close().await;
        }
    }
}

async fn read<B>(response: Response<B>) -> anyhow::Result<Value>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let bytes = body.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let value: Value = serde_json::from_slice(&bytes).context("the server's answer is no JSON")?;
    if status.is_success() {
        return Ok(value);
    }
    let told = value.get("detail").or_else(|| value.get("title")).and_then(Value::as_str);
    bail!("{}", told.unwrap_or("the server refused without a reason"))
}

/// The text of a field, or a dash.
pub(super) fn text(row: &Value, field: &str) -> String {
    match row.get(field) {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Several names of one thing, with commas.
pub(super) fn words(row: &Value, field: &str) -> String {
    let Some(words) = row.get(field).and_then(Value::as_array) else { return "all".to_owned() };
    words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
}

/// A list as it is shown: JSON, or a table.
pub(super) fn show(
    json: bool,
    rows: &[Value],
    headings: &[&str],
    cells: impl Fn(&Value) -> Vec<String>,
) -> anyhow::Result<()> {
    if json {
        freehold_server::out::line(serde_json::to_string_pretty(rows)?);
    } else if rows.is_empty() {
        freehold_server::out::note("There are none.");
    } else {
        let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        freehold_server::out::line(freehold_server::out::table(headings, &rows));
    }
    Ok(())
}

/// Where the server that runs on the data folder is reached, if one does.
pub(super) fn running_url(data: &DataArgs) -> anyhow::Result<String> {
    block_on(async {
        let socket = admin::socket_path(&data.folder()?);
        let stream = UnixStream::connect(&socket).await;
        drop(stream.with_context(|| format!("nothing listens at {}", socket.display()))?);
        let status = Door::Socket(socket).call(&Method::GET, "/v1/freehold/status", None).await?;
        Ok(text(&status, "url"))
    })?
}
