//! The session API of a running server.

use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use freehold_server::admin::escape;
use freehold_server::out;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::super::block_on;
use super::super::client::{Client, ClientArgs, read};

/// A way to the API, and how what it gives is shown.
pub(super) struct Api {
    client: Client,
    tenant: Option<String>,
    pub(super) json: bool,
}

impl Api {
    pub(super) fn new(
        args: &ClientArgs,
        tenant: Option<String>,
        json: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self { client: Client::new(args)?, tenant, json })
    }

    /// One request; `path` is below `/v1/freehold/`.
    pub(super) fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.send(method, path, body.map_or_else(Bytes::new, |body| body.to_string().into()))
    }

    fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Value> {
        block_on(async {
            let answer = self.client.request(method, &self.path(path), body).await?;
            let status = answer.status;
            told(status, &read(answer).await?)
        })?
    }

    /// Sends a body as it is.
    pub(super) fn post_text(&self, path: &str, body: Bytes) -> anyhow::Result<Value> {
        self.send(Method::POST, path, body)
    }

    /// Gives an answer as it arrives, however long it is.
    pub(super) fn download(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        take: &mut dyn FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        block_on(async {
            let body = body.to_string().into();
            let mut answer = self.client.request(method, &self.path(path), body).await?;
            if !answer.status.is_success() {
                let status = answer.status;
                told(status, &read(answer).await?)?;
                bail!("the server gave nothing: {status}");
            }
            while let Some(frame) = answer.body.frame().await {
                // What broke off says in its last line why.
                let Ok(frame) = frame else { break };
                if let Some(bytes) = frame.data_ref() {
                    take(bytes)?;
                }
            }
            Ok(())
        })?
    }

    /// Sends a file, however long it is.
    pub(super) fn upload(
        &self,
        path: &str,
        file: &Path,
        idempotency_key: Option<&str>,
    ) -> anyhow::Result<Value> {
        block_on(async {
            let sent = self.client.send_file(&self.path(path), file, idempotency_key).await?;
            told(sent.0, &sent.1)
        })?
    }

    pub(super) fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None)
    }

    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body))
    }

    /// Prints an answer as it came if that is wanted, else a sentence.
    pub(super) fn tell(&self, answer: &Value, sentence: impl Into<String>) {
        if self.json {
            out::line(answer.to_string());
        } else {
            out::note(sentence.into());
        }
    }

    fn path(&self, path: &str) -> String {
        let between = if path.contains('?') { '&' } else { '?' };
        match &self.tenant {
            Some(tenant) => format!("/v1/freehold/{path}{between}tenant={}", escape(tenant)),
            None => format!("/v1/freehold/{path}"),
        }
    }
}

/// What an answer says, or why there is none.
fn told(status: StatusCode, body: &[u8]) -> anyhow::Result<Value> {
    if status == StatusCode::NO_CONTENT {
        return Ok(Value::Null);
    }
    let value: Value = serde_json::from_slice(body).context("the server's answer is no JSON")?;
    if status.is_success() {
        return Ok(value);
    }
    let told = value.get("detail").or_else(|| value.get("title")).and_then(Value::as_str);
    bail!("{}", told.unwrap_or("the server refused without a reason"))
}

/// The path of something of a session.
pub(super) fn of(session: &str, rest: &str) -> String {
    let session = escape(session);
    if rest.is_empty() {
        format!("sessions/{session}")
    } else {
        format!("sessions/{session}/{rest}")
    }
}
