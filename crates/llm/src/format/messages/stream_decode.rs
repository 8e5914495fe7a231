//! A provider's stream into events.
//!
//! Blocks come one after another. Neighbouring text blocks are parts of one
//! message; a block of another kind ends it. A block that only this dialect
//! knows is held until it is whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use freehold_types::Code;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::block_decode::{self, Block};
use super::{OURS, citation, error, stop, usage};
use crate::codec::{DecodeError, StreamDecoder};
use crate::format::json::{Fields, parse};
use crate::model::{
    ApiError, Delta, Event, Extra, Item, ItemBody, Message, PartBody, Role, Slot, Stop, StopReason,
};
use crate::sse::{Frame, SseDecoder};

/// Decodes one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    sse: SseDecoder,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    id: Option<String>,
    open: BTreeMap<u64, Open>,
    message: Option<OpenMessage>,
    items: u32,
    usage: Map<String, Value>,
    tier: Option<String>,
    late: Extra,
    stopped: bool,
    ended: bool,
}

#[derive(Debug)]
struct OpenMessage {
    slot: Slot,
    parts: u32,
}

/// A block that has begun and not ended.
#[derive(Debug)]
enum Open {
    Text { slot: Slot, part: u32 },
    Thinking { slot: Slot, signature: String },
    Call { slot: Slot, whole: String, streamed: bool },
    Native { slot: Slot, json: Map<String, Value>, input: String },
    Done,
}

/// The event that nearly all of a stream consists of, read without a tree.
#[derive(Deserialize)]
struct PlainDelta<'a> {
    index: u64,
    #[serde(borrow)]
    delta: Pieces<'a>,
}

#[derive(Deserialize)]
struct Pieces<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thinking: Option<Cow<'a, str>>,
    #[serde(borrow)]
    partial_json: Option<Cow<'a, str>>,
}

impl<'a> PlainDelta<'a> {
    fn read(frame: &Frame<'a>) -> Option<Self> {
        let is_delta = frame.data.starts_with("{\"type\":\"content_block_delta\",");
        if is_delta { serde_json::from_str(frame.data).ok() } else { None }
    }
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self { sse: SseDecoder::new(), state: State::default() }
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let state = &mut self.state;
        self.sse.feed(bytes, &mut |frame| state.frame(frame, out))
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let state = &mut self.state;
        let last = self.sse.finish(&mut |frame| state.frame(frame, out));
        if state.ended {
            return Ok(());
        }
        // An event that breaks off is the end of the bytes, not bad JSON.
        if let Err(DecodeError::Json { .. }) = last {
            return Err(DecodeError::Truncated);
        }
        last?;
        if !state.stopped {
            return Err(DecodeError::Truncated);
        }
        state.end(out);
        Ok(())
    }
}

