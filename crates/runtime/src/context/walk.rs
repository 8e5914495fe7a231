//! Reads the spans of a context, and says what each event in it is to a model.

use std::collections::BTreeMap;

use freehold_llm::model::{Answer, Event as ModelEvent, Fold, Item, ItemBody, PartBody};
use freehold_types::{CallId, Offset};
use serde_json::Value;

use super::legal::{Pieces, Told};
use super::request::{note, note_with};
use super::settings::one;
use super::{CONTEXT_BYTES_MAX, Error, Journal, words};
use crate::answer::size;
use crate::content::{Input, output};
use crate::event::{
    Busy, Content, ErrorReason, Event, Fact, InputTaken, ModelAborted, ModelAnswered, Note,
    Outcome, Purpose, Span, TimerPurpose, ToolObserved, Verdict,
};

/// A context as items.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) items: Vec<Item>,
    /// Whether an answer came after the last input.
    pub(super) answered: bool,
    /// Whether the last answer is one that the provider paused.
    pub(super) paused: bool,
    /// Whether tools are called in it.
    pub(super) calls: bool,
}

/// Reads all spans, in their order. `open` are the calls whose results are
/// still to come.
pub(super) async fn walk(
    journal: &dyn Journal,
    spans: &[Span],
    open: &[CallId],
) -> Result<Walked, Error> {
    let mut walk = Walk {
        journal,
        bytes: 0,
        inputs: BTreeMap::new(),
        outcomes: BTreeMap::new(),
        purpose: None,
        pieces: Pieces::default(),
        answered: false,
        paused: false,
    };
    for span in spans {
        let mut from = span.from;
        while from <= span.to {
            let page = journal.events(Span { from, to: span.to }).await?;
            if page.is_empty() {
                return Err(Error::damaged(from, "it is not in the journal"));
            }
            for event in page {
                if event.offset != from {
                    return Err(Error::damaged(from, "the journal has a gap"));
                }
                from = from.next();
                walk.take(event).await?;
            }
        }
    }
    let (items, calls) = walk.pieces.into_items(open);
    Ok(Walked { items, answered: walk.answered, paused: walk.paused, calls })
}

struct Walk<'a> {
    journal: &'a dyn Journal,
    /// Of the contents so far.
    bytes: u64,
    /// Inputs that were not taken yet.
    inputs: BTreeMap<Offset, Event>,
    /// Outcomes that were not observed yet.
    outcomes: BTreeMap<Offset, Outcome>,
    /// The last attempt, and what for.
    purpose: Option<(Offset, Purpose)>,
    pieces: Pieces,
    answered: bool,
    paused: bool,
}

