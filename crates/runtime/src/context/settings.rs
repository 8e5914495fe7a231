//! The settings in force, and the call that a tool is performed for.

use std::sync::Arc;

use freehold_llm::model::Answer;
use freehold_types::Offset;
use serde::de::DeserializeOwned;

use super::{Error, Journal};
use crate::answer::{arguments, calls, wanted};
use crate::content::{About, Input, Settings};
use crate::event::{Content, Event, Fact, Hash, Name, Span};
use crate::state::State;

/// How the session's turns are run: as the last input that said so was taken
/// to, else as the session was made.
pub async fn settings(
    journal: &dyn Journal,
    state: &State,
    about: &About,
) -> Result<Arc<Settings>, Error> {
    let Some(at) = state.settings else {
        return about.settings.clone().map(|set| Arc::new(*set)).ok_or(Error::NoSettings);
    };
    let event = one(journal, at).await?;
    let Fact::InputAccepted(fact) = event.fact else {
        return Err(Error::damaged(at, "it should be an input with settings"));
    };
    let input: Input = read(journal, at, &fact.content).await?;
    let settings = input.settings.ok_or_else(|| Error::damaged(at, "its settings are missing"))?;
    let mut settings = *settings;
    if let Some(payer) = about.payer.as_ref().filter(|payer| at <= payer.up_to) {
        settings.payer = payer.key.clone();
    }
    Ok(Arc::new(settings))
}

/// The tool of a call and the canonical text of its arguments, by the event
/// that intended it. What is performed is what was approved, or nothing.
pub async fn call(journal: &dyn Journal, intended: Offset) -> Result<(Name, Arc<str>), Error> {
    let event = one(journal, intended).await?;
    let Fact::ToolIntended(fact) = event.fact else {
        return Err(Error::damaged(intended, "it should be an intended call"));
    };
    let answered = one(journal, fact.answer).await?;
    let Fact::ModelAnswered(answered) = answered.fact else {
        return Err(Error::damaged(fact.answer, "it should be an answer"));
    };
    let answer: Answer = read(journal, fact.answer, &answered.content).await?;
    let call = calls(&answer).find(|call| {
        let wanted = wanted(call);
        (wanted.model_call, wanted.tool, wanted.args)
            == (fact.model_call.clone(), fact.tool.clone(), fact.args)
    });
    let lost = || Error::damaged(intended, "the answer that it names has no such call");
    let text = arguments(call.ok_or_else(lost)?).map_err(|_| lost())?;
    if Hash::of(text.as_bytes()) != fact.args {
        return Err(Error::damaged(intended, "its arguments are not those that were intended"));
    }
    Ok((fact.tool, text.into()))
}

/// One event.
pub(super) async fn one(journal: &dyn Journal, at: Offset) -> Result<Event, Error> {
    let events = journal.events(Span { from: at, to: at }).await?;
    let found = events.into_iter().next().filter(|event| event.offset == at);
    found.ok_or_else(|| Error::damaged(at, "it is not in the journal"))
}

/// A content as what it must be.
pub(super) async fn read<T: DeserializeOwned>(
    journal: &dyn Journal,
    at: Offset,
    content: &Content,
) -> Result<T, Error> {
    let value = journal.content(content).await?;
    serde_json::from_value(value)
        .map_err(|error| Error::damaged(at, format!("its content cannot be read: {error}")))
}
