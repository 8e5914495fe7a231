//! The hub's events into a stream to a client.
//!
//! The encoder folds what it sends, so that the `done` and terminal events
//! can repeat it. Items are numbered in the order of their starts and may
//! overlap. The end of an item is written when the next event shows whether
//! the answer was cut there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer_encode::{Frame, encode_item};
use super::stream_part::OpenPart;
use super::wire::{Wire, write};
use super::{OURS, cross, error, status};
use crate::format::error_object;
use crate::model::{
    Answer, ApiError, Delta, Event, Extra, Fold, Item, ItemBody, Slot, Stop, ToolCallKind,
};
use crate::{AnswerContext, IdSource, StreamEncoder, seal};

/// Encodes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) frame: Frame,
    ids: IdSource,
    pub(super) fold: Fold,
    /// The answer's head, without items: what the first events show.
    pub(super) head: Answer,
    /// The upstream speaks this dialect: its ids and forms are kept.
    pub(super) own: bool,
    /// What names the items, where they are not named as they come.
    pub(super) names: Option<Names>,
    /// Whether clients see the seals of reasoning.
    pub(super) seals: bool,
    pub(super) items: BTreeMap<Slot, OpenItem>,
    /// Another dialect's reasoning that has begun, until its first delta
    /// shows which form it has.
    pub(super) held: BTreeMap<Slot, Item>,
    /// Ended items whose end is not yet written.
    ending: Vec<Slot>,
    sequence: u64,
    pub(super) started: bool,
    finished: bool,
}

/// Names items by where they stand.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// What stands between an id's prefix and the item's number.
    pub(super) stem: String,
    /// The slot of the item that has number 0.
    pub(super) base: u32,
}

#[derive(Debug)]
pub(super) struct OpenItem {
    pub(super) index: u32,
    pub(super) id: String,
    pub(super) kind: Kind,
    /// Its end is written.
    pub(super) done: bool,
    /// Its summary is another dialect's thinking.
    thought: bool,
    /// By the hub's part number; a summary's numbers are set apart.
    pub(super) parts: BTreeMap<(bool, u32), OpenPart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Reasoning,
    Call(ToolCallKind),
    Native,
}

impl Encoder {
    pub(super) fn new(context: &AnswerContext<'_>) -> Self {
        let fold = Fold::new(OURS);
        Self {
            frame: Frame::new(context),
            ids: context.ids,
            head: Answer {
                origin: OURS,
                id: String::new(),
                model: context.model.to_owned(),
                created: Some(context.created),
                choices: Vec::new(),
                usage: None,
                service_tier: None,
                extra: Extra::default(),
            },
            fold,
            own: false,
            names: None,
            seals: true,
            items: BTreeMap::new(),
            held: BTreeMap::new(),
            ending: Vec::new(),
            sequence: 0,
            started: false,
            finished: false,
        }
    }

    pub(super) fn send(&mut self, kind: &str, wire: &Wire<'_>, out: &mut Vec<u8>) {
        write(kind, wire, self.sequence, out);
        self.sequence += 1;
    }

    fn start(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Event::Start { id, created, usage, extra, .. } = event else { return };
        self.own = extra.origin == Some(OURS);
        self.head.id = if self.own && !id.is_empty() { id.clone() } else { self.ids.next("resp_") };
        self.head.created = created.or(self.head.created);
        if self.own {
            self.head.extra = extra.clone();
        }
        self.fold.event(&Event::Start {
            id: self.head.id.clone(),
            model: self.head.model.clone(),
            created: self.head.created,
            usage: usage.clone(),
            extra: self.head.extra.clone(),
        });
        self.started = true;
        let response = self.frame.response(&self.head, None);
        for kind in ["response.created", "response.in_progress"] {
            self.send(kind, &Wire { response: Some(&response), ..Wire::default() }, out);
        }
    }

    fn item_start(&mut self, slot: Slot, head: &Item, out: &mut Vec<u8>) {
        if slot.choice != 0 || self.items.contains_key(&slot) {
            return;
        }
        // Items keep the order of their starts.
        self.release(None, out);
        if !self.own && matches!(head.body, ItemBody::Reasoning(_)) {
            self.held.insert(slot, head.clone());
        } else {
            self.open(slot, head, false, out);
        }
    }

    /// Begins the held items on the wire; `delta` is what came for one.
    fn release(&mut self, delta: Option<(Slot, &Delta)>, out: &mut Vec<u8>) {
        for (slot, head) in std::mem::take(&mut self.held) {
            let thought = matches!(delta, Some((at, Delta::Reasoning(_))) if at == slot);
            self.open(slot, &head, thought, out);
        }
    }

