//! A real gateway, control and store, and a provider by script.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use freehold_control::prices::Sheet;
use freehold_control::{Control, Limits, NewKey, Routes, Settings, Started};
use freehold_gateway::options::{
    FetchOptions, GatewayOptions, Options, ProviderOptions, RouteOptions, SecretRef, Secrets,
};
use freehold_gateway::{Gateway, Parts, Said, resolve};
use freehold_llm::Dialect;
use freehold_llm::model::{ApiError, Event, Item, ItemBody, Reasoning, Request, Role, Seal};
use freehold_runtime::answer::Gather;
use freehold_runtime::event::Name;
use freehold_runtime::gateway_models::GatewayModels;
use freehold_runtime::models::{ModelAsk, Models as _};
use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{
    BodyError, BoxFuture, Env, KeyId, KeyName, Money, Offset, Secret, SessionId, TenantId,
    Transport, TransportError, WireRequest, WireResponse,
};
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body::{Body, Frame};
use jiff::Timestamp;

/// Time stands still, but for sleepers, who find it passed.
struct Still(Mutex<Duration>);

impl Env for Still {
    fn now(&self) -> Timestamp {
        let start: Timestamp = "2026-05-05T12:00:00Z".parse().unwrap();
        start + jiff::SignedDuration::try_from(*self.0.lock().unwrap()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1_000) + *self.0.lock().unwrap()
    }

    fn fill_random(&self, out: &mut [u8]) {
        for byte in out {
            *byte = 7;
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration >= Duration::from_secs(1) {
            *self.0.lock().unwrap() += duration;
            return Box::pin(std::future::ready(()));
        }
        Box::pin(tokio::time::sleep(Duration::from_millis(5)))
    }
}

/// A provider: its answers in order, and what it was asked.
#[derive(Default)]
struct Provider {
    answers: Mutex<VecDeque<(u16, &'static str, String)>>,
    asked: Mutex<Vec<serde_json::Value>>,
}

struct Once(Option<Bytes>);

impl Body for Once {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Transport for Provider {
    fn send(&self, request: WireRequest) -> BoxFuture<'_, Result<WireResponse, TransportError>> {
        let body = serde_json::from_slice(&request.body.to_bytes()).unwrap();
        self.asked.lock().unwrap().push(body);
        let (status, kind, body) = self.answers.lock().unwrap().pop_front().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        Box::pin(std::future::ready(Ok(WireResponse {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Box::pin(Once(Some(body.into()))),
        })))
    }
}

struct World {
    provider: Arc<Provider>,
    control: Arc<Control>,
    models: GatewayModels,
    key: KeyId,
    _folder: tempfile::TempDir,
}

#[derive(serde::Deserialize)]
struct File {
    providers: BTreeMap<String, ProviderOptions>,
    routes: BTreeMap<String, RouteOptions>,
}

const CONFIG: &str = r#"
    [providers.p]
    kind = "openai"
    base_url = "http://p.test/v1"
    dialects = ["responses"]
    key = { env = "KEY" }
    [routes.r]
    [[routes.r.deployments]]
    provider = "p"
    model = "m"
    price = { input = "1", output = "2" }
"#;

impl World {
    async fn new(limits: Limits) -> Self {
        let env: Arc<dyn Env> = Arc::new(Still(Mutex::default()));
        let folder = tempfile::tempdir().unwrap();
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(folder.path())).unwrap());
        let started = Control::open(db, Arc::clone(&env), Settings::default()).await.unwrap();
        let Started { control, writer, .. } = started;
        tokio::spawn(writer.run());
        let control = Arc::new(control);
        let issued = control
            .create_key(NewKey {
                tenant: TenantId::main(),
                group: None,
                name: KeyName::new("tester").unwrap(),
                admin: false,
                routes: Routes::ALL,
                limits,
                expires_at: None,
            })
            .await
            .unwrap();
        let key = control.authenticate(issued.secret.reveal()).unwrap().key().id;
        let file: File = toml::from_str(CONFIG).unwrap();
        let options = Options {
            providers: file.providers,
            routes: file.routes,
            gateway: GatewayOptions::default(),
        };
        let secret = (SecretRef::Env("KEY".to_owned()), Secret::new("sk-p"));
        let secrets = Secrets::new([secret].into());
        let plan = resolve(&options, &secrets, &Sheet::embedded(), "0.0.0", None).unwrap().plan;
        let provider = Arc::new(Provider::default());
        let parts = Parts {
            env: Arc::clone(&env),
            transport: Arc::clone(&provider) as Arc<dyn Transport>,
            engine: None,
            control: Arc::clone(&control),
            fetch: FetchOptions::default(),
        };
        let gateway = Gateway::new(parts, plan);
        let models = GatewayModels::new(gateway, Arc::clone(&control), env);
        Self { provider, control, models, key, _folder: folder }
    }

    fn answers(&self, status: u16, kind: &'static str, body: impl Into<String>) {
        self.provider.answers.lock().unwrap().push_back((status, kind, body.into()));
    }

