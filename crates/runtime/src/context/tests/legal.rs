//! What clients and models say, put right without a journal around it.

use freehold_llm::model::{
    CacheMark, Dialect, Item, ItemBody, Message, Part, Reasoning, Request, Role, Seal, ToolCall,
    ToolCallKind, ToolResult,
};
use freehold_types::Offset;

use super::assembled::told;
use super::chance::check_legal;
use crate::context::legal::{Pieces, Told};
use crate::context::words;
use crate::tests::desk::at;

fn call(id: &str) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: id.into(),
        name: "f".into(),
        input: "{}".into(),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn result(id: &str, text: &str) -> Item {
    Item::new(ItemBody::ToolResult(ToolResult {
        call_id: id.into(),
        output: vec![Part::text(text)],
        is_error: None,
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn thought(text: &str, sealed: bool) -> Item {
    let seal = sealed.then(|| Seal {
        dialect: Dialect::Responses,
        hides: true,
        data: "sealed".into(),
        item_id: Some("rs_1".into()),
    });
    let body = Reasoning { text: vec![text.into()], summary: Vec::new(), seal };
    Item { id: Some("rs_1".into()), ..Item::new(ItemBody::Reasoning(body)) }
}

fn line(said: Vec<Vec<Item>>) -> Vec<Item> {
    let mut pieces = Pieces::default();
    for items in said {
        pieces.said(items);
    }
    let (items, _) = pieces.into_items(&[]);
    let mut request = Request::new(Dialect::Responses, "m");
    request.items = items;
    check_legal(&request, true);
    request.items
}

#[test]
fn a_client_s_own_history_is_put_right() {
    let user = |text: &str| Item::text(Role::User, text);
    let items = line(vec![
        vec![
            user("a"),
            call("x"),
            call("y"),
            result("x", "1"),
            call("z"),
            result("y", "2"),
            result("z", "3"),
            result("lost", "4"),
            user("b"),
            call("open"),
            user(" "),
        ],
        vec![result("open", "late"), call("x"), result("x", "again")],
    ]);
    let all = told(&items);
    assert_eq!(
        all,
        [
            "user: a".to_owned(),
            "call x f".to_owned(),
            "call y f".to_owned(),
            "result x 1".to_owned(),
            "result y 2".to_owned(),
            "call z f".to_owned(),
            "result z 3".to_owned(),
            "user: b".to_owned(),
            "call open f".to_owned(),
            format!("result open {}", words::NOT_KEPT),
            format!("user: {} | 4", words::KEPT_RESULT),
            "call call_4 f".to_owned(),
            "result call_4 again".to_owned(),
            format!("user: {} | late", words::KEPT_RESULT),
        ]
    );
}

#[test]
fn ids_and_marks_of_a_cache_are_left_out() {
    let mark = Some(CacheMark { ttl: None });
    let mut said = Item { id: Some("msg_1".into()), ..Item::text(Role::User, "a") };
    if let ItemBody::Message(Message { parts, .. }) = &mut said.body {
        parts[0].cache.clone_from(&mark);
    }
    let items = line(vec![vec![Item { joined: true, ..said }]]);
    assert_eq!(items, [Item::text(Role::User, "a")]);
}

#[test]
fn sealed_thinking_stays_and_other_thinking_lasts_a_turn() {
    let mut pieces = Pieces::default();
    let text = |text: &str| Item::text(Role::Assistant, text);
    let user = |text: &str| vec![Item::text(Role::User, text)];
    pieces.said(user("a"));
    pieces.answer(Offset(1), vec![thought("s1", true), thought("u1", false), text("b")]);
    pieces.said(user("c"));
    pieces.answer(Offset(2), vec![thought("s2", true), thought("u2", false), text(""), call("x")]);
    pieces.answer(Offset(3), vec![text("d"), thought("end", true)]);
    let (items, calls) = pieces.into_items(&[]);
    assert!(calls);
    assert_eq!(
        told(&items),
        [
            "user: a",
            "thought: s1",
            "model: b",
            "user: c",
            "thought: s2",
            "thought: u2",
            "call x f",
            &format!("result x {}", words::NOT_KEPT),
            "model: d"
        ]
    );
    assert_eq!(items[1].id.as_deref(), Some("rs_1"), "what a seal is checked with");
    assert_eq!(items[5].id, None);
}

#[test]
fn a_result_without_its_answer_is_given_back() {
    let mut pieces = Pieces::default();
    let call = freehold_types::CallId::from_parts(at(0), &[1; 10]);
    assert!(pieces.observed(call, Told::failed_with("no")).is_err());
}