impl Walk<'_> {
    async fn take(&mut self, event: Event) -> Result<(), Error> {
        let at = event.offset;
        match event.fact {
            Fact::InputAccepted(fact) if fact.busy == Busy::Quiet => {
                let items = self.read::<Input>(at, &fact.content).await?.items;
                self.pieces.said(items);
                self.answered = false;
            }
            Fact::InputAccepted(_) | Fact::SignalReceived(_) | Fact::TimerFired(_) => {
                self.inputs.insert(at, event);
            }
            Fact::InputTaken(fact) => self.inputs_taken(&fact).await?,
            Fact::ModelAsked(fact) => self.purpose = Some((at, fact.purpose)),
            Fact::ModelAnswered(fact) => self.answered(at, &fact).await?,
            Fact::ModelAborted(fact) if fact.kept => self.aborted(at, &fact).await?,
            Fact::ToolIntended(fact) => self.pieces.intended(&fact),
            Fact::ToolOutcome(fact) => {
                self.outcomes.insert(at, fact.outcome);
            }
            Fact::ToolObserved(fact) => self.observed(&fact).await?,
            Fact::Rewound(fact) if fact.effects > 0 => {
                self.pieces.said(vec![note(words::rewound(fact.effects))]);
            }
            Fact::Restored(_) => self.pieces.said(vec![note(words::RESTORED)]),
            _ => {}
        }
        Ok(())
    }

    async fn inputs_taken(&mut self, fact: &InputTaken) -> Result<(), Error> {
        for at in &fact.inputs {
            let event = match self.inputs.remove(at) {
                Some(event) => event,
                None => one(self.journal, *at).await?,
            };
            let items = self.input(event).await?;
            self.pieces.said(items);
        }
        self.answered = false;
        Ok(())
    }

    async fn input(&mut self, event: Event) -> Result<Vec<Item>, Error> {
        let at = event.offset;
        match event.fact {
            Fact::InputAccepted(fact) => Ok(self.read::<Input>(at, &fact.content).await?.items),
            Fact::SignalReceived(fact) => {
                let value = self.value(&fact.content).await?;
                let text = match value {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                Ok(vec![note(words::signal(&fact.name, &text))])
            }
            Fact::TimerFired(fired) => {
                let set = one(self.journal, fired.set).await?;
                match set.fact {
                    Fact::TimerSet(set) if set.timer == fired.timer => match set.purpose {
                        TimerPurpose::Input(content) => {
                            Ok(self.read::<Input>(fired.set, &content).await?.items)
                        }
                        TimerPurpose::Call(_) => Ok(Vec::new()),
                    },
                    _ => Err(Error::damaged(at, "the event that it names did not set its timer")),
                }
            }
            _ => Err(Error::damaged(at, "it should be an input")),
        }
    }

    async fn answered(&mut self, at: Offset, fact: &ModelAnswered) -> Result<(), Error> {
        let purpose = match self.purpose {
            Some((asked, purpose)) if asked == fact.asked => purpose,
            _ => match one(self.journal, fact.asked).await?.fact {
                Fact::ModelAsked(asked) => asked.purpose,
                _ => return Err(Error::damaged(at, "the event that it names did not ask")),
            },
        };
        if purpose == Purpose::Compaction {
            return self.summary(at, fact).await;
        }
        let answer: Answer = self.read(at, &fact.content).await?;
        let items = answer.choices.into_iter().next().map(|choice| choice.items);
        self.pieces.answer(at, items.unwrap_or_default());
        (self.answered, self.paused) = (true, fact.more);
        Ok(())
    }

    /// A summary stands for something only if the next event says so: one
    /// that would have lost something is left alone.
    async fn summary(&mut self, at: Offset, fact: &ModelAnswered) -> Result<(), Error> {
        match one(self.journal, at.next()).await?.fact {
            Fact::Compacted(compacted) if compacted.summary == at => {}
            _ => return Ok(()),
        }
        let answer: Answer = self.read(at, &fact.content).await?;
        let items = answer.choices.into_iter().next().map(|choice| choice.items);
        let mut text = words::SUMMARY.to_owned();
        for item in items.iter().flatten() {
            let ItemBody::Message(message) = &item.body else { continue };
            for part in message.parts.iter().filter_map(freehold_llm::model::Part::as_text) {
                text.push_str("\n\n");
                text.push_str(part.trim());
            }
        }
        self.pieces.said(vec![note(text)]);
        Ok(())
    }

    /// What an attempt said before it was stopped: its words, and no more. Its
    /// calls were never intended, and unfinished thinking proves nothing.
    async fn aborted(&mut self, at: Offset, fact: &ModelAborted) -> Result<(), Error> {
        let mut fold: Option<Fold> = None;
        let span = Span { from: fact.asked.next(), to: at.before() };
        let mut from = span.from;
        while from <= span.to {
            let page = self.journal.events(Span { from, to: span.to }).await?;
            let Some(last) = page.last() else {
                return Err(Error::damaged(from, "it is not in the journal"));
            };
            from = last.offset.next();
            for event in page {
                let Fact::ModelDelta(delta) = event.fact else { continue };
                if delta.asked != fact.asked {
                    continue;
                }
                let events: Vec<ModelEvent> = self.read(event.offset, &delta.content).await?;
                let fold = fold.get_or_insert_with(|| Fold::new(origin(&events)));
                for event in &events {
                    fold.event(event);
                }
            }
        }
        let answer = fold.and_then(|fold| fold.finish().ok());
        let items = answer.and_then(|answer| answer.choices.into_iter().next());
        let items: Vec<Item> =
            items.into_iter().flat_map(|choice| choice.items).filter_map(only_words).collect();
        if !items.is_empty() {
            (self.answered, self.paused) = (true, false);
            self.pieces.answer(at, items);
        }
        Ok(())
    }

    async fn observed(&mut self, fact: &ToolObserved) -> Result<(), Error> {
        let outcome = match self.outcomes.remove(&fact.outcome) {
            Some(outcome) => outcome,
            None => match one(self.journal, fact.outcome).await?.fact {
                Fact::ToolOutcome(outcome) => outcome.outcome,
                _ => return Err(Error::damaged(fact.outcome, "it should be an outcome")),
            },
        };
        let told = match &outcome {
            Outcome::Ok(content) => Told::ok(output(&self.value(content).await?)),
            Outcome::Failed(content) => Told::failed(output(&self.value(content).await?)),
            Outcome::Refused(ErrorReason::Denied) => {
                Told::failed_with(words::denied(self.denial(fact.outcome).await?.as_str()))
            }
            Outcome::Refused(reason) => Told::failed_with(words::refused(reason)),
            Outcome::Unknown(reason) => Told::failed_with(words::unknown(*reason)),
        };
        if let Err(told) = self.pieces.observed(fact.call, told) {
            self.pieces.said(vec![note_with(words::KEPT_RESULT, told.output)]);
        }
        Ok(())
    }

    /// Why whoever was asked denied a call. The decision and what follows of it
    /// are one write.
    async fn denial(&self, outcome: Offset) -> Result<Note, Error> {
        match one(self.journal, outcome.before()).await?.fact {
            Fact::ApprovalDecided(decided) if decided.verdict == Verdict::Deny => Ok(decided.note),
            _ => Ok(Note::cut("")),
        }
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &mut self,
        at: Offset,
        content: &Content,
    ) -> Result<T, Error> {
        let value = self.value(content).await?;
        serde_json::from_value(value)
            .map_err(|error| Error::damaged(at, format!("its content cannot be read: {error}")))
    }

    /// A content, as long as there is room for it.
    async fn value(&mut self, content: &Content) -> Result<Value, Error> {
        let bytes = match content {
            Content::Inline(value) => size::of(value) as u64,
            Content::Blob { bytes, .. } => *bytes,
        };
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > CONTEXT_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        self.journal.content(content).await
    }
}

/// The dialect of an answer as far as its events tell; any serves to fold it.
fn origin(events: &[ModelEvent]) -> freehold_llm::Dialect {
    let extra = events.iter().find_map(|event| match event {
        ModelEvent::Start { extra, .. } => extra.origin,
        _ => None,
    });
    extra.unwrap_or(freehold_llm::Dialect::Responses)
}

fn only_words(item: Item) -> Option<Item> {
    let ItemBody::Message(mut message) = item.body else { return None };
    message.parts.retain(|part| match &part.body {
        PartBody::Text { text, .. } | PartBody::Refusal(text) => !text.trim().is_empty(),
        _ => false,
    });
    (!message.parts.is_empty()).then(|| Item::new(ItemBody::Message(message)))
}
