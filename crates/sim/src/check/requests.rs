//! What was acknowledged is in the journal, once; what was refused is not.

use std::collections::BTreeMap;

use freehold_runtime::event::{Content, Event, Fact, LapseReason, Outcome, TimerPurpose};
use freehold_types::SessionId;

use super::Told;
use crate::book::{Book, Request, WORD};
use crate::world::{World, lock};

pub(super) fn check(world: &World, all: &BTreeMap<SessionId, Told>) {
    let mut said: BTreeMap<String, Vec<(SessionId, u64)>> = BTreeMap::new();
    for (session, told) in all {
        for event in told.journal.own() {
            let content = brought(&event.fact);
            let content = content.and_then(|content| told.journal.content(world, content).ok());
            if let Some(word) = content.as_ref().and_then(word_in) {
                said.entry(word).or_default().push((*session, event.offset.0));
            }
        }
    }
    let book = lock(&world.book);
    let mut wrong = Vec::new();
    for (word, request) in &book.requests {
        let places = said.remove(word).unwrap_or_default();
        if let Some(why) = unlike(request, &places, &book) {
            wrong
                .push(format!("the input {word}: {why}; it is at {places:?}, sent as {request:?}"));
        }
    }
    wrong.extend(decisions(&book, all));
    wrong.extend(answers(&book, all));
    drop(book);
    for (word, _) in said {
        wrong.push(format!("nobody sent the input {word}"));
    }
    for wrong in wrong {
        world.wrong(wrong);
    }
}

/// The content that a client brought with a fact.
fn brought(fact: &Fact) -> Option<&Content> {
    match fact {
        Fact::InputAccepted(input) => Some(&input.content),
        Fact::SignalReceived(signal) => Some(&signal.content),
        Fact::TimerSet(set) => match &set.purpose {
            TimerPurpose::Input(content) => Some(content),
            TimerPurpose::Call(_) => None,
        },
        _ => None,
    }
}

fn word_in(content: &serde_json::Value) -> Option<String> {
    let text = content.to_string();
    let number = text.split(WORD).nth(1)?.split('-').next()?;
    Some(format!("{WORD}{number}-"))
}

/// How a request and the journals disagree.
fn unlike(request: &Request, places: &[(SessionId, u64)], book: &Book) -> Option<&'static str> {
    let gone = |session: SessionId| {
        book.deleted.contains(&session) || book.maybe_deleted.contains(&session)
    };
    if request.session.is_some_and(gone) {
        return None;
    }
    let (found, acks) = (places.len(), request.acks.len());
    if request.is_keyed {
        if found > 1 {
            return Some("it is there twice, although it has a key");
        }
        if acks > 0 && found == 0 {
            return Some("it was acknowledged and is not there");
        }
    } else if found < acks {
        return Some("it was acknowledged and is not there");
    } else if found > acks + request.maybe as usize {
        return Some("it is there more often than it was sent");
    }
    let offset = places.first().map(|(_, offset)| *offset)?;
    let amiss = |(first, head, _): &(u64, u64, bool)| *first > offset || *head < offset;
    if request.is_keyed && request.acks.iter().any(amiss) {
        return Some("it is not where its receipt says");
    }
    None
}

fn decisions(book: &Book, all: &BTreeMap<SessionId, Told>) -> Vec<String> {
    let lost = book.decided.iter().filter(|(session, approval, verdict)| {
        let Some(told) = all.get(session) else { return false };
        !told.journal.events.iter().any(|Event { fact, .. }| match fact {
            Fact::ApprovalDecided(decided) => {
                decided.approval == *approval && decided.verdict == *verdict
            }
            // Asked anew, for it was about what is no more.
            Fact::ApprovalLapsed(lapsed) => {
                lapsed.approval == *approval && lapsed.reason == LapseReason::Changed
            }
            _ => false,
        })
    });
    lost.map(|decided| format!("the decision {decided:?} was acknowledged and is not there"))
        .collect()
}

fn answers(book: &Book, all: &BTreeMap<SessionId, Told>) -> Vec<String> {
    let lost = book.answered.iter().filter(|(session, call, word)| {
        let Some(told) = all.get(session) else { return false };
        !told.journal.events.iter().any(|Event { fact, .. }| match fact {
            Fact::ToolOutcome(outcome) if outcome.call == *call => {
                matches!(&outcome.outcome, Outcome::Ok(Content::Inline(text)) if text == word)
            }
            _ => false,
        })
    });
    lost.map(|answer| format!("the answer {answer:?} was acknowledged and is not there")).collect()
}
