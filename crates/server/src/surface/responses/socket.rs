//! The WebSocket form: `response.create` in, the events of its response out,
//! one response after the other.
//!
//! A response with `store: false` can be continued on the connection that made
//! it, as long as that lives: its items are held here and nowhere else. A
//! continuation that fails forgets them.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use bytes::Bytes;
use freehold_gateway::call::{Call, Endpoint, ReplyBody};
use freehold_llm::Dialect;
use freehold_llm::model::ApiError;
use freehold_types::Code;
use http::Response;
use http_body_util::BodyExt as _;
use serde_json::{Map, Value, json};

use super::stream::{data, frames};
use super::{Asking, Failure, answers, ask, create, is_stateless, wrong_method};

/// The largest message of a client.
const MESSAGE_BYTES_MAX: usize = 32 << 20;
/// The most requests that wait on one connection.
const WAITING_MAX: usize = 32;
/// How many responses that are kept nowhere else a connection holds.
const HELD_MAX: usize = 8;
/// The most bytes of their items.
const HELD_BYTES_MAX: usize = 8 << 20;

/// Opens the connection.
pub(super) async fn open(asking: &Asking) -> Result<Response<Body>, Failure> {
    let mut head = asking.head.clone();
    let Ok(upgrade) = WebSocketUpgrade::from_request_parts(&mut head, &()).await else {
        return Err(wrong_method(asking));
    };
    let connection = Connection {
        state: asking.state.clone(),
        principal: Arc::clone(&asking.principal),
        head,
        request_id: Arc::clone(&asking.request_id),
        held: VecDeque::new(),
    };
    let upgrade = upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX);
    Ok(upgrade.on_upgrade(|socket| connection.run(socket)))
}

/// One client's connection.
struct Connection {
    state: super::State,
    principal: Arc<freehold_control::Principal>,
    head: http::request::Parts,
    request_id: Arc<str>,
    held: VecDeque<Held>,
}

/// A response that is kept nowhere else.
struct Held {
    id: String,
    items: Vec<Value>,
}

/// A request of the client.
struct Create {
    body: Map<String, Value>,
    lane: Option<String>,
}

/// Why a connection ends.
struct Gone;

