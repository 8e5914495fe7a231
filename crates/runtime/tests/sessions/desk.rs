//! A node over a real embedded store, with models and tools by script.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use freehold_control::vault::KeyBytes;
use freehold_llm::Dialect;
use freehold_llm::model::{
    ApiError, Delta, Event, Extra, Item, ItemBody, Message, Request, Role, Slot, Stop, StopReason,
    Tool, ToolBody, ToolCall, ToolCallKind, Usage,
};
use freehold_runtime::archive::Archive;
use freehold_runtime::content::{About, Input, Settings};
use freehold_runtime::decide::{Cue, Ended, Found, Rules, ToolRules};
use freehold_runtime::event::{
    Busy, Content, Event as Record, Fact, Hash, Limits, Name, Note, Place, RetryRule,
};
use freehold_runtime::models::{ModelAsk, ModelStream, Models, Said};
use freehold_runtime::seal::KeyWrap;
use freehold_runtime::sessions::{By, NewSession, Options, Parts, Receipt, Sessions, Tail};
use freehold_runtime::tools::{Performed, Performing, Tools, Toolset};
use freehold_store::{Sqlite, SqliteOptions};
use freehold_types::{
    BlobEntry, BlobError, BlobName, BlobScope, Blobs, BoxFuture, Db, Env, Offset, SessionId,
    TenantId,
};
use jiff::Timestamp;

/// The machine's own time and some chance.
pub(crate) struct Real(Instant, Mutex<u64>);

impl Real {
    pub(crate) fn new(chance: u64) -> Self {
        Self(Instant::now(), Mutex::new(chance))
    }
}

impl Env for Real {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    fn fill_random(&self, out: &mut [u8]) {
        let mut state = self.1.lock().unwrap();
        for byte in out {
            *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = state.to_be_bytes()[3];
        }
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// What a model says when it is asked.
#[derive(Clone)]
pub(crate) enum Line {
    /// Some text, in so many pieces.
    Says(&'static str, usize),
    /// It calls tools.
    Calls(Vec<(&'static str, &'static str)>),
    /// It fails before it says anything.
    Fails(ApiError),
    /// It says something and then nothing more, until it is stopped.
    Hangs(&'static str),
}

/// Models and tools by script.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) lines: Mutex<VecDeque<Line>>,
    pub(crate) asked: Mutex<Vec<Arc<Request>>>,
    pub(crate) called: Mutex<Vec<Performing>>,
    pub(crate) rules: Mutex<BTreeMap<Name, ToolRules>>,
    pub(crate) results: Mutex<VecDeque<Option<Performed>>>,
    pub(crate) blobs: Mutex<BTreeMap<String, Bytes>>,
}

impl Models for Script {
    fn ask(&self, ask: ModelAsk) -> BoxFuture<'static, Result<ModelStream, Box<ApiError>>> {
        self.asked.lock().unwrap().push(ask.request);
        let line = self.lines.lock().unwrap().pop_front();
        Box::pin(async move {
            let line = line.unwrap_or(Line::Says("nothing more", 1));
            if let Line::Fails(error) = line {
                return Err(Box::new(error));
            }
            let events = events(&line);
            let hangs = matches!(line, Line::Hangs(_));
            let stream =
                futures_util::stream::unfold(events.into_iter(), move |mut rest| async move {
                    tokio::task::yield_now().await;
                    match rest.next() {
                        Some(event) => Some((Said::Event(event), rest)),
                        None if hangs => std::future::pending().await,
                        None => None,
                    }
                });
            Ok(Box::pin(stream) as ModelStream)
        })
    }
}

fn events(line: &Line) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: "answer".into(),
        model: "scripted".into(),
        created: None,
        usage: None,
        extra: Extra::default(),
    }];
    let mut reason = StopReason::End;
    match line {
        Line::Says(text, pieces) => say(text, *pieces, &mut events),
        Line::Hangs(text) => {
            say(text, 1, &mut events);
            events.truncate(events.len() - 1);
            return events;
        }
        Line::Calls(calls) => {
            reason = StopReason::ToolCalls;
            for (n, (name, input)) in (0..).zip(calls) {
                let slot = Slot { choice: 0, item: n };
                let call = ToolCall {
                    call_id: format!("model_call_{n}"),
                    name: (*name).into(),
                    input: String::new(),
                    kind: ToolCallKind::Function,
                    cache: None,
                };
                events.push(Event::ItemStart { slot, head: Item::new(ItemBody::ToolCall(call)) });
                let delta = Delta::Input((*input).into());
                events.push(Event::Delta { slot, part: 0, delta });
                events.push(Event::ItemEnd { slot, extra: Extra::default() });
            }
        }
        Line::Fails(_) => {}
    }
    let stop = Stop { reason, native: None, sequence: None };
    events.push(Event::Stop { choice: 0, stop, extra: Extra::default() });
    events.push(Event::Usage(Usage { input: 10, output: 5, ..Usage::default() }));
    events.push(Event::End { extra: Extra::default(), service_tier: None });
    events
}

