//! A provider's stream into events.
//!
//! Items end and choices stop when the stream is complete, not with the
//! finish reason: several servers send more after it. `[DONE]` completes a
//! stream; without it a stream is complete if every choice has its reason.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::stream_choice::ChoiceState;
use super::{ME, answer};
use crate::DecodeError;
use crate::codec::StreamDecoder;
use crate::format::error_object;
use crate::format::json::{self, Fields};
use crate::model::{Event, Extra, Usage};
use crate::sse::{Frame, SseDecoder};

/// Chunk fields without meaning: the type's name and padding against
/// guessing lengths.
const NOISE: [&str; 3] = ["object", "obfuscation", "p"];

/// The most choices of one answer. No server offers as many.
const CHOICES_LIMIT: usize = 1024;

/// Decodes one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    sse: SseDecoder,
    state: State,
}

#[derive(Debug, Default)]
struct State {
    id: String,
    has_started: bool,
    has_ended: bool,
    choices: BTreeMap<u32, ChoiceState>,
    usage: Option<Usage>,
    tier: Option<String>,
    /// All chunk fields that the hub has no place for, and what of them
    /// changed after the start.
    extra: Map<String, Value>,
    late: Map<String, Value>,
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let state = &mut self.state;
        self.sse.feed(bytes, &mut |frame| state.frame(frame, out))
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let state = &mut self.state;
        self.sse.finish(&mut |frame| state.frame(frame, out))?;
        if state.has_ended {
            return Ok(());
        }
        let all_finished = state.choices.values().all(ChoiceState::is_finished);
        if all_finished && !state.choices.is_empty() {
            state.complete(out);
            return Ok(());
        }
        // What was counted is owed, though the answer is not whole.
        out.extend(state.usage.take().map(Event::Usage));
        Err(DecodeError::Truncated)
    }
}

impl State {
    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let data = frame.data.trim();
        if self.has_ended || data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            if !self.has_started {
                return Err(DecodeError::Truncated);
            }
            self.complete(out);
            return Ok(());
        }
        let value = json::parse("stream event", data.as_bytes())?;
        let has_error = value.get("error").is_some_and(|e| !e.is_null());
        if frame.name == "error" || has_error || value.get("choices").is_none() {
            let status = (frame.name == "error").then_some(0);
            let usage = value.get("usage").cloned().and_then(super::usage::decode);
            if let Some(found) = error_object::find(ME, status, value.clone()) {
                self.has_ended = true;
                out.extend(usage.or_else(|| self.usage.take()).map(Event::Usage));
                out.push(Event::Error(found));
                return Ok(());
            }
        }
        self.chunk(value, out)
    }

    fn chunk(&mut self, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "stream event")?;
        for name in NOISE {
            fields.take(name);
        }
        let id = fields.string("id")?.unwrap_or_default();
        let model = fields.string("model")?.unwrap_or_default();
        let created = answer::created(&mut fields);
        if let Some(usage) = answer::take_usage(&mut fields) {
            self.usage = Some(usage);
        }
        if let Some(tier) = answer::tier(&mut fields) {
            self.tier = Some(tier);
        }
        let choices = fields.array("choices")?;
        self.learn(fields.rest());
        // Azure's first chunk has neither id nor model nor choice.
        let says = !id.is_empty() || !model.is_empty() || !choices.is_empty();
        if !self.has_started && says {
            self.has_started = true;
            self.id.clone_from(&id);
            let extra = Extra::new(ME, std::mem::take(&mut self.late));
            out.push(Event::Start { id, model, created, usage: None, extra });
        }
        for (n, choice) in (0..).zip(choices) {
            self.choice(n, choice, out)?;
        }
        Ok(())
    }

    fn learn(&mut self, rest: Map<String, Value>) {
        for (name, value) in rest {
            if !value.is_null() && self.extra.get(&name) != Some(&value) {
                self.late.insert(name.clone(), value.clone());
                self.extra.insert(name, value);
            }
        }
    }

    fn choice(&mut self, n: u32, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Value::Object(choice) = value else {
            return Fields::new(value, "stream event.choices").map(|_| ());
        };
        let index = choice.get("index").and_then(Value::as_u64);
        let index = index.and_then(|index| u32::try_from(index).ok()).unwrap_or(n);
        if self.choices.len() >= CHOICES_LIMIT && !self.choices.contains_key(&index) {
            return Err(DecodeError::shape("stream event.choices", "too many choices"));
        }
        let state = self.choices.entry(index).or_insert_with(|| ChoiceState::new(index));
        state.take(choice, &self.id, out);
        Ok(())
    }

    fn complete(&mut self, out: &mut Vec<Event>) {
        self.has_ended = true;
        for (_, choice) in std::mem::take(&mut self.choices) {
            choice.end(out);
        }
        out.extend(self.usage.take().map(Event::Usage));
        out.push(Event::End {
            extra: Extra::new(ME, std::mem::take(&mut self.late)),
            service_tier: self.tier.take(),
        });
    }
}
