//! The first thing a request meets: it is named, and sent to operations, to
//! management or to a dialect's surface.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body as OwnBody;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use tower_service::Service as _;

use crate::admin::{self, Admin, Via};
use crate::app::App;
use crate::http::connection::{BoxError, Peer};
use crate::{ops, request_id};

/// What answers in the clients' dialects. Cloned for each request.
pub trait Surface: Clone + Send + Sync + 'static {
    /// What it answers with.
    type Body: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;

    /// Answers one request.
    fn answer<B>(
        self,
        request: Request<B>,
        from: From,
    ) -> impl Future<Output = Response<Self::Body>> + Send + 'static
    where
        B: Body<Data = Bytes> + Unpin + Send + 'static,
        B::Error: std::fmt::Display + Send;
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub struct From {
    /// Who is at the other end.
    pub peer: Peer,
    /// The request's name.
    pub request_id: Arc<str>,
}

/// What the edge answers with.
pub type Answer<S> = Response<Either<<S as Surface>::Body, OwnBody>>;

/// One worker's edge; its connections share it.
pub struct Edge<S> {
    app: Arc<App>,
    surface: S,
    admin: axum::Router,
}

impl<S: Surface> Edge<S> {
    /// The edge before `surface`.
    pub fn new(app: &Arc<App>, surface: S) -> Arc<Self> {
        let admin = admin::router(Admin::from(app), Via::Network);
        Arc::new(Self { app: Arc::clone(app), surface, admin })
    }

    /// The service for one connection.
    pub fn service(
        self: Arc<Self>,
        peer: Peer,
    ) -> impl Service<
        Request<Incoming>,
        Response = Answer<S>,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static {
        service_fn(move |request| {
            let edge = Arc::clone(&self);
            async move { Ok(edge.answer(request, peer).await) }
        })
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Answer<S> {
        let id = request_id::of(request.headers(), &*self.app.env);
        let asked = Asked::of(&request);
        let from = From { peer, request_id: Arc::clone(&id) };
        let mut answer = self.route(request, from).await;
        let status = answer.status();
        self.app.responses.count(status);
        if status.is_client_error() || status.is_server_error() {
            asked.tell(&id, status);
        }
        if let Ok(id) = HeaderValue::from_str(&id) {
            answer.headers_mut().entry(request_id::HEADER).or_insert(id);
        }
        answer
    }

    async fn route(&self, request: Request<Incoming>, from: From) -> Answer<S> {
        let path = request.uri().path();
        if path.starts_with(admin::PREFIX) {
            // The router is always ready and does not fail.
            let answered = self.admin.clone().call(request.map(OwnBody::new)).await;
            return answered.unwrap_or_else(|never| match never {}).map(Either::Right);
        }
        if let Some(endpoint) = ops::Endpoint::of(path) {
            let answer = ops::answer(&self.app, endpoint, &request, from.peer).await;
            return answer.map(Either::Right);
        }
        self.surface.clone().answer(request, from).await.map(Either::Left)
    }
}

/// What was asked, for the line about a request that was refused.
struct Asked {
    method: Method,
    uri: Uri,
}

/// Characters of a path that are logged.
const PATH_SHOWN_MAX: usize = 200;

impl Asked {
    fn of<B>(request: &Request<B>) -> Self {
        // Both are shared with the request, not copied.
        Self { method: request.method().clone(), uri: request.uri().clone() }
    }

    fn tell(&self, request_id: &str, status: StatusCode) {
        // Without the query, in which some clients put keys.
        let path: String = self.uri.path().chars().take(PATH_SHOWN_MAX).collect();
        let (method, status) = (self.method.as_str(), status.as_u16());
        tracing::info!(request_id, method, path, status, "answered with an error");
    }
}
