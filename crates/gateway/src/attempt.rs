//! One call to one deployment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use freehold_control::{Head, Refusal, Waiting};
use freehold_llm::model::{ApiError, Event, Request};
use freehold_llm::{DecodeError, Dialect, Losses};
use freehold_types::{
    BodyError, BoxBody, Code, Env, ErrorKind, Transport, TransportError, TransportFault,
    WireRequest,
};
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderMap, StatusCode};

use crate::answer::{check_whole, collect, first_of, is_event_stream, refused};
use crate::engine::{Engine, EngineStream};
use crate::plan::{Auth, Deployment};
use crate::retry::{Blame, Fault, retry_after};
use crate::wire::{self, Asked, Lane};

/// The largest whole answer that is held, images included.
const ANSWER_LIMIT: usize = 64 << 20;

/// What a deployment answered, with its first byte in hand.
pub(crate) struct Answered {
    pub(crate) headers: HeaderMap,
    pub(crate) content: Content,
    pub(crate) losses: Losses,
}

/// The content of an answer.
pub(crate) enum Content {
    /// The whole answer in `dialect`.
    Whole { dialect: Dialect, body: Bytes },
    /// A stream in `dialect`, of which `first` has come.
    Stream { dialect: Dialect, cut_usage: bool, first: Bytes, rest: BoxBody },
    /// An engine's events, of which the first has come.
    Events { first: Box<Event>, rest: EngineStream },
}

/// Why a deployment did not answer.
pub(crate) struct Failed {
    pub(crate) fault: Fault,
    pub(crate) error: Box<ApiError>,
    /// The upstream's own response, if it was in the caller's dialect.
    pub(crate) raw: Option<Box<Raw>>,
    /// What the provider asked for.
    pub(crate) wait: Option<Duration>,
    /// Set where the provider may bill the attempt all the same: it had the
    /// whole request and did not refuse it. The bytes of an answer that came.
    pub(crate) billed: Option<u64>,
}

/// A response as it came.
pub(crate) struct Raw {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Failed {
    pub(crate) fn new(fault: Fault, error: ApiError) -> Self {
        Self { fault, error: Box::new(error), raw: None, wait: None, billed: None }
    }

    /// The request cannot be put to this deployment.
    pub(crate) fn unsent(error: Box<ApiError>) -> Self {
        let unfit = [Code::StrictLoss, Code::UnsupportedFeature].map(Code::word);
        let unfit = error.code.as_deref().is_some_and(|code| unfit.contains(&code));
        let fault = if unfit { Fault::Unfit } else { Fault::Client };
        Self { fault, error, raw: None, wait: None, billed: None }
    }

    /// A fault of ours before anything was sent.
    fn before(error: Box<ApiError>) -> Self {
        Self { fault: Fault::Client, error, raw: None, wait: None, billed: None }
    }

    pub(crate) fn transport(error: &TransportError) -> Self {
        let fault = Fault::of_transport(error.fault);
        let code = match fault {
            Fault::Timeout => Code::UpstreamTimeout,
            _ => Code::UpstreamUnreachable,
        };
        let out = matches!(error.fault, TransportFault::HeadersTimeout | TransportFault::Broken);
        Self {
            billed: out.then_some(0),
            ..Self::new(
                fault,
                ApiError::new(code, format!("the provider cannot be reached: {error}")),
            )
        }
    }

    pub(crate) fn body(error: &BodyError) -> Self {
        let (fault, code) = match error {
            BodyError::Stalled(_) => (Fault::Timeout, Code::UpstreamTimeout),
            BodyError::Broken(_) => (Fault::Connection, Code::UpstreamBroken),
        };
        Self::new(fault, ApiError::new(code, format!("the provider's answer broke off: {error}")))
            .after(0)
    }

    /// The same after so many bytes of an answer, which may be billed.
    pub(crate) fn after(self, bytes: usize) -> Self {
        Self { billed: Some(bytes as u64), ..self }
    }

    /// Takes the server's own credential out of what the provider said: some
    /// repeat it in their errors, and clients and logs are not to see it.
    pub(crate) fn hide(&mut self, auth: &Auth) {
        let Some(secret) = auth.secret() else { return };
        if self.raw.as_ref().is_some_and(|raw| memchr::memmem::find(&raw.body, secret).is_some()) {
            self.raw = None;
        }
        let error = &mut self.error;
        let holds = |text: &str| memchr::memmem::find(text.as_bytes(), secret).is_some();
        if error.native.as_ref().is_some_and(|(_, native)| holds(&native.to_string())) {
            error.native = None;
        }
        let native = error.native_type.as_mut().map(|(_, text)| text);
        let texts = [Some(&mut error.message), error.param.as_mut(), error.code.as_mut(), native];
        for text in texts.into_iter().flatten() {
            if holds(text) {
                *text = text.replace(&*String::from_utf8_lossy(secret), "[credential]");
            }
        }
    }

