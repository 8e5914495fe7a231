//! Exchanges of this process's own: values in, events out.

use std::sync::Arc;

use freehold_control::{Limits, NewBudget, Period, Scope};
use freehold_gateway::{Asking, Said, Saying};
use freehold_llm::Dialect;
use freehold_llm::model::{
    Answer, ApiError, Event, Extra, Fold, Item, ItemBody, ReasoningRequest, Request, Role, Tool,
    ToolBody,
};
use freehold_types::{Money, TenantId, TransportFault};
use futures_util::StreamExt as _;
use serde_json::json;

use crate::samples::{DIALECTS, answer, pool, stream, until_hello};
use crate::script::{Act, Piece};
use crate::world::{PROVIDERS, World};

fn request(model: &str) -> Request {
    let mut request = Request::new(Dialect::Responses, model);
    request.items.push(Item::text(Role::User, "hi"));
    request.stream = true;
    request.store = Some(false);
    request
}

fn asking(world: &World, request: Request) -> Asking {
    Asking {
        request: Arc::new(request),
        principal: Arc::clone(&world.principal),
        request_id: "sess_1.5".into(),
        trace: None,
    }
}

async fn ask(world: &World, request: Request) -> Result<Saying, Box<ApiError>> {
    world.pass(1);
    world.skipping(Box::pin(world.gateway.ask(asking(world, request)))).await
}

/// What an answer says to its end, and what it cost.
async fn heard(world: &World, mut saying: Saying) -> (Vec<Event>, Option<Money>) {
    let (mut events, mut cost) = (Vec::new(), None);
    while let Some(said) = world.skipping(saying.next()).await {
        match said {
            Said::Event(event) => events.push(event),
            Said::Cost(money) => cost = Some(money),
        }
    }
    (events, cost)
}

fn fold(events: &[Event]) -> Answer {
    let mut fold = Fold::new(Dialect::Responses);
    for event in events {
        fold.event(event);
    }
    assert!(fold.ended(), "{events:?}");
    fold.finish().unwrap()
}

fn text(answer: &Answer) -> String {
    let items = answer.choices[0].items.iter();
    let parts = items.filter_map(|item| match &item.body {
        ItemBody::Message(message) => Some(&message.parts),
        _ => None,
    });
    parts.flatten().filter_map(|part| part.as_text()).collect()
}

fn priced(provider: &str) -> String {
    format!(
        "[routes.r]\n[[routes.r.deployments]]\nprovider = \"{provider}\"\nmodel = \"m\"\n\
         price = {{ input = \"1\", output = \"2\" }}"
    )
}

/// 10 tokens in at 1,000 nano-dollars, 5 out at 2,000.
fn whole_cost() -> Money {
    Money::from_nanos(20_000).unwrap()
}

#[tokio::test]
async fn every_dialect_is_heard_as_events_and_booked() {
    for dialect in DIALECTS {
        for act in [Act::sse(stream(dialect)), Act::json(200, answer(dialect))] {
            let world = World::new(&priced(pool(dialect))).await;
            world.script(pool(dialect), act);
            let saying = ask(&world, request("r")).await.unwrap();
            let (events, cost) = heard(&world, saying).await;
            let whole = fold(&events);
            assert_eq!((text(&whole).as_str(), &*whole.model), ("Hello there", "m"));
            assert_eq!(cost, Some(whole_cost()), "{dialect:?}");
            assert!(matches!(events.last(), Some(Event::End { .. })));
            let sent = world.wire.sent().remove(0);
            assert_eq!(sent.json()["stream"], true);
            assert_eq!(sent.header("authorization").is_some(), dialect != Dialect::Messages);
            let book = world.book().await;
            assert_eq!((book.status, book.tokens.input, book.tokens.output), (200, 10, 5));
            assert_eq!(book.cost, whole_cost());
        }
    }
}

