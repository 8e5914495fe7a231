//! One choice of a streamed answer: its deltas into events.

use serde_json::{Map, Value};

use super::stream_calls::{Calls, Fragment, Place};
use super::stream_thought::OpenReasoning;
use super::{ME, annotation, answer, call_id, part, reasoning, stop};
use crate::model::{
    Delta, Event, Extra, Item, ItemBody, Message, Part, PartBody, Reasoning, Role, Slot, Stop,
    StopReason, ToolCall,
};

/// What is open and what was learnt.
#[derive(Debug, Default)]
pub(super) struct ChoiceState {
    number: u32,
    items: u32,
    said: Option<OpenMessage>,
    thought: Option<OpenReasoning>,
    calls: Calls,
    /// The key that the thinking comes under as one string.
    text_key: Option<&'static str>,
    finish: Option<String>,
    sequence: Option<String>,
    /// Fields of the choice that the hub has no place for.
    extra: Map<String, Value>,
    /// Fields of the message that the hub has no place for.
    message: Map<String, Value>,
}

#[derive(Debug)]
struct OpenMessage {
    slot: Slot,
    parts: Vec<PartKind>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartKind {
    Text,
    Refusal,
    Whole,
    Audio,
}

impl ChoiceState {
    pub(super) fn new(number: u32) -> Self {
        Self { number, ..Self::default() }
    }

    /// True once a finish reason came.
    pub(super) fn is_finished(&self) -> bool {
        self.finish.is_some()
    }

    /// Takes one chunk's entry of this choice.
    pub(super) fn take(&mut self, mut choice: Map<String, Value>, id: &str, out: &mut Vec<Event>) {
        choice.shift_remove("index");
        // Some servers end with the whole message instead of a delta.
        let delta = choice.shift_remove("delta").or_else(|| choice.shift_remove("message"));
        if let Some(Value::Object(delta)) = delta {
            self.delta(delta, id, out);
        }
        if let Some(logprobs) = choice.get("logprobs").and_then(answer::content_logprobs) {
            choice.shift_remove("logprobs");
            if !logprobs.is_empty() {
                let (slot, part) = self.part(PartKind::Text, out);
                out.push(Event::Delta { slot, part, delta: Delta::Logprobs(logprobs) });
            }
        }
        if let Some(Value::String(word)) = choice.shift_remove("finish_reason")
            && !word.is_empty()
        {
            self.finish = Some(word);
        }
        for key in ["stop_reason", "matched_stop"] {
            if let Some(met) = choice.get(key).and_then(Value::as_str) {
                self.sequence = Some(met.to_owned());
            }
        }
        merge(&mut self.extra, choice);
    }

    fn delta(&mut self, mut delta: Map<String, Value>, id: &str, out: &mut Vec<Event>) {
        delta.shift_remove("role");
        self.reasoning(&mut delta, out);
        match delta.shift_remove("content") {
            Some(Value::String(text)) => self.text(text, out),
            Some(Value::Array(list)) => {
                for part in list {
                    self.listed(part, out);
                }
            }
            _ => {}
        }
        if let Some(Value::String(more)) = delta.shift_remove("refusal")
            && !more.is_empty()
        {
            let (slot, part) = self.part(PartKind::Refusal, out);
            out.push(Event::Delta { slot, part, delta: Delta::Refusal(more) });
        }
        if let Some(Value::Object(audio)) = delta.shift_remove("audio")
            && !audio.is_empty()
        {
            let (slot, part) = self.part(PartKind::Audio, out);
            let delta = Delta::Native { dialect: ME, json: Value::Object(audio) };
            out.push(Event::Delta { slot, part, delta });
        }
        if let Some(Value::Array(images)) = delta.shift_remove("images") {
            for image in images {
                self.whole(image, true, out);
            }
        }
        if let Some(Value::Array(list)) = delta.shift_remove("annotations") {
            for json in list {
                let (slot, part) = self.part(PartKind::Text, out);
                let delta = Delta::Annotation(annotation::decode(json));
                out.push(Event::Delta { slot, part, delta });
            }
        }
        if let Some(Value::Array(calls)) = delta.shift_remove("tool_calls") {
            for value in &calls {
                self.call(&Fragment::read(value), value, false, id, out);
            }
        }
        if let Some(value) = delta.shift_remove("function_call")
            && value.as_object().is_some_and(|call| !call.is_empty())
        {
            let wrapped = serde_json::json!({"function": value});
            self.call(&Fragment::read(&wrapped), &wrapped, true, id, out);
        }
        merge(&mut self.message, delta);
    }

    fn next_slot(&mut self) -> Slot {
        let slot = Slot { choice: self.number, item: self.items };
        self.items += 1;
        slot
    }

    fn text(&mut self, text: String, out: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        let (slot, part) = self.part(PartKind::Text, out);
        out.push(Event::Delta { slot, part, delta: Delta::Text(text) });
    }