fn say(text: &str, pieces: usize, events: &mut Vec<Event>) {
    let slot = Slot { choice: 0, item: 0 };
    let message = Message { role: Role::Assistant, parts: Vec::new() };
    events.push(Event::ItemStart { slot, head: Item::new(ItemBody::Message(message)) });
    let size = text.len().div_ceil(pieces);
    for piece in text.as_bytes().chunks(size.max(1)) {
        let delta = Delta::Text(String::from_utf8_lossy(piece).into_owned());
        events.push(Event::Delta { slot, part: 0, delta });
    }
    events.push(Event::ItemEnd { slot, extra: Extra::default() });
}

impl Blobs for Script {
    fn put<'a>(
        &'a self,
        name: &'a BlobName,
        content: Bytes,
    ) -> BoxFuture<'a, Result<(), BlobError>> {
        self.blobs.lock().unwrap().insert(name.to_string(), content);
        Box::pin(std::future::ready(Ok(())))
    }

    fn get<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<Bytes, BlobError>> {
        let found = self.blobs.lock().unwrap().get(&name.to_string()).cloned();
        Box::pin(std::future::ready(found.ok_or_else(|| BlobError::Missing(name.clone()))))
    }

    fn delete<'a>(&'a self, name: &'a BlobName) -> BoxFuture<'a, Result<(), BlobError>> {
        self.blobs.lock().unwrap().remove(&name.to_string());
        Box::pin(std::future::ready(Ok(())))
    }

    fn list<'a>(
        &'a self,
        scope: &'a BlobScope,
        after: Option<&'a BlobName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<BlobEntry>, BlobError>> {
        let (prefix, after) = (scope.prefix(), after.map(ToString::to_string).unwrap_or_default());
        let blobs = self.blobs.lock().unwrap();
        let found = blobs.iter().filter(|(name, _)| name.starts_with(&prefix) && **name > after);
        let entry = |(name, content): (&String, &Bytes)| {
            let (name, size) = (name.parse().unwrap(), content.len() as u64);
            BlobEntry { name, size }
        };
        let page = found.take(limit).map(entry).collect();
        Box::pin(std::future::ready(Ok(page)))
    }
}

impl Tools for Script {
    fn resolve(
        &self,
        _: TenantId,
        _: SessionId,
        settings: Arc<Settings>,
    ) -> BoxFuture<'static, Result<Arc<Toolset>, Note>> {
        let mut rules = self.rules.lock().unwrap().clone();
        for tool in &settings.request.tools {
            if let ToolBody::Function { name, .. } = &tool.body {
                rules.insert(Name::cut(name), rules_of(Place::Client, RetryRule::TellUnknown));
            }
        }
        Box::pin(async { Ok(Arc::new(Toolset { rules, ..Toolset::default() })) })
    }

    fn call(&self, performing: Performing) -> BoxFuture<'static, Performed> {
        self.called.lock().unwrap().push(performing);
        let result = self.results.lock().unwrap().pop_front();
        Box::pin(async move {
            match result {
                Some(Some(performed)) => performed,
                Some(None) => std::future::pending().await,
                None => Performed::Ended(Ended::Ok(Content::text("done"))),
            }
        })
    }

    fn query(&self, _: Performing) -> BoxFuture<'static, Found> {
        Box::pin(async { Found::Ok(Content::text("it ran")) })
    }
}

pub(crate) fn rules_of(place: Place, retry: RetryRule) -> ToolRules {
    ToolRules {
        version: Name::cut("1"),
        hash: Hash::of(b"rules"),
        place,
        forbidden: false,
        approval: None,
        retry,
        attempts_max: 3,
        timeout_ms: 60_000,
    }
}

/// Keeps keys as they are.
pub(crate) struct Bare;

impl KeyWrap for Bare {
    fn wrap<'a>(
        &'a self,
        _: &'a TenantId,
        _: SessionId,
        key: &'a KeyBytes,
    ) -> BoxFuture<'a, Result<Arc<[u8]>, freehold_control::Error>> {
        Box::pin(std::future::ready(Ok(key.reveal().to_vec().into())))
    }

    fn unwrap<'a>(
        &'a self,
        _: &'a TenantId,
        _: SessionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<KeyBytes, freehold_control::Error>> {
        Box::pin(std::future::ready(Ok(KeyBytes::take(wrapped.to_vec()).unwrap())))
    }
}

/// A node's life after life over one folder.
pub(crate) struct Desk {
    folder: PathBuf,
    pub(crate) script: Arc<Script>,
    pub(crate) tenant: TenantId,
    pub(crate) options: Options,
    lives: u64,
}

