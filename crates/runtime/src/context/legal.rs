//! Calls and results as every provider takes them: each call has one result,
//! right after the message that calls, no result is without its call, and no
//! id stands for two calls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use freehold_llm::model::{Item, ItemBody, Part, ToolCall, ToolCallKind, ToolResult};
use freehold_types::{CallId, Offset};

use super::request::{note, note_with};
use super::words;
use crate::answer::wanted;
use crate::event::{Hash, Name, Text, ToolIntended};

/// What a model is told of a call.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) output: Vec<Part>,
    is_error: bool,
}

impl Told {
    pub(super) fn ok(output: Vec<Part>) -> Self {
        Self { output, is_error: false }
    }

    pub(super) fn failed(output: Vec<Part>) -> Self {
        Self { output, is_error: true }
    }

    pub(super) fn failed_with(text: impl Into<String>) -> Self {
        Self::failed(vec![Part::text(text)])
    }
}

/// A conversation in pieces, in order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    line: Vec<Piece>,
    /// Where the answer of each event is.
    answers: BTreeMap<Offset, usize>,
    /// The answer that asked for each call.
    calls: BTreeMap<CallId, usize>,
}

#[derive(Debug)]
enum Piece {
    /// Said by others than the model here, though what they quote may be a
    /// model's.
    Said(Vec<Item>),
    /// Said by the model.
    Answer { items: Vec<Item>, asked: Vec<Asked> },
}

/// A call in an answer.
#[derive(Debug)]
struct Asked {
    model_call: Text<128>,
    tool: Name,
    args: Hash,
    call: Option<CallId>,
    told: Option<Told>,
}

impl Pieces {
    pub(super) fn said(&mut self, items: Vec<Item>) {
        if !items.is_empty() {
            self.line.push(Piece::Said(items));
        }
    }

    pub(super) fn answer(&mut self, at: Offset, items: Vec<Item>) {
        let calls = items.iter().filter_map(|item| match &item.body {
            ItemBody::ToolCall(call) => Some(wanted(call)),
            _ => None,
        });
        let asked = calls.map(|call| Asked {
            model_call: call.model_call,
            tool: call.tool,
            args: call.args,
            call: None,
            told: None,
        });
        let asked = asked.collect();
        self.answers.insert(at, self.line.len());
        self.line.push(Piece::Answer { items, asked });
    }

    /// Which call of its answer it is. Two that are alike may be taken for
    /// each other.
    pub(super) fn intended(&mut self, fact: &ToolIntended) {
        let Some(&index) = self.answers.get(&fact.answer) else { return };
        let Some(Piece::Answer { asked, .. }) = self.line.get_mut(index) else { return };
        let same = |asked: &&mut Asked| {
            asked.call.is_none()
                && asked.model_call == fact.model_call
                && asked.tool == fact.tool
                && asked.args == fact.args
        };
        if let Some(asked) = asked.iter_mut().find(same) {
            asked.call = Some(fact.call);
            self.calls.insert(fact.call, index);
        }
    }

    /// The result of a call; given back if its answer is not in the context.
    pub(super) fn observed(&mut self, call: CallId, told: Told) -> Result<(), Told> {
        let piece = self.calls.get(&call).and_then(|index| self.line.get_mut(*index));
        let Some(Piece::Answer { asked, .. }) = piece else { return Err(told) };
        match asked.iter_mut().find(|asked| asked.call == Some(call)) {
            Some(asked) => {
                asked.told = Some(told);
                Ok(())
            }
            None => Err(told),
        }
    }

    /// All items, and whether there are calls among them. `open` are the calls
    /// whose results are still to come.
    pub(super) fn into_items(self, open: &[CallId]) -> (Vec<Item>, bool) {
        let last_said = self.line.iter().rposition(|piece| matches!(piece, Piece::Said(_)));
        let mut line = Line { open, ..Line::default() };
        for (at, piece) in self.line.into_iter().enumerate() {
            match piece {
                Piece::Said(items) => line.said(items),
                Piece::Answer { items, asked } => {
                    let old = last_said.is_some_and(|last| at < last);
                    line.answer(items, asked, old);
                }
            }
        }
        line.close()
    }
}

/// The items in line.
#[derive(Default)]
struct Line<'a> {
    items: Vec<Item>,
    /// The ids of all calls.
    ids: BTreeSet<String>,
    open: &'a [CallId],
}

