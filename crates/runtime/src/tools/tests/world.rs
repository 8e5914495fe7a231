//! A toolbox in a small world: real time, real sockets, records in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_gateway::options::Secrets as ConfigSecrets;
use freehold_gateway::transport::HttpTransport;
use freehold_gateway::transport::guard::{Guard, Network};
use freehold_llm::Dialect;
use freehold_llm::model::{Request, Tool};
use freehold_types::{BoxFuture, CallId, Env, Offset, Secret, SessionId, TenantId};
use jiff::Timestamp;
use serde_json::Value;

use crate::content::Settings;
use crate::decide::Ended;
use crate::event::{Content, Event, Hash, Limits, Name, Note};
use crate::tools::options::{ClientToolOptions, ToolOptions};
use crate::tools::{
    Config, Parts, Performed, Performing, Plan, Records, Secrets, ToolSpec, Toolbox, Tools, Toolset,
};

/// The real clock, and chance that counts up.
pub(super) struct Clock(tokio::runtime::Handle);

impl Clock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self(tokio::runtime::Handle::current()))
    }
}

impl Env for Clock {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).expect("a time")
    }
    #[expect(clippy::disallowed_methods, reason = "this is the door of a test")]
    fn monotonic(&self) -> Duration {
        static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        START.get_or_init(std::time::Instant::now).elapsed()
    }
    fn fill_random(&self, out: &mut [u8]) {
        static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::SeqCst).to_be_bytes();
        out.iter_mut().zip(next.iter().rev().cycle()).for_each(|(to, from)| *to = *from);
    }
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let _inside = self.0.enter();
        Box::pin(tokio::time::sleep(duration))
    }
}

/// Events and blobs in memory.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) events: Mutex<Vec<Event>>,
    pub(super) blobs: Mutex<BTreeMap<Hash, Value>>,
    pub(super) secrets: Mutex<BTreeMap<Name, Secret>>,
}

impl Secrets for Memory {
    fn put(
        &self,
        _: &TenantId,
        _: SessionId,
        name: &Name,
        secret: Secret,
    ) -> BoxFuture<'static, Result<(), Note>> {
        self.secrets.lock().expect("no panic before").insert(name.clone(), secret);
        Box::pin(async { Ok(()) })
    }
    fn get(
        &self,
        _: &TenantId,
        _: SessionId,
        name: &Name,
    ) -> BoxFuture<'static, Result<Option<Secret>, Note>> {
        let found = self.secrets.lock().expect("no panic before").get(name).cloned();
        Box::pin(async move { Ok(found) })
    }
    fn delete(&self, _: &TenantId, _: SessionId) -> BoxFuture<'static, Result<(), Note>> {
        self.secrets.lock().expect("no panic before").clear();
        Box::pin(async { Ok(()) })
    }
}

impl Records for Memory {
    fn read(
        &self,
        _: &TenantId,
        _: SessionId,
        after: Offset,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, Note>> {
        let events = self.events.lock().expect("no panic before");
        let read = events.iter().filter(|event| event.offset > after).take(limit);
        let read = Ok(read.cloned().collect());
        Box::pin(async move { read })
    }
    fn content(
        &self,
        tenant: &TenantId,
        session: SessionId,
        content: &Content,
    ) -> BoxFuture<'static, Result<Value, Note>> {
        match content {
            Content::Inline(value) => {
                let value = value.clone();
                Box::pin(async move { Ok(value) })
            }
            Content::Blob { hash, .. } => {
                let kept = self.kept(tenant, session, *hash);
                Box::pin(async move { kept.await?.ok_or_else(|| Note::cut("gone")) })
            }
        }
    }
    fn keep(
        &self,
        _: &TenantId,
        _: SessionId,
        value: Value,
    ) -> BoxFuture<'static, Result<Hash, Note>> {
        let hash = Hash::of(value.to_string().as_bytes());
        self.blobs.lock().expect("no panic before").insert(hash, value);
        Box::pin(async move { Ok(hash) })
    }
    fn kept(
        &self,
        _: &TenantId,
        _: SessionId,
        hash: Hash,
    ) -> BoxFuture<'static, Result<Option<Value>, Note>> {
        let value = self.blobs.lock().expect("no panic before").get(&hash).cloned();
        Box::pin(async move { Ok(value) })
    }
}