    /// A part of a content that is a list (Mistral).
    fn listed(&mut self, value: Value, out: &mut Vec<Event>) {
        match value.get("type").and_then(Value::as_str) {
            Some("text") => {
                let text = value.get("text").and_then(Value::as_str).unwrap_or_default();
                self.text(text.to_owned(), out);
            }
            Some("thinking") => {
                if let ItemBody::Reasoning(thought) = reasoning::take_thinking(value).body {
                    self.think(thought, "thinking", out);
                }
            }
            _ => self.whole(value, false, out),
        }
    }

    /// A part that comes in one piece.
    fn whole(&mut self, value: Value, is_field: bool, out: &mut Vec<Event>) {
        let Ok(mut head) = part::decode(value, "choices.delta") else { return };
        if is_field {
            head.extra.spell(ME, "field", true);
        }
        let slot = self.message_slot(out);
        let number = self.push_part(PartKind::Whole);
        out.push(Event::PartStart { slot, part: number, head });
    }

    fn push_part(&mut self, kind: PartKind) -> u32 {
        let Some(said) = &mut self.said else { return 0 };
        said.parts.push(kind);
        u32::try_from(said.parts.len() - 1).unwrap_or(u32::MAX)
    }

    fn message_slot(&mut self, out: &mut Vec<Event>) -> Slot {
        self.end_thought(out);
        if let Some(said) = &self.said {
            return said.slot;
        }
        let slot = self.next_slot();
        let body = ItemBody::Message(Message { role: Role::Assistant, parts: Vec::new() });
        out.push(Event::ItemStart { slot, head: head(body, slot) });
        self.said = Some(OpenMessage { slot, parts: Vec::new() });
        slot
    }

    /// The open part of a kind; begins it, and the message, where there is
    /// none.
    fn part(&mut self, kind: PartKind, out: &mut Vec<Event>) -> (Slot, u32) {
        let slot = self.message_slot(out);
        let open = self.said.as_ref().and_then(|said| said.parts.iter().rposition(|k| *k == kind));
        if let Some(at) = open {
            return (slot, u32::try_from(at).unwrap_or(u32::MAX));
        }
        let part = self.push_part(kind);
        let head = match kind {
            PartKind::Refusal => {
                let mut part = Part::new(PartBody::Refusal(String::new()));
                part.extra.spell(ME, "field", true);
                part
            }
            PartKind::Audio => {
                let json = serde_json::json!({"audio": {}});
                Part::new(PartBody::Native { dialect: ME, json })
            }
            PartKind::Text | PartKind::Whole => Part::text(""),
        };
        out.push(Event::PartStart { slot, part, head });
        (slot, part)
    }

    fn call(
        &mut self,
        fragment: &Fragment,
        value: &Value,
        is_legacy: bool,
        answer_id: &str,
        out: &mut Vec<Event>,
    ) {
        let slot = match self.calls.place(fragment) {
            Place::Known(slot) => slot,
            Place::New => {
                self.end_thought(out);
                self.end_said(out);
                let slot = self.next_slot();
                out.push(Event::ItemStart {
                    slot,
                    head: self.call_head(fragment, value, is_legacy, answer_id, slot),
                });
                self.calls.begin(fragment, slot);
                slot
            }
        };
        if !fragment.input.is_empty() {
            out.push(Event::Delta { slot, part: 0, delta: Delta::Input(fragment.input.clone()) });
        }
    }

    fn call_head(
        &self,
        fragment: &Fragment,
        value: &Value,
        is_legacy: bool,
        answer_id: &str,
        slot: Slot,
    ) -> Item {
        let call_id = if fragment.id.is_empty() {
            call_id::invent(answer_id, self.number, self.calls.len())
        } else {
            fragment.id.clone()
        };
        let mut item = head(
            ItemBody::ToolCall(ToolCall {
                call_id,
                name: fragment.name.clone(),
                input: String::new(),
                kind: fragment.kind,
                cache: None,
            }),
            slot,
        );
        if is_legacy {
            item.extra.spell(ME, "function_call", true);
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            let is_known = ["index", "id", "type", "function", "custom"].contains(&name.as_str());
            if !is_known && !value.is_null() {
                item.extra.insert(ME, name, value.clone());
            }
        }
        item
    }