impl Line<'_> {
    /// What somebody else said may hold a whole conversation of theirs, in
    /// which results may stand anywhere.
    fn said(&mut self, items: Vec<Item>) {
        let mut results: BTreeMap<String, VecDeque<Told>> = BTreeMap::new();
        let mut others = Vec::new();
        for item in items {
            match item.body {
                ItemBody::ToolResult(result) => {
                    let is_error = result.is_error == Some(true);
                    let told = Told { output: result.output, is_error };
                    results.entry(result.call_id).or_default().push_back(told);
                    others.push(None);
                }
                _ => others.push(Some(item)),
            }
        }
        let mut run = Vec::new();
        let mut joins = false;
        for item in others {
            let Some(item) = item.and_then(told) else {
                self.results(std::mem::take(&mut run));
                joins = false;
                continue;
            };
            if !item.is_from_model() {
                self.results(std::mem::take(&mut run));
            }
            let mut item = Item { joined: item.joined && joins, ..item };
            joins = true;
            if let ItemBody::ToolCall(call) = &mut item.body {
                let told = results.get_mut(&call.call_id).and_then(VecDeque::pop_front);
                let told = told.unwrap_or_else(|| Told::ok(vec![Part::text(words::NOT_KEPT)]));
                run.push((self.named(call), told));
            }
            self.items.push(item);
        }
        self.results(run);
        for told in results.into_values().flatten() {
            self.items.push(note_with(words::KEPT_RESULT, told.output));
        }
    }

    /// One answer is one message, in whatever dialect it came.
    fn answer(&mut self, items: Vec<Item>, asked: Vec<Asked>, old: bool) {
        let mut asked = asked.into_iter();
        let mut results = Vec::new();
        let mut items: Vec<Item> = items.into_iter().filter_map(told).collect();
        // Thinking that nothing proves is of use within its turn only; and
        // none is taken that nothing follows.
        items.retain(|item| !old || !is_thought(item, |seal| !seal));
        while items.last().is_some_and(|item| is_thought(item, |_| true)) {
            items.pop();
        }
        for (at, item) in items.into_iter().enumerate() {
            let mut item = Item { joined: at > 0, ..item };
            if let ItemBody::ToolCall(call) = &mut item.body {
                let asked = asked.next();
                let waits = asked.as_ref().and_then(|asked| asked.call);
                let missing = match waits {
                    Some(call) if self.open.contains(&call) => words::NOT_ENDED,
                    _ => words::NOT_KEPT,
                };
                let told = asked.and_then(|asked| asked.told);
                let told = told.unwrap_or_else(|| Told::ok(vec![Part::text(missing)]));
                results.push((self.named(call), told));
            }
            self.items.push(item);
        }
        self.results(results);
    }

    /// Takes a call in; an id that is another's already becomes its own.
    fn named(&mut self, call: &mut ToolCall) -> Named {
        let mut number = self.ids.len();
        while call.call_id.is_empty() || self.ids.contains(&call.call_id) {
            call.call_id = format!("call_{number}");
            number += 1;
        }
        self.ids.insert(call.call_id.clone());
        Named { id: call.call_id.clone(), kind: call.kind }
    }

    fn results(&mut self, of: Vec<(Named, Told)>) {
        for (at, (call, told)) in of.into_iter().enumerate() {
            let result = ToolResult {
                call_id: call.id,
                output: told.output,
                is_error: told.is_error.then_some(true),
                kind: call.kind,
                cache: None,
            };
            let item = Item::new(ItemBody::ToolResult(result));
            self.items.push(Item { joined: at > 0, ..item });
        }
    }

    /// A conversation begins on the user's side.
    fn close(mut self) -> (Vec<Item>, bool) {
        if self.items.first().is_some_and(Item::is_from_model) {
            self.items.insert(0, note(words::LEFT_OUT));
        }
        (self.items, !self.ids.is_empty())
    }
}

/// A call as it is told.
struct Named {
    id: String,
    kind: ToolCallKind,
}

/// An item as it is told again. It has no id, which a provider would look for
/// among its own (a seal keeps the one that it is checked with); no marks for
/// a cache, of which providers allow few in one request; and says something,
/// as some refuse a text of nothing.
fn told(mut item: Item) -> Option<Item> {
    if !is_thought(&item, |sealed| sealed) {
        item.id = None;
    }
    match &mut item.body {
        ItemBody::Message(message) => {
            message.parts.retain(|part| part.as_text().is_none_or(|text| !text.trim().is_empty()));
            message.parts.iter_mut().for_each(|part| part.cache = None);
            return (!message.parts.is_empty()).then_some(item);
        }
        ItemBody::ToolCall(call) => call.cache = None,
        ItemBody::ToolResult(_) | ItemBody::Reasoning(_) | ItemBody::Native { .. } => {}
    }
    Some(item)
}

/// Whether it is thinking, and sealed as wanted.
fn is_thought(item: &Item, wanted: impl Fn(bool) -> bool) -> bool {
    matches!(&item.body, ItemBody::Reasoning(thought) if wanted(thought.seal.is_some()))
}
