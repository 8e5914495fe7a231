//! Endpoints that are no model call: token counting, embeddings, and what is
//! passed through as bytes.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use freehold_control::Ask;
use freehold_llm::model::{ApiError, Request, Usage};
use freehold_llm::scan::{self, Scan, splice};
use freehold_llm::{Dialect, estimate};
use freehold_types::{ErrorKind, Target, WireRequest};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::attempt::{Failed, Trying, check_whole, collect, is_event_stream};
use crate::book::{Book, Opening};
use crate::call::{Call, Endpoint, Reply, ReplyBody};
use crate::eligible::unknown_model;
use crate::exchange::{copy_headers, finish};
use crate::metrics::Outcome;
use crate::options::{Capability, Pattern};
use crate::plan::{Deployment, Provider, Route};
use crate::relay::Relay;
use crate::retry::{Fault, retry_after};
use crate::{Gateway, refuse, wire};

/// The output limit of a legacy completion that sets none: the endpoint's own
/// default, which some servers do not have.
const COMPLETION_LIMIT: u64 = 16;

/// The largest answer of an embedding call that is held.
const ANSWER_LIMIT: usize = 256 << 20;

fn invalid(code: &str, message: impl Into<String>) -> Box<ApiError> {
    Box::new(ApiError::new(ErrorKind::Invalid, code, message))
}

/// A request whose route is found, its deployment chosen, its books open.
struct Opened {
    deployment: Arc<Deployment>,
    /// The model's name there.
    model: String,
    book: Box<Book>,
}

impl Gateway {
    /// Finds the route of a body's model and opens the books.
    fn begin(&self, call: &Call, scan: &Scan<'_>, output: u64) -> Result<Opened, Box<ApiError>> {
        let model = scan
            .model
            .as_ref()
            .and_then(|f| f.value.as_deref())
            .ok_or_else(|| invalid("missing_model", "model: is required"))?;
        let plan = self.plan();
        let (route, star) = plan.route(model).ok_or_else(|| unknown_model(&plan, model))?;
        let deployment = self.first_of(route, &call.endpoint)?;
        let name = if deployment.model.contains('*') {
            Pattern::fill(&deployment.model, star)
        } else {
            deployment.model.to_string()
        };
        let text = (scan.body_bytes - scan.media_bytes) as u64;
        let stream = scan.stream.as_ref().and_then(|f| f.value) == Some(true);
        let input = estimate::upper_bound_tokens(text, scan.media_count as u64);
        let ask = Ask {
            route: &route.name,
            dialect: call.endpoint.word(),
            stream,
            input_tokens_upper: input,
            output_tokens_upper: output,
            reserve: self.reserve(
                std::iter::once((&*deployment, name.as_str().into())),
                None,
                (input, output),
            ),
        };
        let opening = Opening {
            gateway: self.shared()?,
            route: Arc::clone(route),
            request_id: Arc::clone(&call.request_id),
            principal: Arc::clone(&call.principal),
            endpoint: call.endpoint.word(),
            model: model.into(),
            tier: None,
            stream,
            input_estimate: estimate::estimate_tokens_of_len(text),
        };
        let book = self.open(&call.principal, &ask, opening)?;
        Ok(Opened { deployment, model: name, book })
    }

    /// The first healthy deployment of a route that offers an endpoint.
    fn first_of(
        &self,
        route: &Arc<Route>,
        endpoint: &Endpoint,
    ) -> Result<Arc<Deployment>, Box<ApiError>> {
        let offers = |d: &&Arc<Deployment>| {
            let paths = &d.provider.paths;
            match endpoint {
                Endpoint::Embeddings => {
                    (d.provider.local || paths.embeddings.is_some())
                        && d.can(Capability::Embeddings)
                }
                Endpoint::Completions => paths.completions.is_some(),
                Endpoint::CountTokens => d.provider.local || paths.count_tokens.is_some(),
                Endpoint::Model(_) | Endpoint::Other { .. } => true,
            }
        };
        let able: Vec<_> = route.deployments.iter().filter(offers).collect();
        let now = self.env.monotonic();
        let healthy = able
            .iter()
            .find(|d| !d.cell.health().is_open(now) && !d.provider.cell.credential_is_down(now));
        healthy.or(able.first()).map(|d| Arc::clone(d)).ok_or_else(|| {
            Box::new(ApiError::new(
                ErrorKind::NotFound,
                "endpoint_not_offered",
                format!("no deployment of the route {} offers {}", route.name, endpoint.word()),
            ))
        })
    }

