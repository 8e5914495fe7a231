//! A context that is longer than a model takes, where the client allows that
//! its beginning is left out (`truncation: auto`).

use freehold_llm::estimate::input_tokens;
use freehold_llm::model::{Dialect, Item, ItemBody, Request, Role};

use super::request::note;
use super::words;

/// The request without about a quarter of its conversation, the oldest; `None`
/// if nothing can be left out. Standing orders stay, what is said last stays,
/// and calls stay with their results.
pub fn without_oldest(request: &Request) -> Option<Request> {
    let items = &request.items;
    let goal = items.iter().map(tokens).fold(0, u64::saturating_add) / 4;
    let (mut before, mut at) = (0_u64, None);
    for (index, item) in items.iter().enumerate() {
        if index > 0 && begins(item) {
            at = Some(index);
            if before >= goal {
                break;
            }
        }
        before = before.saturating_add(tokens(item));
    }
    let (dropped, kept) = items.split_at_checked(at?)?;
    let is_order = |item: &&Item| order(item);
    let is_left_out = |item: &Item| *item == note(words::LEFT_OUT);
    if dropped.iter().all(|item| order(item) || is_left_out(item)) {
        return None;
    }
    let mut left: Vec<Item> = dropped.iter().filter(is_order).cloned().collect();
    left.push(note(words::LEFT_OUT));
    left.extend_from_slice(kept);
    Some(Request { items: left, ..request.clone() })
}

/// Of one item.
fn tokens(item: &Item) -> u64 {
    let mut alone = Request::new(Dialect::Responses, "");
    alone.items.push(item.clone());
    input_tokens(&alone)
}

/// Whether a conversation may begin with it: somebody speaks who is no model,
/// and no result of a call is torn from it.
fn begins(item: &Item) -> bool {
    matches!(&item.body, ItemBody::Message(message) if message.role == Role::User) && !item.joined
}

/// Standing orders that stand in the conversation.
fn order(item: &Item) -> bool {
    let ItemBody::Message(message) = &item.body else { return false };
    !matches!(message.role, Role::User | Role::Assistant)
}

#[cfg(test)]
mod tests {
    use freehold_llm::model::{Part, ToolCall, ToolCallKind, ToolResult};

    use super::*;

    fn call() -> [Item; 2] {
        let call = ToolCall {
            call_id: "c".into(),
            name: "f".into(),
            input: "{}".into(),
            kind: ToolCallKind::Function,
            cache: None,
        };
        let result = ToolResult {
            call_id: "c".into(),
            output: vec![Part::text("4")],
            is_error: None,
            kind: ToolCallKind::Function,
            cache: None,
        };
        [Item::new(ItemBody::ToolCall(call)), Item::new(ItemBody::ToolResult(result))]
    }

    #[test]
    fn the_oldest_goes_first_and_orders_and_the_end_stay() {
        let mut request = Request::new(Dialect::Responses, "m");
        let long = |n: usize| Item::text(Role::User, format!("{n} ").repeat(400));
        request.items.push(Item::text(Role::System, "be brief"));
        for n in 0..8 {
            request.items.push(long(n));
            request.items.extend(call());
        }
        let mut rounds = 0;
        while let Some(shorter) = without_oldest(&request) {
            assert!(input_tokens(&shorter) < input_tokens(&request));
            assert_eq!(shorter.items[0], request.items[0]);
            assert_eq!(shorter.items[1], note(words::LEFT_OUT));
            assert!(begins(&shorter.items[2]), "a call is torn from its result");
            assert_eq!(shorter.items.last(), request.items.last());
            request = shorter;
            rounds += 1;
        }
        assert!((3..=8).contains(&rounds), "{rounds}");
        assert_eq!(request.items.len(), 5);
    }

    #[test]
    fn one_input_is_never_cut() {
        let mut request = Request::new(Dialect::Responses, "m");
        assert_eq!(without_oldest(&request), None);
        request.items = vec![Item::text(Role::User, "a"), Item::text(Role::Assistant, "b")];
        assert_eq!(without_oldest(&request), None);
    }
}
