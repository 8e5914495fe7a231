//! Bodies of requests about sessions: read once, so that a request can go on
//! to the node that has its session.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use freehold_types::Code;
use http_body_util::{BodyExt as _, Limited};
use serde::de::DeserializeOwned;

use super::super::Admin;
use crate::problem::Problem;
use crate::surface::failure::Away;
use crate::surface::forward::{self, Search, Whole};

/// The largest body: an input with pictures in it.
const BODY_BYTES_MAX: usize = 32 << 20;
/// How long the whole of one may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request's body, read.
#[derive(Clone)]
struct Read(Bytes);

/// Reads the body.
async fn whole(body: Body) -> Result<Bytes, Problem> {
    let read = tokio::time::timeout(PATIENCE, Limited::new(body, BODY_BYTES_MAX).collect());
    let read = read
        .await
        .map_err(|_| Problem::invalid(format!("the body did not arrive within {PATIENCE:?}")))?;
    let bytes = read.map_err(|error| {
        Problem::new(Code::BodyTooLarge, format!("the body cannot be read: {error}"))
    })?;
    Ok(bytes.to_bytes())
}

/// Reads the body before anything else, and has the node answer that has the
/// session.
pub(super) async fn at_its_node(
    State(admin): State<Admin>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(problem) => return problem.into_response(),
    };
    head.extensions.insert(Read(body.clone()));
    let Some(app) = admin.app().ok().filter(|app| app.members.is_some()) else {
        // There is no other node.
        return next.run(Request::from_parts(head, Body::from(body))).await;
    };
    let mut asked = head.clone();
    // Routing takes the prefix off; the other node wants it as it came.
    if let Some(OriginalUri(uri)) = asked.extensions.get().cloned() {
        asked.uri = uri;
    }
    let mut search = Search::begin(&*app.env);
    loop {
        let request = Request::from_parts(head.clone(), Body::from(body.clone()));
        let response = next.clone().run(request).await;
        let Some(away) = response.extensions().get::<Away>().cloned() else { return response };
        let whole = Whole { head: &asked, body: body.clone() };
        match search.elsewhere(&away, &app.sessions, &*app.transport, whole).await {
            Ok(forward::Next::Answer(answer)) => return answer,
            Ok(forward::Next::Again) => {}
            Err(lost) => {
                let mut problem = Problem::new(lost.code, lost.message);
                problem.retry_after_ms = Some(forward::Lost::RETRY_AFTER_MS);
                return problem.into_response();
            }
        }
    }
}

/// A JSON body of any size that a session may be given.
pub(super) struct Json<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = request.extensions().get::<Read>().map(|read| read.0.clone());
        let bytes = bytes.unwrap_or_default();
        // No body says nothing, as an empty object does.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| Problem::invalid(format!("the body cannot be used: {error}")))
    }
}
