//! Endpoints that are no model call in a dialect, but name a model: embeddings,
//! legacy completions and token counting. They pass as bytes with the model's
//! name changed, over the same deployments, retries and books as a model call.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use freehold_control::Ask;
use freehold_llm::model::{ApiError, Usage};
use freehold_llm::scan::{self, Scan};
use freehold_llm::{Dialect, Losses, estimate};
use freehold_types::{Code, Target, WireRequest};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attempt::{Answered, Content, Expected, Failed, Trying, engine_failed, send};
use crate::book::{Book, Opening};
use crate::call::{Call, Endpoint, Reply, ReplyBody};
use crate::eligible::unknown_model;
use crate::embed::{EmbeddingsAsked, embeddings_answer};
use crate::exchange::finish;
use crate::fallback::Walk;
use crate::options::{Capability, Pattern};
use crate::plan::{Deployment, Route};
use crate::relay::Relay;
use crate::reply_headers::{copy_headers, show_deployment};
use crate::{Gateway, refuse, wire};

/// The output limit of a legacy completion that sets none: the endpoint's own
/// default, which some servers do not have.
const COMPLETION_LIMIT: u64 = 16;

/// The largest answer of an embedding call that is held.
const ANSWER_LIMIT: usize = 256 << 20;

/// A call as it was asked, with what one scan found in it.
struct Passing<'a> {
    call: &'a Call,
    scan: Scan<'a>,
    model: &'a str,
    route: Arc<Route>,
    /// What the route's star stands for.
    star: &'a str,
    stream: bool,
}

impl<'a> Passing<'a> {
    /// The deployments of the route that offer the endpoint.
    fn offered(&self) -> Result<Vec<Arc<Deployment>>, Box<ApiError>> {
        let offers = |d: &&Arc<Deployment>| {
            let paths = &d.provider.paths;
            match self.call.endpoint {
                Endpoint::Embeddings => {
                    (d.provider.local || paths.embeddings.is_some())
                        && d.can(Capability::Embeddings)
                }
                Endpoint::Completions => paths.completions.is_some(),
                Endpoint::CountTokens => d.provider.local || paths.count_tokens.is_some(),
                Endpoint::Model(_) | Endpoint::Other { .. } => false,
            }
        };
        let able: Vec<_> = self.route.deployments.iter().filter(offers).cloned().collect();
        if able.is_empty() {
            let (route, endpoint) = (&self.route.name, self.call.endpoint.word());
            return Err(Box::new(ApiError::new(
                Code::EndpointNotOffered,
                format!("no deployment of the route {route} offers {endpoint}"),
            )));
        }
        Ok(able)
    }

