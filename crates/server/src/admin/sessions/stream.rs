//! `GET sessions/{id}/stream`: events as they are committed, from any offset
//! on; as server-sent events, by long poll (`?wait=SECONDS`), or over a
//! WebSocket.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use freehold_runtime::event::Event;
use freehold_runtime::sessions::{Error, Tail};
use freehold_types::{Code, Env, Offset};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::input::{Params, TenantName};
use super::access::{Found, Refused};
use super::cursor::{Cursor, place};
use super::shape;
use crate::http::drain::Drain;
use crate::problem::Problem;

/// How often a silent stream shows that it lives.
const ALIVE: Duration = Duration::from_secs(15);
/// The longest that a poll waits.
const WAIT_MAX: u64 = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    #[serde(default)]
    #[expect(dead_code, reason = "`Access` reads it")]
    tenant: Option<TenantName>,
    /// A cursor: an offset, or the `id` of an event of the stream.
    #[serde(default)]
    after: Option<String>,
    /// Seconds; asks for a poll.
    #[serde(default)]
    wait: Option<u64>,
}

/// A stream of one session.
struct Listening {
    tail: Tail,
    timeline: u64,
    env: Arc<dyn Env>,
    drain: Drain,
}

/// What comes next of a stream.
enum Next {
    Events(Vec<Arc<Event>>),
    /// Nothing for a while.
    Silence,
    /// The server stops: go on elsewhere.
    Away,
}

pub(super) async fn stream(
    found: Found,
    headers: HeaderMap,
    Params(asked): Params<Asked>,
    mut parts: Parts,
) -> Result<Response, Refused> {
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let (timeline, after) = place(&found, last.or(asked.after.as_deref())).await?;
    let access = &found.access;
    let listening = Listening {
        tail: access.sessions().tail(&access.tenant, found.session, after),
        timeline,
        env: Arc::clone(&access.app.env),
        drain: access.app.drain.clone(),
    };
    if let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        return Ok(upgrade.on_upgrade(|socket| listening.over(socket)));
    }
    match asked.wait {
        Some(wait) => listening.poll(Duration::from_secs(wait.min(WAIT_MAX)), after).await,
        None => Ok(listening.sse()),
    }
}

impl Listening {
    async fn next(&mut self) -> Result<Next, Error> {
        let alive = self.env.sleep(ALIVE);
        tokio::select! {
            biased;
            events = self.tail.next() => Ok(Next::Events(events?)),
            () = self.drain.begun() => Ok(Next::Away),
            () = alive => Ok(Next::Silence),
        }
    }

    fn cursor(&self, at: Offset) -> Cursor {
        Cursor { timeline: Some(self.timeline), after: at }
    }

    /// What is there now, or comes within the time.
    async fn poll(mut self, wait: Duration, after: Offset) -> Result<Response, Refused> {
        let patience = self.env.sleep(wait);
        let events = tokio::select! {
            biased;
            events = self.tail.next() => events?,
            () = self.drain.begun() => Vec::new(),
            () = patience => Vec::new(),
        };
        let at = events.last().map_or(after, |event| event.offset);
        let data: Vec<Value> = events.iter().filter_map(|event| shape::event(event)).collect();
        let next = self.cursor(at).to_string();
        Ok(axum::Json(json!({ "data": data, "next": next })).into_response())
    }

    fn sse(self) -> Response {
        let stream = futures_util::stream::unfold(Some(self), |state| async move {
            let mut listening = state?;
            match listening.next().await {
                Ok(Next::Events(events)) => {
                    let frames = listening.frames(&events);
                    Some((Ok(frames), Some(listening)))
                }
                Ok(Next::Silence) => Some((Ok(Bytes::from_static(b": ping\n\n")), Some(listening))),
                Ok(Next::Away) => None,
                // The end of a session is told; all else breaks the connection.
                Err(error @ (Error::NotFound | Error::Refused(_))) => {
                    Some((Ok(over(&error)), None))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        let mut response = Body::from_stream(stream).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// An event's JSON, which all who listen share; empty for one that has none,
    /// which none is.
    fn data(&self, event: &Arc<Event>) -> Bytes {
        self.tail.shown(event, |event| shape::event_text(event).unwrap_or_default().into())
    }

    fn frames(&self, events: &[Arc<Event>]) -> Bytes {
        let mut frames = Vec::new();
        for event in events {
            let (id, kind) = (self.cursor(event.offset), event.fact.kind());
            frames.extend_from_slice(format!("id: {id}\nevent: {kind}\ndata: ").as_bytes());
            frames.extend_from_slice(&self.data(event));
            frames.extend_from_slice(b"\n\n");
        }
        frames.into()
    }

    /// A message an event. What the client sends is not read; that it goes is.
    async fn over(mut self, mut socket: WebSocket) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                received = socket.recv() => match received {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                },
            };
            let messages = match next {
                Ok(Next::Events(events)) => self.messages(&events),
                Ok(Next::Silence) => vec![Message::Ping(Bytes::new())],
                Ok(Next::Away) | Err(_) => vec![Message::Close(None)],
            };
            for message in messages {
                let last = matches!(message, Message::Close(_));
                if socket.send(message).await.is_err() || last {
                    return;
                }
            }
        }
    }

    fn messages(&self, events: &[Arc<Event>]) -> Vec<Message> {
        let each = events.iter().filter_map(|event| {
            let data = self.data(event);
            let fields = std::str::from_utf8(&data).ok()?.strip_suffix('}')?;
            let id = self.cursor(event.offset);
            Some(Message::Text(format!("{fields},\"id\":\"{id}\"}}").into()))
        });
        each.collect()
    }
}

/// Why nothing more comes: the session was deleted, or moved to another cell.
fn over(error: &Error) -> Bytes {
    let problem = match error {
        Error::Refused(refused) => Problem::new(Code::SessionSealed, refused.to_string()),
        _ => Problem::new(Code::SessionNotFound, "the session was deleted"),
    };
    let data = json!({"code": problem.code.word(), "detail": problem.detail});
    format!("event: error\ndata: {data}\n\n").into()
}
