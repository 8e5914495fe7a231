//! A request about a session that another node has goes there as it is, and
//! the answer comes back as it comes.
//!
//! Sessions move: their node may stop or die just then, and whoever has them next
//! is known a moment later. So a request that did not arrive, or that came too
//! early or too late, is answered anew by whoever has the session then; a client
//! hears of none of that. Two nodes may each believe that the other has it, so a
//! request goes on twice at the most: from a node that stops to another one,
//! and from there to where the session is.

use std::sync::Arc;
use std::time::Duration;

use super::failure::Away;
use axum::body::Body;
use bytes::Bytes;
use freehold_llm::model::ApiError;
use freehold_runtime::sessions::Sessions;
use freehold_types::{Code, Env, Target, Timeouts, Transport, TransportFault, WireRequest};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};

/// How often a request was sent on by nodes.
pub(crate) const FORWARDED: HeaderName = HeaderName::from_static("x-freehold-forwarded");
/// The most times.
const HOPS_MAX: u32 = 2;
/// Marks the answer of a node that has not got the session: no client sees it.
const MOVING: HeaderName = HeaderName::from_static("x-freehold-moving");
/// What makes a request one that may be sent twice.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// For how long a request is kept that finds nobody: longer than it takes to see
/// that a node is dead, and a node that stops lets attempts finish.
const SEARCH: Duration = Duration::from_secs(15);
/// The first pause before looking again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

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

/// What a request that is not answered here comes to.
pub(crate) enum Next {
    /// This answer.
    Answer(Response<Body>),
    /// It is to be answered anew, here, now.
    Again,
}

/// What became of a request that was sent on.
#[derive(Debug)]
enum Sent {
    /// The other node's answer.
    Answered(Response<Body>),
    /// It has not got the session, or is gone: nothing came of the request.
    Moved,
    /// Nobody can tell whether something came of it.
    Broken,
}

/// One request's search for whoever has its session.
pub(crate) struct Search<'a> {
    env: &'a dyn Env,
    until: Duration,
    pause: Duration,
    /// How often it was looked for.
    turn: usize,
    /// Stands in for the client's key, so that it may be sent again.
    key: HeaderValue,
}

impl<'a> Search<'a> {
    pub(crate) fn begin(env: &'a dyn Env) -> Self {
        let mut random = [0; 16];
        env.fill_random(&mut random);
        let key = format!("sent-on-{:032x}", u128::from_be_bytes(random));
        let key = HeaderValue::from_str(&key);
        Self {
            env,
            until: env.monotonic() + SEARCH,
            pause: PAUSES.0,
            turn: 0,
            key: key.unwrap_or(HeaderValue::from_static("sent-on")),
        }
    }

    /// Has somebody else answer, or waits until it is worth to look again.
    pub(crate) async fn elsewhere(
        &mut self,
        away: &Away,
        sessions: &Sessions,
        transport: &dyn Transport,
        whole: Whole<'_>,
    ) -> Result<Next, Lost> {
        let head = whole.head;
        let address = match away {
            Away::At(address) => Some(Arc::clone(address)),
            Away::Neighbour => Some(sessions.neighbour(self.turn).ok_or(STOPPING)?),
            Away::Soon => None,
        };
        let hops = hops(&head.headers);
        if let Some(address) = address.filter(|_| hops < HOPS_MAX) {
            match self.forward(transport, &address, whole).await {
                Sent::Answered(response) => return Ok(Next::Answer(response)),
                Sent::Broken if !may_repeat(head) => return Err(IN_DOUBT),
                Sent::Broken | Sent::Moved => {}
            }
        }
        // Whoever sent it on tries again.
        if hops > 0 {
            return Ok(Next::Answer(moving()));
        }
        if self.env.monotonic() >= self.until {
            return Err(UNREACHABLE);
        }
        self.env.sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.turn += 1;
        Ok(Next::Again)
    }

    /// Has the node at `address` (`http://host:port`) answer.
    async fn forward(&self, transport: &dyn Transport, address: &str, whole: Whole<'_>) -> Sent {
        let Whole { head, body } = whole;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let Ok(uri) = format!("{}{path}", address.trim_end_matches('/')).parse::<Uri>() else {
            tracing::error!(address, "a node has no usable address: see sessions.advertise");
            return Sent::Moved;
        };
        let request = WireRequest {
            method: head.method.clone(),
            uri,
            headers: self.headers(&head.headers, &head.method),
            body: body.into(),
            timeouts: TIMEOUTS,
            target: Target::Configured,
            pool: None,
        };
        let answer = match transport.send(request).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(%error, address, "a request is not sent on");
                return match error.fault {
                    TransportFault::Connect
                    | TransportFault::ConnectTimeout
                    | TransportFault::Refused => Sent::Moved,
                    TransportFault::HeadersTimeout | TransportFault::Broken => Sent::Broken,
                };
            }
        };
        if answer.headers.contains_key(&MOVING) {
            return Sent::Moved;
        }
        let mut response = Response::new(Body::new(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        for name in &OF_A_HOP {
            response.headers_mut().remove(name);
        }
        Sent::Answered(response)
    }

    fn headers(&self, of: &HeaderMap, method: &Method) -> HeaderMap {
        let mut headers = of.clone();
        for name in OF_A_HOP.iter().chain([&header::HOST, &header::CONTENT_LENGTH, &header::EXPECT])
        {
            headers.remove(name);
        }
        headers.insert(FORWARDED, HeaderValue::from(hops(of) + 1));
        if *method == Method::POST && !headers.contains_key(&IDEMPOTENCY_KEY) {
            headers.insert(IDEMPOTENCY_KEY, self.key.clone());
        }
        headers
    }
}

