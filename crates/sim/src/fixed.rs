//! A fixed story in which all that clients do is done once, in one order, with
//! nothing drawn: so that each of its commits can be made to go wrong in turn.

use std::sync::Arc;

use freehold_llm::model::{Item, Role};
use freehold_runtime::content::Input;
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{
    Busy, Content, INLINE_BYTES_MAX, Limits, Name, Repeat, Scope, TimerPurpose,
};
use freehold_types::{Offset, SessionId};
use jiff::SignedDuration;

use crate::clients::{Client, settings};
use crate::clock::{MS, SECOND};
use crate::faults::Cut;
use crate::setup::Setup;
use crate::tally::Tally;
use crate::world::{CLIENTS, World, lock};
use crate::{Outcome, Stage, Way, closing, listeners};

/// What only happens where something goes wrong, or chance has it.
const OF_CHANCE: &[&str] = &[
    "session taken from a dead node",
    "key repeated",
    "approval denied",
    "approval expired",
    "approval asked anew under changed rules",
    "tool's outcome told as unknown",
    "tool started again after a doubt",
    "tool_doubted",
    "model_aborted",
    "approval_lapsed",
];

/// How often its session is asked for: its first client has no key.
const TRIES: u32 = 4;
/// How long a turn of it may take.
const TURN: u64 = 20 * SECOND;

impl Stage {
    /// Tells the fixed story; `cut` has one of its commits go wrong, counted
    /// from 0. [`Outcome::commits`] says how many there are.
    pub fn tell(&self, cut: Option<(u64, Way)>, trace: bool) -> Outcome {
        let cut = cut.map(|(commit, way)| Cut { commit, way });
        let setup = Setup { cut, trace, ..Setup::quiet() };
        self.play(setup, script)
    }

    /// What must happen in the fixed story, where nothing goes wrong.
    pub fn told() -> impl Iterator<Item = &'static str> {
        Tally::doings().filter(|what| !OF_CHANCE.contains(what))
    }
}

async fn script(world: Arc<World>) {
    drop(tokio::spawn(listeners::live(Arc::clone(&world), 0)));
    let mut client = Client::new(&world, 0);
    world.clock.sleep(SECOND, CLIENTS).await;
    let mut made = None;
    for _ in 0..TRIES {
        client.create().await;
        made = lock(&world.book).sessions.first().copied();
        if made.is_some() {
            break;
        }
    }
    let Some(session) = made else {
        world.wrong("the session of the story is not made");
        return;
    };
    let mut story = Story { client, session };
    story.turns().await;
    story.clocks().await;
    story.branches().await;
    closing::close(&world).await;
}

struct Story {
    client: Client,
    session: SessionId,
}

impl Story {
    /// Inputs of each kind, while a turn runs and while none does.
    async fn turns(&mut self) {
        self.rest().await;
        for busy in [Busy::Steer, Busy::Interrupt, Busy::Rollback, Busy::Reject, Busy::Enqueue] {
            self.input(Busy::Enqueue, 0).await;
            self.nap(MS).await;
            self.input(busy, 0).await;
            self.rest().await;
        }
        self.input(Busy::Enqueue, 0).await;
        self.nap(40 * MS).await;
        self.cue(Cue::Cancel { turn: None }).await;
        self.rest().await;
        self.input(Busy::Quiet, 0).await;
        let limits = Limits { steps: Some(1), ..Limits::default() };
        self.cue(Cue::RaiseBudget { scope: Scope::Session, limits }).await;
        self.input(Busy::Enqueue, 0).await;
        self.rest().await;
    }

    /// Signals and timers.
    async fn clocks(&mut self) {
        let word = lock(&self.client.world.book).word();
        let content = Content::text(word.clone());
        self.worded(Cue::Signal { name: Name::cut("knock"), content }, word).await;
        for repeat in [
            Repeat::Once,
            Repeat::EveryMs(700),
            Repeat::cron("* * * * * UTC").unwrap_or(Repeat::Once),
        ] {
            let word = lock(&self.client.world.book).word();
            let now = crate::env::wall(self.client.world.clock.now(), 0);
            let due = now.checked_add(SignedDuration::from_millis(300)).unwrap_or(now);
            let content = said(&word, 0, false);
            let purpose = TimerPurpose::Input(content);
            self.worded(Cue::SetTimer { due, repeat, purpose }, word).await;
            self.nap(900 * MS).await;
        }
        self.rest().await;
        if let Some(state) = self.client.view(self.session).await {
            for timer in &state.timers {
                self.cue(Cue::CancelTimer { timer: timer.id }).await;
            }
        }
        self.rest().await;
    }

    /// What is done with a session as a whole.
    async fn branches(&mut self) {
        let Some(state) = self.client.view(self.session).await else { return };
        let context = state.context.up_to(state.head);
        if let Some(span) = context.first() {
            self.cue(Cue::Pin { at: span.from }).await;
            self.cue(Cue::Unpin { at: span.from }).await;
        }
        self.cue(Cue::Compact).await;
        self.rest().await;
        // In the middle of a turn, so that the fork has something to wind down.
        self.input(Busy::Enqueue, 0).await;
        self.nap(60 * MS).await;
        let Some(state) = self.client.view(self.session).await else { return };
        let fork = self.client.fork(self.session, state.head).await;
        self.rest().await;
        self.client.rewind(self.session).await;
        self.input(Busy::Enqueue, 0).await;
        self.rest().await;
        if let Some(fork) = fork {
            let parent = std::mem::replace(&mut self.session, fork);
            self.input(Busy::Enqueue, 0).await;
            self.rest().await;
            let end = Offset(state.head.0.saturating_sub(1).max(1));
            let second = self.client.fork(fork, end).await;
            self.client.delete(fork).await;
            self.session = second.unwrap_or(parent);
            self.input(Busy::Enqueue, INLINE_BYTES_MAX).await;
            self.rest().await;
        }
    }

    async fn nap(&self, us: u64) {
        self.client.world.clock.sleep(us, CLIENTS).await;
    }

    async fn input(&mut self, busy: Busy, padding: usize) {
        let word = lock(&self.client.world.book).word();
        let content = said(&word, padding, busy == Busy::Steer);
        let settings = busy == Busy::Steer;
        self.worded(Cue::Input { content, busy, key: None, settings }, word).await;
    }

    async fn worded(&mut self, cue: Cue, word: String) {
        let _ = self.client.give(self.session, vec![cue], Some(word), Some(true)).await;
    }

    async fn cue(&mut self, cue: Cue) {
        let _ = self.client.give(self.session, vec![cue], None, None).await;
    }

    /// Answers what the session asks until its turn is over.
    async fn rest(&mut self) {
        let until = self.client.world.clock.now() + TURN;
        while self.client.world.clock.now() < until && !self.client.world.is_wrong() {
            self.nap(150 * MS).await;
            let Some(state) = self.client.view(self.session).await else { continue };
            if state.turn.is_none() && state.queue.is_empty() {
                return;
            }
            closing::settle(&mut self.client, self.session, &state, false).await;
        }
    }
}

/// An input with a word in it.
fn said(word: &str, padding: usize, brings: bool) -> Content {
    let text = format!("{word}{}", "x".repeat(padding));
    let settings = brings.then(|| Box::new(settings()));
    let items = vec![Item::text(Role::User, text)];
    let input = Input { items, settings, ..Input::default() };
    Content::Inline(serde_json::to_value(&input).unwrap_or_default())
}
