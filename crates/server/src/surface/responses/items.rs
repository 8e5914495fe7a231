//! The items of a session, each where the journal has it: what was said, what
//! the model answered, and the calls of tools that Freehold performed.
//!
//! Each event gives its items by itself, so a list can begin anywhere and go
//! either way. Items keep the ids that streams gave them.

use freehold_llm::Dialect;
use freehold_llm::format::responses::list_item;
use freehold_llm::model::{Answer, Event as Said, Fold, Item, ItemBody, ToolCallKind, ToolResult};
use freehold_runtime::content::Input;
use freehold_runtime::event::{
    ApprovalAsked, Deciders, Event, Fact, ModelAborted, ModelAnswered, Outcome, Place, Purpose,
    ToolIntended, ToolOutcome, ToolStarted,
};
use freehold_runtime::sessions::Error;
use freehold_types::{CallId, Offset};
use serde::Deserialize;
use serde_json::{Value, json};

use super::begun::Begun;
use super::follow::{Known, ended};
use super::ids::{self, ItemId, item_stem};
use super::label::{self, Labels};
use super::reading::Reading;

/// Where the numbers of results begin among the items of an input.
const RESULTS: usize = 0x4000;
/// Where those of decisions begin.
const DECISIONS: usize = 0x8000;

/// Events that are read at once.
const WINDOW: u64 = 128;
/// How far a call's other events are looked for.
const FAR: u64 = 4_096;

/// Which way a list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// Oldest first.
    Asc,
    /// Newest first.
    #[default]
    Desc,
}

/// An item and its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: String,
    pub(crate) value: Value,
}

impl Entry {
    fn of(value: Value) -> Option<Self> {
        Some(Self { id: value.get("id")?.as_str()?.to_owned(), value })
    }
}

/// Reads the items of a session.
pub(crate) struct Lister<'a> {
    pub(crate) reading: &'a Reading,
    /// Whether the seals of reasoning are shown.
    pub(crate) seals: bool,
}

