//! What clients do: whatever comes to their minds, on whatever node, with and
//! without idempotency keys, twice, and too late.

use std::sync::Arc;

use freehold_llm::model::{Item, Request as ModelRequest, Role};
use freehold_runtime::content::{About, Input, Settings};
use freehold_runtime::decide::{ApprovalDecision, ClientAnswer, Cue, Refused};
use freehold_runtime::event::{
    Busy, Content, Decider, Hash, INLINE_BYTES_MAX, Limits, Name, Note, Place, Repeat,
    TimerPurpose, Verdict,
};
use freehold_runtime::sessions::{By, Error, Key, NewSession, Receipt};
use freehold_runtime::state::{State, Status};
use freehold_types::{DbError, ErrorKind, SessionId};
use jiff::SignedDuration;

use crate::clock::{MS, SECOND};
use crate::models::DIALECT;
use crate::net;
use crate::random::Random;
use crate::world::{CLIENTS, World, lock};

/// How often a client sends something at most.
const TRIES: u32 = 8;

/// One client.
pub(crate) struct Client {
    pub(crate) world: Arc<World>,
    pub(crate) random: Random,
    pub(crate) node: usize,
}

/// What became of something that was sent.
pub(crate) enum Sent {
    Accepted,
    /// It is not done, or nobody knows.
    Not,
}

impl Client {
    pub(crate) fn new(world: &Arc<World>, number: u64) -> Self {
        let mut random = Random::derive(world.setup.seed, &[20, number]);
        let node = net::any(world, &mut random);
        Self { world: Arc::clone(world), random, node }
    }

    /// Does something now and then until it is enough.
    pub(crate) async fn live(mut self) {
        while self.world.clock.now() < self.world.setup.busy_us {
            self.rest(10 * MS, 900 * MS).await;
            self.act().await;
        }
    }

    async fn rest(&mut self, from: u64, to: u64) {
        let us = self.random.between(from, to);
        self.world.clock.sleep(us, CLIENTS).await;
    }

    async fn act(&mut self) {
        let known = lock(&self.world.book).sessions.clone();
        let room = known.len() < self.world.setup.sessions;
        let Some(session) = self.random.pick(&known) else { return self.create().await };
        match self.random.below(24) {
            0..=2 if room => self.create().await,
            0..=8 => self.input(session).await,
            9..=15 => self.settle(session).await,
            16 => self.signal(session).await,
            17..=18 => self.timer(session).await,
            19..=20 => {
                let turn = None;
                let _ = self.give(session, vec![Cue::Cancel { turn }], None, None).await;
            }
            21 => self.odd(session).await,
            22 => self.branch(session).await,
            _ => self.read(session).await,
        }
    }

    /// Makes a session, mostly with an input.
    pub(crate) async fn create(&mut self) {
        let (input, word) = self.said(true);
        let is_keyed = !self.random.one_in(3);
        let key = is_keyed.then(|| key(&word));
        lock(&self.world.book).requests.entry(word.clone()).or_default().is_keyed = is_keyed;
        let about = About { settings: Some(Box::new(settings())), ..About::default() };
        let new = NewSession {
            id: None,
            agent: Name::cut("agent@1"),
            about,
            limits: Limits::default(),
            cues: vec![input],
            key,
        };
        let world = Arc::clone(&self.world);
        let send = move |sessions: Arc<freehold_runtime::sessions::Sessions>| {
            let (new, tenant) = (new.clone(), world.tenant.clone());
            net::boxed(async move { sessions.create(&tenant, by(), new).await })
        };
        let _ = self.send(send, Some(&word), is_keyed).await;
    }

    async fn input(&mut self, session: SessionId) {
        let (input, word) = self.said(false);
        let _ = self.give(session, vec![input], Some(word), None).await;
    }

    /// An input with a word of its own in it.
    fn said(&mut self, first: bool) -> (Cue, String) {
        let word = lock(&self.world.book).word();
        let busy = [
            Busy::Reject,
            Busy::Enqueue,
            Busy::Interrupt,
            Busy::Rollback,
            Busy::Steer,
            Busy::Quiet,
        ];
        let busy = if first { Busy::Enqueue } else { self.random.pick(&busy).unwrap_or_default() };
        let brings = self.random.one_in(4);
        let mut text = word.clone();
        if self.random.one_in(50) {
            text.push_str(&"x".repeat(INLINE_BYTES_MAX));
        }
        let input = Input {
            items: vec![Item::text(Role::User, text)],
            settings: brings.then(|| Box::new(settings())),
            ..Input::default()
        };
        let content = serde_json::to_value(&input).unwrap_or_default();
        let cue =
            Cue::Input { content: Content::Inline(content), busy, key: None, settings: brings };
        (cue, word)
    }

