//! One exchange from the client's bytes to the client's answer.

use std::sync::Arc;

use bytes::Bytes;
use freehold_control::{Ask, Code, Principal};
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Request, events_of};
use freehold_llm::{AnswerContext, Dialect, IdSource, Losses, estimate, scan};
use freehold_types::ErrorKind;
use futures_util::future::{Either, select};
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::attempt::{Answered, Content, Doors, Failed, Raw, Trying, attempt};
use crate::book::{Book, Opening};
use crate::call::{Call, Reply, ReplyBody};
use crate::eligible::{affinity, eligible, stateless, unknown_model};
use crate::fetch::needs_inline;
use crate::health::Verdict;
use crate::metrics::Outcome;
use crate::plan::{Deployment, Route};
use crate::relay::{Relay, fold_engine};
use crate::retry::Fault;
use crate::route::{Candidate, order};
use crate::wire::{Asked, OUTPUT_LIMIT_UNSET};
use crate::{Gateway, refuse};

/// Tells the client which deployment answered.
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-freehold-deployment");
/// Tells the client how many attempts it took, where more than one.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-freehold-attempts");
/// Tells the client what did not cross.
const LOSSES: HeaderName = HeaderName::from_static("x-freehold-losses");

impl Gateway {
    /// Answers a model call.
    pub(crate) async fn model(
        &self,
        call: &Call,
        dialect: Dialect,
    ) -> Result<Reply, Box<ApiError>> {
        let plan = self.plan.load();
        let scan = scan::scan(&call.body).map_err(|e| refuse::bad_body(&e))?;
        if dialect == Dialect::Responses {
            stateless(&scan)?;
        }
        let model = scan.model.as_ref().and_then(|f| f.value.clone()).ok_or_else(|| {
            let mut missing =
                ApiError::new(ErrorKind::Invalid, "missing_model", "model: is required");
            missing.param = Some("model".to_owned());
            missing
        })?;
        let (route, star) = plan.route(&model).ok_or_else(|| unknown_model(&plan, &model))?;
        let asked = Asked::new(call, dialect, scan.clone(), &model, (Arc::clone(route), star));
        let candidates = eligible(&asked)?;
        let (asked, book) = self.admit(asked, &candidates)?;
        self.answer(&asked, &candidates, book).await
    }

