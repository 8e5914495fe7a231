//! A journal on paper: the desk's events, whose contents are said to be what
//! the runtime's own are.

use std::collections::BTreeMap;
use std::sync::Mutex;

use freehold_llm::model::{
    Answer, Choice, Delta, Dialect, Event as ModelEvent, Extra, Item, ItemBody, Message, Request,
    Role, Slot, Stop, StopReason, ToolCall, ToolCallKind,
};
use freehold_types::{BoxFuture, Offset};
use futures_util::FutureExt as _;
use serde_json::{Value, json};

use crate::content::{Input, Settings};
use crate::context::{Error, Journal, request};
use crate::event::{Content, Event, Fact, Hash, Limits, Purpose, Span, TimerPurpose};
use crate::state::State;
use crate::tests::desk::name;
use crate::tools::Toolset;

/// How many events a page has: few, so that there are many.
const PAGE: usize = 7;

pub(super) struct Paper {
    pub(super) events: Vec<Event>,
    /// Contents that were swapped for blobs.
    pub(super) blobs: BTreeMap<Hash, Value>,
    /// How many events were read.
    pub(super) read: Mutex<usize>,
}

impl Paper {
    /// The desk's events with real contents.
    pub(super) fn of(events: &[Event]) -> Self {
        let events = events.iter().map(|event| rewritten(event, events)).collect();
        Self { events, blobs: BTreeMap::new(), read: Mutex::new(0) }
    }

    /// Puts an event's content into a blob.
    pub(super) fn swap(&mut self, at: usize) -> Hash {
        let content = content_of(&mut self.events[at].fact).unwrap();
        let Content::Inline(value) = content.clone() else { panic!("it is a blob") };
        let text = value.to_string();
        let hash = Hash::of(text.as_bytes());
        *content = Content::Blob { hash, bytes: text.len() as u64 };
        self.blobs.insert(hash, value);
        hash
    }

    pub(super) fn state(&self) -> State {
        let mut state = State::default();
        for event in &self.events {
            state.apply(event).unwrap();
        }
        state
    }

    /// What the model is asked at the end of it.
    pub(super) fn ask(&self, settings: &Settings) -> Result<Request, Error> {
        self.ask_for(settings, &Toolset::default())
    }

    pub(super) fn ask_for(&self, settings: &Settings, toolset: &Toolset) -> Result<Request, Error> {
        let state = self.state();
        let open = state.turn.as_ref().and_then(|turn| turn.model);
        let purpose = open.map_or(Purpose::Step, |open| open.purpose);
        request(self, &state, settings, toolset, purpose).now_or_never().unwrap()
    }
}

impl Journal for Paper {
    fn events(&self, span: Span) -> BoxFuture<'_, Result<Vec<Event>, Error>> {
        let events = self.events.iter().filter(|event| span.has(event.offset));
        let page: Vec<_> = events.take(PAGE).cloned().collect();
        *self.read.lock().unwrap() += page.len();
        Box::pin(std::future::ready(Ok(page)))
    }

    fn content<'a>(&'a self, content: &'a Content) -> BoxFuture<'a, Result<Value, Error>> {
        let value = match content {
            Content::Inline(value) => Ok(value.clone()),
            Content::Blob { hash, .. } => {
                self.blobs.get(hash).cloned().ok_or(Error::MissingBlob { hash: *hash })
            }
        };
        Box::pin(std::future::ready(value))
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        payer: name("key_1"),
        request: Request::new(Dialect::Responses, "m"),
        tools: Vec::new(),
        calls_max: None,
        may_truncate: false,
        limits: Limits::default(),
    }
}

/// What a call of an answer asks for.
fn arguments(at: Offset, index: usize) -> String {
    format!("{{\"at\":{at},\"n\":{index}}}")
}

fn content_of(fact: &mut Fact) -> Option<&mut Content> {
    use crate::event::Outcome;
    match fact {
        Fact::InputAccepted(fact) => Some(&mut fact.content),
        Fact::SignalReceived(fact) => Some(&mut fact.content),
        Fact::ModelDelta(fact) => Some(&mut fact.content),
        Fact::ModelAnswered(fact) => Some(&mut fact.content),
        Fact::ToolOutcome(fact) => match &mut fact.outcome {
            Outcome::Ok(content) | Outcome::Failed(content) => Some(content),
            _ => None,
        },
        Fact::TimerSet(fact) => match &mut fact.purpose {
            TimerPurpose::Input(content) => Some(content),
            TimerPurpose::Call(_) => None,
        },
        _ => None,
    }
}

fn rewritten(event: &Event, all: &[Event]) -> Event {
    let mut event = event.clone();
    let at = event.offset;
    match &mut event.fact {
        Fact::InputAccepted(fact) => fact.content = input(&format!("input {at}")),
        Fact::TimerSet(fact) => {
            if let TimerPurpose::Input(content) = &mut fact.purpose {
                *content = input(&format!("timer {at}"));
            }
        }
        Fact::ModelDelta(fact) => fact.content = Content::Inline(json!(said(at))),
        Fact::ModelAnswered(fact) => fact.content = Content::Inline(json!(answer(at, all))),
        Fact::ToolIntended(fact) => {
            let index = index_of(&fact.model_call);
            let text = crate::canonical::canonical(&arguments(fact.answer, index)).unwrap();
            fact.args = Hash::of(text.as_bytes());
        }
        _ => {}
    }
    event
}

pub(super) fn input(text: &str) -> Content {
    let input = Input { items: vec![Item::text(Role::User, text)], ..Input::default() };
    Content::Inline(json!(input))
}

/// The desk numbers the calls of an answer.
fn index_of(model_call: &crate::event::Text<128>) -> usize {
    model_call.as_str().trim_start_matches('m').parse().unwrap()
}

fn said(at: Offset) -> Vec<ModelEvent> {
    let slot = Slot { choice: 0, item: 0 };
    let call = Slot { choice: 0, item: 1 };
    let head = Item::new(ItemBody::Message(Message { role: Role::Assistant, parts: Vec::new() }));
    vec![
        ModelEvent::ItemStart { slot, head },
        ModelEvent::Delta { slot, part: 0, delta: Delta::Text(format!("partial {at}")) },
        ModelEvent::ItemStart { slot: call, head: called(at, 99) },
    ]
}

/// Its text, and the calls that were intended of it, in the order in which a
/// model would have made them.
fn answer(at: Offset, all: &[Event]) -> Answer {
    let mut calls: Vec<(usize, String)> = all
        .iter()
        .filter_map(|event| match &event.fact {
            Fact::ToolIntended(fact) if fact.answer == at => {
                Some((index_of(&fact.model_call), fact.tool.to_string()))
            }
            _ => None,
        })
        .collect();
    calls.sort();
    let mut items = vec![Item::text(Role::Assistant, format!("answer {at}"))];
    for (index, tool) in calls {
        let mut item = called(at, index);
        if let ItemBody::ToolCall(call) = &mut item.body {
            call.name = tool;
        }
        items.push(item);
    }
    let stop = Some(Stop::new(StopReason::End));
    Answer {
        origin: Dialect::Chat,
        id: "a".into(),
        model: "m".into(),
        created: None,
        choices: vec![Choice { items, stop, extra: Extra::default() }],
        usage: None,
        service_tier: None,
        extra: Extra::default(),
    }
}

fn called(at: Offset, index: usize) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: format!("m{index}"),
        name: "look".into(),
        input: arguments(at, index),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}
