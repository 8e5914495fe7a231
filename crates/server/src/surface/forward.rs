//! A request about a session that another node has goes there as it is, and
//! the answer comes back as it comes.
//!
//! A node that gets a forwarded request does not forward it again: while a
//! session moves, two nodes may each believe the other has it.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use freehold_llm::model::ApiError;
use freehold_types::{Code, Target, Timeouts, Transport, WireRequest};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response, Uri, header};

/// Marks a request that another node sent on.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("x-freehold-forwarded");

/// Headers of one hop.
const OF_A_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
];

/// An answer may be waited for as long as a turn takes; streams are never
/// silent for longer than their pings are apart.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(2),
    headers: Duration::from_secs(24 * 60 * 60),
    first_byte: Duration::from_secs(24 * 60 * 60),
    idle: Duration::from_secs(24 * 60 * 60),
};

/// A request whose body was read.
pub(crate) struct Whole<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) body: Bytes,
}

/// Has the node at `address` (`http://host:port`) answer.
pub(crate) async fn forward(
    transport: &dyn Transport,
    address: &str,
    whole: Whole<'_>,
) -> Result<Response<Body>, Box<ApiError>> {
    let Whole { head, body } = whole;
    if head.headers.contains_key(&FORWARDED) {
        return Err(unreachable("the session is moving between nodes; send the request again"));
    }
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let uri: Uri = format!("{}{path}", address.trim_end_matches('/'))
        .parse()
        .map_err(|_| unreachable("the node that has the session has no usable address"))?;
    let mut headers = head.headers.clone();
    for name in OF_A_HOP.iter().chain([&header::HOST, &header::CONTENT_LENGTH, &header::EXPECT]) {
        headers.remove(name);
    }
    headers.insert(FORWARDED, HeaderValue::from_static("1"));
    let request = WireRequest {
        method: head.method.clone(),
        uri,
        headers,
        body: body.into(),
        timeouts: TIMEOUTS,
        target: Target::Configured,
        pool: None,
    };
    let answer = transport.send(request).await.map_err(|error| {
        tracing::warn!(%error, address, "a request could not be sent on");
        unreachable("the node that has the session cannot be reached; send the request again")
    })?;
    let mut response = Response::new(Body::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    for name in &OF_A_HOP {
        response.headers_mut().remove(name);
    }
    Ok(response)
}

fn unreachable(message: &str) -> Box<ApiError> {
    let mut error = ApiError::new(Code::SessionUnreachable, message);
    error.retry_after_ms = Some(500);
    Box::new(error)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use freehold_types::{BoxFuture, TransportError, WireResponse};
    use http::{HeaderMap, StatusCode};
    use http_body_util::{BodyExt as _, Full};

    use super::*;

    struct Node(Mutex<Vec<WireRequest>>);

    impl Transport for Node {
        fn send(
            &self,
            request: WireRequest,
        ) -> BoxFuture<'_, Result<WireResponse, TransportError>> {
            self.0.lock().unwrap().push(request);
            Box::pin(async {
                let body = Full::new(Bytes::from_static(b"told")).map_err(|never| match never {});
                let mut headers = HeaderMap::new();
                headers.insert("connection", HeaderValue::from_static("close"));
                headers.insert("x-kept", HeaderValue::from_static("1"));
                Ok(WireResponse { status: StatusCode::CREATED, headers, body: Box::pin(body) })
            })
        }
    }

    fn head(forwarded: bool) -> Parts {
        let mut request = http::Request::post("/v1/responses/x?stream=true")
            .header("authorization", "Bearer k")
            .header("host", "here");
        if forwarded {
            request = request.header(FORWARDED, "1");
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn it_goes_there_as_it_is_and_comes_back_as_it_is() {
        let node = Node(Mutex::default());
        let head = head(false);
        let whole = Whole { head: &head, body: Bytes::from_static(b"asked") };
        let answer = forward(&node, "http://there:1/", whole).await.unwrap();
        let sent = node.0.into_inner().unwrap().pop().unwrap();
        assert_eq!(sent.uri, "http://there:1/v1/responses/x?stream=true");
        assert_eq!(sent.headers["authorization"], "Bearer k");
        assert!(!sent.headers.contains_key("host") && sent.headers.contains_key(FORWARDED));
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert!(answer.headers().contains_key("x-kept"));
        assert!(!answer.headers().contains_key("connection"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "told");
    }

    #[tokio::test]
    async fn it_does_not_go_in_circles() {
        let node = Node(Mutex::default());
        let head = head(true);
        let whole = Whole { head: &head, body: Bytes::new() };
        let error = forward(&node, "http://there:1", whole).await.unwrap_err();
        assert_eq!(error.code.as_deref(), Some("session.unreachable"));
        assert!(node.0.into_inner().unwrap().is_empty());
    }
}
