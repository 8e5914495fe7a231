//! One node with everything real but the doors.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use freehold_control::prices::Sheet;
use freehold_control::{Control, Limits, NewKey, Principal, Routes, Settings, Started};
use freehold_gateway::call::{Call, Endpoint, Reply, ReplyBody};
use freehold_gateway::engine::Engine;
use freehold_gateway::options::{
    FetchOptions, GatewayOptions, Options, ProviderOptions, RouteOptions, SecretRef, Secrets,
};
use freehold_gateway::plan::Plan;
use freehold_gateway::{Gateway, Parts, Relay, resolve};
use freehold_llm::Dialect;
use freehold_store::exchanges::{self, Closed, Exchange};
use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{KeyName, Money, PageRequest, Secret, TenantId};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::script::{Act, Clock, Wire};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    providers: BTreeMap<String, ProviderOptions>,
    #[serde(default)]
    routes: BTreeMap<String, RouteOptions>,
    #[serde(default)]
    gateway: GatewayOptions,
}

/// Providers of each dialect with keys; add routes.
pub(crate) const PROVIDERS: &str = r#"
    [providers.chat]
    kind = "compatible"
    base_url = "http://chat.test/v1"
    key = { env = "KEY" }

    [providers.chat2]
    kind = "compatible"
    base_url = "http://chat2.test/v1"
    key = { env = "KEY" }

    [providers.responses]
    kind = "openai"
    base_url = "http://responses.test/v1"
    dialects = ["responses"]
    key = { env = "KEY" }

    [providers.messages]
    kind = "anthropic"
    base_url = "http://messages.test/v1"
    key = { env = "KEY" }
"#;

/// The secret behind every provider's key.
pub(crate) const UPSTREAM_KEY: &str = "sk-upstream-secret";

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) wire: Wire,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) control: Arc<Control>,
    pub(crate) principal: Arc<Principal>,
    db: Arc<Sqlite>,
    _folder: tempfile::TempDir,
}

/// What a client heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// The body broke off.
    pub(crate) torn: bool,
}

impl Heard {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|v| v.to_str().unwrap())
    }
}

/// A key of the tenant `main` for every route.
pub(crate) fn new_key() -> NewKey {
    NewKey {
        tenant: TenantId::main(),
        group: None,
        name: KeyName::new("tester").unwrap(),
        admin: false,
        routes: Routes::ALL,
        limits: Limits::default(),
        expires_at: None,
    }
}

impl World {
    /// A node with [`PROVIDERS`] and `routes`.
    pub(crate) async fn new(routes: &str) -> Self {
        Self::with(&format!("{PROVIDERS}\n{routes}"), Limits::default(), None).await
    }

    pub(crate) async fn with(
        config: &str,
        limits: Limits,
        engine: Option<Arc<dyn Engine>>,
    ) -> Self {
        let (plan, fetch) = plan(config, None);
        let clock = Clock::new();
        let wire = Wire::new(clock.clone());
        let folder = tempfile::tempdir().unwrap();
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
        let env = Arc::new(clock.clone());
        let started = Control::open(db.clone(), env.clone(), Settings::default()).await.unwrap();
        let Started { control, writer, .. } = started;
        tokio::spawn(writer.run());
        let control = Arc::new(control);
        let issued = control.create_key(NewKey { limits, ..new_key() }).await.unwrap();
        let principal = control.authenticate(issued.secret.reveal()).unwrap();
        let parts = Parts {
            env,
            transport: Arc::new(wire.clone()),
            engine,
            control: Arc::clone(&control),
            fetch,
        };
        let gateway = Gateway::new(parts, plan);
        Self { clock, wire, gateway, control, principal, db, _folder: folder }
    }

    /// Puts another configuration in force: [`PROVIDERS`] and these routes.
    pub(crate) fn reload(&self, routes: &str) {
        let before = self.gateway.plan();
        let (plan, _) = plan(&format!("{PROVIDERS}\n{routes}"), Some(&before));
        self.gateway.follow(plan);
    }

    pub(crate) fn script(&self, pool: &str, act: Act) {
        self.wire.add(pool, act);
    }

