//! The contents of items in a stream to a client: parts, their deltas and
//! their ends.

use serde_json::{Value, json};

use super::stream_encode::{Encoder, Kind};
use super::wire::Wire;
use super::{cross, part};
use crate::model::{Delta, Event, ItemBody, Part, PartBody, Slot, ToolCallKind};

#[derive(Clone, Copy, Debug)]
pub(super) struct OpenPart {
    /// Its number in the wire's list, and in the fold.
    index: u32,
    form: Form,
    closed: bool,
    annotations: u32,
}

/// What a part is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    Refusal,
    Thinking,
    Summary,
    Other,
}

impl Encoder {
    /// The part of an item, begun on the wire if it is new.
    fn part(
        &mut self,
        slot: Slot,
        part: u32,
        form: Form,
        head: &Part,
        out: &mut Vec<u8>,
    ) -> Option<OpenPart> {
        let item = self.items.get(&slot)?;
        let key = (form == Form::Summary, part);
        if let Some(open) = item.parts.get(&key) {
            return Some(*open);
        }
        self.close_parts(slot, out);
        let item = self.items.get_mut(&slot)?;
        let before = item.parts.keys().filter(|(summary, _)| *summary == key.0).count();
        let index = u32::try_from(before).unwrap_or(u32::MAX);
        let open = OpenPart { index, form, closed: false, annotations: 0 };
        item.parts.insert(key, open);
        let (output_index, id) = (item.index, item.id.clone());
        let shown = match form {
            Form::Text | Form::Refusal | Form::Other => part::encode_output(head)?,
            Form::Thinking => json!({"type": "reasoning_text", "text": ""}),
            Form::Summary => json!({"type": "summary_text", "text": ""}),
        };
        if self.items.get(&slot).is_some_and(|i| i.kind == Kind::Message) {
            self.fold.event(&Event::PartStart { slot, part: index, head: head.clone() });
        }
        let wire = Wire { part: Some(&shown), ..place(&id, output_index, open) };
        let kind = match form {
            Form::Summary => "response.reasoning_summary_part.added",
            _ => "response.content_part.added",
        };
        self.send(kind, &wire, out);
        Some(open)
    }

    /// Writes the ends of the parts of an item that are open.
    pub(super) fn close_parts(&mut self, slot: Slot, out: &mut Vec<u8>) {
        let Some(item) = self.items.get_mut(&slot) else { return };
        let (output_index, id) = (item.index, item.id.clone());
        let mut closing = Vec::new();
        for open in item.parts.values_mut().filter(|p| !p.closed) {
            open.closed = true;
            closing.push(*open);
        }
        for open in closing {
            let Some(shown) = self.shown_part(slot, open) else { continue };
            let text = |name: &str| shown.get(name).and_then(Value::as_str);
            let wire = place(&id, output_index, open);
            let none: &[Value] = &[];
            let logprobs = shown.get("logprobs").and_then(Value::as_array);
            let (kind, done) = match open.form {
                Form::Text => (
                    "response.output_text.done",
                    Wire {
                        text: text("text"),
                        logprobs: Some(logprobs.map_or(none, Vec::as_slice)),
                        ..wire
                    },
                ),
                Form::Refusal => {
                    ("response.refusal.done", Wire { refusal: text("refusal"), ..wire })
                }
                Form::Thinking => {
                    ("response.reasoning_text.done", Wire { text: text("text"), ..wire })
                }
                Form::Summary => {
                    ("response.reasoning_summary_text.done", Wire { text: text("text"), ..wire })
                }
                Form::Other => ("", wire),
            };
            if !kind.is_empty() {
                self.send(kind, &done, out);
            }
            let kind = match open.form {
                Form::Summary => "response.reasoning_summary_part.done",
                _ => "response.content_part.done",
            };
            let wire = Wire { part: Some(&shown), ..place(&id, output_index, open) };
            self.send(kind, &wire, out);
        }
    }

    /// A part as far as it came.
    fn shown_part(&self, slot: Slot, open: OpenPart) -> Option<Value> {
        let at = open.index as usize;
        match &self.fold.item(slot)?.body {
            ItemBody::Message(message) => part::encode_output(message.parts.get(at)?),
            ItemBody::Reasoning(r) if open.form == Form::Summary => {
                let text = r.summary.get(at).map(String::as_str).unwrap_or_default();
                Some(json!({"type": "summary_text", "text": text}))
            }
            ItemBody::Reasoning(r) => {
                let text = r.text.get(at).map(String::as_str).unwrap_or_default();
                Some(json!({"type": "reasoning_text", "text": text}))
            }
            _ => None,
        }
    }

    pub(super) fn part_start(&mut self, slot: Slot, number: u32, head: &Part, out: &mut Vec<u8>) {
        let head = if self.own { Some(head.clone()) } else { cross::part(head.clone()) };
        let Some(head) = head else { return };
        let form = match &head.body {
            PartBody::Text { .. } => Form::Text,
            PartBody::Refusal(_) => Form::Refusal,
            _ => Form::Other,
        };
        self.part(slot, number, form, &head, out);
    }