    /// The model's name at a deployment.
    fn model_at(&self, deployment: &'a Deployment) -> Cow<'a, str> {
        if deployment.model.contains('*') {
            Pattern::fill(&deployment.model, self.star).into()
        } else {
            Cow::Borrowed(&*deployment.model)
        }
    }

    /// What a provider may bill of an attempt that failed: vectors are no
    /// output, and counting is free.
    fn billed(&self, failed: Failed) -> Failed {
        let billed = match self.call.endpoint {
            Endpoint::Completions => failed.billed,
            Endpoint::Embeddings => failed.billed.map(|_| 0),
            _ => None,
        };
        Failed { billed, ..failed }
    }

    fn text_bytes(&self) -> u64 {
        (self.scan.body_bytes - self.scan.media_bytes) as u64
    }

    /// The most tokens of input and output.
    fn bounds(&self) -> (u64, u64) {
        let input = estimate::upper_bound_tokens(self.text_bytes(), self.scan.media_count as u64);
        if self.call.endpoint != Endpoint::Completions {
            return (input, 0);
        }
        let limit = self.scan.max_tokens.as_ref().and_then(|f| f.value);
        let limit = limit.unwrap_or(COMPLETION_LIMIT);
        let choices = self.scan.n.as_ref().and_then(|f| f.value).unwrap_or(1).max(1);
        (input, limit.saturating_mul(many(&self.call.body, choices)))
    }

    /// The request for one deployment, and whether a usage chunk is only ours.
    fn request(&self, deployment: &Deployment) -> Result<(WireRequest, bool), Box<ApiError>> {
        let (call, scan, provider) = (self.call, &self.scan, &deployment.provider);
        let model = self.model_at(deployment);
        let mut edits = Vec::new();
        if self.model != model {
            edits.push(scan.set_model(&model));
        }
        let completions = call.endpoint == Endpoint::Completions;
        let limit = COMPLETION_LIMIT.to_string();
        if completions
            && call.principal.reserves()
            && scan.max_tokens.as_ref().is_none_or(|f| f.value.is_none())
        {
            edits.push(scan.set("max_tokens", scan.max_tokens.as_ref(), &limit));
        }
        let asks_for_usage = scan.ask_for_usage(&call.body).filter(|_| self.stream && completions);
        let cut_usage = asks_for_usage.is_some();
        edits.extend(asks_for_usage);
        let body = wire::changed(&call.body, &mut edits);
        let path = match call.endpoint {
            Endpoint::Embeddings => &provider.paths.embeddings,
            Endpoint::CountTokens => &provider.paths.count_tokens,
            _ => &provider.paths.completions,
        };
        let messages = call.endpoint == Endpoint::CountTokens;
        let request = WireRequest {
            method: Method::POST,
            uri: wire::uri(provider, path.as_deref(), &model)?,
            headers: wire::headers(provider, call, messages),
            body,
            timeouts: provider.timeouts,
            target: Target::Configured,
            pool: Some(Arc::clone(&provider.name)),
        };
        Ok((request, cut_usage))
    }
}

/// How many outputs a completion may have: one for each prompt and choice, and
/// `best_of` are made and paid for where fewer are given.
fn many(body: &[u8], choices: u64) -> u64 {
    #[derive(Deserialize)]
    struct Asked {
        #[serde(default)]
        prompt: Value,
        best_of: Option<u64>,
    }
    // What is no such request is the provider's to refuse.
    let Ok(asked) = serde_json::from_slice::<Asked>(body) else { return choices };
    let prompts = match &asked.prompt {
        Value::Array(list) if !list.iter().any(Value::is_number) => list.len().max(1),
        // A text, or the tokens of one.
        _ => 1,
    };
    choices.max(asked.best_of.unwrap_or(1)).saturating_mul(prompts as u64)
}

impl Gateway {
    /// Answers a call for embeddings, a legacy completion or a count of tokens.
    pub(crate) async fn pass(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let scan = scan::scan(&call.body).map_err(|e| refuse::bad_body(&e))?;
        let model = scan
            .model
            .as_ref()
            .and_then(|f| f.value.clone())
            .ok_or_else(|| Box::new(ApiError::new(Code::MissingModel, "model: is required")))?;
        let plan = self.plan.load();
        let (route, star) =
            plan.route(&model).ok_or_else(|| unknown_model(&plan, &call.principal, &model))?;
        let stream = scan.stream.as_ref().and_then(|f| f.value) == Some(true);
        let passing = Passing { call, scan, model: &model, route: Arc::clone(route), star, stream };
        let candidates = match passing.offered() {
            Err(_) if call.endpoint == Endpoint::CountTokens => return estimated(&passing),
            offered => offered?,
        };
        let mut book = self.enter(&passing, &candidates)?;
        book.begin().await?;
        let price = |d: &Deployment| {
            let (input, output) = passing.bounds();
            let usage = Usage { input, output, ..Usage::default() };
            self.cost(d, &passing.model_at(d), None, &usage).map(|(cost, _)| cost.nanos())
        };
        let order = self.order(&passing.route, &candidates, || None, price);
        let mut walk = Walk::new(self, &passing.route, &candidates, order);
        while let Some(deployment) = walk.next(book.attempts()) {
            let failed = match self.passed(&passing, deployment, &mut book).await {
                Ok((trying, answered)) => {
                    return Ok(deliver(&passing, trying, answered, book).await);
                }
                Err(failed) => passing.billed(failed),
            };
            let failed = book.failed(deployment, &passing.model_at(deployment), failed);
            let wait = walk.failed(failed, book.attempts()).filter(|_| book.covers_lost());
            let Some(wait) = wait else { break };
            if !wait.is_zero() {
                self.env.sleep(wait).await;
            }
        }
        Ok(walk.end(book, call.endpoint.dialect(), &call.request_id))
    }

    /// Reserves what a call may cost at most and opens its books.
    fn enter(
        &self,
        passing: &Passing<'_>,
        candidates: &[Arc<Deployment>],
    ) -> Result<Box<Book>, Box<ApiError>> {
        let (call, route) = (passing.call, &passing.route);
        let (input, output) = passing.bounds();
        let named = candidates.iter().map(|d| (d.as_ref(), passing.model_at(d)));
        let ask = Ask {
            route: &route.name,
            dialect: call.endpoint.word(),
            stream: passing.stream,
            input_tokens_upper: input,
            output_tokens_upper: output,
            reserve: self.reserve(named, None, (input, output)),
        };
        let opening = Opening {
            gateway: self.shared()?,
            route: Arc::clone(route),
            request_id: Arc::clone(&call.request_id),
            principal: Arc::clone(&call.principal),
            endpoint: call.endpoint.word(),
            model: passing.model.into(),
            tier: None,
            stream: passing.stream,
            input_estimate: estimate::estimate_tokens_of_len(passing.text_bytes()),
            trace: call.trace.clone(),
        };
        self.open(&call.principal, &ask, opening)
    }