    /// Begins an item on the wire. `thought`: its summary will be another
    /// dialect's thinking.
    fn open(&mut self, slot: Slot, head: &Item, thought: bool, out: &mut Vec<u8>) {
        let Some(mut head) = self.own_head(head) else { return };
        if let Some(id) = self.name(slot, &head) {
            head.id = Some(id);
        }
        let kind = match &head.body {
            ItemBody::Message(_) => Kind::Message,
            ItemBody::Reasoning(_) => Kind::Reasoning,
            ItemBody::ToolCall(call) => Kind::Call(call.kind),
            ItemBody::ToolResult(_) | ItemBody::Native { .. } => Kind::Native,
        };
        let Some(mut shown) = encode_item(&head, "in_progress") else { return };
        if let (Kind::Reasoning, Some(shown)) = (kind, shown.as_object_mut()) {
            // The seal is told with the whole item. Of another dialect's
            // thinking the envelope tells at once what its summary is.
            shown.shift_remove("encrypted_content");
            if thought && self.seals {
                let envelope = seal::carry(&cross::envelope(), OURS);
                shown.insert("encrypted_content".into(), envelope.into());
            }
        }
        let index = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let id = head.id.clone().unwrap_or_default();
        self.fold.event(&Event::ItemStart { slot, head });
        let parts = BTreeMap::new();
        self.items.insert(slot, OpenItem { index, id, kind, done: false, thought, parts });
        let wire = Wire { output_index: Some(index), item: Some(&shown), ..Wire::default() };
        self.send("response.output_item.added", &wire, out);
    }

    /// The item's name by its place, where items are named so. A provider of
    /// this dialect joins reasoning and its seal by its own id, so a client
    /// that is shown the seal is shown that.
    fn name(&self, slot: Slot, head: &Item) -> Option<String> {
        let Names { stem, base } = self.names.as_ref()?;
        if self.own
            && self.seals
            && head.id.is_some()
            && matches!(head.body, ItemBody::Reasoning(_))
        {
            return None;
        }
        let prefix = cross::prefix(&head.body)?;
        Some(format!("{prefix}{stem}{:04x}", slot.item.saturating_sub(*base)))
    }

    /// The head in this dialect's form; `None` for what it cannot say.
    fn own_head(&mut self, head: &Item) -> Option<Item> {
        let native = matches!(head.body, ItemBody::Native { dialect: OURS, .. });
        if !self.own && !native {
            return cross::item(head.clone(), &mut self.ids);
        }
        let mut head = head.clone();
        if head.id.is_none() && !native {
            head.id = cross::item(head.clone(), &mut self.ids)?.id;
        }
        Some(head)
    }

    fn item_end(&mut self, slot: Slot, extra: &Extra, out: &mut Vec<u8>) {
        if self.held.contains_key(&slot) {
            self.release(None, out);
        }
        let open = self.items.get(&slot).is_some_and(|item| !item.done);
        if !open || self.ending.contains(&slot) {
            return;
        }
        self.close_parts(slot, out);
        if self.own {
            self.fold.event(&Event::ItemEnd { slot, extra: extra.clone() });
        }
        self.ending.push(slot);
    }

    /// Writes the ends of items held back; the last is incomplete if the
    /// answer was cut there.
    pub(super) fn end_items(&mut self, cut: bool, out: &mut Vec<u8>) {
        let ending = std::mem::take(&mut self.ending);
        let last = ending.last().copied();
        for slot in ending {
            let status = if cut && Some(slot) == last { "incomplete" } else { "completed" };
            self.end_item(slot, status, out);
        }
    }

    pub(super) fn end_item(&mut self, slot: Slot, status: &str, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(&slot) else { return };
        item.done = true;
        let (index, id, kind) = (item.index, item.id.clone(), item.kind);
        if item.thought {
            let sealed = self
                .fold
                .item(slot)
                .is_some_and(|i| matches!(&i.body, ItemBody::Reasoning(r) if r.seal.is_some()));
            if !sealed {
                let delta = Delta::Seal(cross::envelope());
                self.fold.event(&Event::Delta { slot, part: 0, delta });
            }
        }
        let Some(folded) = self.fold.item(slot) else { return };
        let shown = self.shown(folded, status);
        if let (Kind::Call(kind), ItemBody::ToolCall(call)) = (kind, &folded.body) {
            let (name, input) = (call.name.clone(), call.input.clone());
            let wire = Wire { item_id: Some(&id), output_index: Some(index), ..Wire::default() };
            match kind {
                ToolCallKind::Function => {
                    let wire = Wire { name: Some(&name), arguments: Some(&input), ..wire };
                    self.send("response.function_call_arguments.done", &wire, out);
                }
                ToolCallKind::Custom => {
                    let wire = Wire { input: Some(&input), ..wire };
                    self.send("response.custom_tool_call_input.done", &wire, out);
                }
            }
        }
        let wire = Wire { output_index: Some(index), item: shown.as_ref(), ..Wire::default() };
        self.send("response.output_item.done", &wire, out);
    }

