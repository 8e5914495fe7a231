//! The session API of a running server.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use freehold_server::admin::escape;
use freehold_server::out;
use http::{Method, StatusCode};
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
        block_on(async {
            let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
            let answer = self.client.request(method, &self.path(path), body).await?;
            let status = answer.status;
            let bytes = read(answer).await?;
            if status == StatusCode::NO_CONTENT {
                return Ok(Value::Null);
            }
            let value: Value =
                serde_json::from_slice(&bytes).context("the server's answer is no JSON")?;
            if status.is_success() {
                return Ok(value);
            }
            let told = value.get("detail").or_else(|| value.get("title")).and_then(Value::as_str);
            bail!("{}", told.unwrap_or("the server refused without a reason"))
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

/// The path of something of a session.
pub(super) fn of(session: &str, rest: &str) -> String {
    let session = escape(session);
    if rest.is_empty() {
        format!("sessions/{session}")
    } else {
        format!("sessions/{session}/{rest}")
    }
}