    /// Reserves what the request may cost at most.
    fn admit<'a>(
        &self,
        mut asked: Asked<'a>,
        candidates: &[Arc<Deployment>],
    ) -> Result<(Asked<'a>, Box<Book>), Box<ApiError>> {
        let scan = &asked.scan;
        let text = (scan.body_bytes - scan.media_bytes) as u64;
        let input = estimate::upper_bound_tokens(text, scan.media_count as u64);
        let choices = scan.n.as_ref().and_then(|f| f.value).unwrap_or(1).max(1);
        let output = match asked.output_limit() {
            Some(limit) => limit,
            None if asked.call.principal.reserves() || asked.route.default_max_tokens.is_some() => {
                let limit = asked.route.default_max_tokens.unwrap_or_else(|| {
                    let known = candidates.iter().filter_map(|d| d.max_output).min();
                    known.unwrap_or(OUTPUT_LIMIT_UNSET)
                });
                asked.add_limit = Some(limit);
                limit
            }
            None => 0,
        };
        let output = output.saturating_mul(choices);
        let tier = scan.service_tier.as_ref().and_then(|f| f.value.as_deref());
        let ask = Ask {
            route: &asked.route.name,
            dialect: asked.call.endpoint.word(),
            stream: asked.stream,
            input_tokens_upper: input,
            output_tokens_upper: output,
            reserve: self.reserve(
                candidates.iter().map(|d| (d.as_ref(), asked.model_at(d))),
                tier,
                (input, output),
            ),
        };
        let opening = Opening {
            gateway: self.shared()?,
            route: Arc::clone(&asked.route),
            request_id: Arc::clone(&asked.call.request_id),
            principal: Arc::clone(&asked.call.principal),
            endpoint: asked.call.endpoint.word(),
            model: asked.model.into(),
            tier: tier.map(Into::into),
            stream: asked.stream,
            input_estimate: estimate::estimate_tokens_of_len(text),
        };
        let book = self.open(&asked.call.principal, &ask, opening)?;
        Ok((asked, book))
    }

    /// Admits an exchange and opens its books.
    pub(crate) fn open(
        &self,
        principal: &Arc<Principal>,
        ask: &Ask<'_>,
        opening: Opening,
    ) -> Result<Box<Book>, Box<ApiError>> {
        let metrics = &opening.route.cell.metrics;
        match self.control.admission().admit(principal, ask) {
            Ok(ticket) => Ok(Book::open(opening, ticket)),
            Err(refusal) => {
                let shed = refusal.code == Code::OverloadShed;
                metrics.ended(if shed { Outcome::Shed } else { Outcome::Refused });
                Err(refuse::refusal(&refusal))
            }
        }
    }

    /// Tries deployments until one answers.
    async fn answer(
        &self,
        asked: &Asked<'_>,
        candidates: &[Arc<Deployment>],
        mut book: Box<Book>,
    ) -> Result<Reply, Box<ApiError>> {
        book.begin().await?;
        let route = &asked.route;
        route.first_attempt();
        let order = self.order(asked, candidates);
        let mut last: Option<Failed> = None;
        'deployments: for (place, at) in order.iter().enumerate() {
            let Some(deployment) = candidates.get(*at) else { continue };
            let mut nth = 0;
            loop {
                if book.attempts() > route.retry.most {
                    break 'deployments;
                }
                // The last resort is tried whatever its breaker says only if
                // nothing was tried at all.
                if !(self.may_try(deployment) || last.is_none() && place + 1 == order.len()) {
                    break;
                }
                let next = order.get(place + 1).and_then(|at| candidates.get(*at));
                let failed = match self.hedged(asked, deployment, next, &mut book).await {
                    Ok((trying, answered)) => match self.reply(asked, trying, answered, book).await
                    {
                        Ok(reply) => return Ok(reply),
                        Err(back) => {
                            let (failed, returned) = *back;
                            book = returned;
                            failed
                        }
                    },
                    Err(failed) => failed,
                };
                let fault = failed.fault;
                let wait = failed.wait;
                last = Some(failed);
                if fault == Fault::Client {
                    break 'deployments;
                }
                let rest = order.get(place + 1..).unwrap_or_default();
                let mut others = rest.iter().filter_map(|at| candidates.get(*at));
                if route.falls_back_on(fault) && others.any(|other| self.is_well(other)) {
                    break;
                }
                if !fault.retries_same() || book.attempts() > route.retry.most {
                    break 'deployments;
                }
                let Some(rest) = self.rest_of(deployment) else { break 'deployments };
                let wait = wait.unwrap_or_default().max(rest);
                let Some(wait) = route.retry.wait(nth, Some(wait), self.chance()) else {
                    break 'deployments;
                };
                if !route.may_retry() {
                    break 'deployments;
                }
                nth += 1;
                self.env.sleep(wait).await;
            }
        }
        Ok(Self::failed(asked, last, book))
    }

    /// Calls one deployment and, if it is slow and the route hedges, the next
    /// one beside it; the loser is cancelled.
    async fn hedged(
        &self,
        asked: &Asked<'_>,
        deployment: &Arc<Deployment>,
        next: Option<&Arc<Deployment>>,
        book: &mut Book,
    ) -> Result<(Trying, Answered), Failed> {
        let (Some(after), Some(next)) = (asked.route.hedge_after, next) else {
            let trying = book.attempt(deployment, &asked.model_at(deployment))?;
            return self.tried(asked, deployment, trying).await;
        };
        // Seldom taken, and large: two attempts at once.
        Box::pin(self.race(asked, deployment, next, after, book)).await
    }

    /// The two attempts of a hedge.
    async fn race(
        &self,
        asked: &Asked<'_>,
        deployment: &Arc<Deployment>,
        next: &Arc<Deployment>,
        after: std::time::Duration,
        book: &mut Book,
    ) -> Result<(Trying, Answered), Failed> {
        let trying = book.attempt(deployment, &asked.model_at(deployment))?;
        let first = Box::pin(self.tried(asked, deployment, trying));
        let first = match select(first, self.env.sleep(after)).await {
            Either::Left((answered, _)) => return answered,
            Either::Right(((), first)) => first,
        };
        if !self.may_try(next) {
            return first.await;
        }
        let Ok(trying) = book.attempt(next, &asked.model_at(next)) else {
            return first.await;
        };
        asked.route.cell.metrics.hedges.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let second = Box::pin(self.tried(asked, next, trying));
        match select(first, second).await {
            Either::Left((Ok(won), loser)) => {
                drop(loser);
                book.hedge_lost(next, &asked.model_at(next));
                Ok(won)
            }
            Either::Right((Ok(won), loser)) => {
                drop(loser);
                book.hedge_lost(deployment, &asked.model_at(deployment));
                Ok(won)
            }
            Either::Left((Err(_), other)) | Either::Right((Err(_), other)) => other.await,
        }
    }

    async fn tried(
        &self,
        asked: &Asked<'_>,
        deployment: &Arc<Deployment>,
        mut trying: Trying,
    ) -> Result<(Trying, Answered), Failed> {
        let doors = Doors {
            transport: self.transport.as_ref(),
            engine: self.engine.as_deref(),
            env: self.env.as_ref(),
        };
        let fetched = if needs_inline(asked, deployment) {
            Box::pin(self.inline(asked)).await?
        } else {
            None
        };
        match attempt(doors, asked, deployment, fetched.as_ref()).await {
            Ok(answered) => {
                trying.answered(self.env.monotonic());
                Ok((trying, answered))
            }
            Err(failed) => {
                trying.failed(self.env.monotonic(), failed.fault, failed.wait);
                tracing::debug!(
                    target: "freehold::attempt",
                    request_id = %asked.call.request_id,
                    provider = %deployment.provider.name,
                    fault = failed.fault.word(),
                    error = %failed.error.message,
                    "attempt failed"
                );
                Err(failed)
            }
        }
    }

    /// Turns an answer into the reply. A whole answer that cannot be read
    /// gives the book back, so that another deployment may be tried.
    async fn reply(
        &self,
        asked: &Asked<'_>,
        mut trying: Trying,
        answered: Answered,
        mut book: Box<Book>,
    ) -> Result<Reply, Box<(Failed, Box<Book>)>> {
        let deployment = Arc::clone(trying.deployment());
        let mut headers = HeaderMap::new();
        let bytes_lane = match &answered.content {
            Content::Whole { dialect, .. } | Content::Stream { dialect, .. } => {
                *dialect == asked.dialect
            }
            Content::Events { .. } => false,
        };
        if bytes_lane {
            copy_headers(&answered.headers, &mut headers);
        }
        headers.insert(DEPLOYMENT, deployment.label.clone());
        if book.attempts() > 1 {
            headers.insert(ATTEMPTS, HeaderValue::from(book.attempts()));
        }
        add_losses(&answered.losses, &mut headers);
        let stream = asked.stream;
        let kind = if stream { "text/event-stream; charset=utf-8" } else { "application/json" };
        if !bytes_lane || !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let ok = StatusCode::OK;
        match answered.content {
            Content::Stream { dialect, cut_usage, first, rest } => {
                let relay = if dialect == asked.dialect {
                    book.hold(trying);
                    Relay::bytes(book, dialect, cut_usage, first, rest)
                } else {
                    let encoder = match self.encoder(asked, &mut book) {
                        Ok(encoder) => encoder,
                        Err(failed) => return Err(Box::new((failed, book))),
                    };
                    book.hold(trying);
                    Relay::cross(book, dialect, encoder, first, rest)
                };
                Ok(Reply { status: ok, headers, body: ReplyBody::Stream(Box::new(relay)) })
            }
            Content::Events { first, rest } if stream => {
                let encoder = match self.encoder(asked, &mut book) {
                    Ok(encoder) => encoder,
                    Err(failed) => return Err(Box::new((failed, book))),
                };
                book.hold(trying);
                let relay = Relay::engine(book, encoder, &first, rest);
                Ok(Reply { status: ok, headers, body: ReplyBody::Stream(Box::new(relay)) })
            }
            Content::Whole { dialect, body } if dialect == asked.dialect && !stream => {
                let usage = scan::answer_usage(dialect, &body);
                // Usage is read from the whole body; only where there is none
                // the body may yet be cut off.
                if usage.is_none()
                    && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body)
                {
                    let failed = Failed::garbage(error);
                    trying.failed(self.env.monotonic(), failed.fault, None);
                    return Err(Box::new((failed, book)));
                }
                book.whole(usage, &body);
                book.answers(&trying);
                finish(book).await;
                Ok(Reply { status: ok, headers, body: ReplyBody::Full(body) })
            }
            Content::Whole { dialect, body } => {
                let decoded = codec(dialect).decode_answer(&body);
                let answer = match decoded {
                    Ok(answer) => answer,
                    Err(error) => {
                        let failed = Failed::unreadable(&error);
                        trying.failed(self.env.monotonic(), failed.fault, None);
                        return Err(Box::new((failed, book)));
                    }
                };
                book.whole(answer.usage.clone(), &body);
                book.answers(&trying);
                self.whole(asked, &answer, book, headers).await
            }
            Content::Events { first, rest } => {
                match Box::pin(fold_engine(asked.dialect, *first, rest)).await {
                    Ok(answer) => {
                        book.whole(answer.usage.clone(), &Bytes::new());
                        book.answers(&trying);
                        self.whole(asked, &answer, book, headers).await
                    }
                    Err(error) => {
                        let failed = Failed { fault: Fault::Server, error, raw: None, wait: None };
                        trying.failed(self.env.monotonic(), failed.fault, None);
                        Err(Box::new((failed, book)))
                    }
                }
            }
        }
    }

    /// A whole answer from the hub, as the client asked for it.
    async fn whole(
        &self,
        asked: &Asked<'_>,
        answer: &freehold_llm::model::Answer,
        book: Box<Book>,
        mut headers: HeaderMap,
    ) -> Result<Reply, Box<(Failed, Box<Book>)>> {
        let request = match asked.request() {
            Ok(request) => request,
            Err(error) => return Err(Box::new((Failed::ours(error), book))),
        };
        let context = self.context(asked, &request);
        let body: Bytes = if asked.stream {
            let kind = HeaderValue::from_static("text/event-stream; charset=utf-8");
            headers.insert(CONTENT_TYPE, kind);
            let mut encoder = codec(asked.dialect).stream_encoder(&context);
            let mut out = Vec::new();
            for event in events_of(answer) {
                encoder.event(&event, &mut out);
            }
            out.into()
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            codec(asked.dialect).encode_answer(answer, &context).into()
        };
        finish(book).await;
        Ok(Reply { status: StatusCode::OK, headers, body: ReplyBody::Full(body) })
    }

    fn encoder(
        &self,
        asked: &Asked<'_>,
        book: &mut Book,
    ) -> Result<Box<dyn freehold_llm::StreamEncoder>, Failed> {
        let request = asked.request().map_err(Failed::ours)?;
        let context = self.context(asked, &request);
        book.keep_request(Arc::clone(&request));
        Ok(codec(asked.dialect).stream_encoder(&context))
    }

    fn context<'r>(&self, asked: &'r Asked<'_>, request: &'r Request) -> AnswerContext<'r> {
        let mut seed = [0; 16];
        self.env.fill_random(&mut seed);
        AnswerContext {
            request,
            model: asked.model,
            ids: IdSource::new(u128::from_le_bytes(seed)),
            created: self.env.now().as_second(),
        }
    }

    /// No deployment answered: the last failure is the client's to hear.
    fn failed(asked: &Asked<'_>, last: Option<Failed>, book: Box<Book>) -> Reply {
        let request_id = &asked.call.request_id;
        let Some(failed) = last else {
            let mut error = ApiError::new(
                ErrorKind::Unavailable,
                "no_deployment",
                format!(
                    "no deployment of the route {} takes requests just now; try again",
                    asked.route.name
                ),
            );
            error.retry_after_ms = Some(1_000);
            book.finish(error.status, Outcome::UpstreamError, Some(&error));
            return refuse::reply(asked.dialect, &error, request_id);
        };
        let outcome = match failed.fault {
            Fault::Client | Fault::TooLong | Fault::Unfit => Outcome::ClientError,
            Fault::Full => Outcome::Shed,
            _ => Outcome::UpstreamError,
        };
        let error = refuse::upstream(&failed);
        let status = failed.raw.as_ref().map_or(error.status, |raw| raw.status.as_u16());
        book.finish(status, outcome, Some(&error));
        if let Some(raw) = failed.raw {
            let Raw { status, headers: upstream, body } = *raw;
            let mut headers = HeaderMap::new();
            copy_headers(&upstream, &mut headers);
            return Reply { status, headers, body: ReplyBody::Full(body) };
        }
        refuse::reply(asked.dialect, &error, request_id)
    }

    /// Whether a deployment could be tried.
    fn is_well(&self, deployment: &Deployment) -> bool {
        let now = self.env.monotonic();
        !deployment.provider.cell.credential_is_down(now)
            && !matches!(deployment.cell.health().peek(now), Verdict::No(_))
    }

    /// How long a deployment is to be left alone before it is tried again;
    /// `None` if its breaker is open, which is not waited for.
    fn rest_of(&self, deployment: &Deployment) -> Option<std::time::Duration> {
        let now = self.env.monotonic();
        let health = deployment.cell.health();
        match health.peek(now) {
            _ if health.is_open(now) => None,
            Verdict::No(rest) => Some(rest),
            Verdict::Yes | Verdict::Probe => Some(std::time::Duration::ZERO),
        }
    }

    /// Whether a deployment may be tried; takes its probe, if it is up for one.
    fn may_try(&self, deployment: &Deployment) -> bool {
        let now = self.env.monotonic();
        !deployment.provider.cell.credential_is_down(now)
            && !matches!(deployment.cell.health().ask(now), Verdict::No(_))
    }

    fn order(&self, asked: &Asked<'_>, candidates: &[Arc<Deployment>]) -> Vec<usize> {
        if candidates.len() == 1 {
            return vec![0];
        }
        let now = self.env.monotonic();
        let seen: Vec<Candidate> = candidates
            .iter()
            .enumerate()
            .map(|(index, d)| {
                let health = d.cell.health();
                Candidate {
                    index,
                    weight: d.weight,
                    latency: health.latency(now),
                    in_flight: d.cell.in_flight.load(std::sync::atomic::Ordering::Relaxed),
                    price: self.price_of(asked, d),
                    healthy: !matches!(health.peek(now), Verdict::No(_))
                        && !d.provider.cell.credential_is_down(now),
                }
            })
            .collect();
        order(asked.route.strategy, &seen, affinity(asked), self.chance())
    }
}

