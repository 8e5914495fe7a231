//! The dialects' own endpoints: OpenAI's under `/v1`, Anthropic's beside them.
//!
//! A request is authenticated, its body read within its limits, and handed to
//! the gateway as a [`Call`]; the gateway's reply goes back as it is. What is
//! kept between requests is answered by the folder of its surface, over the
//! runtime's sessions.

mod conversations;
mod credential;
mod endpoint;
pub(crate) mod failure;
pub(crate) mod forward;
mod models;
mod reply;
mod responses;

use std::sync::Arc;

use bytes::Bytes;
use freehold_control::{Control, Principal};
use freehold_gateway::call::{Call, Endpoint};
use freehold_gateway::trace::Trace;
use freehold_gateway::{Gateway, refuse};
use freehold_llm::Dialect;
use freehold_llm::model::ApiError;
use freehold_types::{Code, ErrorKind};
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;

use crate::edge::{From, Surface};
use crate::http::body::{self, BodyBudget, BodyLimits};
use crate::http::lag::Lag;
use crate::telemetry::Traces;
use endpoint::Found;
use failure::Failure;
use forward::{Search, Whole};
pub use reply::ReplyBody;
pub(crate) use responses::State;

/// Asks that nothing be lost on the way to another dialect.
const STRICT: &str = "x-freehold-strict";

/// The limits of request bodies, as they are now.
pub trait Limits: Send + Sync + 'static {
    /// The limits in force.
    fn body(&self) -> BodyLimits;
}

/// Answers in the clients' dialects.
pub struct Dialects<L> {
    shared: Arc<Shared<L>>,
}

struct Shared<L> {
    gateway: Arc<Gateway>,
    control: Arc<Control>,
    limits: L,
    budget: BodyBudget,
    traces: Option<Arc<Traces>>,
    lag: Arc<Lag>,
    state: State,
}

impl<L> Clone for Dialects<L> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<L: Limits> Dialects<L> {
    /// The surface over the parts of a server.
    pub(crate) fn new(
        state: State,
        control: Arc<Control>,
        limits: L,
        budget: BodyBudget,
        traces: Option<Arc<Traces>>,
        lag: Arc<Lag>,
    ) -> Self {
        let gateway = Arc::clone(&state.gateway);
        Self { shared: Arc::new(Shared { gateway, control, limits, budget, traces, lag, state }) }
    }
}

impl<L: Limits> Surface for Dialects<L> {
    type Body = ReplyBody;

    async fn answer<B>(self, request: Request<B>, from: From) -> Response<ReplyBody>
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display + Send,
    {
        let (head, body) = request.into_parts();
        let found = endpoint::find(&head);
        match self.shared.answer(&head, body, &found, &from).await {
            Ok(response) => response,
            Err(error) => {
                let reply = refuse::reply(found.dialect(), &error, &from.request_id);
                reply::response(reply)
            }
        }
    }
}