    pub(super) fn delta(&mut self, slot: Slot, number: u32, delta: &Delta, out: &mut Vec<u8>) {
        let Some(kind) = self.items.get(&slot).map(|item| item.kind) else { return };
        match (kind, delta) {
            (Kind::Message, Delta::Text(_) | Delta::Logprobs(_) | Delta::Annotation(_)) => {
                self.text_delta(slot, number, delta, out);
            }
            (Kind::Message, Delta::Refusal(text)) => {
                let head = Part::new(PartBody::Refusal(String::new()));
                let open = self.part(slot, number, Form::Refusal, &head, out);
                self.content(slot, open, delta, Wire { delta: Some(text), ..Wire::default() }, out);
            }
            (Kind::Reasoning, Delta::Reasoning(text) | Delta::Summary(text)) => {
                self.thinking(slot, number, delta, text, out);
            }
            (Kind::Reasoning, Delta::Seal(seal)) => {
                let delta = Delta::Seal(seal.clone());
                self.fold.event(&Event::Delta { slot, part: 0, delta });
            }
            (Kind::Call(kind), Delta::Input(text)) => {
                self.fold.event(&Event::Delta { slot, part: 0, delta: delta.clone() });
                let Some(item) = self.items.get(&slot).filter(|_| !text.is_empty()) else { return };
                let (index, id) = (item.index, item.id.clone());
                let wire = Wire {
                    item_id: Some(&id),
                    output_index: Some(index),
                    delta: Some(text),
                    ..Wire::default()
                };
                let name = match kind {
                    ToolCallKind::Function => "response.function_call_arguments.delta",
                    ToolCallKind::Custom => "response.custom_tool_call_input.delta",
                };
                self.send(name, &wire, out);
            }
            _ => {}
        }
    }

    fn text_delta(&mut self, slot: Slot, number: u32, delta: &Delta, out: &mut Vec<u8>) {
        let open = self.part(slot, number, Form::Text, &Part::text(""), out);
        match delta {
            Delta::Text(text) => {
                let wire = Wire { delta: Some(text), logprobs: Some(&[]), ..Wire::default() };
                self.content(slot, open, delta, wire, out);
            }
            Delta::Logprobs(logprobs) => {
                // Probabilities come apart from their text, which went before.
                let logprobs = part::encode_logprobs(logprobs);
                let wire = Wire { delta: Some(""), logprobs: Some(&logprobs), ..Wire::default() };
                self.content(slot, open, delta, wire, out);
            }
            Delta::Annotation(annotation) => {
                let Some(shown) = part::encode_annotation(annotation) else { return };
                let key = (false, number);
                let item = self.items.get_mut(&slot);
                let Some(part) = item.and_then(|i| i.parts.get_mut(&key)) else { return };
                let index = part.annotations;
                part.annotations += 1;
                let wire = Wire {
                    annotation_index: Some(index),
                    annotation: Some(&shown),
                    ..Wire::default()
                };
                self.content(slot, open, delta, wire, out);
            }
            _ => {}
        }
    }

    fn thinking(&mut self, slot: Slot, number: u32, delta: &Delta, text: &str, out: &mut Vec<u8>) {
        let whole = self.own && matches!(delta, Delta::Reasoning(_));
        let form = if whole { Form::Thinking } else { Form::Summary };
        // Another dialect's summaries stand before its thinking in one list.
        let shift = u32::from(!self.own && matches!(delta, Delta::Reasoning(_))) << 31;
        let open = self.part(slot, number | shift, form, &Part::text(""), out);
        let owned = text.to_owned();
        let delta = if whole { Delta::Reasoning(owned) } else { Delta::Summary(owned) };
        self.content(slot, open, &delta, Wire { delta: Some(text), ..Wire::default() }, out);
    }

    /// Folds a delta of a part and writes its event.
    fn content(
        &mut self,
        slot: Slot,
        open: Option<OpenPart>,
        delta: &Delta,
        wire: Wire<'_>,
        out: &mut Vec<u8>,
    ) {
        let Some(open) = open else { return };
        self.fold.event(&Event::Delta { slot, part: open.index, delta: delta.clone() });
        let Some(item) = self.items.get(&slot) else { return };
        if wire.delta == Some("") && wire.logprobs.is_none_or(<[Value]>::is_empty) {
            return;
        }
        let (index, id) = (item.index, item.id.clone());
        let place = place(&id, index, open);
        let wire = Wire {
            item_id: place.item_id,
            output_index: place.output_index,
            content_index: place.content_index,
            summary_index: place.summary_index,
            ..wire
        };
        let kind = match delta {
            Delta::Text(_) | Delta::Logprobs(_) => "response.output_text.delta",
            Delta::Annotation(_) => "response.output_text.annotation.added",
            Delta::Refusal(_) => "response.refusal.delta",
            Delta::Reasoning(_) => "response.reasoning_text.delta",
            _ => "response.reasoning_summary_text.delta",
        };
        self.send(kind, &wire, out);
    }
}

/// Where a part stands.
fn place(id: &str, output_index: u32, open: OpenPart) -> Wire<'_> {
    let summary = open.form == Form::Summary;
    Wire {
        item_id: Some(id),
        output_index: Some(output_index),
        content_index: (!summary).then_some(open.index),
        summary_index: summary.then_some(open.index),
        ..Wire::default()
    }
}