    /// An item as clients see it.
    pub(super) fn shown(&self, item: &Item, status: &str) -> Option<Value> {
        let mut shown = encode_item(item, status);
        if let (false, Some(Value::Object(object))) = (self.seals, &mut shown)
            && matches!(item.body, ItemBody::Reasoning(_))
        {
            object.shift_remove("encrypted_content");
        }
        shown
    }

    fn stop(&mut self, stop: &Stop, extra: &Extra, out: &mut Vec<u8>) {
        self.end_items(status::encode(Some(stop)).0 == "incomplete", out);
        let (stop, extra) = (stop.clone(), extra.clone());
        self.fold.event(&Event::Stop { choice: 0, stop, extra });
    }

    /// The answer as far as it came.
    fn take_answer(&mut self) -> Answer {
        let fold = std::mem::replace(&mut self.fold, Fold::new(OURS));
        fold.finish().unwrap_or_else(|_| self.head.clone())
    }

    fn end(&mut self, event: &Event, out: &mut Vec<u8>) {
        self.end_items(false, out);
        self.finished = true;
        if let Event::End { extra, service_tier } = event {
            let extra = if self.own { extra.clone() } else { Extra::default() };
            self.fold.event(&Event::End { extra, service_tier: service_tier.clone() });
        }
        let answer = self.take_answer();
        let stop = answer.choices.first().and_then(|c| c.stop.as_ref());
        let kind = match status::encode(stop).0.as_str() {
            "incomplete" => "response.incomplete",
            "failed" => "response.failed",
            _ => "response.completed",
        };
        let mut response = self.frame.response(&answer, None);
        if let (None, Some(status)) = (stop, response.get_mut("status")) {
            // An end without a stop is the end all the same.
            *status = "completed".into();
        }
        self.send(kind, &Wire { response: Some(&response), ..Wire::default() }, out);
    }

    /// The dialect's own end of a broken stream: `error`, which makes the
    /// official SDKs raise, then `response.failed` with what came before. The
    /// `error` event has the fields both nested, as OpenAI sends and Open
    /// Responses describes it, and flat, as OpenAI describes it.
    fn fail(&mut self, failure: &ApiError, out: &mut Vec<u8>) {
        self.finished = true;
        self.held.clear();
        let object = error_object::object(failure);
        let wire = Wire {
            error: Some(&object),
            code: object.get("code"),
            message: object.get("message"),
            param: object.get("param"),
            ..Wire::default()
        };
        self.send("error", &wire, out);
        if !self.started {
            return;
        }
        let answer = self.take_answer();
        let mut response = self.frame.response(&answer, Some(failure));
        if let (Value::Object(response), Some((OURS, native))) = (&mut response, &failure.native)
            && error::is_response(native)
            && let Value::Object(native) = native
        {
            let model = response.get("model").cloned().unwrap_or_default();
            response.extend(native.clone());
            response.insert("model".into(), model);
        }
        self.send("response.failed", &Wire { response: Some(&response), ..Wire::default() }, out);
    }

    /// An event that only this dialect has, under our numbering.
    fn native(&mut self, name: &str, json: &Value, out: &mut Vec<u8>) {
        let wire = Wire { native: json.as_object(), ..Wire::default() };
        self.send(name, &wire, out);
    }
}

impl StreamEncoder for Encoder {
    fn tell_time(&mut self, seconds: i64) {
        self.frame.now = seconds;
    }

    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.finished {
            return;
        }
        match event {
            Event::Start { .. } if self.started => return,
            Event::Start { .. } => return self.start(event, out),
            // A comment: the dialect has no event that says nothing.
            Event::Ping => return out.extend_from_slice(b": ping\n\n"),
            Event::Error(error) => return self.fail(error, out),
            Event::Stop { .. } | Event::ItemEnd { .. } | Event::Usage(_) => {}
            _ => self.end_items(false, out),
        }
        match event {
            Event::ItemStart { slot, head } => self.item_start(*slot, head, out),
            Event::PartStart { slot, part, head } => self.part_start(*slot, *part, head, out),
            Event::Delta { slot, part, delta } => {
                if self.held.contains_key(slot) {
                    self.release(Some((*slot, delta)), out);
                }
                self.delta(*slot, *part, delta, out);
            }
            Event::ItemEnd { slot, extra } => self.item_end(*slot, extra, out),
            Event::Stop { choice: 0, stop, extra } => self.stop(stop, extra, out),
            Event::Usage(_) => self.fold.event(event),
            Event::End { .. } => self.end(event, out),
            Event::Native { dialect: OURS, name, json } => self.native(name, json, out),
            _ => {}
        }
    }
}