    /// Counts tokens in the shape of Messages: by the provider, by the local
    /// engine's own tokenizer, or by estimate where neither can.
    pub(crate) async fn count_tokens(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let scan = scan::scan(&call.body).map_err(|e| refuse::bad_body(&e))?;
        let plan = self.plan();
        let model = scan
            .model
            .as_ref()
            .and_then(|f| f.value.as_deref())
            .ok_or_else(|| invalid("missing_model", "model: is required"))?;
        let (route, _) = plan.route(model).ok_or_else(|| unknown_model(&plan, model))?;
        if self.first_of(route, &call.endpoint).is_err() {
            call.principal.may_call(&route.name).map_err(|r| refuse::refusal(&r))?;
            // Checked as a request would be, so that a bad one is told.
            freehold_llm::format::messages::decode_count_request(&call.body)
                .map_err(|e| refuse::bad_body(&e))?;
            let text = (scan.body_bytes - scan.media_bytes) as u64;
            let tokens = estimate::estimate_tokens_of_len(text);
            return Ok(counted(tokens, true));
        }
        let opened = self.begin(call, &scan, 0)?;
        if opened.deployment.provider.local {
            let mut book = opened.book;
            let request = match freehold_llm::format::messages::decode_count_request(&call.body) {
                Ok(request) => request,
                Err(error) => return Err(book.refuse(refuse::bad_body(&error))),
            };
            let tokens = self.count_locally(&opened.model, request).await;
            book.usage(Usage::default());
            return match tokens {
                Ok(tokens) => {
                    finish(book).await;
                    Ok(counted(tokens, false))
                }
                Err(error) => {
                    book.finish(error.status, Outcome::UpstreamError, Some(&error));
                    Err(error)
                }
            };
        }
        let path = opened.deployment.provider.paths.count_tokens.clone();
        self.pass(call, &scan, opened, path.as_deref()).await
    }

    async fn count_locally(&self, model: &str, request: Request) -> Result<u64, Box<ApiError>> {
        self.local_engine()?.count_tokens(Arc::new(request), model).await
    }

    fn local_engine(&self) -> Result<&Arc<dyn crate::engine::Engine>, Box<ApiError>> {
        self.engine.as_ref().ok_or_else(|| {
            Box::new(ApiError::new(
                ErrorKind::NotFound,
                "local_not_built",
                "this build has no local engine: build with the cargo feature `local`",
            ))
        })
    }

    /// Vectors of texts.
    pub(crate) async fn embeddings(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let scan = scan::scan(&call.body).map_err(|e| refuse::bad_body(&e))?;
        let opened = self.begin(call, &scan, 0)?;
        if !opened.deployment.provider.local {
            let path = opened.deployment.provider.paths.embeddings.clone();
            return self.pass(call, &scan, opened, path.as_deref()).await;
        }
        let Opened { deployment, model, mut book } = opened;
        let (asked, texts) = match EmbeddingsAsked::read(&call.body) {
            Ok(read) => read,
            Err(error) => return Err(book.refuse(error)),
        };
        let engine = match self.local_engine() {
            Ok(engine) => Arc::clone(engine),
            Err(error) => return Err(book.refuse(error)),
        };
        book.begin().await?;
        let mut trying = match book.attempt(&deployment, &model) {
            Ok(trying) => trying,
            Err(failed) => return Err(book.shed(failed)),
        };
        match engine.embed(&model, texts).await {
            Ok(embedded) => {
                trying.answered(self.env.monotonic());
                book.answers(&trying);
                book.usage(Usage { input: embedded.tokens, ..Usage::default() });
                finish(book).await;
                let base64 = asked.encoding_format.as_deref() == Some("base64");
                Ok(json_reply(&embeddings_answer(&embedded, base64)))
            }
            Err(error) => {
                trying.failed(self.env.monotonic(), Fault::Client, None);
                book.finish(error.status, Outcome::ClientError, Some(&error));
                Err(error)
            }
        }
    }

    /// Legacy completions, as bytes.
    pub(crate) async fn completions(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let scan = scan::scan(&call.body).map_err(|e| refuse::bad_body(&e))?;
        let limit = scan.max_tokens.as_ref().and_then(|f| f.value).unwrap_or(COMPLETION_LIMIT);
        let choices = scan.n.as_ref().and_then(|f| f.value).unwrap_or(1).max(1);
        let opened = self.begin(call, &scan, limit.saturating_mul(choices))?;
        let path = opened.deployment.provider.paths.completions.clone();
        self.pass(call, &scan, opened, path.as_deref()).await
    }