    /// The deployment has as many requests before it as it bears; nothing was
    /// sent.
    fn full(refusal: &Refusal) -> Self {
        let wait = refusal.retry_after_ms.map(Duration::from_millis);
        Self {
            fault: Fault::Full,
            error: crate::refuse::refusal(refusal),
            raw: None,
            wait,
            billed: None,
        }
    }

    /// There is no engine in this process.
    pub(crate) fn no_engine() -> Self {
        Self::new(
            Fault::Missing,
            ApiError::new(
                Code::LocalNotBuilt,
                "this build has no local engine: build with the cargo feature `local`",
            ),
        )
    }

    /// A fault of ours, or the request's, found on the way.
    pub(crate) fn ours(error: Box<ApiError>) -> Self {
        Self::before(error)
    }

    /// A whole answer that its codec cannot read.
    pub(crate) fn unreadable(error: &DecodeError) -> Self {
        Self::garbage(error)
    }

    /// An answer that cannot be read.
    pub(crate) fn garbage(what: impl std::fmt::Display) -> Self {
        Self::new(
            Fault::Garbage,
            ApiError::new(
                Code::UpstreamGarbage,
                format!("the provider's answer cannot be read: {what}"),
            ),
        )
    }
}

/// Holds a deployment's place while an attempt is under way and tells its
/// health how it went. Dropped without a verdict, it says nothing of the
/// deployment: the client went away, or a hedge won.
pub(crate) struct Trying {
    deployment: Arc<Deployment>,
    /// The model's name there.
    model: Arc<str>,
    began: Duration,
    /// Its place among those who wait for an answer to begin; `None` once it
    /// has, and for engines, which have queues of their own.
    waiting: Option<Waiting>,
    told: bool,
}

impl Trying {
    /// Takes a place, unless as many wait as the deployment bears.
    pub(crate) fn enter(
        deployment: &Arc<Deployment>,
        model: &str,
        now: Duration,
    ) -> Result<Self, Failed> {
        let waiting = if deployment.provider.local {
            None
        } else {
            let entered = deployment.cell.bears.enter(now, &deployment.name);
            Some(entered.map_err(|refusal| {
                // A probe that it was chosen for is given back.
                deployment.cell.health().abstained();
                Failed::full(&refusal)
            })?)
        };
        deployment.cell.in_flight.fetch_add(1, Ordering::Relaxed);
        deployment.cell.metrics.attempts.fetch_add(1, Ordering::Relaxed);
        let own = *deployment.model == *model;
        let model = if own { Arc::clone(&deployment.model) } else { model.into() };
        Ok(Self { deployment: Arc::clone(deployment), model, began: now, waiting, told: false })
    }

    pub(crate) fn model(&self) -> &Arc<str> {
        &self.model
    }

    pub(crate) fn deployment(&self) -> &Arc<Deployment> {
        &self.deployment
    }

    /// The answer has begun.
    pub(crate) fn answered(&mut self, now: Duration) {
        let head = now.saturating_sub(self.began);
        self.told = true;
        if let Some(waiting) = self.waiting.take() {
            waiting.head(now, Head::Answered);
        }
        self.deployment.cell.metrics.head.observe(head);
        self.deployment.cell.health().succeeded(now, head);
        self.deployment.provider.cell.credential_taken();
    }

    /// The attempt failed, before its answer or in the middle of it.
    pub(crate) fn failed(&mut self, now: Duration, fault: Fault, wait: Option<Duration>) {
        self.deployment.cell.metrics.failed(fault);
        if let Some(waiting) = self.waiting.take() {
            waiting.head(now, head_of(fault, wait));
        }
        let mut health = self.deployment.cell.health();
        self.told = true;
        match fault.blame() {
            Blame::Nobody => health.abstained(),
            Blame::Deployment => health.failed(now),
            Blame::Rest => health.rest(now, wait.unwrap_or(Duration::from_secs(1))),
            Blame::Credential => {
                health.abstained();
                self.deployment.provider.cell.credential_refused(now);
            }
        }
    }
}

/// What a failed attempt says of how much the deployment bears. A long
/// Retry-After is a quota's: there is room again at a certain time, and fewer
/// requests at once would not help.
fn head_of(fault: Fault, wait: Option<Duration>) -> Head {
    match fault {
        Fault::RateLimited if wait.is_some_and(|w| w > Duration::from_secs(5)) => Head::Answered,
        Fault::RateLimited | Fault::Server | Fault::Timeout => Head::Overloaded,
        _ => Head::Answered,
    }
}

impl Drop for Trying {
    fn drop(&mut self) {
        self.deployment.cell.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.told {
            self.deployment.cell.health().abstained();
        }
    }
}

/// The doors an attempt goes through.
#[derive(Clone, Copy)]
pub(crate) struct Doors<'a> {
    pub(crate) transport: &'a dyn Transport,
    pub(crate) engine: Option<&'a dyn Engine>,
    pub(crate) env: &'a dyn Env,
}

