//! A response as the journal has it: from its beginning to wherever it stands,
//! and on from there as it happens.

use std::collections::VecDeque;
use std::sync::Arc;

use freehold_llm::model::{Answer, ItemBody};
use freehold_runtime::content::Input;
use freehold_runtime::event::{Content, Event, Fact};
use freehold_runtime::sessions::{Error, Sessions, Tail};
use freehold_types::{Offset, SessionId, TenantId};
use serde_json::Value;

use super::Failure;
use super::begun::{Begun, Decided};
use super::follow::{Beginning, Follower, Known};
use super::ids::ResponseId;

/// Reads of one session, in the name of its tenant.
#[derive(Clone)]
pub(crate) struct Reading {
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
}

/// An input, and the event that accepted it.
pub(super) struct Accepted {
    pub(super) event: Event,
    pub(super) input: Input,
}

/// A response and what comes of it.
pub(super) struct Following {
    pub(super) reading: Reading,
    pub(super) follower: Follower,
    tail: Tail,
    /// Events that came and are not told yet.
    came: VecDeque<Arc<Event>>,
}

impl Reading {
    /// One event.
    pub(crate) async fn event(&self, at: Offset) -> Result<Option<Event>, Error> {
        Ok(self.events(at.before(), at, 1).await?.pop())
    }

    /// Events after one offset, up to another.
    pub(crate) async fn events(
        &self,
        after: Offset,
        up_to: Offset,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        self.sessions.read(&self.tenant, self.session, after, up_to, limit).await
    }

    /// The content of an event.
    pub(crate) async fn content(&self, content: &Content) -> Result<Value, Error> {
        self.sessions.content(&self.tenant, self.session, content).await
    }

    /// The input at an offset; `None` if there is none.
    pub(super) async fn input(&self, at: Offset) -> Result<Option<Accepted>, Error> {
        let Some(event) = self.event(at).await? else { return Ok(None) };
        let Fact::InputAccepted(fact) = &event.fact else { return Ok(None) };
        let value = self.content(&fact.content).await?;
        let input = serde_json::from_value(value)
            .map_err(|error| Error::Content(format!("the input at {at} is none: {error}")))?;
        Ok(Some(Accepted { event, input }))
    }

    /// The call that an event intended.
    pub(super) async fn call(&self, decided: &Decided) -> Result<Option<Known>, Error> {
        let Some(event) = self.event(decided.intended).await? else { return Ok(None) };
        let Fact::ToolIntended(fact) = event.fact else { return Ok(None) };
        let arguments = self.arguments(fact.answer, fact.model_call.as_str()).await?;
        Ok(Some(Known {
            call: decided.call,
            tool: fact.tool.as_str().to_owned(),
            arguments,
            approval: Some(decided.approval),
        }))
    }

    /// The arguments of a call, as the model wrote them.
    pub(super) async fn arguments(
        &self,
        answer: Offset,
        model_call: &str,
    ) -> Result<String, Error> {
        let Some(event) = self.event(answer).await? else { return Ok(String::new()) };
        let Fact::ModelAnswered(fact) = &event.fact else { return Ok(String::new()) };
        let answer: Answer = match serde_json::from_value(self.content(&fact.content).await?) {
            Ok(answer) => answer,
            Err(_) => return Ok(String::new()),
        };
        let items = answer.choices.into_iter().next().map(|choice| choice.items);
        let call = items.into_iter().flatten().find_map(|item| match item.body {
            ItemBody::ToolCall(call) if call.call_id.starts_with(model_call) => Some(call.input),
            _ => None,
        });
        Ok(call.unwrap_or_default())
    }

    /// A response from its beginning; what it tells first goes to `out`. Not
    /// found if no response begins there.
    pub(super) async fn follow(
        &self,
        begin: Offset,
        out: &mut Vec<u8>,
    ) -> Result<Following, Failure> {
        let id = ResponseId { session: self.session, begin };
        let missing = || Failure::not_found("Response", &id.to_string());
        let accepted = match self.input(begin).await {
            Ok(accepted) => accepted.ok_or_else(missing)?,
            Err(Error::NotFound) => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        let begun = Begun::of(&accepted.input).ok_or_else(missing)?;
        let settings = accepted.input.settings.ok_or_else(missing)?;
        let mut calls = Vec::new();
        for decided in begun.decided.iter().filter(|decided| decided.approve) {
            calls.extend(self.call(decided).await?);
        }
        let created = accepted.event.at.as_second();
        let beginning = Beginning { id, created, begun, settings: &settings, calls };
        let follower = Follower::begin(beginning, out);
        let tail = self.sessions.tail(&self.tenant, self.session, begin);
        Ok(Following { reading: self.clone(), follower, tail, came: VecDeque::new() })
    }
}

impl Following {
    /// Waits for what comes next of the session and tells what it means.
    /// May be dropped while it waits: it waits only before it tells anything,
    /// and an event is there until it is told.
    pub(super) async fn step(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if self.came.is_empty() {
            self.came.extend(self.tail.next().await?);
        }
        let mut has_told = false;
        while let Some(event) = self.came.front() {
            let content = match self.follower.needs(event) {
                Some(Content::Inline(value)) => Some(value.clone()),
                Some(Content::Blob { .. }) if has_told => return Ok(()),
                Some(blob) => Some(self.reading.content(blob).await?),
                None => None,
            };
            let Some(event) = self.came.pop_front() else { return Ok(()) };
            self.follower.event(&event, content, out);
            has_told = true;
        }
        Ok(())
    }

    /// Goes on to its end, or up to an offset of the journal.
    pub(super) async fn run_to(&mut self, head: Offset) -> Result<(), Error> {
        let mut untold = Vec::new();
        while !self.follower.is_over() && (self.tail.at() < head || !self.came.is_empty()) {
            self.step(&mut untold).await?;
            untold.clear();
        }
        Ok(())
    }
}