    async fn signal(&mut self, session: SessionId) {
        let word = lock(&self.world.book).word();
        let cue = Cue::Signal { name: Name::cut("knock"), content: Content::text(word.clone()) };
        let _ = self.give(session, vec![cue], Some(word), None).await;
    }

    async fn timer(&mut self, session: SessionId) {
        let word = lock(&self.world.book).word();
        let ms = i64::try_from(self.random.between(0, 6_000)).unwrap_or(0);
        let now = crate::env::wall(self.world.clock.now(), 0);
        let due = now.checked_add(SignedDuration::from_millis(ms)).unwrap_or(now);
        let repeat = match self.random.below(6) {
            0 => Repeat::EveryMs(1_500),
            1 => Repeat::cron("* * * * * UTC").unwrap_or(Repeat::Once),
            _ => Repeat::Once,
        };
        let input = Input { items: vec![Item::text(Role::User, word.clone())], ..Input::default() };
        let content = Content::Inline(serde_json::to_value(&input).unwrap_or_default());
        let cue = Cue::SetTimer { due, repeat, purpose: TimerPurpose::Input(content) };
        let _ = self.give(session, vec![cue], Some(word), None).await;
    }

    async fn read(&mut self, session: SessionId) {
        let _ = self.view(session).await;
    }

    /// A session as some node sees it.
    pub(crate) async fn view(&mut self, session: SessionId) -> Option<Arc<State>> {
        let tenant = self.world.tenant.clone();
        let send = move |sessions: Arc<freehold_runtime::sessions::Sessions>| {
            let tenant = tenant.clone();
            net::boxed(async move { sessions.view(&tenant, session).await })
        };
        self.node = net::any(&self.world, &mut self.random);
        match net::call(&self.world, &mut self.random, self.node, false, send).await? {
            Ok(view) => {
                lock(&self.world.views).insert(session, Arc::clone(&view.state));
                Some(view.state)
            }
            Err(error) => {
                self.never(&error);
                None
            }
        }
    }

    /// Answers what a session waits for, sometimes wrongly.
    async fn settle(&mut self, session: SessionId) {
        let Some(state) = self.view(session).await else { return };
        if let Some(paused) = state.turn.as_ref().and_then(|turn| turn.paused) {
            let limits = Limits { steps: Some(100), ..Limits::default() };
            let raise = Cue::RaiseBudget { scope: paused.0, limits };
            let _ = self.give(session, vec![raise], None, None).await;
        }
        for approval in state.approvals.clone() {
            let yes = !self.random.one_in(3);
            let verdict = if yes { Verdict::Approve } else { Verdict::Deny };
            let wrong = self.random.one_in(8);
            self.decide(session, approval.id, verdict, wrong).await;
            if self.random.one_in(4) {
                self.decide(session, approval.id, verdict, false).await;
            }
        }
        let calls = state.turn.iter().flat_map(|turn| &turn.calls);
        let waits = |call: &&freehold_runtime::state::Call| {
            matches!(call.status, Status::Running { place: Place::Client | Place::Human, .. })
        };
        let calls: Vec<_> = calls.filter(waits).map(|call| call.id).collect();
        for call in calls {
            let word = lock(&self.world.book).word();
            let content = Content::text(word.clone());
            let answers = vec![ClientAnswer { call, content, is_error: false }];
            let cue = Cue::ClientAnswers { answers };
            if let Sent::Accepted = self.give(session, vec![cue], None, None).await {
                lock(&self.world.book).answered.push((session, call, word));
            }
        }
    }

    async fn decide(
        &mut self,
        session: SessionId,
        approval: freehold_types::ApprovalId,
        verdict: Verdict,
        wrong: bool,
    ) {
        let by = Decider { principal: Name::cut("carl"), roles: Vec::new() };
        let args = wrong.then(|| Hash::of(b"other arguments"));
        let decision = ApprovalDecision { approval, verdict, by, args, note: Note::cut("") };
        match self.give(session, vec![Cue::Decide(decision)], None, None).await {
            Sent::Accepted if wrong => {
                // It may have been decided before, by who was shown the right ones.
                let book = lock(&self.world.book);
                let known = book.decided.iter().any(|(_, id, _)| *id == approval);
                drop(book);
                self.world.say(|| format!("changed arguments passed; decided before: {known}"));
            }
            Sent::Accepted => lock(&self.world.book).decided.push((session, approval, verdict)),
            Sent::Not => {}
        }
    }