/// Calls a deployment and waits for the first byte of its answer, or for the
/// whole of it where no stream was asked for. `request` is the hub's form if
/// it was changed (URLs fetched), else the asked one is used.
pub(crate) async fn attempt(
    doors: Doors<'_>,
    asked: &Asked<'_>,
    deployment: &Arc<Deployment>,
    request: Option<&Arc<Request>>,
) -> Result<Answered, Failed> {
    if deployment.provider.local {
        return Box::pin(on_engine(doors, asked, deployment, request)).await;
    }
    let out = wire::outgoing(asked, deployment, request).map_err(Failed::unsent)?;
    let (dialect, cut_usage) = match out.lane {
        Lane::Bytes { cut_usage } => (asked.dialect, cut_usage),
        Lane::Cross(to) => (to, false),
    };
    let expected = Expected {
        caller: asked.dialect,
        dialect,
        stream: asked.stream,
        cut_usage,
        limit: ANSWER_LIMIT,
    };
    let (headers, content) = send(doors, out.wire, expected).await?;
    Ok(Answered { headers, content, losses: out.losses })
}

/// What the answer to a request is to be.
#[derive(Clone, Copy)]
pub(crate) struct Expected {
    /// In whose shape the client hears errors.
    pub(crate) caller: Dialect,
    /// What the other side speaks.
    pub(crate) dialect: Dialect,
    /// Whether a stream was asked for.
    pub(crate) stream: bool,
    /// Whether its usage chunk is only ours.
    pub(crate) cut_usage: bool,
    /// The most bytes of a whole answer.
    pub(crate) limit: usize,
}

/// Sends a request and waits for the first byte of a stream, or for the whole
/// of an answer that is none.
pub(crate) async fn send(
    doors: Doors<'_>,
    request: WireRequest,
    expected: Expected,
) -> Result<(HeaderMap, Content), Failed> {
    let Expected { caller, dialect, stream, cut_usage, limit } = expected;
    let response =
        doors.transport.send(request).await.map_err(|error| Failed::transport(&error))?;
    let (status, headers) = (response.status, response.headers);
    if !status.is_success() {
        let wait = retry_after(&headers, doors.env.now());
        return Err(Box::pin(refused(caller, dialect, status, headers, response.body, wait)).await);
    }
    let content = if stream && is_event_stream(&headers) {
        first_of(dialect, cut_usage, response.body).await?
    } else {
        let body = collect(response.body, limit).await?;
        check_whole(dialect, status, &body)?;
        Content::Whole { dialect, body }
    };
    Ok((headers, content))
}

async fn on_engine(
    doors: Doors<'_>,
    asked: &Asked<'_>,
    deployment: &Arc<Deployment>,
    request: Option<&Arc<Request>>,
) -> Result<Answered, Failed> {
    let Some(engine) = doors.engine else {
        return Err(Failed::no_engine());
    };
    let request = match request {
        Some(request) => Arc::clone(request),
        None => asked.paper.request().map_err(Failed::before)?,
    };
    let request = match asked.add_limit {
        Some(limit) if request.max_tokens.is_none() => {
            let mut limited = (*request).clone();
            limited.max_tokens = Some(limit);
            Arc::new(limited)
        }
        _ => request,
    };
    let mut seed = [0; 8];
    doors.env.fill_random(&mut seed);
    let model = asked.model_at(deployment);
    let created = doors.env.now().as_second();
    let mut rest = engine
        .generate(request, &model, created, u64::from_le_bytes(seed))
        .await
        .map_err(engine_failed)?;
    match rest.next().map(|e| e.unwrap_or_else(silent)).await {
        Event::Error(error) => Err(engine_failed(Box::new(error))),
        first => Ok(Answered {
            headers: HeaderMap::new(),
            content: Content::Events { first: Box::new(first), rest },
            losses: Losses::default(),
        }),
    }
}

fn silent() -> Event {
    Event::Error(ApiError::new(Code::EngineStopped, "the local engine ended without an answer"))
}

pub(crate) fn engine_failed(error: Box<ApiError>) -> Failed {
    let fault = match error.kind {
        ErrorKind::Unavailable | ErrorKind::OverLimit => Fault::RateLimited,
        ErrorKind::NotFound => Fault::Missing,
        ErrorKind::Internal | ErrorKind::Upstream => Fault::Server,
        _ => Fault::Client,
    };
    let wait = error.retry_after_ms.map(Duration::from_millis);
    Failed { fault, error, raw: None, wait, billed: None }
}
