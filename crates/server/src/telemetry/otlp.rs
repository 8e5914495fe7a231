//! Traces of exchanges by OpenTelemetry's GenAI conventions, over OTLP/HTTP.
//!
//! The data plane tells of each exchange once, when its books are closed. That
//! event becomes a span here, so that tracing costs nothing where it is off
//! and the hot path knows nothing of it. No content is in it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use freehold_gateway::options::Secrets;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::Guard;
use freehold_types::{Env, Target, Timeouts, Transport as _, WireRequest};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider};
use tokio::runtime::Runtime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

use super::EXCHANGE;
use crate::config::OtlpOptions;
use crate::env::RealEnv;

/// Requests whose client gave a trace and whose exchange has not ended.
const PARENTS_MAX: usize = 16_384;

/// A collector's answer is no larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;

const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    headers: Duration::from_secs(10),
    first_byte: Duration::from_secs(10),
    idle: Duration::from_secs(10),
};

/// The running traces.
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
    /// The clients' traces, by the names of their requests.
    parents: Mutex<HashMap<Arc<str>, SpanContext>>,
}

impl Traces {
    /// Starts sending to a collector.
    pub fn start(options: &OtlpOptions, secrets: &Secrets) -> Result<Arc<Self>, String> {
        let headers = options.headers.iter().filter_map(|(name, at)| {
            // The exporter decodes what it is given.
            let value = secrets.get(at)?.reveal().replace('%', "%25");
            Some((name.clone(), value))
        });
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new().map_err(|error| error.to_string())?)
            .with_endpoint(format!("{}/v1/traces", options.endpoint.trim_end_matches('/')))
            .with_headers(headers.collect())
            .build()
            .map_err(|error| error.to_string())?;
        let share = f64::from(options.sample_percent) / 100.0;
        let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share)));
        let resource = Resource::builder()
            .with_service_name("freehold")
            .with_attributes([KeyValue::new("service.version", env!("CARGO_PKG_VERSION"))])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("freehold");
        Ok(Arc::new(Self { provider, tracer, parents: Mutex::default() }))
    }

    /// Keeps the trace that a client gave with a request (`traceparent`).
    pub fn remember(&self, request_id: &Arc<str>, headers: &HeaderMap) {
        let given = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let Some(parent) = given.and_then(parent) else { return };
        let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
        // A request that was refused before its exchange is never asked for:
        // what has gathered is forgotten, and a few spans lose their parents.
        if parents.len() >= PARENTS_MAX {
            parents.clear();
        }
        parents.insert(Arc::clone(request_id), parent);
    }

    /// What makes spans of events.
    pub fn layer<S>(self: &Arc<Self>) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let layer = Exchanges { traces: Arc::clone(self), env: RealEnv::new() };
        layer.with_filter(filter::filter_fn(|metadata| metadata.target() == EXCHANGE))
    }

    /// Sends what is left and ends. Blocks, at most for `limit`.
    pub fn stop(&self, limit: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(limit) {
            tracing::warn!(%error, "traces were lost");
        }
    }

    fn span(&self, fields: &Fields, end: SystemTime) {
        let parent = {
            let mut parents = self.parents.lock().unwrap_or_else(PoisonError::into_inner);
            parents.remove(fields.text("request_id"))
        };
        let context = parent
            .map_or_else(Context::new, |parent| Context::new().with_remote_span_context(parent));
        let took = Duration::from_millis(fields.count("ms"));
        let operation = operation(fields.text("endpoint"));
        // The route and not the model: a client's words would be without bound.
        let name = format!("{operation} {}", fields.text("route"));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Server)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes(attributes(fields, operation));
        let mut span = builder.start_with_context(&self.tracer, &context);
        if fields.text("outcome") != "ok" {
            span.set_status(Status::error(fields.text("outcome").to_owned()));
        }
        span.end_with_timestamp(end);
    }
}

/// The conventions' word for an endpoint.
fn operation(endpoint: &str) -> &str {
    match endpoint {
        "chat" | "responses" | "messages" => "chat",
        "completions" => "text_completion",
        other => other,
    }
}