    /// Gives a session cues; with a word, they are to be in the journal once.
    pub(crate) async fn give(
        &mut self,
        session: SessionId,
        cues: Vec<Cue>,
        word: Option<String>,
        keyed: Option<bool>,
    ) -> Sent {
        let is_keyed = keyed.unwrap_or_else(|| word.is_some() && !self.random.one_in(3));
        let key = word.as_deref().filter(|_| is_keyed).map(key);
        if let Some(word) = &word {
            let mut book = lock(&self.world.book);
            let request = book.requests.entry(word.clone()).or_default();
            (request.session, request.is_keyed) = (Some(session), is_keyed);
        }
        let tenant = self.world.tenant.clone();
        let send = move |sessions: Arc<freehold_runtime::sessions::Sessions>| {
            let (tenant, cues, key) = (tenant.clone(), cues.clone(), key.clone());
            net::boxed(async move { sessions.give(&tenant, session, by(), cues, key).await })
        };
        self.send(send, word.as_deref(), is_keyed).await
    }

    /// Sends until there is an answer, as far as that is safe.
    async fn send(
        &mut self,
        send: impl Fn(Arc<freehold_runtime::sessions::Sessions>) -> net::Answer<Result<Receipt, Error>>
        + Send
        + Sync
        + 'static,
        word: Option<&str>,
        is_keyed: bool,
    ) -> Sent {
        let send = Arc::new(send);
        for _ in 0..TRIES {
            let again = Arc::clone(&send);
            let send = move |sessions| again(sessions);
            let twice = is_keyed && {
                let rate = lock(&self.world.faults).rates.twice;
                self.random.per_mille(rate)
            };
            let answer = net::call(&self.world, &mut self.random, self.node, twice, send).await;
            match answer {
                Some(Ok(receipt)) => {
                    if receipt.repeated {
                        self.world.count("key repeated");
                    }
                    if let Some(word) = word {
                        lock(&self.world.book).acknowledged(word, &receipt);
                    }
                    return Sent::Accepted;
                }
                Some(Err(Error::Elsewhere { address })) => {
                    self.node = crate::setup::node_at(&address).unwrap_or(self.node);
                    self.rest(MS, 100 * MS).await;
                }
                Some(Err(Error::Stopping)) | None => {
                    self.world.say(|| format!("nobody hears of {word:?}"));
                    if let Some(word) = word {
                        lock(&self.world.book).unheard(word);
                    }
                    self.node = net::any(&self.world, &mut self.random);
                    if !is_keyed {
                        return Sent::Not;
                    }
                    self.rest(10 * MS, SECOND).await;
                }
                Some(Err(error)) => {
                    if matches!(error, Error::Refused(Refused::Busy(_))) && word.is_some() {
                        self.world.count("input while busy: reject");
                    }
                    self.never(&error);
                    if !is_worth_another_try(&error) {
                        return Sent::Not;
                    }
                    self.node = net::any(&self.world, &mut self.random);
                    self.rest(10 * MS, 500 * MS).await;
                }
            }
        }
        Sent::Not
    }

    /// What a client must never be told.
    pub(crate) fn never(&self, error: &Error) {
        let is_ours = match error {
            Error::Damaged(_) | Error::Decode(_) | Error::Defect(_) => true,
            Error::Store(error) => matches!(error, DbError::Corrupt(_) | DbError::Other(_)),
            _ => false,
        };
        if is_ours {
            self.world.wrong(format!("a client is told: {error}"));
        }
    }
}

fn is_worth_another_try(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::OverLimit)
}

pub(crate) fn by() -> By {
    By { actor: Some(Name::cut("key")), ..By::default() }
}

fn key(word: &str) -> Key {
    Key { name: word.to_owned(), request: Hash::of(word.as_bytes()) }
}

/// How turns of these worlds are run.
pub(crate) fn settings() -> Settings {
    Settings {
        payer: Name::cut("key"),
        request: ModelRequest::new(DIALECT, "scripted"),
        tools: Vec::new(),
        calls_max: None,
        may_truncate: false,
        limits: Limits::default(),
    }
}
