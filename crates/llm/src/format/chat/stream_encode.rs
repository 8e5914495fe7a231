//! Events into a stream for a client that speaks Chat: the role first, one
//! chunk an event, the usage where it was asked for, one `[DONE]`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{ME, annotation, answer, error, part, reasoning, stop, usage};
use crate::codec::{AnswerContext, Losses, StreamEncoder};
use crate::format::json::to_vec;
use crate::model::{
    Delta, Event, Extra, Item, ItemBody, Part, PartBody, Reasoning, Slot, ToolCallKind, Usage,
};
use crate::{IdSource, sse};

/// Encodes one stream.
#[derive(Debug)]
pub(super) struct Encoder {
    ids: IdSource,
    model: String,
    created: i64,
    wants_usage: bool,
    is_legacy: bool,
    /// What every chunk begins with, up to the choices' bracket.
    prefix: Vec<u8>,
    choices: BTreeMap<u32, ChoiceState>,
    items: BTreeMap<Slot, ItemState>,
    usage: Option<Usage>,
    /// Chunk fields for the next chunk.
    pending: Map<String, Value>,
    /// The last stop, held until the next event: the answer's end brings
    /// chunk fields that have no later chunk.
    stopped: Option<Stopped>,
    has_ended: bool,
}

#[derive(Debug)]
struct Stopped {
    choice: u32,
    word: String,
    delta: Value,
    rest: Map<String, Value>,
}

#[derive(Debug, Default)]
struct ChoiceState {
    has_role: bool,
    has_refusal: bool,
    calls: u32,
    /// Some reasoning was written: the next item's needs a paragraph's break.
    has_thought: bool,
}

#[derive(Debug)]
enum ItemState {
    Call { index: u32, kind: ToolCallKind, is_legacy: bool },
    Reasoning(ReasoningState),
}

/// Held until the item ends: a client returns text and seal in one entry.
#[derive(Debug, Default)]
struct ReasoningState {
    id: Option<String>,
    held: Reasoning,
    key: &'static str,
}

impl Encoder {
    pub(super) fn new(context: &AnswerContext<'_>) -> Self {
        Self {
            ids: context.ids,
            model: context.model.to_owned(),
            created: context.created,
            wants_usage: context.request.stream_usage,
            is_legacy: answer::is_legacy(context),
            prefix: Vec::new(),
            choices: BTreeMap::new(),
            items: BTreeMap::new(),
            usage: None,
            pending: Map::new(),
            stopped: None,
            has_ended: false,
        }
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.has_ended {
            return;
        }
        if !matches!(event, Event::Usage(_) | Event::End { .. } | Event::Ping) {
            self.write_stop(out);
        }
        match event {
            Event::Start { id, created, extra, .. } => {
                let is_ours = extra.origin.is_none_or(|origin| origin == ME) && is_chat_id(id);
                let id = answer::answer_id(is_ours, id, &mut self.ids);
                self.begin(&id, *created, extra.get(ME, "system_fingerprint"));
                extra.write(ME, &mut self.pending, "", &mut Losses::default());
                self.pending.shift_remove("system_fingerprint");
                self.role(0, out);
            }
            Event::ItemStart { slot, head } => self.item_start(*slot, head, out),
            Event::PartStart { slot, head, .. } => self.part_start(*slot, head, out),
            Event::Delta { slot, part, delta } => self.delta(*slot, *part, delta, out),
            Event::ItemEnd { slot, extra } => {
                if let Some(ItemState::Reasoning(_)) = self.items.get(slot)
                    && let Some(ItemState::Reasoning(state)) = self.items.remove(slot)
                {
                    self.thought_end(*slot, state, extra, out);
                }
            }
            Event::Stop { choice, stop, extra } => {
                let state = self.choices.entry(*choice).or_default();
                let legacy = self.is_legacy && state.calls == 1;
                let word = stop::encode(stop, state.has_refusal, legacy).to_owned();
                let mut rest = Map::new();
                extra.write(ME, &mut rest, "", &mut Losses::default());
                rest.shift_remove("logprobs");
                let delta = rest.shift_remove("message").unwrap_or_else(|| json!({}));
                self.stopped = Some(Stopped { choice: *choice, word, delta, rest });
            }
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::End { service_tier, extra } => {
                extra.write(ME, &mut self.pending, "", &mut Losses::default());
                if let Some(tier) = service_tier.as_deref().and_then(answer::tier_out) {
                    self.pending.insert("service_tier".into(), tier.into());
                }
                self.write_stop(out);
                self.end(out);
            }
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::Native { .. } => {}
            Event::Error(failed) => {
                self.has_ended = true;
                sse::write_frame("", &error::encode(failed), out);
            }
        }
    }
}