impl Connection {
    async fn run(mut self, mut socket: WebSocket) {
        let mut waiting = VecDeque::new();
        let drain = self.state.drain.clone();
        loop {
            let text = match waiting.pop_front() {
                Some(text) => text,
                None => {
                    let received = tokio::select! {
                        received = socket.recv() => received,
                        () = drain.begun() => return away(socket).await,
                    };
                    match received {
                        Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Binary(_) | Message::Close(_)) | Err(_)) | None => return,
                    }
                }
            };
            if self.answer(&text, &mut socket, &mut waiting).await.is_err() {
                return;
            }
        }
    }

    async fn answer(
        &mut self,
        text: &str,
        socket: &mut WebSocket,
        waiting: &mut VecDeque<String>,
    ) -> Result<(), Gone> {
        let create = match read(text) {
            Ok(create) => create,
            Err(failure) => return send(socket, &error(&failure, None)).await,
        };
        let lane = create.lane.clone();
        let previous = create.body.get("previous_response_id").and_then(Value::as_str);
        let previous = previous.map(str::to_owned);
        match Box::pin(self.tell(create, socket, waiting)).await {
            Ok(told) => told,
            Err(failure) => {
                if let Some(previous) = &previous {
                    self.held.retain(|held| held.id != *previous);
                }
                send(socket, &error(&failure, lane.as_deref())).await
            }
        }
    }

    /// Answers one request; the inner result is whether the client is there.
    async fn tell(
        &mut self,
        create: Create,
        socket: &mut WebSocket,
        waiting: &mut VecDeque<String>,
    ) -> Result<Result<(), Gone>, Failure> {
        let Create { mut body, lane } = create;
        let previous = body.get("previous_response_id").and_then(Value::as_str);
        let held = previous.and_then(|id| self.held.iter().find(|held| held.id == id));
        let (mut items, mut continued) = (None, None);
        if let Some(held) = held {
            let more = listed(body.shift_remove("input"));
            if let Some(call) = missing_call(&held.items, &more) {
                return Err(answers::no_call(call));
            }
            let mut whole = held.items.clone();
            whole.extend(more);
            continued = Some(held.id.clone());
            body.insert("input".into(), whole.clone().into());
            body.shift_remove("previous_response_id");
            items = Some(whole);
        }
        let bytes = Bytes::from(Value::Object(body.clone()).to_string());
        if is_stateless(&bytes) {
            if let Some(id) = body.get("previous_response_id").and_then(Value::as_str) {
                return Err(ask::no_previous(id));
            }
            let items = items.unwrap_or_else(|| listed(body.get("input").cloned()));
            return self.pass(body, items, continued, lane, socket, waiting).await;
        }
        let asking = Asking {
            state: self.state.clone(),
            principal: Arc::clone(&self.principal),
            head: self.head.clone(),
            body: bytes,
            request_id: Arc::clone(&self.request_id),
        };
        let asked = ask::read(&asking.body, asking.key())?;
        let started = Box::pin(create::start(&asking, asked, &asking.body)).await?;
        let mut telling = create::telling(&asking, started);
        loop {
            let frame = tokio::select! {
                frame = telling.next() => frame?,
                received = socket.recv() => {
                    if queue(received, waiting).is_err() {
                        return Ok(Err(Gone));
                    }
                    continue;
                }
            };
            let Some(frame) = frame else { return Ok(Ok(())) };
            if let Some(json) = data(&frame)
                && send(socket, &with_lane(json, lane.as_deref())).await.is_err()
            {
                return Ok(Err(Gone));
            }
        }
    }

    /// Through the gateway: nothing is kept but here.
    async fn pass(
        &mut self,
        mut body: Map<String, Value>,
        items: Vec<Value>,
        previous: Option<String>,
        lane: Option<String>,
        socket: &mut WebSocket,
        waiting: &mut VecDeque<String>,
    ) -> Result<Result<(), Gone>, Failure> {
        body.insert("stream".into(), true.into());
        let call = Call {
            endpoint: Endpoint::Model(Dialect::Responses),
            headers: self.head.headers.clone(),
            body: super::expanded(Bytes::from(Value::Object(body).to_string())),
            principal: Arc::clone(&self.principal),
            request_id: Arc::clone(&self.request_id),
            strict: false,
            trace: None,
        };
        let reply = self.state.gateway.exchange(call).await;
        let mut relay = match reply.body {
            ReplyBody::Stream(relay) => relay,
            ReplyBody::Full(bytes) => {
                self.held.retain(|held| Some(&held.id) != previous.as_ref());
                let told = refusal(reply.status.as_u16(), &bytes, lane.as_deref());
                return Ok(send(socket, &told).await);
            }
        };
        let (mut rest, mut last) = (Vec::new(), None);
        loop {
            let frame = tokio::select! {
                frame = relay.frame() => frame,
                received = socket.recv() => {
                    if queue(received, waiting).is_err() {
                        return Ok(Err(Gone));
                    }
                    continue;
                }
            };
            let Some(Ok(frame)) = frame else { break };
            let Ok(bytes) = frame.into_data() else { continue };
            rest.extend_from_slice(&bytes);
            let mut taken = 0;
            for frame in frames(&rest) {
                taken += frame.len();
                let Some(json) = data(frame) else { continue };
                if send(socket, &with_lane(json, lane.as_deref())).await.is_err() {
                    return Ok(Err(Gone));
                }
                last = Some(json.to_vec());
            }
            rest.drain(..taken);
        }
        self.hold(last.as_deref(), items, previous.as_deref());
        Ok(Ok(()))
    }

    /// Holds what a response and its request said, for the next one.
    fn hold(&mut self, last: Option<&[u8]>, mut items: Vec<Value>, previous: Option<&str>) {
        let event: Value =
            last.and_then(|json| serde_json::from_slice(json).ok()).unwrap_or_default();
        let good = matches!(
            event.get("type").and_then(Value::as_str),
            Some("response.completed" | "response.incomplete")
        );
        let response = event.get("response").filter(|_| good);
        let id = response.and_then(|response| response.get("id")?.as_str());
        let Some((response, id)) = response.zip(id) else {
            self.held.retain(|held| Some(held.id.as_str()) != previous);
            return;
        };
        items.extend(
            response.get("output").and_then(Value::as_array).into_iter().flatten().cloned(),
        );
        let bytes: usize = items.iter().map(|item| item.to_string().len()).sum();
        if bytes <= HELD_BYTES_MAX {
            self.held.push_back(Held { id: id.to_owned(), items });
        }
        while self.held.len() > HELD_MAX {
            self.held.pop_front();
        }
    }
}

/// The first result among items that belongs to no call before it.
fn missing_call<'a>(held: &[Value], more: &'a [Value]) -> Option<&'a str> {
    let call_of = |item: &'a Value, kind: &str| {
        let is = item.get("type").and_then(Value::as_str).is_some_and(|it| it.ends_with(kind));
        item.get("call_id").and_then(Value::as_str).filter(|_| is)
    };
    let called = |id: &str, at: usize| {
        let before = held.iter().chain(more.iter().take(at));
        before.into_iter().any(|item| {
            let is_result = item.get("output").is_some();
            !is_result && item.get("call_id").and_then(Value::as_str) == Some(id)
        })
    };
    let results = more
        .iter()
        .enumerate()
        .filter_map(|(at, item)| call_of(item, "_call_output").map(|id| (at, id)));
    results.into_iter().find(|(at, id)| !called(id, *at)).map(|(_, id)| id)
}

