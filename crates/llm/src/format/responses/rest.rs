//! What of a complete answer has not streamed yet.

use crate::model::{Delta, Event, Fold, Item, ItemBody, Part, PartBody, Slot, item_events};

/// The events that complete an item which came as far as `came`; `None` if
/// nothing of it came. Where the whole is not what was begun, what was
/// streamed stands.
pub(super) fn rest_of(slot: Slot, whole: &Item, came: Option<&Fold>) -> Vec<Event> {
    let mut events = Vec::new();
    item_events(slot, whole, &mut events);
    let Some(came) = came.and_then(|fold| fold.item(slot)) else { return events };
    events.retain_mut(|event| match event {
        Event::ItemStart { .. } => false,
        Event::PartStart { part, .. } => part_of(came, *part).is_none(),
        Event::Delta { part, delta, .. } => is_left(came, *part, delta),
        _ => true,
    });
    events
}

fn part_of(item: &Item, at: u32) -> Option<&Part> {
    match &item.body {
        ItemBody::Message(message) => message.parts.get(at as usize),
        _ => None,
    }
}

/// Leaves of a delta what did not come; whether that is anything.
fn is_left(came: &Item, at: u32, delta: &mut Delta) -> bool {
    let part = part_of(came, at).map(|part| &part.body);
    match (delta, &came.body, part) {
        (Delta::Text(whole), _, Some(PartBody::Text { text, .. }))
        | (Delta::Refusal(whole), _, Some(PartBody::Refusal(text))) => cut(whole, text),
        (Delta::Logprobs(whole), _, Some(PartBody::Text { logprobs: Some(came), .. })) => {
            whole.drain(..came.len().min(whole.len()));
            !whole.is_empty()
        }
        (Delta::Annotation(one), _, Some(PartBody::Text { annotations, .. })) => {
            !annotations.contains(one)
        }
        (Delta::Reasoning(whole), ItemBody::Reasoning(reasoning), _) => {
            reasoning.text.get(at as usize).is_none_or(|came| cut(whole, came))
        }
        (Delta::Summary(whole), ItemBody::Reasoning(reasoning), _) => {
            reasoning.summary.get(at as usize).is_none_or(|came| cut(whole, came))
        }
        (Delta::Seal(_), ItemBody::Reasoning(reasoning), _) => reasoning.seal.is_none(),
        (Delta::Input(whole), ItemBody::ToolCall(call), _) => cut(whole, &call.input),
        (Delta::Text(_) | Delta::Refusal(_) | Delta::Input(_), _, Some(_)) => false,
        _ => true,
    }
}

/// Takes what came off the front; whether anything is left.
fn cut(whole: &mut String, came: &str) -> bool {
    match whole.strip_prefix(came) {
        Some(rest) => *whole = rest.to_owned(),
        None => whole.clear(),
    }
    !whole.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Answer, Choice, Extra};
    use crate::model::{Dialect, Reasoning, Role, events_of};

    const SLOT: Slot = Slot { choice: 0, item: 0 };

    fn events(item: &Item) -> Vec<Event> {
        let choice = Choice { items: vec![item.clone()], ..Choice::default() };
        let answer = Answer {
            origin: Dialect::Chat,
            id: String::new(),
            model: String::new(),
            created: None,
            choices: vec![choice],
            usage: None,
            service_tier: None,
            extra: Extra::default(),
        };
        events_of(&answer)
    }

    #[test]
    fn what_came_and_the_rest_make_the_whole_wherever_it_was_cut() {
        let thought = Reasoning { text: vec!["abc".into()], ..Reasoning::default() };
        for whole in [Item::text(Role::Assistant, "hello"), Item::new(ItemBody::Reasoning(thought))]
        {
            let all = events(&whole);
            for cut in 0..all.len() {
                let mut fold = Fold::new(Dialect::Chat);
                all.iter().take(cut).for_each(|event| fold.event(event));
                let began = fold.item(SLOT).is_some();
                let rest = rest_of(SLOT, &whole, began.then_some(&fold));
                for event in &rest {
                    fold.event(event);
                }
                assert_eq!(fold.item(SLOT), Some(&whole), "cut at {cut}");
            }
        }
    }

    #[test]
    fn half_a_text_is_completed_and_another_text_is_not_mixed_in() {
        let whole = Item::text(Role::Assistant, "hello");
        let mut fold = Fold::new(Dialect::Chat);
        fold.event(&Event::ItemStart { slot: SLOT, head: Item::text(Role::Assistant, "he") });
        let texts = |whole: &Item, fold: &Fold| {
            let rest = rest_of(SLOT, whole, Some(fold));
            rest.into_iter()
                .filter_map(|event| match event {
                    Event::Delta { delta: Delta::Text(text), .. } => Some(text),
                    _ => None,
                })
                .collect::<String>()
        };
        assert_eq!(texts(&whole, &fold), "llo");
        assert_eq!(texts(&Item::text(Role::Assistant, "other"), &fold), "");
    }
}
