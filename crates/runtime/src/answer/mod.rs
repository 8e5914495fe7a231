//! One attempt's answer, gathered: what came since the last commit as small
//! chunks for the journal, and in the end the whole of it or why there is none.
//!
//! Pure: events in, contents out. What comes is a provider's word, so all of
//! it is bounded.

mod depth;
mod failure;
mod pending;
pub(crate) mod size;

#[cfg(test)]
mod tests;

use freehold_llm::estimate::{self, input_tokens};
use freehold_llm::model::{
    Answer, Delta, Event, Fold, ItemBody, Request, StopReason, ToolCall, ToolCallKind,
};
use freehold_types::Money;

pub use failure::Failure;

use crate::decide::{OFFERED_MAX, Offered, Wanted};
use crate::event::{Content, Name, Usage};
use crate::models::Said;
use depth::is_too_deep;
use pending::Pending;

/// The most bytes of JSON of one chunk; a single event that is longer goes
/// alone.
pub const CHUNK_BYTES_MAX: usize = 4 * 1024;

/// The most bytes of JSON that one answer may have.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Gathers the answer of one attempt.
///
/// Give it all that the stream brings with [`Gather::take`]. Whenever a commit
/// is free, take the next chunk; once [`Gather::is_over`] or the stream has
/// ended, take the rest of them and [`Gather::finish`].
#[derive(Debug)]
pub struct Gather {
    /// The name that was asked for.
    asked: String,
    input_estimate: u64,
    pending: Pending,
    fold: Fold,
    /// Bytes of JSON that came.
    bytes: usize,
    /// Of those, what a model had to write.
    written: u64,
    began: bool,
    cost: Money,
    broken: Option<Broken>,
    over: bool,
}

/// Why an answer is none, whatever else comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    TooLarge,
    TooDeep,
}

impl Gather {
    /// For the answer to a request.
    pub fn new(request: &Request) -> Self {
        Self {
            asked: request.model.clone(),
            input_estimate: input_tokens(request),
            pending: Pending::default(),
            fold: Fold::new(request.origin),
            bytes: 0,
            written: 0,
            began: false,
            cost: Money::ZERO,
            broken: None,
            over: false,
        }
    }

    /// Takes what the stream brought. What comes after the end is not heard.
    pub fn take(&mut self, said: Said) {
        match said {
            Said::Cost(cost) => self.cost = cost,
            Said::Event(event) if !self.over => self.event(event),
            Said::Event(_) => {}
        }
    }

    fn event(&mut self, event: Event) {
        // A session has one answer to one asking.
        if matches!(event, Event::Ping) || choice_of(&event).is_some_and(|choice| choice > 0) {
            return;
        }
        if matches!(event, Event::End { .. } | Event::Error(_)) {
            self.over = true;
        }
        if matches!(event, Event::Error(_)) {
            self.fold.event(&event);
            return;
        }
        self.began = true;
        if is_too_deep(&event) {
            return self.breaks(Broken::TooDeep);
        }
        let bytes = size::of(&event);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > ANSWER_BYTES_MAX {
            return self.breaks(Broken::TooLarge);
        }
        if let Event::Delta { delta, .. } = &event {
            self.written += text_of(delta).map_or(0, str::len) as u64;
        }
        self.fold.event(&event);
        self.pending.push(event, bytes);
    }

    fn breaks(&mut self, broken: Broken) {
        self.broken = Some(broken);
        self.over = true;
    }

    /// Whether nothing more is to come: the answer is complete, failed, or
    /// more than an answer may be.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// What a `ModelDelta` may hold next: a list of events, in their order.
    /// Consecutive text of one part is one event.
    pub fn take_chunk(&mut self) -> Option<Content> {
        self.pending.chunk().map(|events| Content::Inline(events.into()))
    }

