//! A session on a desk: cues in, events and actions out, time by hand.

pub(crate) mod random;

use std::collections::BTreeMap;

use crate::decide::{
    Action, ApprovalDecision, ApprovalRule, ClientAnswer, Cue, Decision, Given, Offered, Refused,
    Rules, ToolRules, Wanted, decide,
};
use crate::event::{
    Busy, Content, Decider, Deciders, Event, Hash, Labels, Limits, Name, Note, Origin, Place,
    RetryRule, Text, Usage, Verdict,
};
use crate::state::State;
use freehold_types::{ApprovalId, CallId, Money, Offset, SessionId, UnitId};
use jiff::Timestamp;

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

fn tool(place: Place, retry: RetryRule) -> ToolRules {
    ToolRules {
        version: name("1"),
        hash: Hash::of(b"rules"),
        place,
        forbidden: false,
        approval: None,
        retry,
        attempts_max: 3,
        timeout_ms: 1_000,
    }
}

pub(crate) fn rules() -> Rules {
    let asks = ApprovalRule { deciders: Deciders::Role(name("finance")), expires_ms: 100_000 };
    let worker = Place::Worker;
    let mut tools = BTreeMap::from([
        (name("look"), tool(worker, RetryRule::Idempotent)),
        (name("order"), tool(worker, RetryRule::QueryByKey)),
        (name("mail"), tool(worker, RetryRule::TellUnknown)),
        (name("pay"), tool(worker, RetryRule::AskHuman)),
        (name("wait"), tool(worker, RetryRule::Idempotent)),
        (name("client"), tool(Place::Client, RetryRule::TellUnknown)),
        (name("human"), tool(Place::Human, RetryRule::TellUnknown)),
        (name("wire"), tool(worker, RetryRule::TellUnknown)),
        (name("banned"), tool(worker, RetryRule::TellUnknown)),
    ]);
    tools.get_mut(&name("wire")).unwrap().approval = Some(asks.clone());
    tools.get_mut(&name("banned")).unwrap().forbidden = true;
    Rules {
        turn_limits: Limits::default(),
        failures_max: 3,
        backoff_ms: 10,
        backoff_max_ms: 100,
        stuck_ms: 10_000,
        grace_ms: 500,
        compact_at_tokens: None,
        calls_max: None,
        one_by_one: false,
        doubt: asks,
        tools,
    }
}

pub(crate) struct Desk {
    pub(crate) rules: Rules,
    pub(crate) state: State,
    pub(crate) events: Vec<Event>,
    pub(crate) now_ms: i64,
    pub(crate) epoch: u64,
    pub(crate) timeline: u64,
    pub(crate) decisions: u64,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            rules: rules(),
            state: State::default(),
            events: Vec::new(),
            now_ms: 0,
            epoch: 1,
            timeline: 1,
            decisions: 0,
        }
    }

    /// One with a session in it.
    pub(crate) fn created() -> Self {
        let mut desk = Self::new();
        let create =
            Cue::Create { agent: name("desk@1"), origin: Origin::New, limits: Limits::default() };
        desk.give(create).unwrap();
        desk
    }

    /// Decides without committing.
    pub(crate) fn consider(&mut self, cue: Cue) -> Result<Decision, Refused> {
        self.decisions += 1;
        let mut seed = [0; 16];
        seed[..8].copy_from_slice(&self.decisions.to_be_bytes());
        let mut unit = [0; 10];
        unit[2..].copy_from_slice(&self.decisions.to_be_bytes());
        let given = Given {
            session: SessionId::from_parts(at(0), &[7; 10]),
            now: at(self.now_ms),
            epoch: self.epoch,
            timeline: self.timeline,
            unit: UnitId::from_parts(at(self.now_ms), &unit),
            seed,
            actor: Some(name("anna")),
            on_behalf_of: None,
            labels: Labels::default(),
            rules: &self.rules,
        };
        decide(&self.state, cue, &given)
    }

    pub(crate) fn commit(&mut self, decision: &Decision) {
        for event in &decision.events {
            let body = event.encode().unwrap();
            let read = Event::decode(event.offset, &body).unwrap();
            assert_eq!(read, *event);
            self.state.apply(&read).unwrap();
        }
        assert_eq!(self.state, decision.state);
        self.events.extend(decision.events.iter().cloned());
    }

    pub(crate) fn give(&mut self, cue: Cue) -> Result<Decision, Refused> {
        let decision = self.consider(cue)?;
        self.commit(&decision);
        Ok(decision)
    }

    /// Gives a cue and says which kinds of events came of it.
    pub(crate) fn kinds(&mut self, cue: Cue) -> String {
        match self.give(cue) {
            Ok(decision) => {
                let kinds = decision.events.iter().map(|event| event.fact.kind());
                kinds.collect::<Vec<_>>().join(" ")
            }
            Err(refused) => format!("{refused:?}"),
        }
    }

    pub(crate) fn input(busy: Busy) -> Cue {
        Cue::Input { content: Content::text("hello"), busy, key: None, settings: false }
    }

    /// The attempt that is open.
    pub(crate) fn asked(&self) -> Offset {
        self.state.turn.as_ref().unwrap().model.unwrap().asked
    }

    /// The open attempt's answer, which calls these tools.
    pub(crate) fn answer(&self, tools: &[&str]) -> Cue {
        Cue::Answered { asked: self.asked(), answer: offered(tools) }
    }

    pub(crate) fn call(&self, index: usize) -> CallId {
        self.state.turn.as_ref().unwrap().calls[index].id
    }

    pub(crate) fn approve(&self, index: usize, verdict: Verdict) -> Cue {
        decision(self.state.approvals[index].id, verdict)
    }

    pub(crate) fn answers(&self, index: usize) -> Cue {
        let call = self.call(index);
        let content = Content::text("done");
        Cue::ClientAnswers { answers: vec![ClientAnswer { call, content, is_error: false }] }
    }

    /// The process dies and another takes over.
    pub(crate) fn crash(&mut self) -> Decision {
        self.epoch += 1;
        self.give(Cue::TakenOver).unwrap()
    }
}

pub(crate) fn decision(approval: ApprovalId, verdict: Verdict) -> Cue {
    let by = Decider { principal: name("carl"), roles: vec![name("finance")] };
    Cue::Decide(ApprovalDecision { approval, verdict, by, args: None, note: Note::cut("") })
}

pub(crate) fn offered(tools: &[&str]) -> Offered {
    let wanted = |(index, tool): (usize, &&str)| Wanted {
        model_call: Text::new(&format!("m{index}")).unwrap(),
        tool: name(tool),
        args: Hash::of(tool.as_bytes()),
        readable: true,
    };
    Offered {
        model: name("model"),
        content: Content::text("answer"),
        usage: Usage { input: 100, output: 10, cost: Money::from_units(1) },
        calls: tools.iter().enumerate().map(wanted).collect(),
        more: false,
    }
}

pub(crate) fn starts(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Start { .. })).count()
}
