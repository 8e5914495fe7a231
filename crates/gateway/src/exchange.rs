//! One exchange from the client's bytes to the client's answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use freehold_control::{Ask, Principal};
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Request, events_of};
use freehold_llm::{AnswerContext, Dialect, IdSource, StreamEncoder, estimate, scan};
use freehold_types::Code;
use futures_util::future::{Either, select};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::attempt::{Answered, Content, Doors, Failed, Trying, attempt};
use crate::book::{Book, Opening};
use crate::call::{Call, Reply, ReplyBody};
use crate::eligible::{affinity, eligible, stateless, unknown_model};
use crate::fallback::Walk;
use crate::fetch::needs_inline;
use crate::metrics::Outcome;
use crate::paper::Paper;
use crate::plan::{Deployment, Route};
use crate::relay::{Relay, fold_engine};
use crate::reply_headers::reply_headers;
use crate::retry::Fault;
use crate::wire::{Asked, OUTPUT_LIMIT_UNSET};
use crate::{Gateway, refuse};

impl Gateway {
    /// Answers a model call, whose body is no longer in it.
    pub(crate) async fn model(&self, call: &Call, body: Bytes) -> Result<Reply, Box<ApiError>> {
        let plan = self.plan.load();
        let scan = scan::scan(&body).map_err(|e| refuse::bad_body(&e))?.into_owned();
        let dialect = call.endpoint.dialect();
        if dialect == Dialect::Responses {
            stateless(&scan)?;
        }
        let model = scan.model.as_ref().and_then(|f| f.value.clone()).ok_or_else(|| {
            let mut missing = ApiError::new(Code::MissingModel, "model: is required");
            missing.param = Some("model".to_owned());
            missing
        })?;
        let (route, star) =
            plan.route(&model).ok_or_else(|| unknown_model(&plan, &call.principal, &model))?;
        let paper = Paper::of(dialect, body);
        let asked = Asked::new(call, paper, scan, &model, (Arc::clone(route), star));
        let candidates = eligible(&asked)?;
        let (asked, book) = self.admit(asked, &candidates)?;
        self.answer(&asked, &candidates, book).await
    }

