//! Requests to authorization servers.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_types::{Secret, Timeouts, WireBody, WireRequest, WireResponse};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::discover::Issuer;
use super::{Client, OAuth};
use crate::tools::http::form;

/// How long each phase of a request may take.
const PHASE: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const BYTES_MAX: usize = 256 * 1024;

/// The longest that a token is taken to be good: a year.
const SECONDS_MAX: u64 = 366 * 24 * 3_600;

/// What an authorization server gave.
pub(super) struct Token {
    pub(super) access: Secret,
    /// Gets the next one; in place of the one that got this.
    pub(super) refresh: Option<Secret>,
    /// `None` if it does not say.
    pub(super) good_for: Option<Duration>,
}

impl OAuth {
    /// A token for these fields.
    pub(super) async fn token(
        &self,
        issuer: &Issuer,
        client: &Client,
        mut fields: Vec<(&'static str, String)>,
    ) -> Result<Token, String> {
        let endpoint = issuer.endpoint("token_endpoint", "/token")?;
        let methods = issuer.list("token_endpoint_auth_methods_supported");
        let knows = |wanted: &str| {
            methods.as_ref().is_none_or(|methods| methods.iter().any(|method| method == wanted))
        };
        let mut headers = HeaderMap::new();
        match &client.secret {
            Some(secret) if knows("client_secret_basic") => {
                let pair = format!("{}:{}", escaped(&client.id), escaped(secret.reveal()));
                let value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair)));
                let mut value = value.map_err(|_| "the client's secret is no header".to_owned())?;
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
            Some(secret) if knows("client_secret_post") => {
                fields.push(("client_id", client.id.clone()));
                fields.push(("client_secret", secret.reveal().to_owned()));
            }
            _ => fields.push(("client_id", client.id.clone())),
        }
        let fields = fields.iter().map(|(name, value)| (*name, value.as_str()));
        let kind = "application/x-www-form-urlencoded";
        let answer = self.post(&endpoint, kind, form(fields).into_bytes(), headers).await?;
        let secret = |name: &str| answer.get(name).and_then(Value::as_str).map(Secret::new);
        let access = secret("access_token").ok_or("the authorization server gave no token")?;
        let seconds = answer.get("expires_in").and_then(Value::as_u64);
        let good_for = seconds.map(|seconds| Duration::from_secs(seconds.min(SECONDS_MAX)));
        Ok(Token { access, refresh: secret("refresh_token"), good_for })
    }

    /// JSON at an address; `None` if there is none.
    pub(super) async fn get_json(&self, url: &str) -> Result<Option<Value>, String> {
        let response = self.send(Method::GET, url, HeaderMap::new(), Vec::new()).await?;
        if !response.status.is_success() {
            return Ok(None);
        }
        Ok(serde_json::from_slice(&read(response).await?).ok())
    }

    pub(super) async fn post_json(&self, url: &str, body: &Value) -> Result<Value, String> {
        let body = body.to_string().into_bytes();
        self.post(url, "application/json", body, HeaderMap::new()).await
    }

    /// Where an address redirects to.
    pub(super) async fn redirect(&self, url: &str) -> Result<String, String> {
        let response = self.send(Method::GET, url, HeaderMap::new(), Vec::new()).await?;
        let to = response.headers.get(LOCATION).and_then(|to| to.to_str().ok());
        match to {
            Some(to) if response.status.is_redirection() => Ok(to.to_owned()),
            _ => Err(format!(
                "the authorization server wants a person to sign in (HTTP {})",
                response.status
            )),
        }
    }

    async fn post(
        &self,
        url: &str,
        kind: &'static str,
        body: Vec<u8>,
        mut headers: HeaderMap,
    ) -> Result<Value, String> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let response = self.send(Method::POST, url, headers, body).await?;
        let status = response.status;
        let body = read(response).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let why = answer.get("error").and_then(Value::as_str).unwrap_or("no reason");
        Err(format!("the authorization server refused (HTTP {status}): {why}"))
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<WireResponse, String> {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let request = WireRequest {
            method,
            uri: url.parse().map_err(|_| format!("{url} is no URL"))?,
            headers,
            body: WireBody::from(body),
            timeouts: Timeouts { connect: PHASE, headers: PHASE, first_byte: PHASE, idle: PHASE },
            target: self.target,
            pool: None,
        };
        self.transport.send(request).await.map_err(|error| error.to_string())
    }
}

async fn read(response: WireResponse) -> Result<Vec<u8>, String> {
    let (mut read, mut body) = (Vec::new(), response.body);
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|error| error.to_string())?.into_data().unwrap_or_default();
        if read.len() + data.len() > BYTES_MAX {
            return Err(format!("an answer has more than {BYTES_MAX} bytes"));
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

/// As a form has it.
fn escaped(text: &str) -> String {
    form([("", text)]).trim_start_matches('=').to_owned()
}

/// A value of a form or a query, read.
pub(super) fn unescaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(escaped) if byte == b'%' => {
                out.push(escaped);
                at += 3;
            }
            _ => {
                out.push(if byte == b'+' { b' ' } else { byte });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_nonsense_stays() {
        assert_eq!(unescaped("a%20b+c%2"), "a b c%2");
        assert_eq!(unescaped(&escaped("ä=&/ %")), "ä=&/ %");
        assert_eq!(unescaped("%zz%"), "%zz%");
    }
}
