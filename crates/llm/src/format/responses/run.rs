//! A response that is made of several answers and of tools that were called
//! between them: what a server with state shows of one turn.
//!
//! The same calls give the same bytes, so a stream can be made again from what
//! happened and be taken up at any of its events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::stream_encode::{Encoder, Names};
use super::wire::Wire;
use super::{OURS, rest, status, usage};
use crate::model::{
    Answer, Dialect, Event, Fold, Item, ItemBody, Request, Slot, Stop, ToolBody, Usage,
};
use crate::{AnswerContext, IdSource, StreamEncoder as _};

/// What a response is begun with.
#[derive(Clone, Debug)]
pub struct RunHead<'a> {
    /// The response's id.
    pub id: String,
    /// The request, whose settings are repeated.
    pub request: &'a Request,
    /// Seconds since 1970.
    pub created: i64,
    /// Fields that are not repeated from the request but said here.
    pub over: Map<String, Value>,
    /// Tools that are not in the request, as they are shown.
    pub tools: Vec<Value>,
    /// Whether the client asked for the seals of reasoning.
    pub seals: bool,
}

/// How a response ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The model was done, or said all that it may; or the client's turn has
    /// come.
    Done,
    /// Something else came between; the word says what.
    Incomplete(&'static str),
    /// It was asked to stop.
    Cancelled,
    /// It failed, for this reason.
    Failed(String),
}

/// A call of a tool that the client does not perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Call(u32);

/// Encodes one response.
#[derive(Debug)]
pub struct Run {
    encoder: Encoder,
    over: Map<String, Value>,
    tools: Vec<Value>,
    /// The names of the tools that the client performs.
    client: BTreeSet<String>,
    /// Where the items of the attempt begin.
    base: u32,
    /// The attempt as it came; `None` between attempts.
    came: Option<Fold>,
    /// Items of the attempt that clients do not see.
    hidden: BTreeSet<u32>,
    /// Items that were cut.
    cut: BTreeSet<Slot>,
    /// Items that do not count: their attempt was made anew.
    dropped: BTreeSet<Slot>,
    calls: BTreeMap<Call, Value>,
    usage: Option<Usage>,
    tier: Option<String>,
    stop: Option<Stop>,
    queued: bool,
    ended: Option<(End, i64)>,
}

impl Run {
    /// A response of which nothing was said yet.
    pub fn new(head: RunHead<'_>) -> Self {
        let context = AnswerContext {
            request: head.request,
            model: &head.request.model,
            ids: IdSource::new(0),
            created: head.created,
        };
        let mut encoder = Encoder::new(&context);
        encoder.head.id = head.id;
        encoder.started = true;
        encoder.seals = head.seals;
        let client = head.request.tools.iter().filter_map(|tool| match &tool.body {
            ToolBody::Function { name, .. } | ToolBody::Custom { name, .. } => Some(name.clone()),
            ToolBody::Native { .. } => None,
        });
        Self {
            encoder,
            over: head.over,
            tools: head.tools,
            client: client.collect(),
            base: 0,
            came: None,
            hidden: BTreeSet::new(),
            cut: BTreeSet::new(),
            dropped: BTreeSet::new(),
            calls: BTreeMap::new(),
            usage: None,
            tier: None,
            stop: None,
            queued: false,
            ended: None,
        }
    }

    /// It exists; `queued`: it will begin later.
    pub fn created(&mut self, queued: bool, out: &mut Vec<u8>) {
        self.queued = queued;
        self.tell("response.created", out);
        self.tell(if queued { "response.queued" } else { "response.in_progress" }, out);
    }

