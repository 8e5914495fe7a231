//! The first thing a request meets: it is named, and sent to operations, to
//! management or to a dialect's surface.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body as OwnBody;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use tower_service::Service as _;

use crate::app::App;
use crate::http::connection::{BoxError, Peer};
use crate::{admin, ops, request_id};

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

/// The service for one connection.
pub fn service<S: Surface>(
    app: Arc<App>,
    surface: S,
    admin: axum::Router,
    peer: Peer,
) -> impl Service<Request<Incoming>, Response = Answer<S>, Error = Infallible, Future: Send + 'static>
+ Send
+ 'static {
    service_fn(move |request| {
        let (app, surface, admin) = (Arc::clone(&app), surface.clone(), admin.clone());
        async move {
            let id = request_id::of(request.headers(), &*app.env);
            let header = HeaderValue::from_str(&id);
            if let Some(traces) = &app.telemetry.traces {
                traces.remember(&id, request.headers());
            }
            let mut answer =
                route(app, surface, admin, request, From { peer, request_id: id }).await;
            if let Ok(header) = header {
                answer.headers_mut().entry(request_id::HEADER).or_insert(header);
            }
            Ok(answer)
        }
    })
}

async fn route<S: Surface>(
    app: Arc<App>,
    surface: S,
    mut admin: axum::Router,
    request: Request<Incoming>,
    from: From,
) -> Answer<S> {
    let path = request.uri().path();
    if path.starts_with(admin::PREFIX) {
        // The router is always ready and does not fail.
        let request = request.map(OwnBody::new);
        let answer = admin.call(request).await.unwrap_or_else(|never| match never {});
        return answer.map(Either::Right);
    }
    if let Some(endpoint) = ops::Endpoint::of(path) {
        let answer = ops::answer(&app, endpoint, &request).await.into_response();
        return answer.map(Either::Right);
    }
    surface.answer(request, from).await.map(Either::Left)
}