/// A toolbox, and what calls of it need.
pub(super) struct World {
    pub(super) toolbox: Toolbox,
    pub(super) memory: Arc<Memory>,
    pub(super) env: Arc<Clock>,
    pub(super) tenant: TenantId,
    pub(super) session: SessionId,
}

impl World {
    /// With tools that are configured, each by its options as JSON. Untrusted
    /// addresses may lead to 127.0.0.2, which stands for a public address.
    pub(super) fn new(tools: &[(&str, Value)]) -> Self {
        Self::with_secrets(tools, ConfigSecrets::default())
    }

    /// The same, with what references to secrets lead to.
    pub(super) fn with_secrets(tools: &[(&str, Value)], secrets: ConfigSecrets) -> Self {
        let env = Clock::new();
        let memory = Arc::new(Memory::default());
        let guard =
            Guard { allow: vec![Network::parse("127.0.0.2").expect("one")], allow_http: true };
        let parts = Parts {
            env: Arc::clone(&env) as _,
            transport: Arc::new(HttpTransport::new(1, guard)),
            records: Arc::clone(&memory) as _,
            secrets: Arc::clone(&memory) as _,
            version: "0.0.0",
        };
        let options = |value: &Value| serde_json::from_value::<ToolOptions>(value.clone());
        let tools = tools.iter().map(|(name, value)| {
            ((*name).to_owned(), options(value).unwrap_or_else(|error| panic!("{name}: {error}")))
        });
        let config =
            Config { tools: tools.collect(), client: ClientToolOptions::default(), secrets };
        let plan = Plan::new(&config).unwrap_or_else(|problems| panic!("{problems:?}"));
        let session = SessionId::new(&*env);
        let tenant = TenantId::new("main").expect("a tenant");
        Self { toolbox: Toolbox::new(parts, plan), memory, env, tenant, session }
    }

    pub(super) async fn set(&self, settings: &Arc<Settings>) -> Arc<Toolset> {
        let set = self.toolbox.resolve(self.tenant.clone(), self.session, Arc::clone(settings));
        set.await.expect("it resolves")
    }

    pub(super) fn performing(
        &self,
        settings: &Arc<Settings>,
        tool: &str,
        arguments: &Value,
    ) -> Performing {
        Performing {
            tenant: self.tenant.clone(),
            session: self.session,
            call: CallId::new(&*self.env),
            attempt: 1,
            tool: Name::cut(tool),
            arguments: arguments.to_string().into(),
            settings: Arc::clone(settings),
            timeout_ms: 5_000,
        }
    }

    pub(super) async fn call(
        &self,
        settings: &Arc<Settings>,
        tool: &str,
        arguments: Value,
    ) -> Performed {
        self.toolbox.call(self.performing(settings, tool, &arguments)).await
    }
}

/// Settings with the client's own tools and Freehold's.
pub(super) fn settings(client: Vec<Tool>, tools: Vec<ToolSpec>) -> Arc<Settings> {
    let mut request = Request::new(Dialect::Responses, "m");
    request.tools = client;
    Arc::new(Settings {
        payer: Name::cut("key"),
        request,
        tools,
        calls_max: None,
        may_truncate: false,
        limits: Limits::default(),
    })
}

/// The configured tools of these names.
pub(super) fn configured(names: &[&str]) -> Arc<Settings> {
    settings(Vec::new(), names.iter().map(|name| ToolSpec::Configured(Name::cut(name))).collect())
}

/// The text of a result, and whether the call succeeded.
pub(super) fn text(performed: &Performed) -> (bool, String) {
    let (good, content) = match performed {
        Performed::Ended(Ended::Ok(content)) => (true, content),
        Performed::Ended(Ended::Failed(content)) => (false, content),
        other => panic!("{other:?}"),
    };
    let Content::Inline(value) = content else { panic!("inline") };
    let parts = crate::content::output(value);
    let texts: Vec<_> = parts.iter().filter_map(|part| part.as_text()).collect();
    (good, texts.join("\n"))
}