impl Lister<'_> {
    /// Up to `limit` items and one more, if there is one, after an item.
    pub(crate) async fn list(
        &self,
        head: Offset,
        order: Order,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        let from = after.and_then(|id| id.parse::<ItemId>().ok()).map(|id| id.at);
        let mut at = match order {
            Order::Asc => from.map_or(Offset::START, Offset::before),
            // The items of an answer are named by the asking before it.
            Order::Desc => head,
        };
        let (mut found, mut skip) = (Vec::new(), after);
        loop {
            let (low, high) = match order {
                Order::Asc => (at, Offset(at.0.saturating_add(WINDOW)).min(head)),
                Order::Desc => (Offset(at.0.saturating_sub(WINDOW)), at),
            };
            if low >= high {
                return Ok(found);
            }
            let mut events =
                self.reading.events(low, high, usize::try_from(WINDOW).unwrap_or(128)).await?;
            if order == Order::Desc {
                events.reverse();
            }
            for event in events {
                let mut entries = self.of(&event).await?;
                if order == Order::Desc {
                    entries.reverse();
                }
                for entry in entries {
                    match skip {
                        Some(id) if entry.id == id => skip = None,
                        Some(_) => {}
                        None => found.push(entry),
                    }
                    if found.len() > limit {
                        return Ok(found);
                    }
                }
            }
            at = if order == Order::Asc { high } else { low };
        }
    }

    /// One item.
    pub(crate) async fn get(&self, id: &str) -> Result<Option<Entry>, Error> {
        let Ok(place) = id.parse::<ItemId>() else { return Ok(None) };
        let mut after = place.at.before();
        let end = Offset(place.at.0.saturating_add(FAR));
        loop {
            let events = self.reading.events(after, end, 64).await?;
            let Some(last) = events.last() else { return Ok(None) };
            after = last.offset;
            for event in &events {
                let holds = match &event.fact {
                    Fact::ModelAnswered(fact) => fact.asked == place.at,
                    Fact::ModelAborted(fact) => fact.asked == place.at,
                    _ => event.offset == place.at,
                };
                if !holds {
                    continue;
                }
                let found = self.of(event).await?.into_iter().find(|entry| entry.id == id);
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }

    /// The items of one event.
    pub(crate) async fn of(&self, event: &Event) -> Result<Vec<Entry>, Error> {
        match &event.fact {
            Fact::InputAccepted(_) => self.said(event.offset).await,
            Fact::ModelAnswered(fact) => self.answered(event, fact).await,
            Fact::ToolsListed(fact) => {
                let lists = label::lists(Some(self.reading.content(&fact.content).await?));
                let each = lists.iter().enumerate().filter_map(|(n, listed)| {
                    Entry::of(Labels::default().listed(listed, &self.stem(event.offset, n)))
                });
                Ok(each.collect())
            }
            Fact::ModelAborted(fact) if fact.kept => self.cut(event, fact).await,
            Fact::ToolStarted(fact) if fact.attempt == 1 && fact.place != Place::Client => {
                self.called(event, fact).await
            }
            Fact::ApprovalAsked(fact) if fact.deciders == Deciders::Anyone => {
                self.asked(event, fact).await
            }
            _ => Ok(Vec::new()),
        }
    }

    /// The items of an input: the results and decisions that it brought, then
    /// what it says.
    pub(crate) async fn said(&self, at: Offset) -> Result<Vec<Entry>, Error> {
        let Some(accepted) = self.reading.input(at).await? else { return Ok(Vec::new()) };
        let begun = Begun::of(&accepted.input).unwrap_or_default();
        let mut entries = self.results(&accepted.event, &begun).await?;
        for (n, decided) in begun.decided.iter().enumerate() {
            let mut value = json!({
                "id": format!("mcpa_{}", self.stem(at, DECISIONS + n)),
                "type": "mcp_approval_response",
                "approval_request_id": ids::of_approval(decided.approval),
                "approve": decided.approve,
            });
            if let Some(reason) = &decided.reason {
                value["reason"] = reason.as_str().into();
            }
            entries.extend(Entry::of(value));
        }
        let Input { items, settings, .. } = accepted.input;
        let origin = settings.map_or(Dialect::Responses, |settings| settings.request.origin);
        entries.extend(self.shown(&items, origin, at));
        Ok(entries)
    }

    /// The results are outcomes of the same write as the input.
    async fn results(&self, event: &Event, begun: &Begun) -> Result<Vec<Entry>, Error> {
        let mut entries = Vec::new();
        if begun.answers.is_empty() {
            return Ok(entries);
        }
        let end = Offset(event.offset.0.saturating_add(WINDOW));
        let after = self.reading.events(event.offset, end, 128).await?;
        let same: Vec<&Event> = after.iter().take_while(|it| it.unit == event.unit).collect();
        for (n, answered) in begun.answers.iter().enumerate() {
            let outcome = same.iter().find_map(|event| match &event.fact {
                Fact::ToolOutcome(fact) if fact.call == answered.call => Some(&fact.outcome),
                _ => None,
            });
            let Some(Outcome::Ok(content) | Outcome::Failed(content)) = outcome else { continue };
            let content = self.reading.content(content).await?;
            let mut item = Item::new(ItemBody::ToolResult(ToolResult {
                call_id: answered.call_id.clone(),
                output: freehold_runtime::content::output(&content),
                is_error: None,
                kind: ToolCallKind::Function,
                cache: None,
            }));
            if content.is_string() {
                item.extra.spell(Dialect::Responses, "content", "string");
            }
            let stem = self.stem(event.offset, RESULTS + n);
            let value = list_item(&item, Dialect::Responses, &stem, self.seals);
            entries.extend(value.and_then(Entry::of));
        }
        Ok(entries)
    }

    async fn answered(&self, event: &Event, fact: &ModelAnswered) -> Result<Vec<Entry>, Error> {
        if self.purpose(fact.asked).await? != Some(Purpose::Step) {
            return Ok(Vec::new());
        }
        let value = self.reading.content(&fact.content).await?;
        let Ok(answer) = serde_json::from_value::<Answer>(value) else { return Ok(Vec::new()) };
        let theirs = self.client_calls(event, fact.calls).await?;
        let choice = answer.choices.into_iter().next().unwrap_or_default();
        let each = choice.items.iter().enumerate().filter(|(_, item)| match &item.body {
            ItemBody::ToolCall(call) => theirs.iter().any(|id| call.call_id.starts_with(id)),
            _ => true,
        });
        let shown = each.filter_map(|(n, item)| {
            let stem = self.stem(fact.asked, n);
            Entry::of(list_item(item, answer.origin, &stem, self.seals)?)
        });
        Ok(shown.collect())
    }

    /// The calls of an answer that the client performs: those start in the
    /// same write.
    async fn client_calls(&self, event: &Event, calls: u32) -> Result<Vec<String>, Error> {
        if calls == 0 {
            return Ok(Vec::new());
        }
        let end = Offset(event.offset.0.saturating_add(256));
        let after = self.reading.events(event.offset, end, 256).await?;
        let same: Vec<&Event> = after.iter().take_while(|it| it.unit == event.unit).collect();
        let started = |call: CallId| {
            same.iter().any(|event| {
                matches!(&event.fact, Fact::ToolStarted(fact)
                    if fact.call == call && fact.place == Place::Client)
            })
        };
        let intended = same.iter().filter_map(|event| match &event.fact {
            Fact::ToolIntended(fact) if started(fact.call) => Some(fact),
            _ => None,
        });
        Ok(intended.map(|fact| fact.model_call.as_str().to_owned()).collect())
    }

    /// What a stopped attempt said.
    async fn cut(&self, event: &Event, fact: &ModelAborted) -> Result<Vec<Entry>, Error> {
        let mut fold = Fold::new(Dialect::Responses);
        let mut after = fact.asked;
        while after < event.offset {
            let events = self.reading.events(after, event.offset, 128).await?;
            let Some(last) = events.last() else { break };
            after = last.offset;
            for event in &events {
                let Fact::ModelDelta(delta) = &event.fact else { continue };
                let value = self.reading.content(&delta.content).await?;
                let said: Vec<Said> = serde_json::from_value(value).unwrap_or_default();
                for event in &said {
                    fold.event(event);
                }
            }
        }
        let Ok(answer) = fold.finish() else { return Ok(Vec::new()) };
        let items = answer.choices.into_iter().next().map(|choice| choice.items);
        let mut entries = self.shown(&items.unwrap_or_default(), Dialect::Chat, fact.asked);
        for entry in &mut entries {
            if let Some(status) = entry.value.get_mut("status") {
                *status = "incomplete".into();
            }
        }
        Ok(entries)
    }

    /// A call that Freehold performs, with how it ended if it has.
    async fn called(&self, event: &Event, fact: &ToolStarted) -> Result<Vec<Entry>, Error> {
        let Some(known) = self.known(event.offset, fact.call).await? else { return Ok(Vec::new()) };
        let mut value = Labels::default().call(&known, &self.stem(event.offset, 0));
        if let Some(outcome) = self.outcome(event.offset, fact.call).await?
            && let Some(object) = value.as_object_mut()
        {
            let content = match &outcome.outcome {
                Outcome::Ok(content) | Outcome::Failed(content) => {
                    Some(self.reading.content(content).await?)
                }
                Outcome::Refused(_) | Outcome::Unknown(_) => None,
            };
            object.extend(ended(&outcome.outcome, content.as_ref()).1);
        }
        Ok(Entry::of(value).into_iter().collect())
    }

    async fn asked(&self, event: &Event, fact: &ApprovalAsked) -> Result<Vec<Entry>, Error> {
        let Some(known) = self.known(event.offset, fact.call).await? else { return Ok(Vec::new()) };
        let id = ids::of_approval(fact.approval);
        Ok(Entry::of(Labels::default().question(&known, &id)).into_iter().collect())
    }

    async fn known(&self, before: Offset, call: CallId) -> Result<Option<Known>, Error> {
        let Some(intended) = self.intended(before, call).await? else { return Ok(None) };
        let arguments =
            self.reading.arguments(intended.answer, intended.model_call.as_str()).await?;
        let tool = intended.tool.as_str().to_owned();
        Ok(Some(Known { call, tool, arguments, approval: None }))
    }

    async fn intended(&self, before: Offset, call: CallId) -> Result<Option<ToolIntended>, Error> {
        let end = before.0.saturating_sub(FAR);
        let mut at = before;
        while at.0 > end {
            let low = Offset(at.0.saturating_sub(WINDOW));
            let events = self.reading.events(low, at, 128).await?;
            let found = events.into_iter().rev().find_map(|event| match event.fact {
                Fact::ToolIntended(fact) if fact.call == call => Some(fact),
                _ => None,
            });
            if found.is_some() {
                return Ok(found);
            }
            at = low;
        }
        Ok(None)
    }

    async fn outcome(&self, after: Offset, call: CallId) -> Result<Option<ToolOutcome>, Error> {
        let end = Offset(after.0.saturating_add(FAR));
        let mut at = after;
        loop {
            let events = self.reading.events(at, end, 128).await?;
            let Some(last) = events.last() else { return Ok(None) };
            at = last.offset;
            let found = events.into_iter().find_map(|event| match event.fact {
                Fact::ToolOutcome(fact) if fact.call == call => Some(fact),
                _ => None,
            });
            if found.is_some() {
                return Ok(found);
            }
        }
    }

    async fn purpose(&self, asked: Offset) -> Result<Option<Purpose>, Error> {
        let event = self.reading.event(asked).await?;
        Ok(event.and_then(|event| match event.fact {
            Fact::ModelAsked(fact) => Some(fact.purpose),
            _ => None,
        }))
    }

    fn shown(&self, items: &[Item], origin: Dialect, at: Offset) -> Vec<Entry> {
        let each = items.iter().enumerate().filter_map(|(n, item)| {
            Entry::of(list_item(item, origin, &self.stem(at, n), self.seals)?)
        });
        each.collect()
    }

    fn stem(&self, at: Offset, slot: usize) -> String {
        item_stem(self.reading.session, at, slot)
    }
}

/// The item itself that an id names, for another request to say again.
pub(super) async fn item_of(reading: &Reading, id: ItemId) -> Result<Option<Item>, Error> {
    let slot = usize::from(id.slot);
    if let Some(accepted) = reading.input(id.at).await? {
        return Ok(accepted.input.items.into_iter().nth(slot));
    }
    let mut after = id.at;
    let end = Offset(id.at.0.saturating_add(FAR));
    loop {
        let events = reading.events(after, end, 128).await?;
        let Some(last) = events.last() else { return Ok(None) };
        after = last.offset;
        for event in events {
            let Fact::ModelAnswered(fact) = event.fact else { continue };
            if fact.asked != id.at {
                return Ok(None);
            }
            let value = reading.content(&fact.content).await?;
            let answer = serde_json::from_value::<Answer>(value).ok();
            let choice = answer.and_then(|answer| answer.choices.into_iter().next());
            return Ok(choice.and_then(|choice| choice.items.into_iter().nth(slot)));
        }
    }
}
