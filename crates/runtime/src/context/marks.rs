//! Marks for a provider's prompt cache: after what is the same in each request
//! of a session, and at the end, up to which the next request repeats this one.
//!
//! Where a dialect knows no marks its codec leaves them out.

use freehold_llm::model::{CacheMark, ItemBody, Part, Request};

/// As many as a provider takes in one request.
const MARKS_MAX: usize = 4;

/// Sets the marks. Those of the client's own stay and count.
pub(super) fn set(request: &mut Request) {
    let client = request.tools.iter().filter(|tool| tool.cache.is_some()).count()
        + request.instructions.iter().filter(|part| part.cache.is_some()).count();
    let mut left = MARKS_MAX.saturating_sub(client);
    if left > 0 && mark_end(request) {
        left -= 1;
    }
    if left > 0 {
        mark_head(request);
    }
}

/// What is said last: a result, or the words of whoever talks to the model.
fn mark_end(request: &mut Request) -> bool {
    let last = request.items.iter_mut().rev().find_map(|item| match &mut item.body {
        ItemBody::ToolResult(result) => Some(&mut result.cache),
        ItemBody::Message(message) => last_text(&mut message.parts),
        _ => None,
    });
    last.is_some_and(|cache| {
        cache.get_or_insert_with(mark);
        true
    })
}

/// Tools come before standing orders, so the last of those covers both.
fn mark_head(request: &mut Request) {
    let tools = request.tools.last_mut().map(|tool| &mut tool.cache);
    if let Some(cache) = last_text(&mut request.instructions).or(tools) {
        cache.get_or_insert_with(mark);
    }
}

fn last_text(parts: &mut [Part]) -> Option<&mut Option<CacheMark>> {
    let texts = parts.iter_mut().rev().find(|part| part.as_text().is_some());
    texts.map(|part| &mut part.cache)
}

fn mark() -> CacheMark {
    CacheMark { ttl: None }
}

#[cfg(test)]
mod tests {
    use freehold_llm::model::{Dialect, Item, Role, Tool, ToolBody, ToolCallKind, ToolResult};

    use super::*;

    fn tool(cache: Option<CacheMark>) -> Tool {
        let body =
            ToolBody::Function { name: "f".into(), description: None, schema: None, strict: None };
        Tool { body, cache, extra: freehold_llm::model::Extra::default() }
    }

    fn request() -> Request {
        let mut request = Request::new(Dialect::Responses, "m");
        request.tools = vec![tool(None)];
        request.items = vec![Item::text(Role::User, "a"), Item::text(Role::Assistant, "b")];
        request
    }

    fn marks(request: &Request) -> usize {
        let parts = |parts: &[Part]| parts.iter().filter(|part| part.cache.is_some()).count();
        let items = request.items.iter().map(|item| match &item.body {
            ItemBody::Message(message) => parts(&message.parts),
            ItemBody::ToolResult(result) => usize::from(result.cache.is_some()),
            _ => 0,
        });
        let tools = request.tools.iter().filter(|tool| tool.cache.is_some()).count();
        items.sum::<usize>() + tools + parts(&request.instructions)
    }

    #[test]
    fn head_and_end_are_marked() {
        let mut plain = request();
        set(&mut plain);
        assert!(plain.tools[0].cache.is_some());
        assert_eq!(marks(&plain), 2);

        let mut ordered = request();
        ordered.instructions = vec![Part::text("be brief")];
        let result = ToolResult {
            call_id: "c".into(),
            output: vec![Part::text("4")],
            is_error: None,
            kind: ToolCallKind::Function,
            cache: None,
        };
        ordered.items.push(Item::new(ItemBody::ToolResult(result)));
        set(&mut ordered);
        assert!(ordered.instructions[0].cache.is_some() && ordered.tools[0].cache.is_none());
        assert!(matches!(&ordered.items[2].body, ItemBody::ToolResult(r) if r.cache.is_some()));
    }

    #[test]
    fn there_are_never_more_than_a_provider_takes() {
        for of_client in 0..8 {
            let mut request = request();
            request.tools = vec![tool(Some(mark())); of_client];
            request.instructions = vec![Part::text("be brief")];
            set(&mut request);
            assert_eq!(marks(&request), (of_client + 2).min(MARKS_MAX).max(of_client));
        }
        let mut empty = Request::new(Dialect::Responses, "m");
        set(&mut empty);
        assert_eq!(marks(&empty), 0);
    }
}
