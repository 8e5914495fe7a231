//! Sessions by chance: random cues, and crashes before and after any commit.
//! What must hold of every journal is checked of each, and a failing seed is
//! printed; `FREEHOLD_SEED` runs it alone.

use std::collections::BTreeMap;

use super::desk::random::Random;
use super::desk::{Desk, at, name, offered};
use crate::decide::{Action, Cue, Ended, Found, Performing, Refused, due, owed};
use crate::event::{
    AbortReason, Allowed, Busy, Content, Event, Fact, Limits, Listing, Note, Outcome, Question,
    Repeat, Resolve, RetryRule, Scope, TimerPurpose, Usage, Verdict,
};
use crate::state::{SNAPSHOT_BYTES_MAX, State};
use freehold_types::{CallId, Offset, SessionId, TimerId};

const TOOLS: [&str; 10] =
    ["look", "order", "mail", "pay", "wait", "client", "human", "wire", "banned", "nothing"];

/// A desk with a worker that performs, is slow, fails and dies.
struct World {
    desk: Desk,
    random: Random,
    /// What the worker has begun.
    performing: Vec<Action>,
    /// How often each call reached its tool.
    effects: BTreeMap<CallId, u32>,
    /// What a tool that can be asked by key knows.
    known: BTreeMap<CallId, bool>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut desk = Desk::created();
        let mut random = Random(seed);
        if random.one_in(3) {
            desk.rules.compact_at_tokens = Some(200);
        }
        if random.one_in(3) {
            desk.rules.turn_limits.steps = Some(3);
        }
        desk.rules.one_by_one = random.one_in(3);
        desk.rules.calls_max = random.one_in(4).then_some(2);
        let (effects, known) = (BTreeMap::new(), BTreeMap::new());
        Self { desk, random, performing: Vec::new(), effects, known }
    }

    /// Decides and commits; or dies before or after the commit.
    #[expect(clippy::needless_pass_by_value, reason = "cues are made on the spot")]
    fn give(&mut self, cue: Cue, mortal: bool) {
        let decision = match self.desk.consider(cue.clone()) {
            Ok(decision) => decision,
            Err(Refused::Defect(illegal)) => panic!("{illegal} after {cue:?}"),
            Err(Refused::WouldLose(lost)) => panic!("{lost} after {cue:?}"),
            Err(_) => return,
        };
        if mortal && self.random.one_in(12) {
            return self.die();
        }
        self.desk.commit(&decision);
        self.waits_for_something_named();
        if mortal && self.random.one_in(12) {
            return self.die();
        }
        for action in decision.actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        if let Action::Stop(what) = action {
            // Stops are performed before anything else of a decision is, so a
            // query by key does not run ahead of the start that it asks about.
            let stopped = |begun: &Action| match (what, begun) {
                (Performing::Model(asked), Action::Ask { asked: begun, .. }) => asked == *begun,
                (Performing::Tool(call, attempt), Action::Start { call: c, attempt: a, .. })
                | (Performing::Query(call, attempt), Action::Query { call: c, attempt: a, .. }) => {
                    (call, attempt) == (*c, *a)
                }
                _ => false,
            };
            let begun = self.performing.iter().position(stopped);
            if let Some(at) = begun
                && let Action::Start { call, .. } = self.performing.remove(at)
                && self.random.one_in(2)
            {
                self.reach(call);
            }
        }
        self.performing.push(action);
    }

    /// The process dies; what had reached a tool had reached it. Another one
    /// begins with a snapshot and the journal, perhaps more than once.
    fn die(&mut self) {
        for action in std::mem::take(&mut self.performing) {
            if let Action::Start { call, .. } = action
                && self.random.one_in(2)
            {
                self.reach(call);
            }
        }
        let from = self.random.below(self.desk.events.len());
        let (old, tail) = self.desk.events.split_at(from);
        let snapshot = fold(State::default(), old).encode().unwrap();
        assert!(snapshot.len() <= SNAPSHOT_BYTES_MAX);
        let state = fold(State::decode(&snapshot).unwrap(), tail);
        assert_eq!(state, self.desk.state, "snapshot and tail differ from the whole");
        self.desk.epoch += 1;
        let decision = self.desk.consider(Cue::TakenOver).unwrap();
        assert_eq!(decision.actions, owed(&decision.state));
        self.desk.commit(&decision);
        for action in decision.actions {
            self.perform(action);
        }
    }

    fn reach(&mut self, call: CallId) {
        *self.effects.entry(call).or_default() += 1;
        self.known.insert(call, true);
    }

    /// A turn is owed something, or says for whom it waits.
    fn waits_for_something_named(&self) {
        let state = &self.desk.state;
        let Some(turn) = &state.turn else {
            assert!(state.queue.is_empty() || state.sealed.is_some(), "inputs wait for nothing");
            return;
        };
        let named = turn.active_since.is_none() || turn.paused.is_some();
        assert!(named || !owed(state).is_empty(), "waits for nothing: {turn:?}");
        let wakes = due(state, &self.desk.rules).is_some();
        assert!(turn.active_since.is_none() || wakes, "nobody would look again");
    }

    fn step(&mut self) {
        match self.random.below(10) {
            0..=4 => self.work(),
            5 | 6 => self.people(),
            7 => self.rest(),
            8 => {
                self.desk.now_ms += self.random.pick(&[0, 1, 50, 600, 2_000, 30_000, 150_000]);
                self.give(Cue::Due, true);
            }
            _ => self.input(),
        }
    }

    fn input(&mut self) {
        let busy = self.random.pick(&[
            Busy::Reject,
            Busy::Enqueue,
            Busy::Interrupt,
            Busy::Rollback,
            Busy::Steer,
            Busy::Quiet,
        ]);
        self.give(Desk::input(busy), true);
    }

    /// The worker gets on with something it performs.
    fn work(&mut self) {
        if self.performing.is_empty() {
            return;
        }
        let which = self.random.below(self.performing.len());
        let action = self.performing.remove(which);
        match action {
            Action::Ask { asked, not_before } => {
                if let Some(until) = not_before {
                    let wait = until.as_millisecond() - at(self.desk.now_ms).as_millisecond();
                    self.desk.now_ms += wait.max(0);
                }
                self.model(asked, action);
            }
            Action::Start { call, attempt, .. } => self.tool(call, attempt),
            Action::Query { call, attempt, .. } => self.query(call, attempt),
            Action::Stop(Performing::Model(asked)) => {
                self.fails(asked, AbortReason::Cancelled);
            }
            Action::Stop(Performing::Tool(call, attempt)) => {
                if self.random.one_in(2) {
                    self.give(Cue::ToolEnded { call, attempt, ended: Ended::Lost }, true);
                }
            }
            Action::Stop(Performing::Query(..)) => {}
        }
    }

    fn model(&mut self, asked: Offset, action: Action) {
        match self.random.below(8) {
            0 => {
                self.performing.push(action);
                self.give(Cue::Chunk { asked, content: Content::text("some") }, true);
            }
            1 => self.fails(asked, AbortReason::Retryable),
            2 if self.random.one_in(4) => self.fails(asked, AbortReason::Final),
            3 if self.random.one_in(4) => self.fails(asked, AbortReason::Budget),
            _ => {
                let count = self.random.pick(&[0, 0, 0, 1, 1, 2, 4, 30]);
                let tools: Vec<&str> = (0..count).map(|_| self.random.pick(&TOOLS)).collect();
                let mut answer = offered(&tools);
                answer.more = self.random.one_in(20);
                for call in &mut answer.calls {
                    call.readable = !self.random.one_in(20);
                }
                self.give(Cue::Answered { asked, answer }, true);
            }
        }
    }

    fn fails(&mut self, asked: Offset, reason: AbortReason) {
        let (message, usage) = (Note::cut("no"), Usage::default());
        self.give(Cue::ModelFailed { asked, reason, message, usage }, true);
    }

    fn tool(&mut self, call: CallId, attempt: u32) {
        let is = self.desk.state.call(call).map(|call| call.tool.clone());
        if is == Some(name("wait")) {
            let purpose = TimerPurpose::Call(call);
            let due = at(self.desk.now_ms + 5_000);
            return self.give(Cue::SetTimer { due, repeat: Repeat::Once, purpose }, true);
        }
        let reaches = !self.random.one_in(5);
        if reaches {
            self.reach(call);
        }
        let ended = match self.random.below(4) {
            0 => Ended::Lost,
            1 if reaches => Ended::Failed(Content::text("no")),
            _ if reaches => Ended::Ok(Content::text("ok")),
            _ => Ended::Lost,
        };
        self.give(Cue::ToolEnded { call, attempt, ended }, true);
    }

    fn query(&mut self, call: CallId, attempt: u32) {
        let found = match (self.random.one_in(6), self.known.get(&call)) {
            (true, _) => Found::Unclear,
            (_, Some(_)) => Found::Ok(Content::text("it did")),
            (_, None) => Found::Nothing,
        };
        self.give(Cue::Queried { call, attempt, found }, true);
    }

    /// Somebody answers, decides or raises.
    fn people(&mut self) {
        let state = &self.desk.state;
        let Some(turn) = &state.turn else { return };
        if let Some((scope, _)) = turn.paused {
            let limits = Limits::default();
            return self.give(Cue::RaiseBudget { scope, limits }, true);
        }
        if !state.approvals.is_empty() && self.random.one_in(2) {
            let verdict = self.random.pick(&[Verdict::Approve, Verdict::Deny]);
            let at = self.random.below(state.approvals.len());
            if self.random.one_in(10) {
                let stricter = crate::event::Hash::of(&self.random.0.to_be_bytes());
                self.desk.rules.tools.get_mut(&name("wire")).unwrap().hash = stricter;
            }
            let approve = self.desk.approve(at, verdict);
            return self.give(approve, true);
        }
        let at = self.random.below(turn.calls.len());
        if !turn.calls.is_empty() {
            let answers = self.desk.answers(at);
            self.give(answers, true);
        }
    }

    /// What happens seldom.
    fn rest(&mut self) {
        let state = &self.desk.state;
        let cue = match self.random.below(10) {
            0 => Cue::Cancel { turn: None },
            9 => match state.turn.as_ref().and_then(|turn| turn.model) {
                Some(open) => Cue::Listed {
                    asked: open.asked,
                    listings: vec![Listing { server: 1, tools: state.head.0 }],
                    content: Content::text("tools"),
                },
                None => Cue::Compact,
            },
            1 => Cue::Signal { name: name("ping"), content: Content::text("now") },
            2 => {
                let due = at(self.desk.now_ms + self.random.pick(&[0, 100, 50_000]));
                let every = self.random.pick(&[None, Some(10_000)]);
                let repeat = every.map_or(Repeat::Once, Repeat::EveryMs);
                Cue::SetTimer { due, repeat, purpose: TimerPurpose::Input(Content::text("tick")) }
            }
            3 => match state.timers.first() {
                Some(timer) => Cue::CancelTimer { timer: timer.id },
                None => Cue::Compact,
            },
            4 => Cue::Compact,
            5 => Cue::Pin { at: state.head },
            6 => match state.pins.first() {
                Some(pin) => Cue::Unpin { at: *pin },
                None => Cue::Compact,
            },
            7 => Cue::Fork { child: SessionId::from_parts(at(0), &[9; 10]), at: state.head },
            _ => Cue::Rewind { to: state.head, context: state.context.up_to(state.head) },
        };
        self.give(cue, true);
    }

    /// Everybody does what is asked of them until nothing is left to do.
    fn drain(&mut self) {
        for timer in self.desk.state.timers.clone() {
            if timer.call.is_none() {
                self.give(Cue::CancelTimer { timer: timer.id }, false);
            }
        }
        self.desk.rules.turn_limits = Limits::default();
        for _ in 0..5_000 {
            if self.desk.state.turn.is_none() && self.performing.is_empty() {
                return;
            }
            self.desk.now_ms += 100;
            self.give(Cue::Due, false);
            if let Some(action) = self.performing.pop() {
                self.finish(action);
            } else {
                self.people();
            }
        }
        panic!("the turn does not end: {:?}", self.desk.state.turn);
    }

    fn finish(&mut self, action: Action) {
        match action {
            Action::Ask { asked, .. } => {
                self.give(Cue::Answered { asked, answer: offered(&[]) }, false);
            }
            Action::Start { call, attempt, .. } => self.tool(call, attempt),
            Action::Query { call, attempt, .. } => self.query(call, attempt),
            Action::Stop(Performing::Model(asked)) => self.fails(asked, AbortReason::Cancelled),
            Action::Stop(_) => {}
        }
    }
}