    fn reasoning(&mut self, delta: &mut Map<String, Value>, out: &mut Vec<Event>) {
        let mut text = None;
        let mut keys = Vec::new();
        for key in reasoning::TEXT_KEYS {
            if !delta.get(key).is_some_and(Value::is_string) {
                continue;
            }
            self.text_key.get_or_insert(key);
            if let Some(Value::String(more)) = delta.shift_remove(key)
                && !more.is_empty()
            {
                // Servers that use two keys say the same under both.
                keys.push(key);
                text.get_or_insert(more);
            }
        }
        let details = match delta.shift_remove(reasoning::DETAILS) {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        let has_words =
            details.iter().any(|d| ["text", "summary"].iter().any(|k| d.get(*k).is_some_and(says)));
        if let (Some(more), Some(first)) = (text, keys.first()) {
            let text = if has_words { Vec::new() } else { vec![more] };
            self.think(Reasoning { text, ..Reasoning::default() }, first, out);
            for key in keys {
                self.thought(None, key, out).note_key(key);
            }
        }
        for detail in details {
            self.detail(detail, out);
        }
    }

    /// The reasoning under way; begins one, with its id, where there is none.
    fn thought(
        &mut self,
        id: Option<&String>,
        key: &'static str,
        out: &mut Vec<Event>,
    ) -> &mut OpenReasoning {
        if self.thought.is_none() {
            self.end_said(out);
            let slot = self.next_slot();
            let body = ItemBody::Reasoning(Reasoning::default());
            let mut head = Item { id: id.cloned(), ..head(body, slot) };
            // Servers with the list have `reasoning` beside it, if anything.
            let known = self.text_key.or(Some("reasoning"));
            let key = if key == reasoning::DETAILS { known } else { Some(key) };
            if let Some(key) = key.filter(|key| reasoning::TEXT_KEYS.contains(key)) {
                head.extra.spell(ME, key, true);
            }
            out.push(Event::ItemStart { slot, head });
            self.thought = Some(OpenReasoning::new(slot));
        }
        let slot = Slot { choice: self.number, item: self.items };
        self.thought.get_or_insert_with(|| OpenReasoning::new(slot))
    }

    /// Adds to the one text of the reasoning under way.
    fn think(&mut self, more: Reasoning, key: &'static str, out: &mut Vec<Event>) {
        let thought = self.thought(None, key, out);
        thought.note_key(key);
        let slot = thought.slot;
        thought.is_sealed |= more.seal.is_some();
        for text in more.text.into_iter().filter(|text| !text.is_empty()) {
            thought.heard.push_str(&text);
            out.push(Event::Delta { slot, part: 0, delta: Delta::Reasoning(text) });
        }
        if let Some(seal) = more.seal {
            out.push(Event::Delta { slot, part: 0, delta: Delta::Seal(seal) });
        }
    }

    /// A fragment of one of `reasoning_details`.
    fn detail(&mut self, value: Value, out: &mut Vec<Event>) {
        let mut items = Vec::new();
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        let index = value.get("index").and_then(Value::as_u64);
        reasoning::take_detail(value, &mut items);
        let Some(Item { id, body, mut extra, .. }) = items.pop() else { return };
        let ItemBody::Reasoning(more) = body else {
            let slot = self.next_slot();
            out.push(Event::ItemStart { slot, head: head(body, slot) });
            out.push(Event::ItemEnd { slot, extra: Extra::default() });
            return;
        };
        let mut goes_on = self.thought.as_ref().is_some_and(|t| {
            t.detail.as_ref() == Some(&(kind.clone(), index)) && (id.is_none() || t.id == id)
        });
        let is_other = self
            .thought
            .as_ref()
            .is_some_and(|t| t.is_sealed || (id.is_some() && t.id.is_some() && t.id != id));
        let says = !more.text.is_empty() || !more.summary.is_empty() || more.seal.is_some();
        // A trailer without words, as its format, still belongs to a sealed one.
        if is_other && (says || !goes_on) {
            self.end_thought(out);
            goes_on = false;
        }
        let thought = self.thought(id.as_ref(), reasoning::DETAILS, out);
        thought.note_key(reasoning::DETAILS);
        if thought.id.is_none() {
            thought.id = id;
        }
        if !goes_on {
            thought.repeats |= thought.shapes.is_empty() && !thought.heard.is_empty();
            if let Some(Value::Array(shapes)) = extra.spelling.shift_remove(reasoning::DETAILS) {
                thought.shapes.extend(shapes);
            }
            thought.detail = Some((kind, index));
            thought.begins = true;
        }
        thought.add(more, out);
    }

    fn end_thought(&mut self, out: &mut Vec<Event>) {
        out.extend(self.thought.take().map(OpenReasoning::end));
    }

    fn end_said(&mut self, out: &mut Vec<Event>) {
        if let Some(said) = self.said.take() {
            out.push(Event::ItemEnd { slot: said.slot, extra: Extra::default() });
        }
    }

    /// The stream is complete: ends what is open and the choice.
    pub(super) fn end(mut self, out: &mut Vec<Event>) {
        self.end_thought(out);
        self.end_said(out);
        for slot in self.calls.slots() {
            out.push(Event::ItemEnd { slot, extra: Extra::default() });
        }
        let mut ended = match self.finish {
            Some(word) => stop::decode(word, !self.calls.is_empty()),
            // The end came without a reason: what was said tells it.
            None if self.calls.is_empty() => Stop::new(StopReason::End),
            None => Stop::new(StopReason::ToolCalls),
        };
        ended.sequence = self.sequence;
        let mut extra = Extra::new(ME, self.extra);
        if !self.message.is_empty() {
            extra.insert(ME, "message", Value::Object(self.message));
        }
        out.push(Event::Stop { choice: self.number, stop: ended, extra });
    }
}

fn says(value: &Value) -> bool {
    value.as_str().is_some_and(|words| !words.is_empty())
}

/// An item joins the one before it: a choice is one message.
fn head(body: ItemBody, slot: Slot) -> Item {
    Item { joined: slot.item > 0, ..Item::new(body) }
}

/// The later value wins; null says nothing.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (name, value) in from {
        if !value.is_null() {
            into.insert(name, value);
        }
    }
}