    /// Passes a JSON body on with only the model's name changed.
    async fn pass(
        &self,
        call: &Call,
        scan: &Scan<'_>,
        opened: Opened,
        path: Option<&str>,
    ) -> Result<Reply, Box<ApiError>> {
        let Opened { deployment, model, mut book } = opened;
        let asked = scan.model.as_ref().and_then(|f| f.value.as_deref());
        let mut edits = Vec::new();
        if asked != Some(model.as_str()) {
            edits.push(scan.set_model(&model));
        }
        let stream = scan.stream.as_ref().and_then(|f| f.value) == Some(true);
        let limit = COMPLETION_LIMIT.to_string();
        if call.endpoint == Endpoint::Completions
            && call.principal.reserves()
            && scan.max_tokens.as_ref().is_none_or(|f| f.value.is_none())
        {
            edits.push(scan.set("max_tokens", scan.max_tokens.as_ref(), &limit));
        }
        let cut_usage = stream && call.endpoint == Endpoint::Completions;
        let cut_usage = match scan.ask_for_usage(&call.body).filter(|_| cut_usage) {
            Some(edit) => {
                edits.push(edit);
                true
            }
            None => false,
        };
        let body: Cow<'_, [u8]> = if edits.is_empty() {
            Cow::Borrowed(&call.body)
        } else {
            splice(&call.body, &mut edits).into()
        };
        let body = match body {
            Cow::Borrowed(_) => call.body.clone(),
            Cow::Owned(body) => body.into(),
        };
        let provider = &deployment.provider;
        let messages = call.endpoint == Endpoint::CountTokens;
        let uri = match wire::uri(provider, path, &model) {
            Ok(uri) => uri,
            Err(error) => return Err(book.refuse(error)),
        };
        let request = WireRequest {
            method: Method::POST,
            uri,
            headers: wire::headers(provider, &call.headers, messages),
            body,
            timeouts: provider.timeouts,
            target: Target::Configured,
            pool: Some(Arc::clone(&provider.name)),
        };
        book.begin().await?;
        let trying = match book.attempt(&deployment, &model) {
            Ok(trying) => trying,
            Err(failed) => return Err(book.shed(failed)),
        };
        self.pass_answer(call, request, (book, trying), stream.then_some(cut_usage)).await
    }

    /// Sends a request and gives its answer back as it is. `stream` is set for
    /// streams of chat-like chunks: whether a usage chunk is to be cut.
    async fn pass_answer(
        &self,
        call: &Call,
        request: WireRequest,
        (mut book, mut trying): (Box<Book>, Trying),
        stream: Option<bool>,
    ) -> Result<Reply, Box<ApiError>> {
        let response = match self.transport.send(request).await {
            Ok(response) => response,
            Err(error) => {
                let failed = Failed::transport(&error);
                trying.failed(self.env.monotonic(), failed.fault, None);
                book.finish(failed.error.status, Outcome::UpstreamError, Some(&failed.error));
                return Err(failed.error);
            }
        };
        let now = self.env.monotonic();
        let mut headers = HeaderMap::new();
        copy_headers(&response.headers, &mut headers);
        if !response.status.is_success() {
            let fault = Fault::of_status(response.status.as_u16(), None);
            trying.failed(now, fault, retry_after(&response.headers, self.env.now()));
            let body = collect(response.body, 256 << 10).await.unwrap_or_default();
            let outcome =
                if fault == Fault::Client { Outcome::ClientError } else { Outcome::UpstreamError };
            let error = freehold_llm::format::codec(call.endpoint.dialect())
                .decode_error(response.status.as_u16(), &body);
            let failed = Failed { fault, error: Box::new(error), raw: None, wait: None };
            let error = refuse::upstream(&failed);
            book.finish(error.status, outcome, Some(&error));
            // What is no JSON (a proxy's page) is told in the caller's shape.
            let redirects = response.status.is_redirection();
            if fault == Fault::Credential || !(redirects || body.trim_ascii().starts_with(b"{")) {
                return Err(Box::new(error));
            }
            return Ok(Reply { status: response.status, headers, body: ReplyBody::Full(body) });
        }
        trying.answered(now);
        let is_sse = is_event_stream(&response.headers);
        if let Some(cut_usage) = stream.filter(|_| is_sse) {
            book.hold(trying);
            let relay = Relay::bytes(book, Dialect::Chat, cut_usage, Bytes::new(), response.body);
            let body = ReplyBody::Stream(Box::new(relay));
            return Ok(Reply { status: response.status, headers, body });
        }
        if matches!(call.endpoint, Endpoint::Other { .. }) {
            book.hold(trying);
            let length = response.headers.get(CONTENT_LENGTH).cloned();
            if let Some(length) = length {
                headers.insert(CONTENT_LENGTH, length);
            }
            let body = ReplyBody::Stream(Box::new(Relay::opaque(book, response.body)));
            return Ok(Reply { status: response.status, headers, body });
        }
        let whole = collect(response.body, ANSWER_LIMIT).await;
        match whole
            .and_then(|body| check_whole(Dialect::Chat, response.status, &body).map(|()| body))
        {
            Ok(body) => {
                book.answers(&trying);
                match call.endpoint {
                    Endpoint::Completions => {
                        book.whole(scan::answer_usage(Dialect::Chat, &body), &body);
                    }
                    Endpoint::Embeddings => {
                        // Vectors are no output that is paid for.
                        book.whole(scan::answer_usage(Dialect::Chat, &body), &[]);
                    }
                    _ => book.usage(Usage::default()),
                }
                finish(book).await;
                Ok(Reply { status: response.status, headers, body: ReplyBody::Full(body) })
            }
            Err(failed) => {
                trying.failed(self.env.monotonic(), failed.fault, None);
                book.finish(failed.error.status, Outcome::UpstreamError, Some(&failed.error));
                Err(failed.error)
            }
        }
    }

    /// An endpoint of a provider's own, under the same keys and limits. The
    /// provider is named by the header `x-freehold-provider`, or is the only
    /// one that offers the endpoint.
    pub(crate) async fn other(&self, call: &Call) -> Result<Reply, Box<ApiError>> {
        let Endpoint::Other { method, path } = &call.endpoint else {
            return Err(invalid("not_an_endpoint", "this is no endpoint to pass through"));
        };
        let plan = self.plan();
        let provider = self.provider_for(call, path)?;
        let route_name = format!("{}/*", provider.name);
        let probe = format!("{}/-", provider.name);
        let (route, _) = plan.route(&probe).ok_or_else(|| {
            Box::new(ApiError::new(
                ErrorKind::Forbidden,
                "route.forbidden",
                format!("there is no route {route_name}, which passing through needs"),
            ))
        })?;
        let deployment = route
            .deployments
            .iter()
            .find(|d| d.provider.name == provider.name)
            .or(route.deployments.first())
            .cloned()
            .ok_or_else(|| invalid("not_an_endpoint", "the route leads nowhere"))?;
        let ask = Ask {
            route: &route.name,
            dialect: call.endpoint.word(),
            stream: false,
            input_tokens_upper: 0,
            output_tokens_upper: 0,
            reserve: None,
        };
        let opening = Opening {
            gateway: self.shared()?,
            route: Arc::clone(route),
            request_id: Arc::clone(&call.request_id),
            principal: Arc::clone(&call.principal),
            endpoint: call.endpoint.word(),
            model: "".into(),
            tier: None,
            stream: false,
            input_estimate: 0,
        };
        let mut book = self.open(&call.principal, &ask, opening)?;
        let mut headers = wire::headers(&provider, &call.headers, false);
        headers.remove(CONTENT_TYPE);
        for name in [CONTENT_TYPE, ACCEPT, RANGE] {
            if let Some(value) = call.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let uri = match wire::uri(&provider, Some(path), "") {
            Ok(uri) => uri,
            Err(error) => return Err(book.refuse(error)),
        };
        let request = WireRequest {
            method: method.clone(),
            uri,
            headers,
            body: call.body.clone(),
            timeouts: provider.timeouts,
            target: Target::Configured,
            pool: Some(Arc::clone(&provider.name)),
        };
        book.begin().await?;
        let trying = match book.attempt(&deployment, "") {
            Ok(trying) => trying,
            Err(failed) => return Err(book.shed(failed)),
        };
        self.pass_answer(call, request, (book, trying), None).await
    }

    fn provider_for(&self, call: &Call, path: &str) -> Result<Arc<Provider>, Box<ApiError>> {
        let plan = self.plan();
        let offers = |p: &&Arc<Provider>| p.other.iter().any(|o| is_below(path, o));
        if let Some(named) = call.headers.get("x-freehold-provider") {
            let named = named.to_str().unwrap_or_default();
            let provider = plan.providers.get(named).ok_or_else(|| {
                invalid("provider_unknown", "x-freehold-provider names no provider here")
            })?;
            if !offers(&provider) {
                return Err(Box::new(ApiError::new(
                    ErrorKind::NotFound,
                    "endpoint_not_offered",
                    format!("the provider {named} does not offer this endpoint"),
                )));
            }
            return Ok(Arc::clone(provider));
        }
        let able: Vec<_> = plan.providers.values().filter(offers).collect();
        match able.as_slice() {
            [only] => Ok(Arc::clone(only)),
            [] => Err(Box::new(ApiError::new(
                ErrorKind::NotFound,
                "endpoint_not_offered",
                "no configured provider offers this endpoint",
            ))),
            several => {
                let names: Vec<&str> = several.iter().map(|p| &*p.name).collect();
                Err(invalid(
                    "provider_ambiguous",
                    format!(
                        "several providers offer this endpoint: name one of {} in the header \
                         x-freehold-provider",
                        names.join(", ")
                    ),
                ))
            }
        }
    }
}

