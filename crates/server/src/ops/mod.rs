//! What operators and their tools ask: is it alive, is it ready, how does it
//! do.

mod metrics;
mod ready;
mod responses;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, Method, Request, StatusCode, header};

use crate::app::App;
use crate::metrics_text::MetricsText;

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

/// Answers it.
pub async fn answer<B>(app: &App, endpoint: Endpoint, request: &Request<B>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let mut response = match endpoint {
        Endpoint::Health => "ok\n".into_response(),
        Endpoint::Ready => {
            let Readiness { ready, detail } = readiness(app).await;
            let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            (status, axum::Json(detail)).into_response()
        }
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
