//! MCP's HTTP over Freehold's own client: the guard, the proxies and the
//! limits of [`Transport`] hold for it as for anything else.
//!
//! The protocol itself is `rmcp`'s; this is the client that it asks for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use freehold_types::{
    BoxBody, Secret, Target, Timeouts, Transport, TransportFault, WireBody, WireRequest,
    WireResponse,
};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use http_body_util::{BodyDataStream, BodyExt as _};
use rmcp::model::{
    ClientJsonRpcMessage, ClientRequest, ErrorData, JsonRpcRequest, RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::streamable_http_client::{
    AuthRequiredError, InsufficientScopeError, StreamableHttpClient, StreamableHttpError,
    StreamableHttpPostResponse,
};
use serde_json::{Map, Value};
use sse_stream::{Error as SseError, Sse, SseStream};

use super::limit::Limited;

const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// A phase that the call's own limit ends: this one is for what outlives it.
const PHASE: Duration = Duration::from_secs(24 * 3_600);

/// A stream of notifications that says nothing for so long is opened anew.
const STREAM_IDLE: Duration = Duration::from_secs(600);

/// How much of an error's body is read.
const ERROR_BYTES_MAX: usize = 16 * 1024;

/// What happened on the wire, and whether the request can have run.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub(in crate::tools) struct WireError {
    /// Whether the server can have taken the request up.
    pub(in crate::tools) reached: bool,
    pub(in crate::tools) message: String,
}

/// A credential that may be replaced while it is in use.
pub(in crate::tools) type Bearer = Arc<ArcSwapOption<Secret>>;

/// The client of one server.
#[derive(Clone)]
pub(in crate::tools) struct Wire {
    pub(in crate::tools) transport: Arc<dyn Transport>,
    pub(in crate::tools) target: Target,
    /// Sent with each request; credentials among them.
    pub(in crate::tools) headers: HeaderMap,
    /// In place of `authorization` among the headers.
    pub(in crate::tools) bearer: Bearer,
    pub(in crate::tools) response_bytes_max: usize,
}

type Failed = StreamableHttpError<WireError>;

fn failed(reached: bool, message: impl Into<String>) -> Failed {
    StreamableHttpError::Client(WireError { reached, message: message.into() })
}

