//! Traces of exchanges by OpenTelemetry's GenAI conventions, over OTLP/HTTP.
//!
//! The data plane tells of each exchange once, when its books are closed. That
//! event becomes a span here, so that tracing costs nothing where it is off
//! and the hot path knows nothing of it. No content is in it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use freehold_gateway::options::Secrets;
use freehold_gateway::trace::{Span, Trace};
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::Guard;
use freehold_types::{Env, Target, Timeouts, Transport as _, WireRequest};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Limited};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _,
    TraceFlags, TraceId, TraceState, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SamplingDecision, SdkTracer, SdkTracerProvider,
    ShouldSample as _,
};
use tokio::runtime::Runtime;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context as LayerContext;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

use super::EXCHANGE;
use crate::config::OtlpOptions;
use crate::env::RealEnv;

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
    sampler: Sampler,
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
            .with_sampler(sampler.clone())
            .with_id_generator(Ids::default())
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("freehold");
        Ok(Arc::new(Self { provider, tracer, sampler }))
    }

    /// Begins a span below the client's, or a trace of its own. Its end is the
    /// exchange's event, which tells of it.
    pub fn begin(&self, client: Option<Trace>) -> Trace {
        let ids = RandomIdGenerator::default();
        let span = u64::from_be_bytes(ids.new_span_id().to_bytes());
        let own = match &client {
            Some(client) => Span { span, ..client.span },
            None => {
                let trace = ids.new_trace_id();
                let kind = SpanKind::Server;
                let sampled = self.sampler.should_sample(None, trace, "", &kind, &[], &[]);
                let flags = u8::from(sampled.decision == SamplingDecision::RecordAndSample);
                Span { trace: u128::from_be_bytes(trace.to_bytes()), span, flags }
            }
        };
        Trace::below(client, own)
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
        let own = Span::parse(fields.text("trace"));
        let parent = Span::parse(fields.text("trace_parent")).map(remote);
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
        // Providers have heard of this very span.
        GIVEN.set(own);
        let mut span = builder.start_with_context(&self.tracer, &context);
        GIVEN.set(None);
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

/// The client's span.
fn remote(span: Span) -> SpanContext {
    let (trace, id) = (TraceId::from(span.trace), SpanId::from(span.span));
    SpanContext::new(trace, id, TraceFlags::new(span.flags), true, TraceState::NONE)
}

thread_local! {
    /// What the next span of this thread is called.
    static GIVEN: Cell<Option<Span>> = const { Cell::new(None) };
}

/// Names spans as they were named when they began.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        GIVEN.get().map_or_else(|| self.0.new_trace_id(), |span| TraceId::from(span.trace))
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN.get().map_or_else(|| self.0.new_span_id(), |span| SpanId::from(span.span))
    }
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
            body: body.into(),
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

    use http::HeaderMap;

    use super::*;

    #[test]
    fn a_share_of_traces_that_begin_here_is_sampled() {
        let options = |sample_percent| OtlpOptions {
            endpoint: "http://127.0.0.1:9".to_owned(),
            headers: std::collections::BTreeMap::new(),
            sample_percent,
        };
        for (percent, flags) in [(0, 0), (100, 1)] {
            let traces = Traces::start(&options(percent), &Secrets::default()).unwrap();
            let (a, b) = (traces.begin(None), traces.begin(None));
            assert_eq!((a.span.flags, a.parent), (flags, None));
            assert_ne!(a.span.trace, b.span.trace);
            // A client's word counts more.
            let client = Trace::below(None, Span { flags: 1, ..a.span });
            assert_eq!(traces.begin(Some(client)).span.flags, 1);
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
            seen
        });
        let options = OtlpOptions {
            endpoint,
            headers: std::collections::BTreeMap::new(),
            sample_percent: 100,
        };
        let traces = Traces::start(&options, &Secrets::default()).unwrap();
        let mut headers = HeaderMap::new();
        let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        headers.insert("traceparent", given.parse().unwrap());
        let trace = traces.begin(Trace::of_client(&headers));
        let parent = trace.parent.unwrap();
        assert_eq!((parent.to_string(), trace.span.trace), (given.to_owned(), parent.trace));
        assert!(trace.span.span != parent.span && trace.span.flags == 1);
        let subscriber = tracing_subscriber::registry().with(traces.layer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "freehold::other", request_id = "req_0", "not this one");
            tracing::info!(
                target: EXCHANGE,
                request_id = "req_1",
                trace = %trace.span,
                trace_parent = %parent,
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
        traces.stop(Duration::from_secs(5));
        let seen = collector.join().unwrap();
        let ids = [&trace.span.trace.to_be_bytes()[..], &trace.span.span.to_be_bytes()];
        for id in ids.into_iter().chain([&parent.span.to_be_bytes()[..]]) {
            assert!(seen.windows(id.len()).any(|part| part == id), "{id:x?} is not in it");
        }
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.starts_with("POST /v1/traces HTTP/1.1"), "{seen}");
        for part in ["chat smart", "gen_ai.provider.name", "east", "gen_ai.usage.input_tokens"] {
            assert!(seen.contains(part), "{part}: {seen}");
        }
    }
}
