//! A streamed answer folded into a whole one, and a whole one unfolded.

use std::collections::BTreeMap;

use super::{
    Answer, ApiError, Choice, Delta, Dialect, Event, Extra, Item, ItemBody, Part, PartBody, Slot,
    Usage,
};

/// Folds events into an [`Answer`]. Takes any order that [`Event`] allows.
#[derive(Debug)]
pub struct Fold {
    answer: Answer,
    items: BTreeMap<Slot, Item>,
    choices: BTreeMap<u32, Choice>,
    error: Option<Box<ApiError>>,
    ended: bool,
}

impl Fold {
    /// An empty fold for answers of one dialect.
    pub fn new(origin: Dialect) -> Self {
        Self {
            answer: Answer {
                origin,
                id: String::new(),
                model: String::new(),
                created: None,
                choices: Vec::new(),
                usage: None,
                service_tier: None,
                extra: Extra::default(),
            },
            items: BTreeMap::new(),
            choices: BTreeMap::new(),
            error: None,
            ended: false,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, event: &Event) {
        match event {
            Event::Start { id, model, created, usage, extra } => {
                self.answer.id.clone_from(id);
                self.answer.model.clone_from(model);
                self.answer.created = *created;
                if usage.is_some() {
                    self.answer.usage.clone_from(usage);
                }
                merge(&mut self.answer.extra, extra);
            }
            Event::ItemStart { slot, head } => {
                self.items.insert(*slot, head.clone());
            }
            Event::PartStart { slot, part, head } => {
                if let Some(Item { body: ItemBody::Message(message), .. }) =
                    self.items.get_mut(slot)
                {
                    set_part(&mut message.parts, *part, head.clone());
                }
            }
            Event::Delta { slot, part, delta } => {
                if let Some(item) = self.items.get_mut(slot) {
                    apply(item, *part, delta);
                }
            }
            Event::ItemEnd { slot, extra } => {
                if let Some(item) = self.items.get_mut(slot) {
                    merge(&mut item.extra, extra);
                }
            }
            Event::Stop { choice, stop, extra } => {
                let choice = self.choices.entry(*choice).or_default();
                choice.stop = Some(stop.clone());
                merge(&mut choice.extra, extra);
            }
            Event::Usage(usage) => self.answer.usage = Some(usage.clone()),
            Event::End { extra, service_tier } => {
                merge(&mut self.answer.extra, extra);
                if service_tier.is_some() {
                    self.answer.service_tier.clone_from(service_tier);
                }
                self.ended = true;
            }
            Event::Ping | Event::Native { .. } => {}
            Event::Error(error) => self.error = Some(Box::new(error.clone())),
        }
    }

    /// An item as far as it came.
    pub fn item(&self, slot: Slot) -> Option<&Item> {
        self.items.get(&slot)
    }

    /// The usage known so far.
    pub fn usage(&self) -> Option<&Usage> {
        self.answer.usage.as_ref()
    }

    /// True once the answer is complete.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The answer as far as it came, or the error it ended with.
    pub fn finish(mut self) -> Result<Answer, Box<ApiError>> {
        if let Some(error) = self.error {
            return Err(error);
        }
        for (slot, item) in self.items {
            self.choices.entry(slot.choice).or_default().items.push(item);
        }
        self.answer.choices = self.choices.into_values().collect();
        Ok(self.answer)
    }
}

fn merge(into: &mut Extra, late: &Extra) {
    if let Some(origin) = late.origin {
        for (name, value) in &late.fields {
            into.insert(origin, name, value.clone());
        }
        for (name, value) in &late.spelling {
            into.spell(origin, name, value.clone());
        }
    }
}

/// Numbers of parts come from outside: a gap is not filled up to them.
fn set_part(parts: &mut Vec<Part>, at: u32, part: Part) {
    match parts.get_mut(at as usize) {
        Some(there) => *there = part,
        None => parts.push(part),
    }
}

fn part_mut(parts: &mut Vec<Part>, at: u32, empty: PartBody) -> Option<&mut Part> {
    let at = (at as usize).min(parts.len());
    if at == parts.len() {
        parts.push(Part::new(empty));
    }
    parts.get_mut(at)
}

fn text_mut(texts: &mut Vec<String>, at: u32) -> Option<&mut String> {
    let at = (at as usize).min(texts.len());
    if at == texts.len() {
        texts.push(String::new());
    }
    texts.get_mut(at)
}

fn empty_text() -> PartBody {
    PartBody::Text { text: String::new(), annotations: Vec::new(), logprobs: None }
}

fn apply(item: &mut Item, at: u32, delta: &Delta) {
    match (&mut item.body, delta) {
        (ItemBody::Message(m), Delta::Text(more)) => {
            if let Some(Part { body: PartBody::Text { text, .. }, .. }) =
                part_mut(&mut m.parts, at, empty_text())
            {
                text.push_str(more);
            }
        }
        (ItemBody::Message(m), Delta::Refusal(more)) => {
            if let Some(Part { body: PartBody::Refusal(text), .. }) =
                part_mut(&mut m.parts, at, PartBody::Refusal(String::new()))
            {
                text.push_str(more);
            }
        }
        (ItemBody::Message(m), Delta::Annotation(more)) => {
            if let Some(Part { body: PartBody::Text { annotations, .. }, .. }) =
                part_mut(&mut m.parts, at, empty_text())
            {
                annotations.push(more.clone());
            }
        }
        (ItemBody::Message(m), Delta::Logprobs(more)) => {
            if let Some(Part { body: PartBody::Text { logprobs, .. }, .. }) =
                part_mut(&mut m.parts, at, empty_text())
            {
                logprobs.get_or_insert_default().extend(more.iter().cloned());
            }
        }
        (ItemBody::Reasoning(r), Delta::Reasoning(more)) => {
            if let Some(text) = text_mut(&mut r.text, at) {
                text.push_str(more);
            }
        }
        (ItemBody::Reasoning(r), Delta::Summary(more)) => {
            if let Some(text) = text_mut(&mut r.summary, at) {
                text.push_str(more);
            }
        }
        (ItemBody::Reasoning(r), Delta::Seal(seal)) => r.seal = Some(seal.clone()),
        (ItemBody::ToolCall(call), Delta::Input(more)) => call.input.push_str(more),
        _ => {}
    }
}

/// A whole answer as the events that would have streamed it, one delta a
/// part. What an engine, or an upstream that does not stream, gives to a
/// client that asked for a stream.
pub fn events_of(answer: &Answer) -> Vec<Event> {
    let mut events = vec![Event::Start {
        id: answer.id.clone(),
        model: answer.model.clone(),
        created: answer.created,
        usage: None,
        extra: answer.extra.clone(),
    }];
    for (c, choice) in (0..).zip(&answer.choices) {
        for (i, item) in (0..).zip(&choice.items) {
            item_events(Slot { choice: c, item: i }, item, &mut events);
        }
        if let Some(stop) = &choice.stop {
            events.push(Event::Stop { choice: c, stop: stop.clone(), extra: choice.extra.clone() });
        }
    }
    if let Some(usage) = &answer.usage {
        events.push(Event::Usage(usage.clone()));
    }
    events.push(Event::End { extra: Extra::default(), service_tier: answer.service_tier.clone() });
    events
}

/// A whole item as the events that would have streamed it.
pub(crate) fn item_events(slot: Slot, item: &Item, events: &mut Vec<Event>) {
    let mut head = item.clone();
    let mut content = Vec::new();
    match &mut head.body {
        ItemBody::Message(message) => {
            for (at, mut part) in (0..).zip(std::mem::take(&mut message.parts)) {
                let deltas = take_part(&mut part.body);
                content.push(Event::PartStart { slot, part: at, head: part });
                content.extend(deltas.into_iter().map(|delta| Event::Delta {
                    slot,
                    part: at,
                    delta,
                }));
            }
        }
        ItemBody::Reasoning(reasoning) => {
            let texts = std::mem::take(&mut reasoning.text);
            let summaries = std::mem::take(&mut reasoning.summary);
            for (at, text) in (0..).zip(summaries) {
                content.push(Event::Delta { slot, part: at, delta: Delta::Summary(text) });
            }
            for (at, text) in (0..).zip(texts) {
                content.push(Event::Delta { slot, part: at, delta: Delta::Reasoning(text) });
            }
            if let Some(seal) = reasoning.seal.take() {
                content.push(Event::Delta { slot, part: 0, delta: Delta::Seal(seal) });
            }
        }
        ItemBody::ToolCall(call) => {
            let input = std::mem::take(&mut call.input);
            content.push(Event::Delta { slot, part: 0, delta: Delta::Input(input) });
        }
        ItemBody::ToolResult(_) | ItemBody::Native { .. } => {}
    }
    events.push(Event::ItemStart { slot, head });
    events.extend(content);
    events.push(Event::ItemEnd { slot, extra: Extra::default() });
}

fn take_part(body: &mut PartBody) -> Vec<Delta> {
    let mut deltas = Vec::new();
    match body {
        PartBody::Text { text, annotations, logprobs } => {
            deltas.push(Delta::Text(std::mem::take(text)));
            if let Some(logprobs) = logprobs.take() {
                deltas.push(Delta::Logprobs(logprobs));
            }
            deltas.extend(std::mem::take(annotations).into_iter().map(Delta::Annotation));
        }
        PartBody::Refusal(text) => deltas.push(Delta::Refusal(std::mem::take(text))),
        _ => {}
    }
    deltas
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Reasoning, Role, Stop, StopReason, ToolCall, ToolCallKind};

    #[test]
    fn unfolding_and_folding_gives_the_same_answer() {
        let answer = Answer {
            origin: Dialect::Chat,
            id: "a".into(),
            model: "m".into(),
            created: Some(1),
            choices: vec![Choice {
                items: vec![
                    Item::new(ItemBody::Reasoning(Reasoning {
                        text: vec!["hm".into()],
                        summary: vec!["s".into(), "t".into()],
                        seal: None,
                    })),
                    Item::text(Role::Assistant, "hello"),
                    Item::new(ItemBody::ToolCall(ToolCall {
                        call_id: "c".into(),
                        name: "f".into(),
                        input: "{}".into(),
                        kind: ToolCallKind::Function,
                        cache: None,
                    })),
                ],
                stop: Some(Stop::new(StopReason::ToolCalls)),
                extra: Extra::default(),
            }],
            usage: Some(Usage { input: 3, output: 4, ..Usage::default() }),
            service_tier: Some("default".into()),
            extra: Extra::default(),
        };
        let mut fold = Fold::new(Dialect::Chat);
        for event in events_of(&answer) {
            fold.event(&event);
        }
        assert!(fold.ended());
        assert_eq!(fold.finish(), Ok(answer));
    }
}