fn fold(mut state: State, events: &[Event]) -> State {
    for event in events {
        state.apply(event).unwrap();
    }
    state
}

/// What is known of one call after the whole journal.
#[derive(Default)]
struct Seen {
    retry: Option<RetryRule>,
    refused: bool,
    starts: u32,
    /// Ways to a second start that somebody opened.
    leave: u32,
    outcome: Option<Offset>,
    observed: u32,
    no_leave_needed: bool,
}

/// What holds of the calls of every journal that has ended.
fn check_calls(world: &World) {
    let mut calls: BTreeMap<CallId, Seen> = BTreeMap::new();
    let mut questions = BTreeMap::new();
    for event in &world.desk.events {
        match &event.fact {
            Fact::ToolIntended(fact) => {
                let seen = calls.entry(fact.call).or_default();
                seen.retry = Some(fact.retry);
                seen.refused = fact.allowed == Allowed::No;
                seen.no_leave_needed =
                    matches!(fact.retry, RetryRule::Idempotent | RetryRule::QueryByKey);
            }
            Fact::ToolStarted(fact) => {
                let seen = calls.get_mut(&fact.call).expect("intended before started");
                assert!(!seen.refused && seen.outcome.is_none());
                seen.starts += 1;
                assert_eq!(seen.starts, fact.attempt);
                let asked_for = seen.no_leave_needed || seen.starts <= 1 + seen.leave;
                assert!(asked_for, "{} was started twice on its own", fact.call);
            }
            Fact::ToolDoubted(fact) => {
                let seen = &calls[&fact.call];
                let asks = seen.retry == Some(RetryRule::AskHuman);
                assert!(fact.resolve != Resolve::Ask || asks);
                assert_eq!(fact.resolve == Resolve::Restart, {
                    fact.resolve != Resolve::Unknown && seen.retry == Some(RetryRule::Idempotent)
                });
            }
            Fact::ApprovalAsked(fact) => {
                questions.insert(fact.approval, (fact.question, fact.call));
            }
            Fact::ApprovalDecided(fact) if fact.verdict == Verdict::Approve => {
                let (question, call) = questions[&fact.approval];
                if question == Question::Repeat {
                    calls.get_mut(&call).unwrap().leave += 1;
                }
            }
            Fact::ToolOutcome(fact) => {
                let seen = calls.get_mut(&fact.call).unwrap();
                assert!(seen.outcome.is_none(), "{} has two outcomes", fact.call);
                let refused = matches!(fact.outcome, Outcome::Refused(_));
                assert_eq!(refused, seen.starts == 0, "{} {:?}", fact.call, fact.outcome);
                seen.outcome = Some(event.offset);
            }
            Fact::ToolObserved(fact) => {
                let seen = calls.get_mut(&fact.call).unwrap();
                assert_eq!(seen.outcome, Some(fact.outcome), "observed before its outcome");
                seen.observed += 1;
            }
            _ => {}
        }
    }
    for (call, seen) in &calls {
        assert_eq!((seen.outcome.is_some(), seen.observed), (true, 1), "{call} is lost");
        let effects = world.effects.get(call).copied().unwrap_or(0);
        assert!(effects <= seen.starts, "{call} ran without a start");
        if seen.retry == Some(RetryRule::QueryByKey) {
            assert!(effects <= 1, "{call} ran twice");
        }
    }
}

