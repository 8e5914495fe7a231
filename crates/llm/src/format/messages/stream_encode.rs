//! Events into a stream to a client.
//!
//! On the wire blocks come strictly one after another; in the hub items may
//! overlap. A message or thinking that is still open when another item begins
//! is closed, and opens a new block should more of it come; a call cannot be
//! cut in two, so what begins beside it waits until it ends.

use std::collections::VecDeque;

use freehold_types::Code;
use serde_json::{Map, Value, json};

use super::block_writer::BlockWriter;
use super::{OURS, error, stop, usage};
use crate::codec::{AnswerContext, IdSource, StreamEncoder};
use crate::format::json::to_vec;
use crate::model::{ApiError, Event, Extra, Item, ItemBody, Slot, Stop, StopReason, Usage};
use crate::sse::write_frame;

/// The most events that wait for an open call to end.
const WAITING_LIMIT: usize = 100_000;

/// Fields of `message_delta` that stand in its `delta`.
const IN_DELTA: [&str; 2] = ["container", "stop_details"];

/// Encodes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    model: String,
    ids: IdSource,
    started: bool,
    done: bool,
    writer: BlockWriter,
    current: Option<Slot>,
    /// Items that have begun, without content, while they are open.
    heads: Vec<(Slot, Item)>,
    /// What came for items that are not the current one, in order of start.
    waiting: VecDeque<(Slot, Vec<Event>)>,
    waiting_events: usize,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