    fn streams(&self, text: &str) {
        let event = |json: serde_json::Value| {
            format!("event: {}\ndata: {json}\n\n", json["type"].as_str().unwrap())
        };
        let response = |status: &str, output: serde_json::Value| {
            serde_json::json!({"id": "resp_1", "object": "response", "created_at": 1,
                "status": status, "error": null, "incomplete_details": null, "model": "m",
                "instructions": null, "output": output, "parallel_tool_calls": true,
                "tool_choice": "auto", "tools": [],
                "usage": {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}})
        };
        let message = serde_json::json!({"type": "message", "id": "msg_1", "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}]});
        let body = [
            event(serde_json::json!({"type": "response.created",
                "response": response("in_progress", serde_json::json!([]))})),
            event(serde_json::json!({"type": "response.output_item.done", "output_index": 0,
                "item": message})),
            event(serde_json::json!({"type": "response.completed",
                "response": response("completed", serde_json::json!([message]))})),
        ];
        self.answers(200, "text/event-stream", body.concat());
    }

    fn ask(&self, request: &Request) -> ModelAsk {
        ModelAsk {
            tenant: TenantId::main(),
            payer: Name::new(&self.key.to_string()).unwrap(),
            session: SessionId::from_parts(Timestamp::UNIX_EPOCH, &[1; 10]),
            asked: Offset(5),
            request: Arc::new(request.clone()),
        }
    }

    async fn gathered(&self, request: &Request) -> Result<Gather, Box<ApiError>> {
        let mut stream = self.models.ask(self.ask(request)).await?;
        let mut gather = Gather::new(request);
        while let Some(said) = stream.next().await {
            gather.take(said);
        }
        assert!(gather.is_over());
        Ok(gather)
    }
}

fn request() -> Request {
    let mut request = Request::new(Dialect::Responses, "r");
    request.items.push(Item::text(Role::User, "hi"));
    request
}

#[tokio::test]
async fn an_answer_comes_with_its_usage_and_its_cost() {
    let world = World::new(Limits::default()).await;
    world.streams("Hello");
    let offered = world.gathered(&request()).await.unwrap().finish().unwrap();
    assert_eq!((offered.usage.input, offered.usage.output), (10, 5));
    assert_eq!(offered.usage.cost, Money::from_nanos(20_000).unwrap());
    assert_eq!(offered.model.as_str(), "m");
}

#[tokio::test]
async fn a_revoked_key_pays_no_more() {
    let world = World::new(Limits::default()).await;
    world.control.revoke_key(&TenantId::main(), world.key).await.unwrap();
    let error = world.gathered(&request()).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("key.revoked"));
    assert!(error.message.contains("revoked"), "{}", error.message);
    let failure =
        freehold_runtime::answer::Failure::of(&error, freehold_runtime::event::Usage::default());
    assert_eq!(failure.reason, freehold_runtime::event::AbortReason::Final);
    assert!(world.provider.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn nor_does_a_key_that_is_none() {
    let world = World::new(Limits::default()).await;
    let other = |ask: ModelAsk, payer: &str| ModelAsk { payer: Name::new(payer).unwrap(), ..ask };
    for payer in ["somebody", "key_0192d2c0f3e07abc8def0123456789ac"] {
        let ask = other(world.ask(&request()), payer);
        let Err(error) = world.models.ask(ask).await else { panic!("{payer} pays") };
        assert_eq!(error.code.as_deref(), Some("key.unknown"), "{}", error.message);
    }
    let elsewhere = TenantId::new("elsewhere").unwrap();
    let ask = ModelAsk { tenant: elsewhere, ..world.ask(&request()) };
    assert!(world.models.ask(ask).await.is_err(), "a key is its tenant's");
}

#[tokio::test]
async fn a_limit_that_will_have_room_is_waited_for() {
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let world = World::new(limits).await;
    for _ in 0..2 {
        world.streams("Hello");
        world.gathered(&request()).await.unwrap().finish().unwrap();
    }
}

#[tokio::test]
async fn thinking_that_a_provider_does_not_take_back_is_left_out() {
    let world = World::new(Limits::default()).await;
    let mut request = request();
    let seal = Seal {
        dialect: Dialect::Responses,
        hides: true,
        data: "sealed-elsewhere".into(),
        item_id: Some("rs_1".into()),
    };
    let thought = Reasoning { seal: Some(seal), ..Reasoning::default() };
    request.items.push(Item::new(ItemBody::Reasoning(thought)));
    request.items.push(Item::text(Role::Assistant, "so"));
    request.items.push(Item::text(Role::User, "and?"));
    let refusal = r#"{"error":{"message":"The encrypted content could not be verified.",
        "type":"invalid_request_error","param":null,"code":"invalid_encrypted_content"}}"#;
    world.answers(400, "application/json", refusal);
    world.streams("Hello");
    world.gathered(&request).await.unwrap().finish().unwrap();
    let asked = world.provider.asked.lock().unwrap().clone();
    let sealed = asked.iter().map(|body| body.to_string().contains("sealed-elsewhere"));
    assert_eq!(sealed.collect::<Vec<_>>(), [true, false]);

    world.answers(400, "application/json", refusal);
    request.items.remove(1);
    let error = world.gathered(&request).await.unwrap_err();
    assert_eq!(error.status, 400, "there is nothing to leave out");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_failure_that_cost_something() {
    let world = World::new(Limits::default()).await;
    let begun = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":\
                 {\"id\":\"r\",\"model\":\"m\",\"created_at\":1,\"status\":\"in_progress\",\"output\":[]}}\n\n";
    world.answers(200, "text/event-stream", begun);
    let mut stream = world.models.ask(world.ask(&request())).await.unwrap();
    let mut last = None;
    let mut cost = Money::ZERO;
    while let Some(said) = stream.next().await {
        match said {
            Said::Cost(money) => cost = money,
            Said::Event(event) => last = Some(event),
        }
    }
    assert!(matches!(last, Some(Event::Error(_))));
    assert!(cost > Money::ZERO);
}