/// What holds of inputs, timers and attempts of every journal that has ended.
fn check_rest(world: &World) {
    let mut waiting: Vec<Offset> = Vec::new();
    let mut fired: Vec<(TimerId, jiff::Timestamp)> = Vec::new();
    let mut asked = None;
    let mut first_in_line: BTreeMap<Offset, Busy> = BTreeMap::new();
    for event in &world.desk.events {
        match &event.fact {
            Fact::InputAccepted(fact) if fact.busy == Busy::Quiet => {}
            Fact::InputAccepted(fact) => {
                waiting.push(event.offset);
                first_in_line.insert(event.offset, fact.busy);
            }
            Fact::SignalReceived(_) => waiting.push(event.offset),
            Fact::TimerFired(fact) => {
                let firing = (fact.timer, fact.due);
                assert!(!fired.contains(&firing), "{firing:?} twice");
                assert!(fact.due <= event.at, "fired too early");
                fired.push(firing);
                if !is_of_call(&world.desk.events, fact.timer) {
                    waiting.push(event.offset);
                }
            }
            Fact::InputTaken(fact) => {
                for input in &fact.inputs {
                    let at = waiting.iter().position(|at| at == input).expect("taken once");
                    let plain = |at: &Offset| {
                        !matches!(
                            first_in_line.get(at),
                            Some(Busy::Interrupt | Busy::Rollback | Busy::Steer)
                        )
                    };
                    let overtaken = waiting[..at].iter().any(plain) && plain(input);
                    assert!(!overtaken, "an input overtook another");
                    waiting.remove(at);
                }
            }
            Fact::ModelAsked(_) => {
                assert!(asked.replace(event.offset).is_none(), "two attempts at once");
            }
            Fact::ModelAnswered(fact) => assert_eq!(asked.take(), Some(fact.asked)),
            Fact::ModelAborted(fact) => assert_eq!(asked.take(), Some(fact.asked)),
            _ => {}
        }
    }
    assert_eq!((waiting, asked), (vec![], None), "accepted and not consumed");
}

