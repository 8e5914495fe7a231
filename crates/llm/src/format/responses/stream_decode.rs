//! A provider's stream into the hub's events.
//!
//! Servers of this dialect differ in what they leave out: deltas, `done`
//! events, item ids, the items of the terminal event. So what a `done` or
//! terminal event holds beyond what was already given is given then.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::answer_decode::Head;
use super::open_item::OpenItem;
use super::{OURS, error, item, part};
use crate::format::json::Fields;
use crate::model::{Event, Extra, Item, ItemBody, Message, Reasoning, Role, Slot};
use crate::sse::{Frame, SseDecoder};
use crate::{DecodeError, StreamDecoder};

/// Decodes one stream.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    sse: SseDecoder,
    state: State,
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Self { sse, state } = self;
        sse.feed(bytes, &mut |frame| state.frame(frame, out))
    }

    fn finish(&mut self, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let Self { sse, state } = self;
        sse.finish(&mut |frame| state.frame(frame, out))?;
        if state.ended { Ok(()) } else { Err(DecodeError::Truncated) }
    }
}

/// The first number of items whose place is taken by another one. Beyond any
/// index that a server counts to.
const DISPLACED: u64 = 1 << 48;

#[derive(Debug, Default)]
struct State {
    started: bool,
    ended: bool,
    /// By the wire's output index.
    items: BTreeMap<u64, OpenItem>,
    by_id: HashMap<String, u64>,
    /// The item that began last.
    last: Option<u64>,
    calls: bool,
}