impl Encoder {
    pub(super) fn new(context: &AnswerContext<'_>) -> Self {
        Self {
            model: context.model.to_owned(),
            ids: context.ids,
            started: false,
            done: false,
            writer: BlockWriter::default(),
            current: None,
            heads: Vec::new(),
            waiting: VecDeque::new(),
            waiting_events: 0,
            stop: None,
            usage: None,
        }
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Start { id, usage, extra, .. } => {
                self.usage.clone_from(usage);
                self.start(id, extra, out);
            }
            Event::ItemStart { slot, head } => self.item_start(*slot, head, out),
            Event::PartStart { slot, .. } | Event::Delta { slot, .. } => {
                self.content(*slot, event, out);
            }
            Event::ItemEnd { slot, .. } => self.item_end(*slot, event, out),
            Event::Stop { choice: 0, stop, .. } => {
                if stop.reason == StopReason::Failed {
                    let message = "the provider failed in the middle of the answer";
                    let error = ApiError::new(Code::AnswerFailed, message);
                    self.fail(&error, out);
                } else {
                    self.stop = Some(stop.clone());
                }
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::End { extra, service_tier } => self.end(extra, service_tier.as_deref(), out),
            Event::Ping => write_frame("ping", br#"{"type":"ping"}"#, out),
            Event::Native { dialect: OURS, name, json } => write_frame(name, &to_vec(json), out),
            Event::Stop { .. } | Event::Native { .. } => {}
            Event::Error(error) => self.fail(error, out),
        }
    }
}

impl Encoder {
    fn start(&mut self, id: &str, extra: &Extra, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        let mut message = Map::new();
        let id = if id.is_empty() { self.ids.next("msg_") } else { id.to_owned() };
        message.insert("id".into(), id.into());
        message.insert("type".into(), "message".into());
        message.insert("role".into(), "assistant".into());
        message.insert("model".into(), self.model.as_str().into());
        message.insert("content".into(), json!([]));
        message.insert("stop_reason".into(), Value::Null);
        message.insert("stop_sequence".into(), Value::Null);
        message.insert("usage".into(), usage::encode(self.usage.as_ref(), None).into());
        if extra.origin == Some(OURS) {
            for (name, value) in &extra.fields {
                message.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let data = json!({"type": "message_start", "message": message});
        write_frame("message_start", &to_vec(&data), out);
    }

    fn ensure_started(&mut self, out: &mut Vec<u8>) {
        self.start("", &Extra::default(), out);
    }

    fn item_start(&mut self, slot: Slot, head: &Item, out: &mut Vec<u8>) {
        // Only the first alternative can be said.
        if slot.choice != 0 {
            return;
        }
        self.ensure_started(out);
        self.heads.retain(|(there, _)| *there != slot);
        self.heads.push((slot, head.clone()));
        if self.current.is_some_and(|current| !self.can_pause(current)) {
            self.wait(slot, None, out);
            return;
        }
        self.writer.end(out);
        self.current = Some(slot);
        self.writer.begin(head, out);
    }

    fn can_pause(&self, slot: Slot) -> bool {
        let head = self.heads.iter().find(|(there, _)| *there == slot);
        head.is_none_or(|(_, item)| {
            matches!(item.body, ItemBody::Message(_) | ItemBody::Reasoning(_))
        })
    }

    fn content(&mut self, slot: Slot, event: &Event, out: &mut Vec<u8>) {
        if self.current == Some(slot) {
            self.writer.content(event, out);
        } else if self.heads.iter().any(|(there, _)| *there == slot) {
            self.wait(slot, Some(event), out);
            self.advance(out);
        }
    }

    fn wait(&mut self, slot: Slot, event: Option<&Event>, out: &mut Vec<u8>) {
        self.waiting_events += 1;
        if self.waiting_events > WAITING_LIMIT {
            let message = "the provider streams too many calls at once";
            self.fail(&ApiError::new(Code::StreamOverlap, message), out);
            return;
        }
        if !self.waiting.iter().any(|(there, _)| *there == slot) {
            self.waiting.push_back((slot, Vec::new()));
        }
        for (_, events) in self.waiting.iter_mut().filter(|(there, _)| *there == slot) {
            events.extend(event.cloned());
        }
    }

    fn item_end(&mut self, slot: Slot, event: &Event, out: &mut Vec<u8>) {
        if self.current == Some(slot) {
            self.writer.end(out);
            self.current = None;
            self.forget(slot);
            self.advance(out);
        } else if self.waiting.iter().any(|(there, _)| *there == slot) {
            self.wait(slot, Some(event), out);
        } else {
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: Slot) {
        self.heads.retain(|(there, _)| *there != slot);
    }

    /// Lets waiting items have their turn, until one is still open.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while self.current.is_none_or(|current| self.can_pause(current)) {
            let Some((slot, events)) = self.waiting.pop_front() else { return };
            self.waiting_events = self.waiting_events.saturating_sub(events.len() + 1);
            let Some((_, head)) = self.heads.iter().find(|(there, _)| *there == slot) else {
                continue;
            };
            self.writer.end(out);
            self.current = Some(slot);
            self.writer.begin(head, out);
            for event in &events {
                if let Event::ItemEnd { .. } = event {
                    self.writer.end(out);
                    self.current = None;
                } else {
                    self.writer.content(event, out);
                }
            }
            if self.current.is_none() {
                self.forget(slot);
            }
        }
    }

    fn end(&mut self, extra: &Extra, tier: Option<&str>, out: &mut Vec<u8>) {
        self.ensure_started(out);
        while self.current.is_some() || !self.waiting.is_empty() {
            self.writer.end(out);
            self.current = None;
            self.advance(out);
        }
        let (reason, sequence) = stop::encode(self.stop.as_ref());
        let mut delta = Map::new();
        delta.insert("stop_reason".into(), reason);
        delta.insert("stop_sequence".into(), sequence);
        let mut data = Map::new();
        data.insert("type".into(), "message_delta".into());
        let mut outside = Map::new();
        if extra.origin == Some(OURS) {
            for (name, value) in &extra.fields {
                let place =
                    if IN_DELTA.contains(&name.as_str()) { &mut delta } else { &mut outside };
                place.insert(name.clone(), value.clone());
            }
        }
        data.insert("delta".into(), delta.into());
        data.insert("usage".into(), usage::encode(self.usage.as_ref(), tier).into());
        for (name, value) in outside {
            data.entry(name).or_insert(value);
        }
        write_frame("message_delta", &to_vec(&data.into()), out);
        write_frame("message_stop", br#"{"type":"message_stop"}"#, out);
        self.done = true;
    }

    fn fail(&mut self, error: &ApiError, out: &mut Vec<u8>) {
        self.done = true;
        self.waiting.clear();
        write_frame("error", &to_vec(&error::encode(error, None)), out);
    }
}