    pub(crate) fn call(&self, endpoint: Endpoint, body: impl Into<Bytes>) -> Call {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer fh-client-secret"),
            ("x-api-key", "fh-client-secret"),
            ("api-key", "fh-client-secret"),
            ("cookie", "session=client"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("anthropic-beta", "beta-1"),
            ("content-type", "application/json"),
        ] {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Call {
            endpoint,
            headers,
            body: body.into(),
            principal: Arc::clone(&self.principal),
            request_id: "req-1".into(),
            strict: false,
            trace: None,
        }
    }

    /// A model call to its end; time skips on where it has to.
    pub(crate) async fn ask(&self, dialect: Dialect, body: impl Into<Bytes>) -> Heard {
        self.hear(self.call(Endpoint::Model(dialect), body)).await
    }

    pub(crate) async fn chat(&self, body: impl Into<Bytes>) -> Heard {
        self.ask(Dialect::Chat, body).await
    }

    pub(crate) async fn hear(&self, call: Call) -> Heard {
        // Exchanges are told apart, and ordered, by their time.
        self.pass(1);
        let reply = self.skipping(Box::pin(self.gateway.exchange(call))).await;
        self.read(reply).await
    }

    /// Reads a reply to its end.
    pub(crate) async fn read(&self, reply: Reply) -> Heard {
        let Reply { status, headers, body } = reply;
        let (body, torn) = match body {
            ReplyBody::Full(body) => (body.to_vec(), false),
            ReplyBody::Stream(relay) => self.skipping(drain(relay)).await,
        };
        Heard { status, headers, body, torn }
    }

    /// Waits for a future; where it waits for time, time passes.
    pub(crate) async fn skipping<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        for _ in 0..10_000 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
            if let Poll::Ready(done) = polled {
                return done;
            }
            tokio::task::yield_now().await;
            self.clock.skip();
        }
        panic!("it never ends");
    }

    pub(crate) fn pass(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    /// All that the books say, oldest first, once they are closed. Also that
    /// nothing is left behind.
    pub(crate) async fn books(&self) -> Vec<Closed> {
        assert_eq!(self.wire.live(), 0, "an upstream is still held");
        assert_eq!(self.control.admission().in_flight(), 0, "exchanges are still in flight");
        for route in self.gateway.plan().routes() {
            let metrics = &route.cell.metrics;
            let in_flight = metrics.in_flight.load(std::sync::atomic::Ordering::SeqCst);
            assert_eq!(in_flight, 0, "{} has exchanges in flight", route.name);
            for deployment in &route.deployments {
                let in_flight = deployment.cell.in_flight.load(std::sync::atomic::Ordering::SeqCst);
                assert_eq!(in_flight, 0, "{} has attempts in flight", deployment.name);
            }
        }
        assert_eq!(self.control.close().await, 0);
        let rows = self.rows().await;
        rows.into_iter().rev().map(|row| row.closed.expect("it is closed")).collect()
    }

    /// What was reserved for the one exchange.
    pub(crate) async fn reserved(&self) -> Money {
        self.rows().await[0].opened.reserved
    }

    async fn rows(&self) -> Vec<Exchange> {
        let page = PageRequest::new(None, 1_000);
        exchanges::list(&*self.db, &TenantId::main(), None, None, &page).await.unwrap().items
    }

    /// The one row of the books.
    pub(crate) async fn book(&self) -> Closed {
        let mut books = self.books().await;
        assert_eq!(books.len(), 1, "{books:?}");
        books.remove(0)
    }
}

fn plan(config: &str, before: Option<&Plan>) -> (Plan, FetchOptions) {
    let file: File = toml::from_str(config).unwrap();
    let fetch = file.gateway.fetch.clone();
    let options = Options { providers: file.providers, routes: file.routes, gateway: file.gateway };
    let key = (SecretRef::Env("KEY".to_owned()), Secret::new(UPSTREAM_KEY));
    let secrets = Secrets::new([key].into());
    (resolve(&options, &secrets, &Sheet::embedded(), "0.0.0", before).unwrap().plan, fetch)
}

/// A stream's bytes, and whether it broke off.
pub(crate) async fn drain(mut relay: Box<Relay>) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(frame) = relay.frame().await {
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    body.extend_from_slice(&data);
                }
            }
            Err(_) => return (body, true),
        }
    }
    (body, false)
}