/// One life.
pub(crate) struct Life {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) db: Arc<Sqlite>,
    pub(crate) archive: Archive,
    pub(crate) tenant: TenantId,
}

impl Desk {
    pub(crate) fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("freehold-sessions-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        let rules = Rules { backoff_ms: 1, ..Options::default().rules };
        let options = Options { look: Duration::from_millis(5), rules, ..Options::default() };
        Self { folder, script: Arc::default(), tenant: TenantId::main(), options, lives: 0 }
    }

    pub(crate) fn says(&self, lines: impl IntoIterator<Item = Line>) {
        self.script.lines.lock().unwrap().extend(lines);
    }

    pub(crate) fn life(&mut self) -> Life {
        self.lives += 1;
        let db = Arc::new(Sqlite::open(&SqliteOptions::new(&self.folder)).unwrap());
        let parts = parts(&self.script, Arc::clone(&db) as _, self.lives);
        let archive = parts.archive.clone();
        let sessions = Sessions::start(parts, self.options.clone());
        Life { sessions, db, archive, tenant: self.tenant.clone() }
    }
}

/// What a node works with, in its how-manieth life.
pub(crate) fn parts(script: &Arc<Script>, db: Arc<dyn Db>, life: u64) -> Parts {
    let env = Arc::new(Real::new(life));
    let (blobs, keys) = (Arc::clone(script) as _, Arc::new(Bare));
    let archive = Archive { env, db, blobs, keys };
    let (models, tools) = (Arc::clone(script) as _, Arc::clone(script) as _);
    Parts { archive, members: None, timeline: 1, models, tools }
}

impl Drop for Desk {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

pub(crate) fn settings(tools: &[&str]) -> Settings {
    let tools = tools.iter().map(|name| Tool {
        body: ToolBody::Function {
            name: (*name).into(),
            description: None,
            schema: None,
            strict: None,
        },
        cache: None,
        extra: Extra::default(),
    });
    let mut request = Request::new(Dialect::Responses, "scripted");
    request.tools = tools.collect();
    Settings {
        payer: Name::cut("key_test"),
        request,
        tools: Vec::new(),
        calls_max: None,
        may_truncate: false,
        limits: Limits::default(),
    }
}

pub(crate) fn input(text: &str, busy: Busy) -> Cue {
    let input = Input { items: vec![Item::text(Role::User, text)], ..Input::default() };
    let content = Content::Inline(serde_json::to_value(&input).unwrap());
    Cue::Input { content, busy, key: None, settings: false }
}

impl Life {
    pub(crate) async fn create(&self, tools: &[&str], cues: Vec<Cue>) -> Receipt {
        let about = About { settings: Some(Box::new(settings(tools))), ..About::default() };
        let new = NewSession {
            id: None,
            agent: Name::cut("test"),
            about,
            limits: Limits::default(),
            cues,
            key: None,
        };
        self.sessions.create(&self.tenant, By::default(), new).await.unwrap()
    }

    pub(crate) async fn give(&self, session: SessionId, cue: Cue) -> Receipt {
        let by = By::default();
        self.sessions.give(&self.tenant, session, by, vec![cue], None).await.unwrap()
    }

    /// Listens until a fact of this kind has come, and gives all kinds so far.
    pub(crate) async fn until(&self, session: SessionId, kind: &str) -> Vec<Arc<Record>> {
        let mut tail = self.sessions.tail(&self.tenant, session, Offset::START);
        until(&mut tail, kind).await
    }

    /// As a crash would end it: nothing is finished, nothing is let go of.
    pub(crate) async fn dies(self) {
        let Self { sessions, db, archive, .. } = self;
        drop(archive);
        sessions.abandon().await;
        drop(sessions);
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
    }

    pub(crate) async fn stops(self) {
        self.sessions.stop().await;
        let db = self.db;
        tokio::task::spawn_blocking(move || db.close()).await.unwrap();
    }
}

pub(crate) async fn until(tail: &mut Tail, kind: &str) -> Vec<Arc<Record>> {
    let mut seen: Vec<Arc<Record>> = Vec::new();
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), tail.next()).await;
        let kinds = || seen.iter().map(|event| event.fact.kind()).collect::<Vec<_>>();
        let events = next.unwrap_or_else(|_| panic!("no `{kind}` came: {:?}", kinds())).unwrap();
        seen.extend(events);
        if seen.iter().any(|event| event.fact.kind() == kind) {
            return seen;
        }
    }
}

pub(crate) fn kinds(events: &[Arc<Record>]) -> Vec<&'static str> {
    events.iter().map(|event| event.fact.kind()).filter(|kind| *kind != "model_delta").collect()
}

pub(crate) fn fact<T: Clone>(events: &[Arc<Record>], of: impl Fn(&Fact) -> Option<T>) -> T {
    events.iter().find_map(|event| of(&event.fact)).unwrap()
}