/// Reads a message.
fn read(text: &str) -> Result<Create, Failure> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Failure::new(Code::InvalidJson, format!("no JSON: {error}")))?;
    let Value::Object(mut body) = value else {
        return Err(Failure::invalid("type", "expected an object"));
    };
    let kind = body.shift_remove("type");
    if kind.as_ref().and_then(Value::as_str) != Some("response.create") {
        return Err(Failure::invalid("type", "type: expected `response.create`"));
    }
    if body.get("background").is_some_and(|value| *value != Value::Bool(false) && !value.is_null())
    {
        return Err(Failure::invalid("background", "background: not over a WebSocket"));
    }
    for name in ["stream", "stream_options", "background"] {
        body.shift_remove(name);
    }
    body.insert("stream".into(), true.into());
    let lane = match body.shift_remove("stream_id") {
        None | Some(Value::Null) => None,
        Some(Value::String(lane)) if is_lane(&lane) => Some(lane),
        Some(_) => {
            return Err(Failure::invalid("stream_id", "stream_id: 1 to 256 of A-Za-z0-9_.-"));
        }
    };
    Ok(Create { body, lane })
}

fn is_lane(lane: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=256).contains(&lane.len()) && lane.bytes().all(plain)
}

/// An input as a list of items.
fn listed(input: Option<Value>) -> Vec<Value> {
    match input {
        Some(Value::Array(items)) => items,
        Some(Value::String(text)) => vec![json!({"role": "user", "content": text})],
        _ => Vec::new(),
    }
}

/// What comes while a response is told waits for its end.
fn queue(
    received: Option<Result<Message, axum::Error>>,
    waiting: &mut VecDeque<String>,
) -> Result<(), Gone> {
    match received {
        Some(Ok(Message::Text(text))) if waiting.len() < WAITING_MAX => {
            waiting.push_back(text.as_str().to_owned());
            Ok(())
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(()),
        _ => Err(Gone),
    }
}

async fn send(socket: &mut WebSocket, text: &str) -> Result<(), Gone> {
    socket.send(Message::Text(text.into())).await.map_err(|_| Gone)
}

async fn away(mut socket: WebSocket) {
    let frame = CloseFrame { code: close_code::AWAY, reason: "the server is stopping".into() };
    if socket.send(Message::Close(Some(frame))).await.is_err() {
        tracing::debug!("a WebSocket was gone before it was closed");
    }
}

/// An event's JSON, with the lane that it is for.
fn with_lane(json: &[u8], lane: Option<&str>) -> String {
    let text = String::from_utf8_lossy(json);
    let Some(lane) = lane else { return text.into_owned() };
    match text.strip_prefix('{') {
        // A lane has nothing that JSON would escape.
        Some(rest) => format!("{{\"stream_id\":\"{lane}\",{rest}"),
        None => text.into_owned(),
    }
}

fn error(failure: &Failure, lane: Option<&str>) -> String {
    let (status, error) = match failure {
        Failure::Api(error) => (error.status, body_of(error)),
        Failure::Away(_) => {
            let message = "another node has the session; connect again";
            let error = ApiError::new(Code::SessionUnreachable, message);
            (error.status, body_of(&error))
        }
    };
    event(status, error, lane)
}

fn body_of(error: &ApiError) -> Value {
    let bytes = freehold_llm::format::codec(Dialect::Responses).encode_error(error, None);
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    body.get("error").cloned().unwrap_or_default()
}

/// A refusal of the gateway's, as it came.
fn refusal(status: u16, body: &[u8], lane: Option<&str>) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let error = body.get("error").cloned().unwrap_or_else(
        || json!({"code": Code::UpstreamError.word(), "message": "the provider refused"}),
    );
    event(status, error, lane)
}

fn event(status: u16, mut error: Value, lane: Option<&str>) -> String {
    if let Some(error) = error.as_object_mut() {
        // Clients are promised a code.
        let code = error.get("code").filter(|code| code.is_string()).cloned();
        let kind = error.get("type").cloned().unwrap_or_else(|| "server_error".into());
        error.insert("code".into(), code.unwrap_or(kind));
    }
    let event = json!({"type": "error", "status": status, "error": error}).to_string();
    with_lane(event.as_bytes(), lane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_request_without_what_is_not_for_sockets() {
        let create = read(r#"{"type":"response.create","model":"m","stream_id":"a.1"}"#);
        let Ok(create) = create else { panic!() };
        assert_eq!(create.lane.as_deref(), Some("a.1"));
        assert_eq!(Value::Object(create.body), json!({"model": "m", "stream": true}));
        for bad in
            ["", "[]", "{}", r#"{"type":"x"}"#, r#"{"type":"response.create","stream_id":""}"#]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(read(r#"{"type":"response.create","background":true}"#).is_err());
    }

    #[test]
    fn a_result_belongs_to_a_call_before_it() {
        let call = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f"});
        let result =
            |id: &str| json!({"type": "function_call_output", "call_id": id, "output": ""});
        let held = [call("a"), result("a")];
        assert_eq!(missing_call(&held, &[result("a"), json!({"role": "user"})]), None);
        assert_eq!(missing_call(&held, &[call("b"), result("b")]), None);
        assert_eq!(missing_call(&held, &[result("b"), call("b")]), Some("b"));
    }

    #[test]
    fn events_and_errors_name_their_lane() {
        assert_eq!(with_lane(b"{\"a\":1}", Some("l")), r#"{"stream_id":"l","a":1}"#);
        let told = error(&ask::no_previous("resp_x"), Some("l"));
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["status"], &told["stream_id"]), (&json!(400), &json!("l")));
        assert_eq!(told["error"]["code"], "previous_response_not_found");
    }
}