impl State {
    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        // Some compatible servers end with chat's word.
        if self.ended || frame.data.is_empty() || frame.data == "[DONE]" {
            return Ok(());
        }
        if let Some(delta) = PlainDelta::read(&frame)
            && self.plain_delta(&delta, out)
        {
            return Ok(());
        }
        let value = parse("stream event", frame.data.as_bytes())?;
        let word = value.get("type").and_then(Value::as_str).unwrap_or(frame.name).to_owned();
        match word.as_str() {
            "message_start" => self.message_start(value, out),
            "content_block_start" => self.block_start(value, out),
            "content_block_delta" => self.block_delta(value, out),
            "content_block_stop" => {
                let index = required_index(&mut Fields::new(value, "")?)?;
                if let Some(open) = self.open.remove(&index) {
                    Self::close(open, out);
                }
                Ok(())
            }
            "message_delta" => self.message_delta(value, out),
            "message_stop" if self.id.is_none() => {
                Err(DecodeError::shape("type", "the message stops before it starts"))
            }
            "message_stop" => {
                self.end(out);
                Ok(())
            }
            "ping" => {
                out.push(Event::Ping);
                Ok(())
            }
            "error" => {
                self.ended = true;
                out.push(Event::Error(error::of_value(200, value)));
                Ok(())
            }
            _ if error::is_error(&value) => {
                self.ended = true;
                out.push(Event::Error(error::of_value(200, value)));
                Ok(())
            }
            _ => {
                out.push(Event::Native { dialect: OURS, name: word, json: value });
                Ok(())
            }
        }
    }

    /// More of an open block's text; false for anything else.
    fn plain_delta(&mut self, event: &PlainDelta<'_>, out: &mut Vec<Event>) -> bool {
        let delta = &event.delta;
        let (slot, part, change) = match (self.open.get_mut(&event.index), &*delta.r#type, delta) {
            (Some(Open::Text { slot, part }), "text_delta", Pieces { text: Some(text), .. }) => {
                (*slot, *part, Delta::Text(text.to_string()))
            }
            (
                Some(Open::Thinking { slot, .. }),
                "thinking_delta",
                Pieces { thinking: Some(text), .. },
            ) => (*slot, 0, Delta::Reasoning(text.to_string())),
            (
                Some(Open::Call { slot, streamed, .. }),
                "input_json_delta",
                Pieces { partial_json: Some(text), .. },
            ) => {
                *streamed |= !text.is_empty();
                (*slot, 0, Delta::Input(text.to_string()))
            }
            _ => return false,
        };
        out.push(Event::Delta { slot, part, delta: change });
        true
    }

    fn message_start(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "")?;
        let message = fields.take_some("message").unwrap_or_else(|| Map::new().into());
        let mut fields = Fields::new(message, "message")?;
        let id = fields.string("id")?.unwrap_or_default();
        if let Some(first) = &self.id {
            // Some intermediaries repeat the event; a retry behind one that
            // splices a second message into the stream cannot be mended.
            if *first != id {
                self.ended = true;
                out.push(Event::Error(spliced(first, &id)));
            }
            return Ok(());
        }
        self.id = Some(id.clone());
        for known in ["type", "role", "content", "stop_reason", "stop_sequence"] {
            fields.take(known);
        }
        let usage = match fields.take_some("usage") {
            Some(usage) => Some(self.take_usage(usage, "message.usage")?),
            None => None,
        };
        out.push(Event::Start {
            id,
            model: fields.string("model")?.unwrap_or_default(),
            created: None,
            usage,
            extra: Extra::new(OURS, fields.rest()),
        });
        Ok(())
    }

    /// Usage is cumulative, but later objects leave fields out.
    fn take_usage(&mut self, value: Value, path: &str) -> Result<crate::model::Usage, DecodeError> {
        for (name, value) in Fields::new(value, path)?.rest() {
            if !value.is_null() || !self.usage.contains_key(&name) {
                self.usage.insert(name, value);
            }
        }
        let (usage, tier) = usage::decode(self.usage.clone().into(), path)?;
        if tier.is_some() {
            self.tier = tier;
        }
        Ok(usage)
    }

    fn next_slot(&mut self) -> Slot {
        let slot = Slot { choice: 0, item: self.items };
        self.items = self.items.saturating_add(1);
        slot
    }

    fn start_item(&mut self, mut head: Item, out: &mut Vec<Event>) -> Slot {
        let slot = self.next_slot();
        head.joined = slot.item > 0;
        out.push(Event::ItemStart { slot, head });
        slot
    }

    fn end_message(&mut self, out: &mut Vec<Event>) {
        if let Some(message) = self.message.take() {
            out.push(Event::ItemEnd { slot: message.slot, extra: Extra::default() });
        }
    }

    fn block_start(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "")?;
        let index = required_index(&mut fields)?;
        let block = fields.take_some("content_block").unwrap_or_default();
        if let Some(unclosed) = self.open.remove(&index) {
            Self::close(unclosed, out);
        }
        let open = match block_decode::block(Role::Assistant, block, "content_block")? {
            Block::Part(part) => self.part_start(part, out),
            Block::Item(item) => {
                self.end_message(out);
                self.item_start(item, out)
            }
        };
        self.open.insert(index, open);
        Ok(())
    }

    fn part_start(&mut self, mut part: crate::model::Part, out: &mut Vec<Event>) -> Open {
        if self.message.is_none() {
            let message = Message { role: Role::Assistant, parts: Vec::new() };
            let slot = self.start_item(Item::new(ItemBody::Message(message)), out);
            self.message = Some(OpenMessage { slot, parts: 0 });
        }
        let Some(message) = &mut self.message else { return Open::Done };
        let (slot, at) = (message.slot, message.parts);
        message.parts = message.parts.saturating_add(1);
        let mut deltas = Vec::new();
        if let PartBody::Text { text, annotations, .. } = &mut part.body {
            if !text.is_empty() {
                deltas.push(Delta::Text(std::mem::take(text)));
            }
            deltas.extend(std::mem::take(annotations).into_iter().map(Delta::Annotation));
        }
        out.push(Event::PartStart { slot, part: at, head: part });
        out.extend(deltas.into_iter().map(|delta| Event::Delta { slot, part: at, delta }));
        Open::Text { slot, part: at }
    }

    fn item_start(&mut self, mut item: Item, out: &mut Vec<Event>) -> Open {
        match &mut item.body {
            ItemBody::Reasoning(reasoning) => {
                let texts = std::mem::take(&mut reasoning.text);
                let seal = reasoning.seal.take();
                let slot = self.start_item(item, out);
                for text in texts {
                    out.push(Event::Delta { slot, part: 0, delta: Delta::Reasoning(text) });
                }
                match seal {
                    Some(seal) if seal.hides => {
                        out.push(Event::Delta { slot, part: 0, delta: Delta::Seal(seal) });
                        Open::Thinking { slot, signature: String::new() }
                    }
                    seal => {
                        Open::Thinking { slot, signature: seal.map(|s| s.data).unwrap_or_default() }
                    }
                }
            }
            ItemBody::ToolCall(call) => {
                let whole = std::mem::take(&mut call.input);
                let slot = self.start_item(item, out);
                Open::Call { slot, whole, streamed: false }
            }
            ItemBody::Native { json: Value::Object(json), .. } => {
                let json = std::mem::take(json);
                Open::Native { slot: self.next_slot(), json, input: String::new() }
            }
            _ => Open::Done,
        }
    }

    fn block_delta(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "")?;
        let index = required_index(&mut fields)?;
        let whole = fields.take_some("delta").unwrap_or_default();
        let Some(open) = self.open.get_mut(&index) else {
            return Err(DecodeError::shape("index", format!("no block {index} has begun")));
        };
        let mut delta = Fields::new(whole, "delta")?;
        let word = delta.required_string("type")?;
        let (slot, part, change) = match (open, word.as_str()) {
            (Open::Text { slot, part }, "text_delta") => {
                (*slot, *part, Delta::Text(delta.required_string("text")?))
            }
            (Open::Text { slot, part }, "citations_delta") => {
                let citation = delta.take("citation").unwrap_or_default();
                let citation = citation::decode(citation, &citation::delta_path("delta"))?;
                (*slot, *part, Delta::Annotation(citation))
            }
            (Open::Thinking { slot, .. }, "thinking_delta") => {
                (*slot, 0, Delta::Reasoning(delta.required_string("thinking")?))
            }
            (Open::Thinking { signature, .. }, "signature_delta") => {
                signature.push_str(&delta.required_string("signature")?);
                return Ok(());
            }
            (Open::Call { slot, streamed, .. }, "input_json_delta") => {
                let piece = delta.required_string("partial_json")?;
                *streamed |= !piece.is_empty();
                (*slot, 0, Delta::Input(piece))
            }
            (Open::Native { input, .. }, "input_json_delta") => {
                input.push_str(&delta.required_string("partial_json")?);
                return Ok(());
            }
            (Open::Native { json, .. }, _) => {
                merge(json, delta.rest());
                return Ok(());
            }
            // A kind of content that we do not know, in a block that we do.
            _ => return Ok(()),
        };
        out.push(Event::Delta { slot, part, delta: change });
        Ok(())
    }

    fn close(open: Open, out: &mut Vec<Event>) {
        match open {
            Open::Text { .. } | Open::Done => {}
            Open::Thinking { slot, signature } => {
                if let Some(seal) = block_decode::signature_seal(&signature) {
                    out.push(Event::Delta { slot, part: 0, delta: Delta::Seal(seal) });
                }
                out.push(Event::ItemEnd { slot, extra: Extra::default() });
            }
            Open::Call { slot, whole, streamed } => {
                // A call without arguments streams none.
                if !streamed {
                    out.push(Event::Delta { slot, part: 0, delta: Delta::Input(whole) });
                }
                out.push(Event::ItemEnd { slot, extra: Extra::default() });
            }
            Open::Native { slot, mut json, input } => {
                if !input.is_empty() {
                    let parsed = serde_json::from_str(&input);
                    json.insert("input".into(), parsed.unwrap_or(Value::String(input)));
                }
                let body = ItemBody::Native { dialect: OURS, json: json.into(), from_model: true };
                let mut head = Item::new(body);
                head.joined = slot.item > 0;
                out.push(Event::ItemStart { slot, head });
                out.push(Event::ItemEnd { slot, extra: Extra::default() });
            }
        }
    }

    fn message_delta(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "")?;
        fields.take("type");
        if let Some(delta) = fields.take_some("delta") {
            let mut delta = Fields::new(delta, "delta")?;
            let word = delta.string("stop_reason")?;
            let sequence = delta.string("stop_sequence")?;
            if let Some(stop) = stop::decode(word, sequence) {
                self.stopped = true;
                out.push(Event::Stop { choice: 0, stop, extra: Extra::default() });
            }
            self.keep_late(delta.rest());
        }
        if let Some(usage) = fields.take_some("usage") {
            let usage = self.take_usage(usage, "usage")?;
            out.push(Event::Usage(usage));
        }
        self.keep_late(fields.rest());
        Ok(())
    }

    fn keep_late(&mut self, rest: Map<String, Value>) {
        for (name, value) in rest {
            if !value.is_null() {
                self.late.insert(OURS, &name, value);
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        for (_, open) in std::mem::take(&mut self.open) {
            Self::close(open, out);
        }
        self.end_message(out);
        self.ended = true;
        if !self.stopped {
            out.push(Event::Stop {
                choice: 0,
                stop: Stop::new(StopReason::End),
                extra: Extra::default(),
            });
        }
        let extra = std::mem::take(&mut self.late);
        out.push(Event::End { extra, service_tier: self.tier.take() });
    }
}

fn required_index(fields: &mut Fields) -> Result<u64, DecodeError> {
    fields.count("index")?.ok_or_else(|| DecodeError::shape("index", "is required"))
}

/// More of a block that only this dialect knows: strings grow, the rest is
/// replaced.
fn merge(json: &mut Map<String, Value>, delta: Map<String, Value>) {
    for (name, more) in delta {
        match (json.get_mut(&name), more) {
            (Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
            (_, more) => {
                json.insert(name, more);
            }
        }
    }
}

fn spliced(first: &str, second: &str) -> ApiError {
    ApiError::new(
        Code::SplicedStream,
        format!(
            "the provider began message {second:?} in the middle of message {first:?}; \
             the answer is not whole, send the request again"
        ),
    )
}