fn is_of_call(events: &[Event], timer: TimerId) -> bool {
    events.iter().any(|event| {
        matches!(&event.fact, Fact::TimerSet(set)
            if set.timer == timer && matches!(set.purpose, TimerPurpose::Call(_)))
    })
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let steps = 40 + world.random.below(120);
    for _ in 0..steps {
        world.step();
    }
    world.drain();
    check_calls(&world);
    check_rest(&world);
    assert_eq!(fold(State::default(), &world.desk.events), world.desk.state);
}

#[test]
fn whatever_happens_nothing_is_lost_or_repeated() {
    if let Ok(seed) = std::env::var("FREEHOLD_SEED") {
        return run(seed.parse().unwrap());
    }
    for seed in 0..400 {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("FREEHOLD_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn recovery_of_every_prefix_ends() {
    for seed in 0..8 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step();
        }
        for cut in 1..world.desk.events.len() {
            // A commit is whole or not there.
            if world.desk.events[cut - 1].unit == world.desk.events[cut].unit {
                continue;
            }
            let events = world.desk.events[..cut].to_vec();
            let state = fold(State::default(), &events);
            let (now_ms, rules) = (world.desk.now_ms, world.desk.rules.clone());
            let decisions = world.desk.decisions + 1;
            let desk = Desk { rules, state, events, now_ms, epoch: 99, timeline: 1, decisions };
            let mut survivor = World { desk, random: Random(seed), ..World::new(seed) };
            survivor.die();
            survivor.drain();
            check_calls(&survivor);
            check_rest(&survivor);
        }
    }
}

/// A journal by chance, for others to look at.
pub(crate) fn journal(seed: u64) -> Vec<Event> {
    let mut world = World::new(seed);
    for _ in 0..100 {
        world.step();
    }
    world.desk.events
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    assert_eq!(journal(4), journal(4));
    assert_ne!(journal(4), journal(5));
}

#[test]
fn raising_the_session_s_limit_is_one_cue() {
    let mut desk = Desk::created();
    let limits = Limits { steps: Some(9), ..Limits::default() };
    desk.give(Cue::RaiseBudget { scope: Scope::Session, limits }).unwrap();
    assert_eq!(desk.state.limits, limits);
}
