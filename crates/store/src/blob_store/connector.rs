//! Our own HTTP client for the object stores' library, so that its requests
//! go out as all others do: our TLS, our pools, our limits.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freehold_types::{
    BodyError, BoxBody, Target, Timeouts, Transport, TransportError, TransportFault, WireBody,
    WireRequest,
};
use http::header::{CONTENT_LENGTH, HOST};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

/// Generous, for an object may be large and far away.
const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(10),
    headers: Duration::from_secs(60),
    first_byte: Duration::from_secs(30),
    idle: Duration::from_secs(30),
};

/// The door, as the library takes it.
#[derive(Clone)]
pub(super) struct Wire(pub(super) Arc<dyn Transport>);

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, mut content) = request.into_parts();
        let mut headers = head.headers;
        headers.remove(HOST);
        let mut body = WireBody::default();
        while let Some(frame) = content.frame().await {
            if let Ok(part) = frame?.into_data() {
                body.push(part);
            }
        }
        // Of an empty body the transport writes none, and Azure asks for it.
        if !body.is_empty() {
            headers.remove(CONTENT_LENGTH);
        }
        let request = WireRequest {
            method: head.method,
            uri: head.uri,
            headers,
            body,
            timeouts: TIMEOUTS,
            target: Target::Configured,
            pool: None,
        };
        let response = self.0.send(request).await.map_err(sent)?;
        let mut answer =
            HttpResponse::new(HttpResponseBody::new(Answer(Mutex::new(response.body))));
        *answer.status_mut() = response.status;
        *answer.headers_mut() = response.headers;
        Ok(answer)
    }
}

fn sent(error: TransportError) -> HttpError {
    let kind = match error.fault {
        TransportFault::Connect | TransportFault::ConnectTimeout => HttpErrorKind::Connect,
        TransportFault::HeadersTimeout => HttpErrorKind::Timeout,
        TransportFault::Broken => HttpErrorKind::Interrupted,
        TransportFault::Refused => HttpErrorKind::Unknown,
    };
    HttpError::new(kind, error)
}

/// A body that may be shared between threads, as the library wants it. Nobody
/// ever waits at the lock: who reads has it to himself.
struct Answer(Mutex<BoxBody>);

impl Body for Answer {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        body.as_mut().poll_frame(context).map_err(|error| {
            let kind = match error {
                BodyError::Stalled(_) => HttpErrorKind::Timeout,
                BodyError::Broken(_) => HttpErrorKind::Interrupted,
            };
            HttpError::new(kind, error)
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}