impl<L: Limits> Shared<L> {
    async fn answer<B>(
        &self,
        head: &Parts,
        body: B,
        found: &Found,
        from: &From,
    ) -> Result<Response<ReplyBody>, Box<ApiError>>
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        // Before anything that costs more than the refusal.
        let _in_hand = if found.is_work(&head.method) {
            Some(self.lag.take_in().ok_or_else(behind)?)
        } else {
            None
        };
        let principal = self.authenticate(head).await?;
        let mut endpoint = match found {
            Found::Endpoint(endpoint) => Some(endpoint.clone()),
            Found::Models => return Ok(models::list(&self.gateway, &principal, head)),
            Found::Model(id) => return models::get(&self.gateway, &principal, head, id),
            Found::WrongMethod(_) => return Err(wrong_method(head)),
            Found::Nothing => return Err(unknown_path(head)),
            Found::Responses(_) | Found::Conversations(_) => None,
        };
        let mut share = self.budget.share();
        let mut body = body::read(body, self.limits.body(), &mut share).await.map_err(|error| {
            let mut refused = ApiError::new(error.code(), error.to_string());
            if refused.kind == ErrorKind::Unavailable {
                refused.retry_after_ms = Some(1_000);
            }
            Box::new(refused)
        })?;
        if *found == Found::Responses(responses::Place::Responses)
            && head.method == Method::POST
            && responses::is_stateless(&body)
        {
            endpoint = Some(Endpoint::Model(Dialect::Responses));
            body = responses::expanded(body);
        }
        let Some(endpoint) = endpoint else {
            let asking = responses::Asking {
                state: self.state.clone(),
                principal,
                head: head.clone(),
                body,
                request_id: Arc::clone(&from.request_id),
            };
            return self.keep(found, &asking).await;
        };
        let strict = head.headers.get(STRICT).is_some_and(|v| v != "false" && v != "0");
        let call = Call {
            endpoint,
            headers: head.headers.clone(),
            body,
            principal,
            request_id: Arc::clone(&from.request_id),
            strict,
            trace: self.trace(&head.headers),
        };
        let reply = self.gateway.exchange(call).await;
        // The body's memory is free again once the answer begins.
        drop(share);
        Ok(reply::response(reply))
    }

    /// Answers what is about things that are kept; where another node has the
    /// session, that one answers.
    async fn keep(
        &self,
        found: &Found,
        asking: &responses::Asking,
    ) -> Result<Response<ReplyBody>, Box<ApiError>> {
        let mut search = Search::begin(&*self.state.env);
        loop {
            let answered = match found {
                Found::Responses(place) => responses::answer(asking, place).await,
                Found::Conversations(place) => conversations::answer(asking, place).await,
                _ => Err(Failure::Api(unknown_path(&asking.head))),
            };
            let away = match answered {
                Ok(response) => return Ok(response.map(ReplyBody::Own)),
                Err(Failure::Api(error)) => return Err(error),
                Err(Failure::Away(away)) => away,
            };
            let State { sessions, transport, .. } = &self.state;
            let whole = Whole { head: &asking.head, body: asking.body.clone() };
            match search.elsewhere(&away, sessions, &**transport, whole).await? {
                forward::Next::Answer(response) => return Ok(response.map(ReplyBody::Own)),
                forward::Next::Again => {}
            }
        }
    }

    /// The request's place in a trace: a span of our own where there are
    /// traces, else the client's.
    fn trace(&self, headers: &HeaderMap) -> Option<Arc<Trace>> {
        let client = Trace::of_client(headers);
        match &self.traces {
            Some(traces) => Some(Arc::new(traces.begin(client))),
            None => client.map(Arc::new),
        }
    }

    async fn authenticate(&self, head: &Parts) -> Result<Arc<Principal>, Box<ApiError>> {
        let presented = credential::presented(&head.headers);
        let found = self.control.authenticate_anywhere(presented).await;
        found.map_err(|refusal| refuse::refusal(&refusal))
    }
}

/// The worker is too far behind to take more in.
fn behind() -> Box<ApiError> {
    let mut error = ApiError::new(
        Code::OverloadShed,
        "the server has more to do than it can; send the request again",
    );
    error.retry_after_ms = Some(1_000);
    Box::new(error)
}

fn wrong_method(head: &Parts) -> Box<ApiError> {
    let mut error = ApiError::new(
        Code::MethodNotAllowed,
        format!("{} takes POST, not {}", head.uri.path(), head.method),
    );
    error.status = StatusCode::METHOD_NOT_ALLOWED.as_u16();
    Box::new(error)
}

fn unknown_path(head: &Parts) -> Box<ApiError> {
    let path: String = head.uri.path().chars().take(200).collect();
    Box::new(ApiError::new(
        Code::UnknownPath,
        format!(
            "there is nothing at {path}; model calls go to /v1/chat/completions, /v1/responses, \
             /v1/messages, /v1/completions and /v1/embeddings"
        ),
    ))
}

/// Whether a request is in Anthropic's style, by the headers that its SDK
/// always sends.
fn is_messages_style(head: &Parts) -> bool {
    head.headers.contains_key("anthropic-version")
}

/// The dialect of errors outside of a model call.
fn style(head: &Parts) -> Dialect {
    if is_messages_style(head) { Dialect::Messages } else { Dialect::Chat }
}
