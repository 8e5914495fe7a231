//! One item of a stream under way: what of it was given already.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::OURS;
use crate::model::{
    Annotation, Delta, Event, Extra, Item, ItemBody, Logprob, Part, PartBody, Slot,
};

/// An item that has begun.
#[derive(Debug)]
pub(super) struct OpenItem {
    slot: Slot,
    content: Content,
    /// The fields that its head had, without its status.
    head: Map<String, Value>,
    /// Its summary is another dialect's thinking: see `cross`.
    shown: bool,
    done: bool,
}

#[derive(Debug)]
enum Content {
    Message(BTreeMap<u64, OpenPart>),
    Reasoning { texts: BTreeMap<u64, OpenText>, summaries: BTreeMap<u64, OpenText> },
    Call { given: usize },
    Native,
}

/// A part by its number in the hub and what was given of it.
#[derive(Clone, Copy, Debug, Default)]
struct OpenPart {
    number: u32,
    text: usize,
    annotations: usize,
    logprobs: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct OpenText {
    number: u32,
    given: usize,
}

/// What of `whole` was not given yet; `given` counts bytes.
fn missing<'a>(whole: &'a str, given: &mut usize) -> Option<&'a str> {
    let rest = whole.get(*given..).filter(|rest| !rest.is_empty())?;
    *given = whole.len();
    Some(rest)
}

/// More text: a delta as it is, of a whole only what is missing.
fn more<'a>(text: &'a str, whole: bool, given: &mut usize) -> Option<&'a str> {
    if whole {
        return missing(text, given);
    }
    *given += text.len();
    Some(text).filter(|t| !t.is_empty())
}

fn number<T>(map: &BTreeMap<u64, T>) -> u32 {
    u32::try_from(map.len()).unwrap_or(u32::MAX)
}