    /// Calls one deployment and waits for the beginning of its answer.
    async fn passed(
        &self,
        passing: &Passing<'_>,
        deployment: &Arc<Deployment>,
        book: &mut Book,
    ) -> Result<(Trying, Answered), Failed> {
        let model = passing.model_at(deployment);
        let request_id = &passing.call.request_id;
        if deployment.provider.local {
            let work = prepare(passing).map_err(Failed::unsent)?;
            let trying = book.attempt(deployment, &model)?;
            return self.told(request_id, trying, self.locally(&model, work).await);
        }
        let (request, cut_usage) = passing.request(deployment).map_err(Failed::unsent)?;
        let trying = book.attempt(deployment, &model)?;
        let dialect = passing.call.endpoint.dialect();
        let limit = ANSWER_LIMIT;
        let expected =
            Expected { caller: dialect, dialect, stream: passing.stream, cut_usage, limit };
        let answered = send(self.doors(), request, expected).await;
        let answered = answered.map(|(headers, content)| Answered {
            headers,
            content,
            losses: Losses::default(),
        });
        self.told(request_id, trying, answered)
    }

    /// Counts or embeds by the engine in this process.
    async fn locally(&self, model: &str, work: Work) -> Result<Answered, Failed> {
        let engine = self.engine.as_ref().ok_or_else(Failed::no_engine)?;
        let answer = match work {
            Work::Count(request) => {
                let tokens = engine.count_tokens(request, model).await.map_err(engine_failed)?;
                json!({"input_tokens": tokens})
            }
            Work::Embed { texts, base64 } => {
                let embedded = engine.embed(model, texts).await.map_err(engine_failed)?;
                embeddings_answer(&embedded, base64)
            }
        };
        let body = answer.to_string().into();
        let content = Content::Whole { dialect: Dialect::Chat, body };
        Ok(Answered { headers: json_headers(), content, losses: Losses::default() })
    }
}

/// What the local engine is to do.
enum Work {
    Count(Arc<freehold_llm::model::Request>),
    Embed { texts: Vec<String>, base64: bool },
}

/// What the local engine is to do for a call; an error if it cannot.
fn prepare(passing: &Passing<'_>) -> Result<Work, Box<ApiError>> {
    let body = &passing.call.body;
    if passing.call.endpoint == Endpoint::CountTokens {
        let request = freehold_llm::format::messages::decode_count_request(body);
        return Ok(Work::Count(Arc::new(request.map_err(|e| refuse::bad_body(&e))?)));
    }
    let (asked, texts) = EmbeddingsAsked::read(body)?;
    Ok(Work::Embed { texts, base64: asked.wants_base64() })
}

/// Gives an answer back as it came, and keeps its books.
async fn deliver(
    passing: &Passing<'_>,
    trying: Trying,
    answered: Answered,
    mut book: Box<Book>,
) -> Reply {
    let mut headers = HeaderMap::new();
    copy_headers(&answered.headers, &mut headers);
    show_deployment(trying.deployment(), book.attempts(), &mut headers);
    let body = match answered.content {
        Content::Stream { dialect, cut_usage, first, rest } => {
            book.hold(trying);
            ReplyBody::Stream(Box::new(Relay::bytes(book, dialect, cut_usage, first, rest)))
        }
        Content::Whole { body, .. } => {
            book.answers(&trying);
            let told = || scan::answer_usage(Dialect::Chat, &body);
            match passing.call.endpoint {
                Endpoint::Completions => book.whole(told(), &body),
                // Vectors are no output that is paid for.
                Endpoint::Embeddings => book.whole(told(), &[]),
                _ => book.usage(Usage::default()),
            }
            finish(book).await;
            ReplyBody::Full(body)
        }
        // No engine answers here with events.
        Content::Events { .. } => ReplyBody::Full(Bytes::new()),
    };
    Reply { status: StatusCode::OK, headers, body }
}

/// A count where nobody can count.
fn estimated(passing: &Passing<'_>) -> Result<Reply, Box<ApiError>> {
    let Passing { call, route, .. } = passing;
    call.principal.may_call(&route.name).map_err(|r| refuse::refusal(&r))?;
    // Checked as a request would be, so that a bad one is told.
    freehold_llm::format::messages::decode_count_request(&call.body)
        .map_err(|e| refuse::bad_body(&e))?;
    let tokens = estimate::estimate_tokens_of_len(passing.text_bytes());
    let mut headers = json_headers();
    headers.insert("x-freehold-estimated", HeaderValue::from_static("true"));
    let body = json!({"input_tokens": tokens}).to_string();
    Ok(Reply { status: StatusCode::OK, headers, body: ReplyBody::Full(body.into()) })
}

fn json_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers
}
