//! What operators and their tools ask: is it alive, is it ready, how does it
//! do.

mod metrics;
mod ready;
mod responses;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use freehold_types::Code;
use http::{HeaderValue, Method, Request, StatusCode, header};
use serde_json::json;

use crate::admin::manages_all;
use crate::app::App;
use crate::http::connection::Peer;
use crate::metrics_text::MetricsText;
use crate::problem::Problem;

pub use ready::{Readiness, readiness};
pub use responses::Responses;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/healthz`: does the process answer at all?
    Health,
    /// `/readyz`: should it be sent requests?
    Ready,
    /// `/metrics`: the Prometheus page.
    Metrics,
}

impl Endpoint {
    /// The endpoint at a path.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            "/metrics" => Some(Self::Metrics),
            _ => None,
        }
    }
}

/// Answers it. Names of routes and what is wrong with the configuration are
/// for this machine and for who manages the server, unless the operator opens
/// them to all.
pub async fn answer<B>(
    app: &App,
    endpoint: Endpoint,
    request: &Request<B>,
    peer: Peer,
) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let told = || {
        peer.is_local()
            || app.config.load().server.open_operations
            || manages_all(&app.control, request.headers())
    };
    let mut response = match endpoint {
        Endpoint::Health => "ok\n".into_response(),
        Endpoint::Ready => {
            let Readiness { ready, mut detail } = readiness(app).await;
            if !told() {
                detail = json!({ "status": detail["status"] });
            }
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, axum::Json(detail)).into_response()
        }
        Endpoint::Metrics if !told() => Problem::new(
            Code::AdminRequired,
            "metrics are told to this machine and to admin keys of the tenant `main`; \
             `server.open_operations = true` opens them to all",
        )
        .into_response(),
        Endpoint::Metrics => {
            let mut response = Response::new(Body::from(metrics::page(app)));
            let kind = HeaderValue::from_static(MetricsText::CONTENT_TYPE);
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
    };
    // An answer about now is of no use later.
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, no_store);
    response
}
