//! The Responses API with its state: responses, their input items, compaction
//! and token counts. A response is a view of a session's journal.
//!
//! A request with `store: false` keeps nothing and goes to the gateway as it
//! is; all others, unset ones too, are kept. A client that goes away from a
//! response that it waits for cancels it, as with the API's first provider; one
//! in the background goes on.

mod answers;
mod ask;
mod begun;
mod compact;
mod create;
mod follow;
pub(crate) mod ids;
mod items;
mod label;
mod list;
mod reading;
mod refer;
mod retrieve;
mod socket;
mod stream;
mod summary;
mod tokens;
mod tools;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use freehold_control::Principal;
use freehold_gateway::Gateway;
use freehold_runtime::event::{Labels, Name};
use freehold_runtime::sessions::{By, Sessions};
use freehold_runtime::tools::Secrets;
use freehold_types::{Code, Env, SessionId, Transport};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use crate::app::App;
use crate::http::drain::Drain;
pub(crate) use crate::surface::failure::Failure;
pub(crate) use ask::{refused, said as read_items};
pub(crate) use create::cue;
use follow::Follower;
use ids::ResponseId;
pub(crate) use items::{Lister, Order};
pub(crate) use list::{ListQuery, page, wants_seals};
pub(crate) use reading::Reading;
pub(crate) use refer::resolve;

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) env: Arc<dyn Env>,
    pub(crate) drain: Drain,
    /// Credentials for the servers of tools, which no journal may hold.
    pub(crate) secrets: Arc<dyn Secrets>,
    /// To other nodes.
    pub(crate) transport: Arc<dyn Transport>,
}

impl State {
    /// Of a server.
    pub(crate) fn of(app: &Arc<App>) -> Self {
        Self {
            sessions: Arc::clone(&app.sessions),
            gateway: Arc::clone(&app.gateway),
            env: Arc::clone(&app.env),
            drain: app.drain.clone(),
            secrets: Arc::clone(&app.secrets),
            transport: Arc::clone(&app.transport) as _,
        }
    }
}

/// One request, its body read.
pub(crate) struct Asking {
    pub(crate) state: State,
    pub(crate) principal: Arc<Principal>,
    pub(crate) head: Parts,
    pub(crate) body: Bytes,
    pub(crate) request_id: Arc<str>,
}

/// What a path below `/v1/responses` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// All of them.
    Responses,
    /// How many tokens a request would have.
    InputTokens,
    /// A compaction of a conversation that the client keeps.
    Compact,
    /// One.
    Response(String),
    /// The end of one.
    Cancel(String),
    /// What one was asked.
    InputItems(String),
}

impl Place {
    /// What the rest of a path after `/v1/responses` names.
    pub(crate) fn of(rest: &str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::Responses);
        }
        let mut parts = rest.strip_prefix('/')?.split('/');
        let (first, second, third) = (parts.next()?, parts.next(), parts.next());
        let id = first.to_owned();
        match (first, second, third) {
            ("input_tokens", None, None) => Some(Self::InputTokens),
            ("compact", None, None) => Some(Self::Compact),
            ("", ..) => None,
            (_, None, None) => Some(Self::Response(id)),
            (_, Some("cancel"), None) => Some(Self::Cancel(id)),
            (_, Some("input_items"), None) => Some(Self::InputItems(id)),
            _ => None,
        }
    }
}

/// Answers a request that is not the gateway's.
pub(crate) async fn answer(asking: &Asking, place: &Place) -> Result<Response<Body>, Failure> {
    match (place, &asking.head.method) {
        (Place::Responses, &Method::POST) => create::create(asking).await,
        (Place::Responses, &Method::GET) => socket::open(asking).await,
        (Place::InputTokens, &Method::POST) => tokens::count(asking).await,
        (Place::Compact, &Method::POST) => compact::compact(asking).await,
        (Place::Response(id), &Method::GET) => retrieve::get(asking, id).await,
        (Place::Response(id), &Method::DELETE) => retrieve::delete(asking, id).await,
        (Place::Cancel(id), &Method::POST) => retrieve::cancel(asking, id).await,
        (Place::InputItems(id), &Method::GET) => list::input_items(asking, id).await,
        _ => Err(wrong_method(asking)),
    }
}