impl Wire {
    async fn send(
        &self,
        method: Method,
        uri: &str,
        session: Option<&str>,
        custom: HashMap<HeaderName, HeaderValue>,
        more: impl FnOnce(&mut HeaderMap) -> WireBody,
    ) -> Result<WireResponse, Failed> {
        let uri: Uri = uri.parse().map_err(|_| failed(false, "the address is no URL"))?;
        let mut headers = self.headers.clone();
        for (name, value) in custom {
            headers.insert(name, value);
        }
        if let Some(token) = self.bearer.load_full() {
            let value = HeaderValue::try_from(format!("Bearer {}", token.reveal()));
            let mut value = value.map_err(|_| failed(false, "the token is no header"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        if let Some(session) = session {
            let value = HeaderValue::try_from(session);
            let value = value.map_err(|_| failed(false, "the server's session id is no header"))?;
            headers.insert(SESSION_ID, value);
        }
        let idle = if method == Method::GET { STREAM_IDLE } else { PHASE };
        let body = more(&mut headers);
        let request = WireRequest {
            method,
            uri,
            headers,
            body,
            timeouts: Timeouts { connect: CONNECT, headers: PHASE, first_byte: idle, idle },
            target: self.target,
            pool: None,
        };
        self.transport.send(request).await.map_err(|error| {
            let never = matches!(
                error.fault,
                TransportFault::Connect | TransportFault::ConnectTimeout | TransportFault::Refused
            );
            failed(!never, error.message)
        })
    }

    /// What the status says; `Ok` is a response worth reading.
    async fn checked(&self, response: WireResponse) -> Result<WireResponse, Failed> {
        let status = response.status;
        let challenge = response.headers.get(WWW_AUTHENTICATE).and_then(|v| v.to_str().ok());
        let challenge = challenge.map(str::to_owned);
        match (status, challenge) {
            (StatusCode::UNAUTHORIZED, challenge) => {
                let challenge = challenge.unwrap_or_default();
                Err(StreamableHttpError::AuthRequired(AuthRequiredError::new(challenge)))
            }
            (StatusCode::FORBIDDEN, Some(challenge)) => {
                let scope = super::challenge::parameter(&challenge, "scope");
                Err(StreamableHttpError::InsufficientScope(InsufficientScopeError::new(
                    challenge, scope,
                )))
            }
            _ if status.is_success() => Ok(response),
            _ => {
                let text = read(response.body, ERROR_BYTES_MAX).await.unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                // A gateway that gave up waiting knows no more than we.
                let reached = status == StatusCode::GATEWAY_TIMEOUT;
                Err(failed(reached, format!("HTTP {status}: {}", text.trim())))
            }
        }
    }
}

impl StreamableHttpClient for Wire {
    type Error = WireError;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        auth_header: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let max = self.response_bytes_max;
        self.post_message_with_max_sse_event_size(
            uri,
            message,
            session_id,
            auth_header,
            custom_headers,
            max,
        )
        .await
    }

    async fn post_message_with_max_sse_event_size(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session_id: Option<Arc<str>>,
        _: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
        _: usize,
    ) -> Result<StreamableHttpPostResponse, Failed> {
        let json = serde_json::to_vec(&message)?;
        let had_session = session_id.is_some();
        let response = self
            .send(Method::POST, &uri, session_id.as_deref(), custom_headers, |headers| {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                let both = HeaderValue::from_static("application/json, text/event-stream");
                headers.insert(ACCEPT, both);
                json.into()
            })
            .await?;
        if matches!(response.status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(StreamableHttpPostResponse::Accepted);
        }
        if response.status == StatusCode::NOT_FOUND && had_session {
            return Err(StreamableHttpError::SessionExpired);
        }
        let is_discover = |message: &ClientJsonRpcMessage| match message {
            ClientJsonRpcMessage::Request(JsonRpcRequest {
                request: ClientRequest::DiscoverRequest(_),
                id,
                ..
            }) => Some(id.clone()),
            _ => None,
        };
        if response.status.is_client_error()
            && !matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            && !had_session
            && let Some(id) = is_discover(&message)
        {
            return Ok(rejected(response, id).await);
        }
        let response = self.checked(response).await?;
        let session = response.headers.get(SESSION_ID).and_then(|v| v.to_str().ok());
        let session = session.map(str::to_owned);
        let kind = response.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or("").trim().to_owned();
        let id = match message {
            ClientJsonRpcMessage::Request(JsonRpcRequest { id, .. }) => Some(id),
            _ => None,
        };
        let is_request = id.is_some();
        match kind.to_ascii_lowercase().as_str() {
            "text/event-stream" => {
                let stream = events(response.body, self.response_bytes_max);
                Ok(StreamableHttpPostResponse::Sse(answering(stream, id), session))
            }
            "application/json" => {
                let body = read(response.body, self.response_bytes_max).await?;
                message_of(body, id.as_ref(), session)
            }
            _ if !is_request => Ok(StreamableHttpPostResponse::Accepted),
            _ => Err(StreamableHttpError::UnexpectedContentType(Some(kind))),
        }
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session_id: Arc<str>,
        _: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Failed> {
        // A server need not let clients end sessions; then it ends them itself.
        let session = Some(&*session_id);
        let none = |_: &mut HeaderMap| WireBody::default();
        self.send(Method::DELETE, &uri, session, custom_headers, none).await.map(|_| ())
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session_id: Option<Arc<str>>,
        last_event_id: Option<String>,
        _: Option<String>,
        custom_headers: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Failed> {
        let response = self
            .send(Method::GET, &uri, session_id.as_deref(), custom_headers, |headers| {
                headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
                if let Some(Ok(id)) = last_event_id.map(HeaderValue::try_from) {
                    headers.insert(LAST_EVENT_ID, id);
                }
                WireBody::default()
            })
            .await?;
        if response.status == StatusCode::METHOD_NOT_ALLOWED {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        let response = self.checked(response).await?;
        let kind = response.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if !kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("text/event-stream")) {
            return Err(StreamableHttpError::ServerDoesNotSupportSse);
        }
        Ok(events(response.body, self.response_bytes_max))
    }
}

/// A server that does not know `server/discover`: an older one, which is told
/// apart by its answer, whatever form that has.
async fn rejected(response: WireResponse, id: RequestId) -> StreamableHttpPostResponse {
    let status = response.status;
    let body = read(response.body, ERROR_BYTES_MAX).await.unwrap_or_default();
    let error = match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
        Ok(ServerJsonRpcMessage::Error(error)) => error.error,
        _ => ErrorData::invalid_request(format!("HTTP {status}"), None),
    };
    StreamableHttpPostResponse::Json(ServerJsonRpcMessage::error(error, Some(id)), None)
}

/// A message in one piece.
fn message_of(
    mut body: Vec<u8>,
    id: Option<&RequestId>,
    session: Option<String>,
) -> Result<StreamableHttpPostResponse, Failed> {
    if let Some(named) = id.and_then(|id| named_error(&body, id)) {
        body = named;
    }
    match serde_json::from_slice::<ServerJsonRpcMessage>(&body) {
        Ok(message) => Ok(StreamableHttpPostResponse::Json(message, session)),
        // Nobody waits for what answers a notification.
        Err(_) if id.is_none() => Ok(StreamableHttpPostResponse::Accepted),
        Err(error) => Err(failed(true, format!("the answer is no message of MCP: {error}"))),
    }
}

/// The answers to one request. An error without an id is about it, for what
/// else would it be about; and nobody would hear it otherwise.
fn answering(
    stream: BoxStream<'static, Result<Sse, SseError>>,
    id: Option<RequestId>,
) -> BoxStream<'static, Result<Sse, SseError>> {
    let Some(id) = id else { return stream };
    let named = move |mut event: Sse| {
        let data = event.data.as_deref().and_then(|data| named_error(data.as_bytes(), &id));
        if let Some(data) = data.and_then(|data| String::from_utf8(data).ok()) {
            event.data = Some(data);
        }
        event
    };
    stream.map(move |event| event.map(&named)).boxed()
}

/// An error that names no request, with the id of the one that it answers;
/// `None` for anything else.
fn named_error(body: &[u8], id: &RequestId) -> Option<Vec<u8>> {
    if !body.windows(7).any(|window| window == b"\"error\"") {
        return None;
    }
    let mut message: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let named = message.get("id").is_some_and(|id| !id.is_null());
    if named || !message.contains_key("error") {
        return None;
    }
    message.insert("id".to_owned(), serde_json::to_value(id).ok()?);
    serde_json::to_vec(&message).ok()
}

fn events(body: BoxBody, max: usize) -> BoxStream<'static, Result<Sse, SseError>> {
    SseStream::from_bytes_stream(Limited::new(BodyDataStream::new(body), max)).boxed()
}

/// A body up to a bound.
async fn read(mut body: BoxBody, max: usize) -> Result<Vec<u8>, Failed> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(true, error.to_string()))?;
        let data: Bytes = frame.into_data().unwrap_or_default();
        if read.len() + data.len() > max {
            return Err(StreamableHttpError::ResponseBodyTooLarge { max_size: max });
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_names_no_request_is_about_the_one_that_was_sent() {
        let id: RequestId = serde_json::from_str("7").expect("an id");
        for (said, named) in [
            (r#"{"jsonrpc":"2.0","error":{"code":-1,"message":"no"}}"#, true),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":-1,"message":"no"}}"#, true),
            (r#"{"jsonrpc":"2.0","id":3,"error":{"code":-1,"message":"no"}}"#, false),
            (r#"{"jsonrpc":"2.0","method":"notifications/message"}"#, false),
            (r#"{"error":"#, false),
        ] {
            let found = named_error(said.as_bytes(), &id);
            assert_eq!(found.is_some(), named, "{said}");
            let id_of =
                |json: &Vec<u8>| serde_json::from_slice::<Value>(json).unwrap()["id"].clone();
            assert!(found.iter().all(|json| id_of(json) == 7));
        }
    }
}