/// How often a request was sent on before it came here.
fn hops(headers: &HeaderMap) -> u32 {
    let told = headers.get(&FORWARDED).and_then(|value| value.to_str().ok());
    told.map_or(0, |text| text.parse().unwrap_or(HOPS_MAX))
}

/// Where a key makes a request one that is done once.
const KEYED: [&str; 5] = ["/input", "/answers", "/signals", "/sessions", "/responses"];

/// Whether a request of which nobody knows what became of it may be sent again:
/// it says nothing new, or says it under a key, or can be said twice.
fn may_repeat(head: &Parts) -> bool {
    let path = head.uri.path().trim_end_matches('/');
    head.method != Method::POST
        || path.ends_with("/cancel")
        || KEYED.iter().any(|end| path.ends_with(end))
}

/// The answer to a request that was sent on to a node which has not got the
/// session.
fn moving() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    response.headers_mut().insert(MOVING, HeaderValue::from_static("1"));
    response
}

/// Why nobody answers a request.
pub(crate) struct Lost {
    pub(crate) code: Code,
    pub(crate) message: &'static str,
}

impl Lost {
    /// When to try again.
    pub(crate) const RETRY_AFTER_MS: u64 = 500;
}

impl From<Lost> for Box<ApiError> {
    fn from(lost: Lost) -> Self {
        let mut error = ApiError::new(lost.code, lost.message);
        error.retry_after_ms = Some(Lost::RETRY_AFTER_MS);
        Self::new(error)
    }
}

const UNREACHABLE: Lost = Lost {
    code: Code::SessionUnreachable,
    message: "the node that has the session cannot be reached; send the request again",
};
const IN_DOUBT: Lost = Lost {
    code: Code::SessionUnreachable,
    message: "the node that has the session went away before it answered; the session shows \
              whether the request was accepted",
};
const STOPPING: Lost =
    Lost { code: Code::Stopping, message: "the server is stopping; send the request again later" };

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use freehold_types::{BoxFuture, TransportError, WireResponse};
    use http::{HeaderMap, StatusCode};
    use http_body_util::{BodyExt as _, Full};

    use super::*;
    use crate::env::RealEnv;

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

    fn head(hops: &'static str) -> Parts {
        let mut request = http::Request::post("/v1/responses/x?stream=true")
            .header("authorization", "Bearer k")
            .header("host", "here");
        if !hops.is_empty() {
            request = request.header(FORWARDED, hops);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn it_goes_there_as_it_is_and_comes_back_as_it_is() {
        let (node, env) = (Node(Mutex::default()), RealEnv::new());
        let head = head("");
        let whole = Whole { head: &head, body: Bytes::from_static(b"asked") };
        let search = Search::begin(&env);
        let Sent::Answered(answer) = search.forward(&node, "http://there:1/", whole).await else {
            panic!("it was answered")
        };
        let sent = node.0.into_inner().unwrap().pop().unwrap();
        assert_eq!(sent.uri, "http://there:1/v1/responses/x?stream=true");
        assert_eq!(sent.headers["authorization"], "Bearer k");
        assert!(!sent.headers.contains_key("host"));
        assert_eq!(sent.headers[FORWARDED], "1");
        let key = sent.headers[IDEMPOTENCY_KEY].clone();
        assert_eq!(search.headers(&head.headers, &Method::POST)[IDEMPOTENCY_KEY], key);
        assert!(!search.headers(&head.headers, &Method::GET).contains_key(IDEMPOTENCY_KEY));
        assert_eq!(answer.status(), StatusCode::CREATED);
        assert!(answer.headers().contains_key("x-kept"));
        assert!(!answer.headers().contains_key("connection"));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "told");
    }

    #[test]
    fn it_does_not_go_in_circles() {
        for (told, hops) in [("", 0), ("1", 1), ("2", 2), ("many", HOPS_MAX)] {
            assert_eq!(super::hops(&head(told).headers), hops);
        }
    }

    #[test]
    fn only_what_does_no_harm_twice_is_sent_twice() {
        let may = |method: &str, path: &str| {
            let request = http::Request::builder().method(method).uri(path).body(()).unwrap();
            may_repeat(&request.into_parts().0)
        };
        assert!(may("GET", "/v1/freehold/sessions/x/fork"));
        assert!(may("POST", "/v1/responses") && may("POST", "/v1/freehold/sessions/x/input?a=b"));
        assert!(!may("POST", "/v1/freehold/sessions/x/fork"));
        assert!(!may("POST", "/v1/freehold/sessions/x/timers"));
    }
}