    /// The whole answer, or why there is none.
    pub fn finish(self) -> Result<Offered, Failure> {
        let usage = self.usage();
        match self.broken {
            Some(Broken::TooLarge) => return Err(Failure::too_large(usage)),
            Some(Broken::TooDeep) => return Err(Failure::too_deep(usage)),
            None => {}
        }
        let ended = self.fold.ended();
        let answer = match self.fold.finish() {
            Err(error) => return Err(Failure::of(&error, usage)),
            Ok(_) if !ended => return Err(Failure::truncated(usage)),
            Ok(answer) => answer,
        };
        let reason = stop_of(&answer);
        if reason == Some(StopReason::Failed) {
            return Err(Failure::upstream(usage));
        }
        let calls: Vec<Wanted> = calls(&answer).map(wanted).collect();
        if calls.len() > OFFERED_MAX {
            return Err(Failure::too_many_calls(usage));
        }
        let model = if answer.model.is_empty() { &self.asked } else { &answer.model };
        let model = Name::cut(model);
        match serde_json::to_value(&answer) {
            Ok(content) => Ok(Offered {
                model,
                content: Content::Inline(content),
                usage,
                calls,
                more: reason == Some(StopReason::Pause),
            }),
            Err(error) => Err(Failure::unwritable(&error, usage)),
        }
    }

    /// What was used: the provider's word, else an estimate. Of an answer that
    /// broke off, what was said last of its output may be from its start.
    pub fn usage(&self) -> Usage {
        let estimated = estimate::estimate_tokens_of_len(self.written);
        let (input, output) = match self.fold.usage() {
            Some(told) if self.fold.ended() => (told.input, told.output),
            Some(told) => (told.input, told.output.max(estimated)),
            None if self.began => (self.input_estimate, estimated),
            None => (0, 0),
        };
        Usage { input, output, cost: self.cost }
    }
}

/// The calls of an answer that tools are to be found for, in order.
pub(crate) fn calls(answer: &Answer) -> impl Iterator<Item = &ToolCall> {
    let items = answer.choices.first().into_iter().flat_map(|choice| &choice.items);
    items.filter_map(|item| match &item.body {
        ItemBody::ToolCall(call) => Some(call),
        _ => None,
    })
}

/// What a call asks for.
pub(crate) fn wanted(call: &ToolCall) -> Wanted {
    if is_bare(call) {
        return Wanted::of(&ToolCall { input: BARE.to_owned(), ..call.clone() });
    }
    Wanted::of(call)
}

/// The text of a call's arguments that it is performed with, of which
/// [`wanted`] has the hash.
pub(crate) fn arguments(call: &ToolCall) -> Result<String, serde_json::Error> {
    match call.kind {
        ToolCallKind::Function if is_bare(call) => Ok(BARE.to_owned()),
        ToolCallKind::Function => crate::canonical::canonical(&call.input),
        ToolCallKind::Custom => Ok(call.input.clone()),
    }
}

/// The arguments of a call that has none. Providers write it so, or as
/// nothing at all.
const BARE: &str = "{}";

fn is_bare(call: &ToolCall) -> bool {
    call.kind == ToolCallKind::Function && call.input.trim().is_empty()
}

fn stop_of(answer: &Answer) -> Option<StopReason> {
    answer.choices.first()?.stop.as_ref().map(|stop| stop.reason)
}

/// The alternative that an event is about.
fn choice_of(event: &Event) -> Option<u32> {
    match event {
        Event::ItemStart { slot, .. }
        | Event::PartStart { slot, .. }
        | Event::Delta { slot, .. }
        | Event::ItemEnd { slot, .. } => Some(slot.choice),
        Event::Stop { choice, .. } => Some(*choice),
        _ => None,
    }
}

/// The text of a delta that is nothing else.
fn text_of(delta: &Delta) -> Option<&str> {
    match delta {
        Delta::Text(text)
        | Delta::Refusal(text)
        | Delta::Reasoning(text)
        | Delta::Summary(text)
        | Delta::Input(text) => Some(text),
        Delta::Seal(_) | Delta::Annotation(_) | Delta::Logprobs(_) | Delta::Native { .. } => None,
    }
}