    /// What was queued begins.
    pub fn begun(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.queued) {
            self.tell("response.in_progress", out);
        }
    }

    /// A model is asked. `stem` stands in the ids of what it will say.
    pub fn asked(&mut self, stem: &str) {
        self.came = Some(Fold::new(OURS));
        self.hidden.clear();
        self.encoder.own = false;
        self.encoder.names = Some(Names { stem: stem.to_owned(), base: self.base });
    }

    /// Some of its answer came.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        let Some(came) = &mut self.came else { return };
        came.event(event);
        let event = match event {
            Event::Start { extra, .. } => {
                self.encoder.own = extra.origin == Some(OURS);
                return;
            }
            Event::ItemStart { slot, head } => {
                if self.is_ours(head) {
                    self.hidden.insert(slot.item);
                }
                Event::ItemStart { slot: *slot, head: head.clone() }
            }
            Event::PartStart { .. } | Event::Delta { .. } | Event::ItemEnd { .. } => event.clone(),
            Event::Native { dialect: OURS, name, json } => {
                let json = self.moved(json.clone());
                Event::Native { dialect: OURS, name: name.clone(), json }
            }
            _ => return,
        };
        if let Some(event) = self.shifted(event) {
            self.encoder.event(&event, out);
        }
    }

    /// The answer is complete; what of it did not stream is told now.
    pub fn answered(&mut self, answer: &Answer, out: &mut Vec<u8>) {
        self.encoder.own |= self.came.is_some() && is_own(answer);
        let choice = answer.choices.first();
        let items = choice.map(|choice| choice.items.as_slice()).unwrap_or_default();
        for (at, item) in (0..).zip(items) {
            let slot = Slot { choice: 0, item: at };
            let came = self.came.as_ref().filter(|came| came.item(slot).is_some());
            for event in rest::rest_of(slot, item, came) {
                self.event(&event, out);
            }
        }
        self.stop = choice.and_then(|choice| choice.stop.clone());
        let cut = status::encode(self.stop.as_ref()).0 == "incomplete";
        if cut && let Some(last) = self.open_items().last() {
            self.cut.insert(*last);
        }
        self.encoder.end_items(cut, out);
        self.abandon(out);
        self.tier = answer.service_tier.clone().or(self.tier.take());
        self.add_usage(answer.usage.as_ref());
        self.close_attempt();
    }

    /// The attempt ended without an answer. What came is closed as it is; if
    /// it is not `kept`, the response does not count it.
    pub fn aborted(&mut self, kept: bool, out: &mut Vec<u8>) {
        let Some(came) = &self.came else { return };
        let usage = came.usage().cloned();
        self.encoder.end_items(false, out);
        let open = self.abandon(out);
        if kept {
            self.cut.extend(open);
        } else {
            self.dropped.extend(self.open_items());
        }
        self.add_usage(usage.as_ref());
        self.close_attempt();
    }

    /// A whole item of our own.
    pub fn item(&mut self, item: Value, out: &mut Vec<u8>) {
        if let Some(slot) = self.open_own(item, out) {
            self.encoder.end_item(slot, "completed", out);
        }
    }

    /// Tools of a server were listed; `empty` is the item without them.
    pub fn listed(&mut self, empty: Value, item: Value, out: &mut Vec<u8>) {
        let failed = item.get("error").is_some_and(|error| !error.is_null());
        // It may come before what an attempt says.
        let came = self.came.take();
        let slot = self.open_own(empty, out);
        self.came = came;
        if let Some(names) = &mut self.encoder.names {
            names.base = self.base;
        }
        let Some(slot) = slot else { return };
        self.about("response.mcp_list_tools.in_progress", slot, out);
        let kind = if failed { "failed" } else { "completed" };
        self.about(&format!("response.mcp_list_tools.{kind}"), slot, out);
        self.replace(slot, item);
        self.encoder.end_item(slot, "completed", out);
    }

    /// A tool is called that the client does not perform. `item` has its
    /// arguments.
    pub fn call(&mut self, item: Value, out: &mut Vec<u8>) -> Option<Call> {
        let mut shown = item.clone();
        let arguments = item.get("arguments").and_then(Value::as_str).unwrap_or_default();
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("arguments".into(), "".into());
        }
        let slot = self.open_own(shown, out)?;
        self.about("response.mcp_call.in_progress", slot, out);
        let (id, index) = self.place(slot)?;
        let wire = Wire { item_id: Some(&id), output_index: Some(index), ..Wire::default() };
        let delta = Wire { delta: Some(arguments), ..wire };
        self.encoder.send("response.mcp_call_arguments.delta", &delta, out);
        let done = Wire { arguments: Some(arguments), ..wire };
        self.encoder.send("response.mcp_call_arguments.done", &done, out);
        self.replace(slot, item.clone());
        let call = Call(slot.item);
        self.calls.insert(call, item);
        Some(call)
    }

    /// The call ended with these fields; `kind` is the event that tells it,
    /// `None` if there is none.
    pub fn called(
        &mut self,
        call: Call,
        kind: Option<&str>,
        fields: Map<String, Value>,
        out: &mut Vec<u8>,
    ) {
        let Some(mut item) = self.calls.remove(&call) else { return };
        let slot = Slot { choice: 0, item: call.0 };
        if let Some(kind) = kind {
            self.about(kind, slot, out);
        }
        if let Some(item) = item.as_object_mut() {
            item.extend(fields);
        }
        self.replace(slot, item);
        self.encoder.end_item(slot, "completed", out);
    }

    /// The response is over. Calls that still run are told as incomplete.
    pub fn end(&mut self, end: End, now: i64, out: &mut Vec<u8>) {
        self.begun(out);
        self.aborted(true, out);
        for call in self.calls.keys().copied().collect::<Vec<_>>() {
            let fields = Map::from_iter([("status".to_owned(), "incomplete".into())]);
            self.called(call, None, fields, out);
        }
        if let End::Failed(message) = &end {
            let error = json!({
                "type": "server_error", "code": "server_error", "message": message, "param": null,
            });
            let wire = Wire {
                error: Some(&error),
                code: error.get("code"),
                message: error.get("message"),
                param: error.get("param"),
                ..Wire::default()
            };
            self.encoder.send("error", &wire, out);
        }
        self.ended = Some((end, now));
        self.tell(self.terminal(), out);
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<&End> {
        self.ended.as_ref().map(|(end, _)| end)
    }

    /// The response as it stands.
    pub fn response(&self) -> Value {
        let answer = Answer {
            usage: self.usage.clone(),
            service_tier: self.tier.clone(),
            ..self.encoder.head.clone()
        };
        let Value::Object(mut object) = self.encoder.frame.response(&answer, None) else {
            return Value::Null;
        };
        object.insert("output".into(), self.output().into());
        object.insert("status".into(), self.status().into());
        if let Some(tier) = &self.tier {
            object.insert("service_tier".into(), tier.as_str().into());
        }
        match &self.ended {
            Some((End::Done, at)) if self.status() == "completed" => {
                object.insert("completed_at".into(), (*at).max(created(&object)).into());
            }
            Some((End::Done, _)) => {
                let details = status::encode(self.stop.as_ref()).1;
                object.insert("incomplete_details".into(), details);
            }
            Some((End::Incomplete(reason), _)) => {
                object.insert("incomplete_details".into(), json!({ "reason": reason }));
            }
            Some((End::Failed(message), _)) => {
                let error = json!({"code": "server_error", "message": message});
                object.insert("error".into(), error);
            }
            Some((End::Cancelled, _)) | None => {}
        }
        if let Some(Value::Array(tools)) = object.get_mut("tools") {
            tools.extend(self.tools.iter().cloned());
        }
        object.extend(self.over.clone());
        Value::Object(object)
    }

    /// Whether a call in an answer is one that the client does not perform.
    fn is_ours(&self, item: &Item) -> bool {
        matches!(&item.body, ItemBody::ToolCall(call) if !self.client.contains(&call.name))
    }

    fn status(&self) -> &'static str {
        match &self.ended {
            None if self.queued => "queued",
            None => "in_progress",
            Some((End::Done, _)) => match status::encode(self.stop.as_ref()).0.as_str() {
                "incomplete" => "incomplete",
                "failed" => "failed",
                _ => "completed",
            },
            Some((End::Incomplete(_), _)) => "incomplete",
            Some((End::Cancelled, _)) => "cancelled",
            Some((End::Failed(_), _)) => "failed",
        }
    }

    /// The dialect has no terminal event for what was cancelled.
    fn terminal(&self) -> &'static str {
        match self.status() {
            "completed" => "response.completed",
            "failed" => "response.failed",
            _ => "response.incomplete",
        }
    }

    fn output(&self) -> Vec<Value> {
        let items = self.encoder.items.iter().filter(|(slot, _)| !self.dropped.contains(slot));
        items
            .filter_map(|(slot, open)| {
                let status = match (open.done, self.cut.contains(slot)) {
                    (false, _) => "in_progress",
                    (true, true) => "incomplete",
                    (true, false) => "completed",
                };
                self.encoder.shown(self.encoder.fold.item(*slot)?, status)
            })
            .collect()
    }

    /// The items of the attempt that are on the wire.
    fn open_items(&self) -> Vec<Slot> {
        let from = Slot { choice: 0, item: self.base };
        self.encoder.items.range(from..).map(|(slot, _)| *slot).collect()
    }

    /// Closes what of the attempt is open, as cut.
    fn abandon(&mut self, out: &mut Vec<u8>) -> Vec<Slot> {
        self.encoder.held.clear();
        let left: Vec<Slot> = self
            .open_items()
            .into_iter()
            .filter(|slot| self.encoder.items.get(slot).is_some_and(|item| !item.done))
            .collect();
        for slot in &left {
            self.encoder.close_parts(*slot, out);
            self.encoder.end_item(*slot, "incomplete", out);
        }
        left
    }

    fn close_attempt(&mut self) {
        if self.came.take().is_some() {
            self.base = self.next_slot();
        }
    }

    fn next_slot(&self) -> u32 {
        let last = self.encoder.items.keys().next_back();
        last.map_or(0, |slot| slot.item.saturating_add(1)).max(self.base)
    }

    fn add_usage(&mut self, more: Option<&Usage>) {
        let Some(more) = more else { return };
        let sum = self.usage.get_or_insert_default();
        usage::add(sum, more);
    }

    /// An item in its place among all; `None` for what clients do not see.
    fn shifted(&self, mut event: Event) -> Option<Event> {
        match &mut event {
            Event::ItemStart { slot, .. }
            | Event::PartStart { slot, .. }
            | Event::Delta { slot, .. }
            | Event::ItemEnd { slot, .. } => {
                if slot.choice != 0 || self.hidden.contains(&slot.item) {
                    return None;
                }
                slot.item = slot.item.checked_add(self.base)?;
            }
            _ => {}
        }
        Some(event)
    }

    /// An event that only this dialect has, about the item where it now is.
    fn moved(&self, mut json: Value) -> Value {
        let index = json.get("output_index").and_then(Value::as_u64);
        let slot = index.and_then(|index| u32::try_from(index).ok()?.checked_add(self.base));
        let open = slot.and_then(|item| self.encoder.items.get(&Slot { choice: 0, item }));
        if let (Some(open), Some(object)) = (open, json.as_object_mut()) {
            object.insert("output_index".into(), open.index.into());
        }
        json
    }

    fn open_own(&mut self, item: Value, out: &mut Vec<u8>) -> Option<Slot> {
        self.close_attempt();
        let slot = Slot { choice: 0, item: self.next_slot() };
        self.base = slot.item.checked_add(1)?;
        let body = ItemBody::Native { dialect: OURS, json: item, from_model: true };
        self.encoder.event(&Event::ItemStart { slot, head: Item::new(body) }, out);
        Some(slot)
    }

    fn replace(&mut self, slot: Slot, item: Value) {
        let body = ItemBody::Native { dialect: OURS, json: item, from_model: true };
        self.encoder.fold.event(&Event::ItemStart { slot, head: Item::new(body) });
    }

    /// The id and the place of an own item.
    fn place(&self, slot: Slot) -> Option<(String, u32)> {
        let index = self.encoder.items.get(&slot)?.index;
        let ItemBody::Native { json, .. } = &self.encoder.fold.item(slot)?.body else {
            return None;
        };
        Some((json.get("id")?.as_str()?.to_owned(), index))
    }

    /// An event that says no more than which item it is about.
    fn about(&mut self, kind: &str, slot: Slot, out: &mut Vec<u8>) {
        let Some((id, index)) = self.place(slot) else { return };
        let wire = Wire { item_id: Some(&id), output_index: Some(index), ..Wire::default() };
        self.encoder.send(kind, &wire, out);
    }

    fn tell(&mut self, kind: &str, out: &mut Vec<u8>) {
        let response = self.response();
        self.encoder.send(kind, &Wire { response: Some(&response), ..Wire::default() }, out);
    }
}

fn is_own(answer: &Answer) -> bool {
    answer.origin == Dialect::Responses && !answer.id.is_empty()
}

fn created(response: &Map<String, Value>) -> i64 {
    response.get("created_at").and_then(Value::as_i64).unwrap_or_default()
}