/// Whether a request to create a response is one whose answer is not kept.
/// What cannot be read is the gateway's to refuse.
pub(crate) fn is_stateless(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Peek {
        #[serde(default)]
        store: Option<Value>,
    }
    match serde_json::from_slice::<Peek>(body) {
        Ok(peek) => peek.store == Some(Value::Bool(false)),
        Err(_) => true,
    }
}

/// A body whose summaries of ours are words again: no provider knows them.
pub(crate) fn expanded(body: Bytes) -> Bytes {
    if memchr::memmem::find(&body, summary::MARK.as_bytes()).is_none() {
        return body;
    }
    let Ok(mut value) = serde_json::from_slice::<Value>(&body) else { return body };
    let items = value.get_mut("input").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten() {
        let carried = item.get("encrypted_content").and_then(Value::as_str);
        let compaction = item.get("type").and_then(Value::as_str) == Some("compaction");
        if let Some(text) = carried.filter(|_| compaction).and_then(summary::read) {
            *item = summary::value(&text);
        }
    }
    value.to_string().into()
}

impl Asking {
    /// Who asks, for the journal.
    pub(crate) fn by(&self) -> By {
        By { actor: Some(self.key()), on_behalf_of: None, labels: Labels::default() }
    }

    /// The id of the key that asks, and pays.
    pub(crate) fn key(&self) -> Name {
        Name::cut(&self.principal.key().id.to_string())
    }

    /// Reads of a session in the caller's tenant.
    pub(crate) fn reading(&self, session: SessionId) -> Reading {
        Reading {
            sessions: Arc::clone(&self.state.sessions),
            tenant: self.principal.tenant().clone(),
            session,
        }
    }

    /// The query's parameters.
    pub(crate) fn query<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        axum::extract::Query::<T>::try_from_uri(&self.head.uri).map(|query| query.0).map_err(
            |error| Failure::invalid("query", format!("the query cannot be used: {error}")),
        )
    }
}

pub(crate) fn wrong_method(asking: &Asking) -> Failure {
    let head = &asking.head;
    let message = format!("{} does not take {}", head.uri.path(), head.method);
    let mut error = freehold_llm::model::ApiError::new(Code::MethodNotAllowed, message);
    error.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    Failure::Api(Box::new(error))
}

/// A whole answer.
pub(crate) fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// The response of an id, if it is well formed; who has it shows later.
fn parse(id: &str) -> Result<ResponseId, Failure> {
    id.parse().map_err(|_| Failure::not_found("Response", id))
}

/// What a client that waits hears where its turn pauses at a limit.
fn paused_message(follower: &Follower) -> String {
    let response = follower.response();
    let id = response.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    format!(
        "the turn has used what it may; it goes on when its limit is raised. Nothing is lost: \
         retrieve {id} then"
    )
}

#[cfg(test)]
mod places {
    use super::*;

    #[test]
    fn paths_name_places() {
        for (rest, place) in [
            ("", Some(Place::Responses)),
            ("/input_tokens", Some(Place::InputTokens)),
            ("/compact", Some(Place::Compact)),
            ("/resp_1", Some(Place::Response("resp_1".into()))),
            ("/resp_1/cancel", Some(Place::Cancel("resp_1".into()))),
            ("/resp_1/input_items", Some(Place::InputItems("resp_1".into()))),
            ("/resp_1/input_items/x", None),
            ("/", None),
            ("x", None),
        ] {
            assert_eq!(Place::of(rest), place, "{rest}");
        }
    }

    #[test]
    fn only_an_expressed_wish_keeps_nothing() {
        assert!(is_stateless(br#"{"model":"m","store":false,"input":{"store":true}}"#));
        for kept in [r#"{"model":"m"}"#, r#"{"store":true}"#, r#"{"store":null}"#] {
            assert!(!is_stateless(kept.as_bytes()), "{kept}");
        }
        assert!(is_stateless(b"{"));
    }
}