/// Ids of other dialects begin with their own words.
fn is_chat_id(id: &str) -> bool {
    !["msg_", "resp_"].iter().any(|prefix| id.starts_with(prefix))
}

impl Encoder {
    fn begin(&mut self, id: &str, created: Option<i64>, fingerprint: Option<&Value>) {
        let mut head = json!({
            "id": id,
            "object": "chat.completion.chunk",
            "created": created.unwrap_or(self.created),
            "model": self.model,
        });
        if let Some(fingerprint) = fingerprint {
            head["system_fingerprint"] = fingerprint.clone();
        }
        self.prefix = to_vec(&head);
        self.prefix.pop();
    }

    /// The chunk that OpenAI begins each choice with.
    fn role(&mut self, choice: u32, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        if !state.has_role {
            state.has_role = true;
            let delta = json!({"role": "assistant", "content": ""});
            self.chunk(choice, &delta, None, None, &Map::new(), out);
        }
    }

    fn chunk(
        &mut self,
        choice: u32,
        delta: &impl Serialize,
        logprobs: Option<&Value>,
        finish: Option<&str>,
        rest: &Map<String, Value>,
        out: &mut Vec<u8>,
    ) {
        if self.prefix.is_empty() {
            let id = self.ids.next("chatcmpl-");
            self.begin(&id, None, None);
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(b",\"choices\":[{\"index\":");
        out.extend_from_slice(choice.to_string().as_bytes());
        out.extend_from_slice(b",\"delta\":");
        write_json(delta, out);
        out.extend_from_slice(b",\"logprobs\":");
        write_json(&logprobs, out);
        out.extend_from_slice(b",\"finish_reason\":");
        write_json(&finish, out);
        write_fields(rest, out);
        out.extend_from_slice(b"}]");
        write_fields(&std::mem::take(&mut self.pending), out);
        if self.wants_usage {
            out.extend_from_slice(b",\"usage\":null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn write_stop(&mut self, out: &mut Vec<u8>) {
        if let Some(Stopped { choice, word, delta, rest }) = self.stopped.take() {
            self.chunk(choice, &delta, None, Some(&word), &rest, out);
        }
    }

    fn say(&mut self, choice: u32, delta: &impl Serialize, out: &mut Vec<u8>) {
        self.role(choice, out);
        self.chunk(choice, delta, None, None, &Map::new(), out);
    }

    fn item_start(&mut self, slot: Slot, head: &Item, out: &mut Vec<u8>) {
        match &head.body {
            ItemBody::ToolCall(call) => {
                let state = self.choices.entry(slot.choice).or_default();
                let index = state.calls;
                state.calls += 1;
                let is_legacy = self.is_legacy && index == 0;
                self.items.insert(slot, ItemState::Call { index, kind: call.kind, is_legacy });
                let (key, input) = words(call.kind);
                let inner = json!({"name": call.name, input: call.input});
                if is_legacy {
                    self.say(slot.choice, &json!({"function_call": inner}), out);
                    return;
                }
                let mut object = json!({
                    "index": index, "id": call.call_id, "type": key, key: inner,
                });
                if head.extra.origin == Some(ME)
                    && let Some(object) = object.as_object_mut()
                {
                    object.extend(head.extra.fields.clone());
                }
                self.say(slot.choice, &json!({"tool_calls": [object]}), out);
            }
            ItemBody::Reasoning(_) => {
                let key =
                    head.extra.spelt(ME, "reasoning").map_or("reasoning_content", |_| "reasoning");
                let held = Reasoning::default();
                let state = ReasoningState { id: head.id.clone(), held, key };
                self.items.insert(slot, ItemState::Reasoning(state));
            }
            ItemBody::Native { dialect: ME, json, .. } => {
                self.say(slot.choice, &json!({reasoning::DETAILS: [json]}), out);
            }
            ItemBody::Message(_) | ItemBody::ToolResult(_) | ItemBody::Native { .. } => {}
        }
    }

    fn part_start(&mut self, slot: Slot, head: &Part, out: &mut Vec<u8>) {
        match &head.body {
            PartBody::Image { .. } => {
                let mut losses = Losses::default();
                let mut scope = part::Scope { target: None, is_ours: false, losses: &mut losses };
                if let Some(image) = part::encode(head, &mut scope) {
                    self.say(slot.choice, &json!({"images": [image]}), out);
                }
            }
            PartBody::Text { text, .. } if !text.is_empty() => self.text(slot, text, out),
            PartBody::Refusal(text) if !text.is_empty() => self.refusal(slot, text, out),
            _ => {}
        }
    }

    fn text(&mut self, slot: Slot, text: &str, out: &mut Vec<u8>) {
        #[derive(Serialize)]
        struct Content<'a> {
            content: &'a str,
        }
        self.say(slot.choice, &Content { content: text }, out);
    }

    fn refusal(&mut self, slot: Slot, text: &str, out: &mut Vec<u8>) {
        self.choices.entry(slot.choice).or_default().has_refusal = true;
        self.say(slot.choice, &json!({"refusal": text}), out);
    }

    fn delta(&mut self, slot: Slot, part: u32, delta: &Delta, out: &mut Vec<u8>) {
        match delta {
            Delta::Text(text) => self.text(slot, text, out),
            Delta::Refusal(text) => self.refusal(slot, text, out),
            Delta::Reasoning(text) => self.thought(slot, part, text, false, out),
            Delta::Summary(text) => self.thought(slot, part, text, true, out),
            Delta::Seal(seal) => {
                if let Some(ItemState::Reasoning(state)) = self.items.get_mut(&slot) {
                    state.held.seal = Some(seal.clone());
                }
            }
            Delta::Input(more) => {
                let Some(ItemState::Call { index, kind, is_legacy }) = self.items.get(&slot) else {
                    return;
                };
                let (key, input) = words(*kind);
                if *is_legacy {
                    self.say(slot.choice, &json!({"function_call": {input: more}}), out);
                } else {
                    let call = json!({"index": index, key: {input: more}});
                    self.say(slot.choice, &json!({"tool_calls": [call]}), out);
                }
            }
            Delta::Annotation(annotation) => {
                if let Some(json) = annotation::encode(annotation) {
                    self.say(slot.choice, &json!({"annotations": [json]}), out);
                }
            }
            Delta::Logprobs(logprobs) => {
                let content = json!({"content": annotation::encode_logprobs(logprobs)});
                self.role(slot.choice, out);
                self.chunk(slot.choice, &json!({}), Some(&content), None, &Map::new(), out);
            }
            Delta::Native { dialect: ME, json } => {
                self.say(slot.choice, &json!({"audio": json}), out);
            }
            Delta::Native { .. } => {}
        }
    }

    /// What is sealed is shown again whole, in one entry with its seal, for
    /// the client to return.
    fn thought_end(&mut self, slot: Slot, state: ReasoningState, extra: &Extra, out: &mut Vec<u8>) {
        let had_details = extra.spelt(ME, reasoning::DETAILS).is_some();
        if state.held.seal.is_some() || had_details {
            let body = ItemBody::Reasoning(state.held);
            let item = Item { id: state.id, extra: extra.clone(), ..Item::new(body) };
            let details = reasoning::details(&item);
            self.say(slot.choice, &json!({reasoning::DETAILS: details}), out);
        }
    }

    fn thought(&mut self, slot: Slot, part: u32, text: &str, is_summary: bool, out: &mut Vec<u8>) {
        let Some(ItemState::Reasoning(state)) = self.items.get_mut(&slot) else { return };
        let texts = if is_summary { &mut state.held.summary } else { &mut state.held.text };
        let is_first = texts.is_empty();
        let is_new = texts.len() <= part as usize;
        match texts.last_mut().filter(|_| !is_new) {
            Some(last) => last.push_str(text),
            None => texts.push(text.to_owned()),
        }
        let key = state.key;
        let choice = self.choices.entry(slot.choice).or_default();
        // Summaries and items stand apart as paragraphs, as in an answer that
        // is not streamed; texts of one item are one text.
        let breaks = choice.has_thought && is_new && (is_first || is_summary);
        choice.has_thought = true;
        let text = if breaks { format!("\n\n{text}") } else { text.to_owned() };
        self.say(slot.choice, &json!({key: text}), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.has_ended = true;
        if let Some(usage) = self.usage.take().filter(|_| self.wants_usage) {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.prefix);
            out.extend_from_slice(b",\"choices\":[]");
            write_fields(&self.pending, out);
            out.extend_from_slice(b",\"usage\":");
            write_json(&usage::encode(&usage), out);
            out.extend_from_slice(b"}\n\n");
        }
        sse::write_frame("", b"[DONE]", out);
    }
}

/// The keys of a call's form.
fn words(kind: ToolCallKind) -> (&'static str, &'static str) {
    match kind {
        ToolCallKind::Function => ("function", "arguments"),
        ToolCallKind::Custom => ("custom", "input"),
    }
}

/// Appends fields to an object under way.
fn write_fields(fields: &Map<String, Value>, out: &mut Vec<u8>) {
    for (name, value) in fields {
        out.push(b',');
        write_json(name, out);
        out.push(b':');
        write_json(value, out);
    }
}

/// Appends JSON; writing values of ours to memory cannot fail.
fn write_json(value: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}