    /// Reserves what the request may cost at most.
    pub(crate) fn admit<'a>(
        &self,
        mut asked: Asked<'a>,
        candidates: &[Arc<Deployment>],
    ) -> Result<(Asked<'a>, Box<Book>), Box<ApiError>> {
        asked.sole = candidates.len() == 1;
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
            dialect: asked.word(),
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
            endpoint: asked.word(),
            model: asked.model.into(),
            tier: tier.map(Into::into),
            stream: asked.stream,
            input_estimate: estimate::estimate_tokens_of_len(text),
            trace: asked.call.trace.clone(),
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
        let price = |d: &Deployment| self.price_of(asked, d);
        let order = self.order(&asked.route, candidates, || affinity(asked), price);
        let mut walk = Walk::new(self, &asked.route, candidates, order);
        while let Some((trying, answered)) = self.answered(asked, &mut walk, &mut book).await {
            match self.reply(asked, trying, answered, book).await {
                Ok(reply) => return Ok(reply),
                Err(back) => {
                    let (failed, returned) = *back;
                    book = returned;
                    if !self.moves_on(&mut walk, &mut book, failed).await {
                        break;
                    }
                }
            }
        }
        Ok(walk.end(book, asked.dialect, &asked.call.request_id))
    }

    /// Goes on along a walk until a deployment answers.
    pub(crate) async fn answered(
        &self,
        asked: &Asked<'_>,
        walk: &mut Walk<'_>,
        book: &mut Book,
    ) -> Option<(Trying, Answered)> {
        loop {
            let deployment = walk.next(book.attempts())?;
            match self.hedged(asked, deployment, walk, book).await {
                Ok(answered) => return Some(answered),
                Err(failed) => {
                    if !self.moves_on(walk, book, failed).await {
                        return None;
                    }
                }
            }
        }
    }

    /// Takes a failure in, and waits where the next attempt has to. False if
    /// there is none.
    pub(crate) async fn moves_on(
        &self,
        walk: &mut Walk<'_>,
        book: &mut Book,
        failed: Failed,
    ) -> bool {
        let wait = walk.failed(failed, book.attempts()).filter(|_| book.covers_lost());
        let Some(wait) = wait else { return false };
        if !wait.is_zero() {
            self.env.sleep(wait).await;
        }
        true
    }

    /// Calls one deployment and, if it is slow and the route hedges, the next
    /// one beside it; the loser is cancelled.
    async fn hedged(
        &self,
        asked: &Asked<'_>,
        deployment: &Arc<Deployment>,
        walk: &mut Walk<'_>,
        book: &mut Book,
    ) -> Result<(Trying, Answered), Failed> {
        let (Some(after), Some(spare)) = (asked.route.hedge_after, walk.spare()) else {
            let model = asked.model_at(deployment);
            let trying = book.attempt(deployment, &model)?;
            let tried = self.tried(asked, deployment, trying).await;
            return tried.map_err(|failed| book.failed(deployment, &model, failed));
        };
        // Seldom taken, and large: two attempts at once.
        Box::pin(self.race(asked, (deployment, spare), after, walk, book)).await
    }

    /// The two attempts of a hedge.
    async fn race(
        &self,
        asked: &Asked<'_>,
        (deployment, spare): (&Arc<Deployment>, &Arc<Deployment>),
        after: Duration,
        walk: &mut Walk<'_>,
        book: &mut Book,
    ) -> Result<(Trying, Answered), Failed> {
        let models = (asked.model_at(deployment), asked.model_at(spare));
        let trying = book.attempt(deployment, &models.0)?;
        let first = Box::pin(self.tried(asked, deployment, trying));
        let first = match select(first, self.env.sleep(after)).await {
            Either::Left((tried, _)) => {
                return tried.map_err(|failed| book.failed(deployment, &models.0, failed));
            }
            Either::Right(((), first)) => first,
        };
        // Two attempts, of which one at most is answered.
        let two = [(&**deployment, &*models.0), (&**spare, &*models.1)];
        let trying = (book.covers_hedge(two) && self.may_try(spare))
            .then(|| book.attempt_beside(spare, &models.1));
        let Some(Ok(trying)) = trying else {
            return first.await.map_err(|failed| book.failed(deployment, &models.0, failed));
        };
        asked.route.cell.metrics.hedges.fetch_add(1, Ordering::Relaxed);
        let second = Box::pin(self.tried(asked, spare, trying));
        let (first, second) = match select(first, second).await {
            Either::Left((Ok(won), loser)) => {
                drop(loser);
                book.hedge_lost(spare, &models.1);
                return Ok(won);
            }
            Either::Right((Ok(won), loser)) => {
                drop(loser);
                book.hedge_lost(deployment, &models.0);
                return Ok(won);
            }
            Either::Left((Err(failed), second)) => {
                let failed = book.failed(deployment, &models.0, failed);
                (failed, second.await)
            }
            Either::Right((Err(failed), first)) => {
                let failed = book.failed(spare, &models.1, failed);
                walk.spare_failed();
                let first = first.await;
                return first
                    .map_err(|first| either(book.failed(deployment, &models.0, first), failed));
            }
        };
        second.map_err(|failed| {
            walk.spare_failed();
            either(first, book.failed(spare, &models.1, failed))
        })
    }

    async fn tried(
        &self,
        asked: &Asked<'_>,
        deployment: &Arc<Deployment>,
        trying: Trying,
    ) -> Result<(Trying, Answered), Failed> {
        let fetched = if needs_inline(asked, deployment) && asked.paper.written().is_none() {
            Box::pin(self.inline(asked)).await?
        } else {
            None
        };
        let answered = attempt(self.doors(), asked, deployment, fetched.as_ref()).await;
        self.told(&asked.call.request_id, trying, answered)
    }

    pub(crate) fn doors(&self) -> Doors<'_> {
        Doors {
            transport: self.transport.as_ref(),
            engine: self.engine.as_deref(),
            env: self.env.as_ref(),
        }
    }

    /// Tells a deployment's health how an attempt went.
    pub(crate) fn told(
        &self,
        request_id: &str,
        mut trying: Trying,
        answered: Result<Answered, Failed>,
    ) -> Result<(Trying, Answered), Failed> {
        match answered {
            Ok(answered) => {
                trying.answered(self.env.monotonic());
                Ok((trying, answered))
            }
            Err(mut failed) => {
                trying.failed(self.env.monotonic(), failed.fault, failed.wait);
                failed.hide(&trying.deployment().provider.auth);
                if failed.fault == Fault::Credential {
                    // Seldom, as it is then left alone: the operator must know.
                    tracing::warn!(
                        target: "freehold::attempt",
                        request_id,
                        provider = %trying.deployment().provider.name,
                        error = %failed.error.message,
                        "the provider refused the server's credential"
                    );
                }
                tracing::debug!(
                    target: "freehold::attempt",
                    request_id,
                    provider = %trying.deployment().provider.name,
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
        trying: Trying,
        answered: Answered,
        mut book: Box<Book>,
    ) -> Result<Reply, Back> {
        let headers = reply_headers(asked, &answered, &trying, &book);
        let stream = asked.stream;
        match answered.content {
            Content::Stream { dialect, cut_usage, first, rest } if dialect == asked.dialect => {
                book.hold(trying);
                Ok(streamed(headers, Relay::bytes(book, dialect, cut_usage, first, rest)))
            }
            Content::Stream { dialect, first, rest, .. } => {
                self.encoded(asked, trying, book, headers, |book, encoder| {
                    Relay::cross(book, dialect, encoder, first, rest)
                })
            }
            Content::Events { first, rest } if stream => {
                self.encoded(asked, trying, book, headers, |book, encoder| {
                    Relay::engine(book, encoder, &first, rest)
                })
            }
            Content::Whole { dialect, body } if dialect == asked.dialect && !stream => {
                let usage = scan::answer_usage(dialect, &body);
                // Usage is read from the whole body; only where there is none
                // the body may yet be cut off.
                if usage.is_none()
                    && let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body)
                {
                    return self.back(trying, Failed::garbage(error).after(body.len()), book);
                }
                book.whole(usage, &body);
                book.answers(&trying);
                finish(book).await;
                Ok(Reply { status: StatusCode::OK, headers, body: ReplyBody::Full(body) })
            }
            Content::Whole { dialect, body } => match codec(dialect).decode_answer(&body) {
                Ok(answer) => {
                    book.whole(answer.usage.clone(), &body);
                    book.answers(&trying);
                    self.whole(asked, &answer, book, headers).await
                }
                Err(error) => self.back(trying, Failed::unreadable(&error).after(body.len()), book),
            },
            Content::Events { first, rest } => {
                match Box::pin(fold_engine(asked.dialect, *first, rest)).await {
                    Ok(answer) => {
                        book.whole(answer.usage.clone(), &Bytes::new());
                        book.answers(&trying);
                        self.whole(asked, &answer, book, headers).await
                    }
                    Err(error) => self.back(trying, Failed::new(Fault::Server, *error), book),
                }
            }
        }
    }

    /// The reply of a stream that is written in the client's dialect here.
    fn encoded(
        &self,
        asked: &Asked<'_>,
        trying: Trying,
        mut book: Box<Book>,
        headers: HeaderMap,
        relay: impl FnOnce(Box<Book>, Box<dyn StreamEncoder>) -> Relay,
    ) -> Result<Reply, Back> {
        match self.encoder(asked, &mut book) {
            Ok(encoder) => {
                book.hold(trying);
                Ok(streamed(headers, relay(book, encoder)))
            }
            Err(failed) => Err(Box::new((failed, book))),
        }
    }

    /// Gives the book back after an answer that is none.
    pub(crate) fn back<T>(
        &self,
        mut trying: Trying,
        mut failed: Failed,
        mut book: Box<Book>,
    ) -> Result<T, Back> {
        trying.failed(self.env.monotonic(), failed.fault, None);
        failed.hide(&trying.deployment().provider.auth);
        let failed = book.failed(trying.deployment(), trying.model(), failed);
        Err(Box::new((failed, book)))
    }

    /// A whole answer from the hub, as the client asked for it.
    async fn whole(
        &self,
        asked: &Asked<'_>,
        answer: &freehold_llm::model::Answer,
        book: Box<Book>,
        mut headers: HeaderMap,
    ) -> Result<Reply, Back> {
        let request = match asked.paper.terms() {
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
    ) -> Result<Box<dyn StreamEncoder>, Failed> {
        let request = asked.paper.terms().map_err(Failed::ours)?;
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
}

/// A failure after an answer had begun, and the book for another attempt.
pub(crate) type Back = Box<(Failed, Box<Book>)>;

fn streamed(headers: HeaderMap, relay: Relay) -> Reply {
    Reply { status: StatusCode::OK, headers, body: ReplyBody::Stream(Box::new(relay)) }
}

/// Closes the books of a whole answer, which waits until they are durable
/// where that is asked for. A record that cannot be kept is counted and logged
/// by its writer; the answer is there and paid for, so it goes out.
pub(crate) async fn finish(book: Box<Book>) {
    if let Some(flush) = book.finish(200, Outcome::Ok, None) {
        flush.done().await.ok();
    }
}

/// The failure of a pair: the first one's, as the walk goes on from there,
/// unless the second one knows that the request itself is wrong.
fn either(first: Failed, second: Failed) -> Failed {
    if second.fault == Fault::Client { second } else { first }
}

impl Route {
    /// Whether any of its deployments runs in this process.
    pub fn is_local(&self) -> bool {
        self.deployments.iter().any(|d| d.provider.local)
    }
}
