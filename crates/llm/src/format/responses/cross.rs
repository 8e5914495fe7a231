//! An answer of another dialect in the form of this one.
//!
//! Thinking that another dialect shows becomes a summary: of the two forms
//! that this dialect has, it is the one whose stream events OpenAI and Open
//! Responses name alike and clients display. Its seal rides in
//! `encrypted_content`; thinking without a seal gets an empty envelope, so
//! that [`super::item`] knows a summary of ours when a client sends it back,
//! and gives the thinking its own form again.

use super::OURS;
use crate::IdSource;
use crate::model::{
    Answer, Choice, Dialect, Extra, Item, ItemBody, Part, PartBody, Reasoning, Role, Seal,
    ToolCallKind,
};

/// The answer with ids of this dialect and only what it can say: the first
/// choice, messages, reasoning and calls.
pub(super) fn answer(answer: &Answer, ids: &mut IdSource) -> Answer {
    let choice = answer.choices.first().cloned().unwrap_or_default();
    let id = ids.next("resp_");
    let items = choice.items.into_iter().filter_map(|item| self::item(item, ids)).collect();
    Answer {
        origin: OURS,
        id,
        model: answer.model.clone(),
        created: answer.created,
        choices: vec![Choice { items, stop: choice.stop, extra: Extra::default() }],
        usage: answer.usage.clone(),
        service_tier: answer.service_tier.clone(),
        extra: Extra::default(),
    }
}

/// One item; `None` for what this dialect cannot say.
pub(super) fn item(mut item: Item, ids: &mut IdSource) -> Option<Item> {
    let prefix = prefix(&item.body)?;
    match &mut item.body {
        ItemBody::Message(message) => {
            message.role = Role::Assistant;
            let parts = std::mem::take(&mut message.parts);
            message.parts = parts.into_iter().filter_map(part).collect();
        }
        ItemBody::Reasoning(reasoning) => {
            show(reasoning);
            item.extra = Extra::default();
            let theirs = reasoning.seal.as_ref().filter(|s| s.dialect == OURS);
            let id = theirs.and_then(|s| s.item_id.clone());
            item.id = Some(id.unwrap_or_else(|| ids.next(prefix)));
            return Some(item);
        }
        _ => {}
    }
    item.id = Some(ids.next(prefix));
    item.extra = Extra::default();
    Some(item)
}

/// What ids of such items begin with; `None` for those that cannot be said.
pub(super) fn prefix(body: &ItemBody) -> Option<&'static str> {
    match body {
        ItemBody::Message(_) => Some("msg_"),
        ItemBody::Reasoning(_) => Some("rs_"),
        ItemBody::ToolCall(call) => Some(match call.kind {
            ToolCallKind::Function => "fc_",
            ToolCallKind::Custom => "ctc_",
        }),
        ItemBody::ToolResult(_) | ItemBody::Native { .. } => None,
    }
}

/// One part; `None` for what an answer of this dialect cannot hold.
pub(super) fn part(mut part: Part) -> Option<Part> {
    part.extra = Extra::default();
    part.cache = None;
    matches!(part.body, PartBody::Text { .. } | PartBody::Refusal(_)).then_some(part)
}

/// Thinking as a summary, with an envelope that says so. A summary stays one.
pub(super) fn show(reasoning: &mut Reasoning) {
    let texts = std::mem::take(&mut reasoning.text);
    if texts.is_empty() {
        return;
    }
    reasoning.summary.extend(texts);
    if reasoning.seal.is_none() {
        reasoning.seal = Some(envelope());
    }
}

/// The seal of thinking that has none: Chat's form of thinking.
pub(super) fn envelope() -> Seal {
    Seal { dialect: Dialect::Chat, hides: false, data: String::new(), item_id: None }
}