/// Closes the books of a whole answer, which waits until they are durable
/// where that is asked for. A record that cannot be kept is counted and logged
/// by its writer; the answer is there and paid for, so it goes out.
pub(crate) async fn finish(book: Box<Book>) {
    if let Some(flush) = book.finish(200, Outcome::Ok, None) {
        flush.done().await.ok();
    }
}

/// Copies an upstream's headers less those of the hop, of its own session,
/// and those that we write ourselves.
pub(crate) fn copy_headers(from: &HeaderMap, to: &mut HeaderMap) {
    // RFC 9110, section 7.6.1: what Connection names is the hop's as well.
    let hop = from.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let hop: Vec<&str> = hop.flat_map(|v| v.split(',')).map(str::trim).collect();
    for (name, value) in from {
        let nominated = hop.iter().any(|h| h.eq_ignore_ascii_case(name.as_str()));
        let dropped = nominated
            || matches!(
                name.as_str(),
                "connection"
                    | "keep-alive"
                    | "proxy-authenticate"
                    | "proxy-connection"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "upgrade"
                    | "content-length"
                    | "date"
                    | "server"
                    | "set-cookie"
                    | "strict-transport-security"
                    | "alt-svc"
                    | "x-request-id"
                    | "request-id"
            );
        if !dropped {
            to.append(name.clone(), value.clone());
        }
    }
}

fn add_losses(losses: &Losses, headers: &mut HeaderMap) {
    if losses.is_empty() {
        return;
    }
    let mut text = String::new();
    for loss in losses.iter() {
        if text.len() + loss.field.len() > 1_000 {
            text.push_str(", ...");
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Fields are named by clients too, and headers hold few letters.
        text.extend(loss.field.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(LOSSES, value);
    }
}

impl Route {
    /// Whether any of its deployments runs in this process.
    pub fn is_local(&self) -> bool {
        self.deployments.iter().any(|d| d.provider.local)
    }
}