/// Whether a path is a prefix or below it. A path with `..` in it, encoded or
/// not, is none.
fn is_below(path: &str, prefix: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    // As a server may read it that decodes before it splits, or twice.
    let mut read = path.to_ascii_lowercase();
    for _ in 0..3 {
        read = read.replace("%25", "%").replace("%2e", ".").replace("%2f", "/");
        read = read.replace("%5c", "/").replace('\\', "/");
    }
    if read.split('/').any(|s| matches!(s, "." | "..")) {
        return false;
    }
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[derive(Deserialize)]
struct EmbeddingsAsked {
    input: Value,
    encoding_format: Option<String>,
    dimensions: Option<u64>,
}

impl EmbeddingsAsked {
    fn read(body: &[u8]) -> Result<(Self, Vec<String>), Box<ApiError>> {
        let asked: Self = serde_json::from_slice(body).map_err(|e| {
            refuse::bad_body(&freehold_llm::DecodeError::json("request body", body, &e))
        })?;
        let texts = asked.texts()?;
        Ok((asked, texts))
    }

    fn texts(&self) -> Result<Vec<String>, Box<ApiError>> {
        if self.dimensions.is_some() {
            return Err(invalid(
                "unsupported_feature",
                "dimensions: the local model's vectors have one size; leave it out",
            ));
        }
        let wrong = || {
            invalid(
                "invalid_request",
                "input: expected a string or a list of strings (the local model takes no token ids)",
            )
        };
        match &self.input {
            Value::String(text) => Ok(vec![text.clone()]),
            Value::Array(texts) if !texts.is_empty() => {
                texts.iter().map(|t| t.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            _ => Err(wrong()),
        }
    }
}

fn embeddings_answer(embedded: &crate::engine::Embedded, base64: bool) -> Value {
    use base64::Engine as _;
    let data: Vec<Value> = (0..)
        .zip(&embedded.vectors)
        .map(|(index, vector): (u64, _)| {
            let embedding = if base64 {
                let bytes: Vec<u8> = vector.iter().flat_map(|f| f.to_le_bytes()).collect();
                Value::from(base64::engine::general_purpose::STANDARD.encode(bytes))
            } else {
                json!(vector)
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    json!({
        "object": "list",
        "data": data,
        "model": embedded.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    })
}

fn counted(tokens: u64, estimated: bool) -> Reply {
    let mut reply = json_reply(&json!({"input_tokens": tokens}));
    if estimated {
        reply.headers.insert("x-freehold-estimated", HeaderValue::from_static("true"));
    }
    reply
}

fn json_reply(value: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = ReplyBody::Full(value.to_string().into());
    Reply { status: StatusCode::OK, headers, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_below_a_prefix_pass() {
        assert!(is_below("/files", "/files"));
        assert!(is_below("/files/file-1/content?x=1", "/files"));
        for path in [
            "/filesystem",
            "/files/../admin",
            "/files/%2e%2E/admin",
            "/files/..%2fadmin",
            "/files/x%2F..%2f..%2Fadmin",
            "/files/..%5cadmin",
            "/files/..\\admin",
            "/files/%252e%252e/admin",
            "/files/%25252e%25252e/admin",
            "/x/files",
        ] {
            assert!(!is_below(path, "/files"), "{path}");
        }
    }
}