impl OpenItem {
    /// Begins an item: gives its head, without content.
    pub(super) fn start(slot: Slot, item: &Item, out: &mut Vec<Event>) -> Self {
        let mut head = item.clone();
        let content = match &mut head.body {
            ItemBody::Message(message) => {
                message.parts.clear();
                Content::Message(BTreeMap::new())
            }
            ItemBody::Reasoning(reasoning) => {
                *reasoning = crate::model::Reasoning::default();
                Content::Reasoning { texts: BTreeMap::new(), summaries: BTreeMap::new() }
            }
            ItemBody::ToolCall(call) => {
                call.input.clear();
                Content::Call { given: 0 }
            }
            ItemBody::ToolResult(_) | ItemBody::Native { .. } => Content::Native,
        };
        let shown = item.extra.spelt(OURS, "shown").is_some();
        head.extra.fields.shift_remove("status");
        head.extra.spelling.clear();
        let fields = match &head.body {
            ItemBody::Native { json: Value::Object(json), .. } => json.clone(),
            _ => head.extra.fields.clone(),
        };
        if head.extra.fields.is_empty() {
            head.extra = Extra::default();
        }
        out.push(Event::ItemStart { slot, head });
        Self { slot, content, head: fields, shown, done: false }
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    pub(super) fn is_message(&self) -> bool {
        matches!(self.content, Content::Message(_))
    }

    fn delta(&self, part: u32, delta: Delta, out: &mut Vec<Event>) {
        out.push(Event::Delta { slot: self.slot, part, delta });
    }

    /// The part at a wire index, begun as `head` says if it is new. `None`
    /// for an item that is no message.
    fn part_at(&mut self, at: u64, head: Part, out: &mut Vec<Event>) -> Option<&mut OpenPart> {
        let Content::Message(parts) = &mut self.content else { return None };
        let number = number(parts);
        Some(parts.entry(at).or_insert_with(|| {
            out.push(Event::PartStart { slot: self.slot, part: number, head });
            OpenPart { number, ..OpenPart::default() }
        }))
    }

    /// A part begins. One that only this dialect knows waits until it is
    /// whole.
    pub(super) fn part_added(&mut self, at: u64, part: &Part, out: &mut Vec<Event>) {
        let mut head = part.clone();
        match &mut head.body {
            PartBody::Text { text, annotations, logprobs } => {
                text.clear();
                annotations.clear();
                *logprobs = None;
            }
            PartBody::Refusal(text) => text.clear(),
            _ => return,
        }
        self.part_at(at, head, out);
    }

    /// A part is whole: gives what of it is missing.
    pub(super) fn part_done(&mut self, at: u64, part: &Part, out: &mut Vec<Event>) {
        if self.done {
            return;
        }
        match &part.body {
            PartBody::Text { text, annotations, logprobs } => {
                self.part_added(at, part, out);
                self.text(at, text, logprobs.clone().unwrap_or_default(), true, out);
                self.annotations(at, annotations, out);
            }
            PartBody::Refusal(text) => {
                self.part_added(at, part, out);
                self.refusal(at, text, true, out);
            }
            _ => {
                self.part_at(at, part.clone(), out);
            }
        }
    }

    pub(super) fn text(
        &mut self,
        at: u64,
        text: &str,
        logprobs: Vec<Logprob>,
        whole: bool,
        out: &mut Vec<Event>,
    ) {
        let Some(part) = self.part_at(at, Part::text(""), out) else { return };
        let more = more(text, whole, &mut part.text).map(str::to_owned);
        let skipped = if whole { part.logprobs } else { 0 };
        let logprobs: Vec<Logprob> = logprobs.into_iter().skip(skipped).collect();
        part.logprobs += logprobs.len();
        let number = part.number;
        if let Some(more) = more {
            self.delta(number, Delta::Text(more), out);
        }
        if !logprobs.is_empty() {
            self.delta(number, Delta::Logprobs(logprobs), out);
        }
    }

    pub(super) fn refusal(&mut self, at: u64, text: &str, whole: bool, out: &mut Vec<Event>) {
        let head = Part::new(PartBody::Refusal(String::new()));
        let Some(part) = self.part_at(at, head, out) else { return };
        let number = part.number;
        if let Some(more) = more(text, whole, &mut part.text) {
            self.delta(number, Delta::Refusal(more.to_owned()), out);
        }
    }

    pub(super) fn annotation(&mut self, at: u64, annotation: Annotation, out: &mut Vec<Event>) {
        let Some(part) = self.part_at(at, Part::text(""), out) else { return };
        part.annotations += 1;
        let number = part.number;
        self.delta(number, Delta::Annotation(annotation), out);
    }

    fn annotations(&mut self, at: u64, whole: &[Annotation], out: &mut Vec<Event>) {
        let Some(part) = self.part_at(at, Part::text(""), out) else { return };
        let given = part.annotations;
        for annotation in whole.iter().skip(given) {
            self.annotation(at, annotation.clone(), out);
        }
    }

    pub(super) fn thinking(
        &mut self,
        at: u64,
        text: &str,
        summary: bool,
        whole: bool,
        out: &mut Vec<Event>,
    ) {
        let Content::Reasoning { texts, summaries } = &mut self.content else { return };
        let map = if summary { summaries } else { texts };
        let number = number(map);
        let open = map.entry(at).or_insert(OpenText { number, given: 0 });
        let number = open.number;
        if let Some(more) = more(text, whole, &mut open.given) {
            let more = more.to_owned();
            let thought = !summary || self.shown;
            let delta = if thought { Delta::Reasoning(more) } else { Delta::Summary(more) };
            self.delta(number, delta, out);
        }
    }

    pub(super) fn input(&mut self, text: &str, whole: bool, out: &mut Vec<Event>) {
        let Content::Call { given } = &mut self.content else { return };
        if let Some(more) = more(text, whole, given) {
            self.delta(0, Delta::Input(more.to_owned()), out);
        }
    }

    /// The item is whole: gives what of it is missing, and ends it.
    pub(super) fn finish(&mut self, item: Item, out: &mut Vec<Event>) {
        if self.done {
            return;
        }
        // Thinking that is shown as a summary has streamed as one.
        let shown = item.extra.spelt(OURS, "shown").is_some();
        let mut late = item.extra.fields;
        match item.body {
            ItemBody::Message(message) => {
                for (at, part) in (0..).zip(&message.parts) {
                    self.part_done(at, part, out);
                }
            }
            ItemBody::Reasoning(reasoning) => {
                for (at, text) in (0..).zip(&reasoning.summary) {
                    self.thinking(at, text, true, true, out);
                }
                for (at, text) in (0..).zip(&reasoning.text) {
                    self.thinking(at, text, shown, true, out);
                }
                if let Some(seal) = reasoning.seal {
                    self.delta(0, Delta::Seal(seal), out);
                }
            }
            ItemBody::ToolCall(call) => self.input(&call.input, true, out),
            ItemBody::Native { json: Value::Object(json), .. } => late = json,
            ItemBody::ToolResult(_) | ItemBody::Native { .. } => {}
        }
        self.end(&late, out);
    }

    /// Ends the item, with those of its fields that its head did not have.
    pub(super) fn end(&mut self, fields: &Map<String, Value>, out: &mut Vec<Event>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let late = fields.iter().filter(|(name, value)| self.head.get(*name) != Some(*value));
        let late: Map<String, Value> = late.map(|(n, v)| (n.clone(), v.clone())).collect();
        out.push(Event::ItemEnd { slot: self.slot, extra: Extra::new(OURS, late) });
    }
}