impl State {
    fn frame(&mut self, frame: Frame<'_>, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.ended || frame.data.trim() == "[DONE]" || frame.data.trim().is_empty() {
            return Ok(());
        }
        let value: Value = serde_json::from_str(frame.data)
            .map_err(|e| DecodeError::json("stream event", frame.data.as_bytes(), &e))?;
        let kind = value.get("type").and_then(Value::as_str).unwrap_or(frame.name).to_owned();
        let bare_error =
            !kind.starts_with("response.") && value.get("error").is_some_and(|e| !e.is_null());
        if kind == "error" || bare_error {
            self.fail(error::under_good_status(value), out);
            return Ok(());
        }
        self.event(&kind, value, out)
    }

    fn event(&mut self, kind: &str, value: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let mut fields = Fields::new(value, "")?;
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                let response = fields.take("response").unwrap_or_default();
                self.start(response, out)
            }
            "response.completed" | "response.incomplete" | "response.cancelled" => {
                let response = fields.take("response").unwrap_or_default();
                self.complete(kind, response, out)
            }
            "response.failed" => {
                let response = fields.take("response").unwrap_or_default();
                let usage = Head::decode(response.clone(), "response").ok().and_then(|h| h.usage);
                out.extend(usage.map(Event::Usage));
                self.fail(error::of_failed(response), out);
                Ok(())
            }
            "response.output_item.added" => self.item_added(&mut fields, out),
            "response.output_item.done" => self.item_done(&mut fields, out),
            "response.content_part.added" => self.part(&mut fields, false, out),
            "response.content_part.done" => self.part(&mut fields, true, out),
            "keepalive" | "ping" => {
                out.push(Event::Ping);
                Ok(())
            }
            _ => self.content(kind, fields, out),
        }
    }

    /// The events of content, and those that only this dialect has.
    fn content(
        &mut self,
        kind: &str,
        mut fields: Fields,
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let name = kind.strip_prefix("response.").unwrap_or(kind);
        match name {
            "output_text.delta" => self.text(&mut fields, "delta", out),
            "output_text.done" => self.text(&mut fields, "text", out),
            "refusal.delta" | "refusal.done" => {
                let field = if name == "refusal.done" { "refusal" } else { "delta" };
                let text = fields.string(field)?.unwrap_or_default();
                let at = fields.count("content_index")?.unwrap_or_default();
                let open = self.open_or(&mut fields, &empty_message(), out)?;
                open.refusal(at, &text, name == "refusal.done", out);
                Ok(())
            }
            "output_text.annotation.added" => {
                let at = fields.count("content_index")?.unwrap_or_default();
                let annotation = fields.take_some("annotation").map(part::decode_annotation);
                let open = self.open_or(&mut fields, &empty_message(), out)?;
                if let Some(annotation) = annotation {
                    open.annotation(at, annotation, out);
                }
                Ok(())
            }
            "reasoning_text.delta" | "reasoning.delta" => {
                self.thinking(&mut fields, ("delta", "content_index", false, false), out)
            }
            "reasoning_text.done" | "reasoning.done" => {
                self.thinking(&mut fields, ("text", "content_index", false, true), out)
            }
            "reasoning_summary_text.delta" => {
                self.thinking(&mut fields, ("delta", "summary_index", true, false), out)
            }
            "reasoning_summary_text.done" => {
                self.thinking(&mut fields, ("text", "summary_index", true, true), out)
            }
            // Their text comes by the events above and with the item.
            "reasoning_summary_part.added" | "reasoning_summary_part.done" => Ok(()),
            "function_call_arguments.delta" | "custom_tool_call_input.delta" => {
                self.input(&mut fields, "delta", out)
            }
            "function_call_arguments.done" => self.input(&mut fields, "arguments", out),
            "custom_tool_call_input.done" => self.input(&mut fields, "input", out),
            _ => {
                let json = Value::Object(fields.rest());
                out.push(Event::Native { dialect: OURS, name: kind.to_owned(), json });
                Ok(())
            }
        }
    }

    fn start(&mut self, response: Value, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        if self.started || !response.is_object() {
            return Ok(());
        }
        let head = Head::decode(response, "response")?;
        self.begin(&head, out);
        Ok(())
    }

    fn begin(&mut self, head: &Head, out: &mut Vec<Event>) {
        self.started = true;
        let mut rest = head.rest.clone();
        rest.shift_remove("status");
        out.push(Event::Start {
            id: head.id.clone(),
            model: head.model.clone(),
            created: head.created,
            usage: None,
            extra: ours(rest),
        });
    }

    /// Some servers begin with the first item.
    fn begin_unsaid(&mut self, out: &mut Vec<Event>) {
        if self.started {
            return;
        }
        self.started = true;
        out.push(Event::Start {
            id: String::new(),
            model: String::new(),
            created: None,
            usage: None,
            extra: ours(Map::new()),
        });
    }

    fn fail(&mut self, error: crate::model::ApiError, out: &mut Vec<Event>) {
        self.ended = true;
        out.push(Event::Error(error));
    }

    /// The place of the item that an event is about: by its id, else by its
    /// index, else the item that began last.
    fn place(&self, id: Option<&str>, index: Option<u64>) -> Option<u64> {
        let known = id.and_then(|id| self.by_id.get(id)).copied();
        known.or(index).or(self.last)
    }

    fn place_of(&self, fields: &mut Fields) -> Result<Option<u64>, DecodeError> {
        let id = fields.string("item_id")?;
        let index = fields.count("output_index")?;
        Ok(self.place(id.as_deref(), index))
    }

    fn item_added(&mut self, fields: &mut Fields, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = fields.count("output_index")?;
        let Some(mut json) = fields.take_some("item") else { return Ok(()) };
        complete_head(&mut json);
        let item = item::decode(json, "item")?;
        self.open(index, &item, out);
        Ok(())
    }

    /// Opens an item unless it is open. An index that another item holds is
    /// left to that one.
    fn open(&mut self, index: Option<u64>, item: &Item, out: &mut Vec<Event>) -> u64 {
        self.begin_unsaid(out);
        let id = native_id(item).or(item.id.as_deref()).filter(|id| !id.is_empty());
        if let Some(at) = id.and_then(|id| self.by_id.get(id)) {
            return *at;
        }
        let next = self.items.keys().next_back().map_or(0, |at| at.saturating_add(1));
        let mut at = index.unwrap_or(next);
        if self.items.contains_key(&at) {
            at = next.max(DISPLACED);
        }
        if let Some(id) = id {
            self.by_id.insert(id.to_owned(), at);
        }
        let number = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        self.calls |= matches!(item.body, ItemBody::ToolCall(_));
        self.items.insert(at, OpenItem::start(Slot { choice: 0, item: number }, item, out));
        self.last = Some(at);
        at
    }

    fn item_done(&mut self, fields: &mut Fields, out: &mut Vec<Event>) -> Result<(), DecodeError> {
        let index = fields.count("output_index")?;
        let Some(json) = fields.take_some("item") else { return Ok(()) };
        let item = item::decode(json, "item")?;
        let id = native_id(&item).or(item.id.as_deref());
        let known = id.and_then(|id| self.by_id.get(id)).copied();
        // A server may give a done item another id than the added one had.
        let at = known.or(index.filter(|at| self.items.get(at).is_some_and(|i| !i.is_done())));
        let at = at.unwrap_or_else(|| self.open(index, &item, out));
        if let Some(open) = self.items.get_mut(&at) {
            open.finish(item, out);
        }
        Ok(())
    }

    /// The item of an event, opened as `absent` if it never began.
    fn open_or(
        &mut self,
        fields: &mut Fields,
        absent: &Item,
        out: &mut Vec<Event>,
    ) -> Result<&mut OpenItem, DecodeError> {
        let id = fields.string("item_id")?;
        let index = fields.count("output_index")?;
        let place = self.place(id.as_deref(), index).filter(|at| self.items.contains_key(at));
        let at = place.unwrap_or_else(|| {
            let absent = Item { id, ..absent.clone() };
            self.open(index, &absent, out)
        });
        self.items.get_mut(&at).ok_or_else(|| DecodeError::shape("output_index", "is no item"))
    }

    fn part(
        &mut self,
        fields: &mut Fields,
        done: bool,
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let at = fields.count("content_index")?.unwrap_or_default();
        let place = self.place_of(fields)?;
        let Some(json) = fields.take_some("part") else { return Ok(()) };
        let open = place.and_then(|at| self.items.get_mut(&at));
        match open {
            Some(open) if open.is_message() => {
                let part = part::decode(json, Role::Assistant, "part")?;
                if done {
                    open.part_done(at, &part, out);
                } else {
                    open.part_added(at, &part, out);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(
        &mut self,
        fields: &mut Fields,
        field: &str,
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let text = fields.string(field)?.unwrap_or_default();
        let at = fields.count("content_index")?.unwrap_or_default();
        let logprobs = part::decode_logprobs(fields.array("logprobs")?, "logprobs")?;
        let open = self.open_or(fields, &empty_message(), out)?;
        open.text(at, &text, logprobs, field == "text", out);
        Ok(())
    }

    fn thinking(
        &mut self,
        fields: &mut Fields,
        (field, index, summary, whole): (&str, &str, bool, bool),
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let text = fields.string(field)?.unwrap_or_default();
        let at = fields.count(index)?.unwrap_or_default();
        let absent = Item::new(ItemBody::Reasoning(Reasoning::default()));
        self.open_or(fields, &absent, out)?.thinking(at, &text, summary, whole, out);
        Ok(())
    }

    /// Input of a call that never began waits for the item itself, which
    /// alone has the tool's name.
    fn input(
        &mut self,
        fields: &mut Fields,
        field: &str,
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let text = fields.string(field)?.unwrap_or_default();
        if let Some(open) = self.place_of(fields)?.and_then(|at| self.items.get_mut(&at)) {
            open.input(&text, field != "delta", out);
        }
        Ok(())
    }

    fn complete(
        &mut self,
        kind: &str,
        response: Value,
        out: &mut Vec<Event>,
    ) -> Result<(), DecodeError> {
        let mut head = Head::decode(response, "response")?;
        if !self.started {
            self.begin(&head, out);
        }
        if head.status.as_deref().is_none_or(|s| s == "in_progress" || s == "queued") {
            head.status = kind.strip_prefix("response.").map(str::to_owned);
            head.rest.shift_remove("status");
        }
        for (index, json) in (0..).zip(head.output.take().unwrap_or_default()) {
            let item = item::decode(json, "response.output")?;
            self.catch_up(index, item, out);
        }
        for open in self.items.values_mut() {
            open.end(&Map::new(), out);
        }
        self.ended = true;
        if let Some(stop) = head.stop(self.calls) {
            out.push(Event::Stop { choice: 0, stop, extra: Extra::default() });
        }
        out.extend(head.usage.map(Event::Usage));
        out.push(Event::End {
            extra: Extra::new(OURS, head.rest),
            service_tier: head.service_tier,
        });
        Ok(())
    }

    /// An item of the terminal event: complete it if it is open, give it
    /// whole if it never began.
    fn catch_up(&mut self, index: u64, item: Item, out: &mut Vec<Event>) {
        let id = native_id(&item).or(item.id.as_deref());
        let known = id.and_then(|id| self.by_id.get(id)).copied();
        let at = match known.or(Some(index).filter(|at| self.items.contains_key(at))) {
            Some(at) => at,
            None => self.open(Some(index), &item, out),
        };
        if let Some(open) = self.items.get_mut(&at) {
            open.finish(item, out);
        }
    }
}

/// Extras of an answer that say whose it is even while there are none: the
/// encoder keeps the forms of its own dialect.
fn ours(fields: Map<String, Value>) -> Extra {
    let mut extra = Extra::new(OURS, fields);
    extra.spell(OURS, "stream", true);
    extra
}

fn empty_message() -> Item {
    Item::new(ItemBody::Message(Message { role: Role::Assistant, parts: Vec::new() }))
}

fn native_id(item: &Item) -> Option<&str> {
    match &item.body {
        ItemBody::Native { json, .. } => json.get("id").and_then(Value::as_str),
        _ => None,
    }
}

/// The head of an item may lack the content that is still to come.
fn complete_head(json: &mut Value) {
    let Some(object) = json.as_object_mut() else { return };
    let field = match object.get("type").and_then(Value::as_str) {
        Some("function_call") => "arguments",
        Some("custom_tool_call") => "input",
        _ => return,
    };
    if object.get(field).is_none_or(Value::is_null) {
        object.insert(field.to_owned(), "".into());
    }
}