#[tokio::test]
async fn the_cost_comes_before_the_end() {
    let world = World::new(&priced("chat")).await;
    world.script("chat", Act::sse(stream(Dialect::Chat)));
    let saying = ask(&world, request("r")).await.unwrap();
    let all: Vec<Said> = world.skipping(saying.collect()).await;
    let [.., Said::Cost(_), Said::Event(Event::End { .. })] = all.as_slice() else {
        panic!("{all:?}")
    };
    world.book().await;
}

#[tokio::test]
async fn state_stays_with_us_and_thinking_comes_sealed_where_it_was_asked_for() {
    let world = World::new("").await;
    world.script("responses", Act::sse(stream(Dialect::Responses)));
    let mut wishes = request("responses/m");
    wishes.reasoning = Some(ReasoningRequest { want_seal: true, ..ReasoningRequest::default() });
    let saying = ask(&world, wishes).await.unwrap();
    heard(&world, saying).await;
    let sent = world.wire.sent().remove(0).json();
    assert_eq!(sent["store"], false);
    assert_eq!(sent["include"][0], "reasoning.encrypted_content");
    world.book().await;
}

#[tokio::test]
async fn only_a_model_that_is_known_to_think_is_asked_for_its_thoughts() {
    for (model, known) in
        [("responses/gpt-5.4", true), ("responses/gpt-4o", false), ("responses/m", false)]
    {
        let world = World::new("").await;
        world.script("responses", Act::sse(stream(Dialect::Responses)));
        let saying = ask(&world, request(model)).await.unwrap();
        heard(&world, saying).await;
        let sent = world.wire.sent().remove(0).json();
        assert_eq!(sent["include"] == json!(["reasoning.encrypted_content"]), known, "{sent}");
        world.book().await;
    }
}