fn attributes(fields: &Fields, operation: &str) -> Vec<KeyValue> {
    let (provider, model) =
        fields.text("deployment").split_once('/').unwrap_or((fields.text("deployment"), ""));
    let texts = [
        ("gen_ai.operation.name", operation),
        ("gen_ai.provider.name", provider),
        ("gen_ai.request.model", fields.text("model")),
        ("gen_ai.response.model", model),
        ("error.type", fields.text("code")),
        ("freehold.request_id", fields.text("request_id")),
        ("freehold.exchange", fields.text("exchange")),
        ("freehold.tenant", fields.text("tenant")),
        ("freehold.key", fields.text("key")),
        ("freehold.route", fields.text("route")),
        ("freehold.endpoint", fields.text("endpoint")),
        ("freehold.outcome", fields.text("outcome")),
        ("freehold.cost", fields.text("cost")),
    ];
    let counts = [
        ("gen_ai.usage.input_tokens", "input_tokens"),
        ("gen_ai.usage.output_tokens", "output_tokens"),
        ("gen_ai.usage.cache_read.input_tokens", "cached_tokens"),
        ("http.response.status_code", "status"),
        ("freehold.attempts", "attempts"),
    ];
    let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
    texts
        .map(|(name, text)| KeyValue::new(name, text.to_owned()))
        .chain(counts.map(|(name, field)| {
            KeyValue::new(name, i64::try_from(fields.count(field)).unwrap_or(i64::MAX))
        }))
        .collect()
}

/// A `traceparent` of the W3C, if it is one.
fn parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.len() == length && text.bytes().all(plain)
    };
    let well = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
    if !well || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, flags, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// Makes spans of events.
struct Exchanges {
    traces: Arc<Traces>,
    env: RealEnv,
}

impl<S: Subscriber> Layer<S> for Exchanges {
    fn on_event(&self, event: &Event<'_>, _: LayerContext<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.traces.span(&fields, SystemTime::from(self.env.now()));
    }
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields {
    texts: Vec<(&'static str, String)>,
    counts: Vec<(&'static str, u64)>,
}

impl Fields {
    fn text(&self, name: &str) -> &str {
        let found = self.texts.iter().find(|(field, _)| *field == name);
        found.map_or("", |(_, text)| text.as_str())
    }

    fn count(&self, name: &str) -> u64 {
        let found = self.counts.iter().find(|(field, _)| *field == name);
        found.map_or(0, |(_, count)| *count)
    }
}

impl Visit for Fields {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.counts.push((field.name(), value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.texts.push((field.name(), value.to_owned()));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.texts.push((field.name(), format!("{value:?}")));
    }
}

/// Our own HTTP client, in the exporter's terms. It is used by the exporter's
/// own thread, one request at a time, which is why that thread may wait in it.
struct Client {
    transport: HttpTransport,
    runtime: Runtime,
}

impl Client {
    fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { transport: HttpTransport::new(1, Guard::default()), runtime })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (head, body) = request.into_parts();
        let request = WireRequest {
            method: head.method,
            uri: head.uri,
            headers: head.headers,
            body,
            timeouts: TIMEOUTS,
            target: Target::Configured,
            pool: None,
        };
        self.runtime.block_on(async {
            let answer = self.transport.send(request).await?;
            let body = Limited::new(answer.body, ANSWER_BYTES_MAX).collect().await?.to_bytes();
            let mut response = Response::new(body);
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn only_a_whole_traceparent_is_one() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let context = parent(good).unwrap();
        assert!(context.is_remote() && context.is_sampled());
        for wrong in [
            "",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert!(parent(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_exchange_becomes_a_span_at_the_collector() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            let mut buf = [0; 4096];
            // The body ends with the last attribute that is looked for.
            while !seen.windows(17).any(|part| part == b"freehold.attempts") {
                let got = stream.read(&mut buf).unwrap();
                assert!(got > 0, "{}", String::from_utf8_lossy(&seen));
                seen.extend_from_slice(&buf[..got]);
            }
            let _sent = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            String::from_utf8_lossy(&seen).into_owned()
        });
        let options = OtlpOptions {
            endpoint,
            headers: std::collections::BTreeMap::new(),
            sample_percent: 100,
        };
        let traces = Traces::start(&options, &Secrets::default()).unwrap();
        let id: Arc<str> = "req_1".into();
        let mut headers = HeaderMap::new();
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", given.parse().unwrap());
        traces.remember(&id, &headers);
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "freehold::other", request_id = "req_0", "not this one");
            tracing::info!(
                target: EXCHANGE,
                request_id = "req_1",
                endpoint = "messages",
                route = "smart",
                deployment = "east/m-1",
                model = "smart",
                outcome = "ok",
                status = 200_u16,
                input_tokens = 7_u64,
                attempts = 1_u32,
                ms = 12_u64,
                "exchange"
            );
        });
        assert!(traces.parents.lock().unwrap().is_empty());
        traces.stop(Duration::from_secs(5));
        let seen = collector.join().unwrap();
        assert!(seen.starts_with("POST /v1/traces HTTP/1.1"), "{seen}");
        for part in ["chat smart", "gen_ai.provider.name", "east", "gen_ai.usage.input_tokens"] {
            assert!(seen.contains(part), "{part}: {seen}");
        }
    }
}
