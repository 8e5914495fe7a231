//! The gateway's reply as an HTTP response.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as OwnBody;
use bytes::Bytes;
use freehold_gateway::Relay;
use freehold_gateway::call::{Reply, ReplyBody as GatewayBody};
use freehold_types::BodyError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

/// A response's body: whole, or as it comes.
pub enum ReplyBody {
    /// Whole; `None` once it is written.
    Full(Option<Bytes>),
    /// As it comes.
    Stream(Box<Relay>),
    /// Of sessions.
    Own(OwnBody),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(whole) => Poll::Ready(whole.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(relay) => Pin::new(relay.as_mut()).poll_frame(cx),
            Self::Own(body) => {
                Pin::new(body).poll_frame(cx).map_err(|error| BodyError::Broken(error.to_string()))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(whole) => whole.is_none(),
            Self::Stream(_) => false,
            Self::Own(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(whole) => {
                SizeHint::with_exact(whole.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
            Self::Own(body) => body.size_hint(),
        }
    }
}

/// The response of a reply.
pub(super) fn response(reply: Reply) -> Response<ReplyBody> {
    let Reply { status, mut headers, body } = reply;
    let body = match body {
        GatewayBody::Full(bytes) => ReplyBody::Full((!bytes.is_empty()).then_some(bytes)),
        GatewayBody::Stream(relay) => {
            // Proxies between us and the client must not hold events back.
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
            headers.entry("x-accel-buffering").or_insert(HeaderValue::from_static("no"));
            ReplyBody::Stream(relay)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// A JSON response of our own.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Full(Some(value.to_string().into())));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