#[tokio::test]
async fn tool_calls_come_whole() {
    let world = World::new("").await;
    let chunk = |delta: &str, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\
             \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let call = |json: &str| format!("{{\"tool_calls\":[{json}]}}");
    let events = [
        chunk(
            &call(
                r#"{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}"#,
            ),
            "null",
        ),
        chunk(&call(r#"{"index":0,"function":{"arguments":"{\"a\":"}}"#), "null"),
        chunk(&call(r#"{"index":0,"function":{"arguments":"1}"}}"#), "null"),
        chunk("{}", "\"tool_calls\""),
        "data: [DONE]\n\n".to_owned(),
    ];
    world.script("chat", Act::sse(events));
    let mut wishes = request("chat/m");
    let body =
        ToolBody::Function { name: "look".into(), description: None, schema: None, strict: None };
    wishes.tools.push(Tool { body, cache: None, extra: Extra::default() });
    let saying = ask(&world, wishes).await.unwrap();
    let (events, _) = heard(&world, saying).await;
    let whole = fold(&events);
    let calls: Vec<_> = whole.choices[0]
        .items
        .iter()
        .filter_map(|item| match &item.body {
            ItemBody::ToolCall(call) => Some((&*call.call_id, &*call.name, &*call.input)),
            _ => None,
        })
        .collect();
    assert_eq!(calls, [("call_1", "look", "{\"a\":1}")]);
    assert!(world.wire.sent().remove(0).text().contains("\"look\""));
    world.book().await;
}

const TWO: &str = r#"
    [[routes.r.deployments]]
    provider = "chat"
    model = "a"
    price = { input = "1", output = "2" }
    [[routes.r.deployments]]
    provider = "messages"
    model = "b"
    price = { input = "1", output = "2" }
"#;

fn ordered() -> String {
    format!("[routes.r]\n{TWO}")
}

#[tokio::test]
async fn an_error_before_the_answer_moves_on_to_the_next() {
    for act in [
        Act::json(500, "{}"),
        Act::Fail(TransportFault::Connect),
        Act::sse(["data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n"]),
    ] {
        let world = World::new(&ordered()).await;
        world.script("chat", act);
        world.script("messages", Act::sse(stream(Dialect::Messages)));
        let saying = ask(&world, request("r")).await.unwrap();
        let (events, _) = heard(&world, saying).await;
        assert_eq!(text(&fold(&events)), "Hello there");
        let book = world.book().await;
        assert_eq!((book.status, book.attempts), (200, 2));
    }
}

#[tokio::test]
async fn a_whole_answer_that_cannot_be_read_moves_on_too() {
    let world = World::new(&ordered()).await;
    world.script("chat", Act::json(200, r#"{"choices":7}"#));
    world.script("messages", Act::sse(stream(Dialect::Messages)));
    let saying = ask(&world, request("r")).await.unwrap();
    let (events, cost) = heard(&world, saying).await;
    assert_eq!(text(&fold(&events)), "Hello there");
    let book = world.book().await;
    assert_eq!((book.attempts, book.lost.len()), (2, 1));
    assert!(cost > Some(whole_cost()), "what was lost is in it");
}

#[tokio::test]
async fn an_error_in_the_answer_is_its_last_event() {
    for dialect in DIALECTS {
        for last in [Piece::Broken, Piece::Stalled] {
            let world = World::new(&priced(pool(dialect))).await;
            let begun: Vec<_> = stream(dialect).into_iter().take(until_hello(dialect)).collect();
            world.script(pool(dialect), Act::sse(begun).then(last));
            let saying = ask(&world, request("r")).await.unwrap();
            let (events, cost) = heard(&world, saying).await;
            assert!(matches!(events.last(), Some(Event::Error(_))), "{events:?}");
            let book = world.book().await;
            assert!(book.error.is_some() && book.estimated, "{book:?}");
            assert_eq!(cost, Some(book.cost));
        }
    }
}

#[tokio::test]
async fn a_stream_without_an_end_ends_in_an_error() {
    for dialect in DIALECTS {
        let world = World::new("").await;
        let begun: Vec<_> = stream(dialect).into_iter().take(until_hello(dialect)).collect();
        world.script(pool(dialect), Act::sse(begun));
        let model = format!("{}/m", pool(dialect));
        let saying = ask(&world, request(&model)).await.unwrap();
        let (events, _) = heard(&world, saying).await;
        let Some(Event::Error(error)) = events.last() else { panic!("{events:?}") };
        assert_eq!(error.code.as_deref(), Some("upstream_truncated"));
        assert!(!events.iter().any(|event| matches!(event, Event::End { .. })));
        world.book().await;
    }
}

#[tokio::test]
async fn what_nobody_answers_is_an_error_before_anything() {
    let world = World::new("").await;
    let error = ask(&world, request("nope/m")).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("model_not_found"));
    let error = ask(&world, request("")).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("missing_model"));
    let bad = r#"{"error":{"message":"bad","type":"invalid_request_error","code":null}}"#;
    world.script("chat", Act::json(400, bad));
    let error = ask(&world, request("chat/m")).await.unwrap_err();
    assert_eq!((error.status, &*error.message), (400, "bad"));
    assert_eq!(world.book().await.status, 400);
}

#[tokio::test]
async fn what_was_lost_is_told_although_nobody_answered() {
    let route = priced("chat").replacen("[routes.r]", "[routes.r]\nretries = { max = 0 }", 1);
    let world = World::new(&route).await;
    world.script("chat", Act::Fail(TransportFault::HeadersTimeout));
    let saying = ask(&world, request("r")).await.unwrap();
    let (events, cost) = heard(&world, saying).await;
    assert!(matches!(events.as_slice(), [Event::Error(_)]), "{events:?}");
    let book = world.book().await;
    assert_eq!(cost, Some(book.lost[0].cost));
    assert!(cost > Some(Money::ZERO));
}

#[tokio::test]
async fn a_budget_that_does_not_bear_it_refuses_it() {
    let world = World::new(&priced("chat")).await;
    let budget = NewBudget {
        scope: Scope::Tenant(TenantId::main()),
        amount: Money::from_nanos(1).unwrap(),
        period: Period::Total,
    };
    world.control.create_budget(budget).await.unwrap();
    let error = ask(&world, request("r")).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("budget.exhausted"));
    assert!(world.wire.sent().is_empty() && world.books().await.is_empty());
}

#[tokio::test]
async fn limits_of_the_key_hold() {
    let limits = Limits { requests_per_minute: Some(1), ..Limits::default() };
    let world = World::with(PROVIDERS, limits, None).await;
    world.script("chat", Act::sse(stream(Dialect::Chat)));
    let saying = ask(&world, request("chat/m")).await.unwrap();
    heard(&world, saying).await;
    let error = ask(&world, request("chat/m")).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("limit.requests"));
    assert!(error.retry_after_ms.is_some());
    world.book().await;
}

#[tokio::test]
async fn dropping_it_cancels_the_upstream_and_settles() {
    for dialect in DIALECTS {
        let world = World::new(&priced(pool(dialect))).await;
        let begun: Vec<_> = stream(dialect).into_iter().take(until_hello(dialect)).collect();
        world.script(pool(dialect), Act::sse(begun).then(Piece::Hang));
        let mut saying = ask(&world, request("r")).await.unwrap();
        let mut said = String::new();
        while !said.contains("Hello") {
            let next = world.skipping(saying.next()).await.unwrap();
            said = format!("{said}{next:?}");
        }
        assert_eq!(world.wire.live(), 1);
        drop(saying);
        let book = world.book().await;
        assert_eq!((book.status, book.error.as_deref()), (499, Some("cancelled")));
        assert!(book.estimated && book.tokens.output > 0);
    }
}

#[tokio::test]
async fn dropping_the_asking_settles_too() {
    let world = World::new("").await;
    world.script("chat", Act::Hang);
    let mut ask = Box::pin(world.gateway.ask(asking(&world, request("chat/m"))));
    std::future::poll_fn(|cx| {
        assert!(ask.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(ask);
    assert_eq!(world.book().await.status, 499);
}

#[tokio::test]
async fn a_connection_that_stays_open_does_not_hold_up_the_end() {
    let world = World::new("").await;
    world.script("chat", Act::sse(stream(Dialect::Chat)).then(Piece::Hang));
    let mut saying = ask(&world, request("chat/m")).await.unwrap();
    let mut last = None;
    while let Some(said) = saying.next().await {
        last = Some(said);
    }
    assert!(matches!(last, Some(Said::Event(Event::End { .. }))));
    assert_eq!(world.book().await.status, 200);
}

#[tokio::test]
async fn a_strict_route_does_not_mind_what_a_session_adds() {
    let world = World::new("[routes.r]\nto = \"chat/m\"\nstrict = true").await;
    world.script("chat", Act::sse(stream(Dialect::Chat)));
    let mut wishes = request("r");
    wishes.items[0].id = Some("msg_1".into());
    let saying = ask(&world, wishes.clone()).await.unwrap();
    heard(&world, saying).await;
    wishes.top_k = Some(3);
    let error = ask(&world, wishes).await.unwrap_err();
    assert_eq!(error.code.as_deref(), Some("strict_loss"));
    world.books().await;
}

#[tokio::test]
async fn a_hedge_asks_a_second_one() {
    let world = World::new(&format!("[routes.r]\nhedge_after_ms = 100\n{TWO}")).await;
    world.script("chat", Act::Hang);
    world.script("messages", Act::sse(stream(Dialect::Messages)));
    let saying = ask(&world, request("r")).await.unwrap();
    let (events, _) = heard(&world, saying).await;
    assert_eq!(text(&fold(&events)), "Hello there");
    assert_eq!(world.wire.sent().len(), 2);
    world.book().await;
}
