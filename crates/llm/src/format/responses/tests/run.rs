//! Responses that are made of several answers.

use serde_json::{Map, Value, json};

use crate::Codec as _;
use crate::format::responses::{End, Responses, Run, RunHead};
use crate::model::{
    Answer, Choice, Delta, Dialect, Event, Extra, Item, ItemBody, Request, Role, Slot, Stop,
    StopReason, ToolCall, ToolCallKind, Usage, events_of,
};

fn request() -> Request {
    let body = json!({
        "model": "m", "input": "x",
        "tools": [{"type": "function", "name": "mine", "parameters": {}}],
    });
    Responses.decode_request(body.to_string().as_bytes()).unwrap()
}

fn run(request: &Request) -> Run {
    let over = Map::from_iter([("store".to_owned(), true.into())]);
    Run::new(RunHead {
        id: "resp_1".into(),
        request,
        created: 100,
        over,
        tools: Vec::new(),
        seals: false,
    })
}

fn call(name: &str) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: format!("c_{name}"),
        name: name.into(),
        input: "{}".into(),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn answer(items: Vec<Item>, stop: StopReason) -> Answer {
    Answer {
        origin: Dialect::Chat,
        id: "a".into(),
        model: "up".into(),
        created: None,
        choices: vec![Choice { items, stop: Some(Stop::new(stop)), extra: Extra::default() }],
        usage: Some(Usage { input: 3, output: 4, ..Usage::default() }),
        service_tier: None,
        extra: Extra::default(),
    }
}

/// The events of a stream, checked for what every stream keeps.
fn told(out: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(out).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> = data.map(|data| serde_json::from_str(data).unwrap()).collect();
    let mut open = Vec::new();
    let mut added = 0;
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{event}");
        let index = event["output_index"].as_u64();
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(index, Some(added), "{event}");
                added += 1;
                open.push(index);
            }
            "response.output_item.done" => {
                assert!(open.contains(&index), "not open: {event}");
                open.retain(|one| *one != index);
            }
            _ => assert!(index.is_none() || open.contains(&index), "not open: {event}"),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    events
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn an_answer_that_did_not_stream_is_told_as_one_that_did() {
    let request = request();
    let whole =
        answer(vec![Item::text(Role::Assistant, "hello"), call("mine")], StopReason::ToolCalls);
    let all = events_of(&whole);
    let mut ends = Vec::new();
    for came in [0, 1, 3, all.len()] {
        let (mut run, mut out) = (run(&request), Vec::new());
        run.created(false, &mut out);
        run.asked("0a");
        all.iter().take(came).for_each(|event| run.event(event, &mut out));
        run.answered(&whole, &mut out);
        run.end(End::Done, 200, &mut out);
        let events = told(&out);
        let end = events.last().unwrap();
        assert_eq!(end["type"], "response.completed");
        assert_eq!(end["response"], run.response());
        ends.push(end["response"].clone());
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
    let end = &ends[0];
    assert_eq!(end["output"][0]["id"], "msg_0a0000");
    assert_eq!(end["output"][0]["content"][0]["text"], "hello");
    assert_eq!(
        (&end["output"][1]["id"], &end["output"][1]["name"]),
        (&json!("fc_0a0001"), &json!("mine"))
    );
    assert_eq!((&end["store"], &end["usage"]["total_tokens"]), (&json!(true), &json!(7)));
    assert_eq!(end["completed_at"], 200);
}

#[test]
fn an_attempt_that_was_made_anew_is_closed_and_does_not_count() {
    let request = request();
    let slot = Slot::default();
    let half = [
        Event::ItemStart { slot, head: Item::new(Item::text(Role::Assistant, "").body) },
        Event::Delta { slot, part: 0, delta: Delta::Text("hel".into()) },
    ];
    let (mut run, mut out) = (run(&request), Vec::new());
    run.created(false, &mut out);
    run.asked("0a");
    for event in &half {
        run.event(event, &mut out);
    }
    run.aborted(false, &mut out);
    run.asked("0b");
    run.answered(&answer(vec![Item::text(Role::Assistant, "hello")], StopReason::End), &mut out);
    run.end(End::Done, 200, &mut out);
    let events = told(&out);
    let done: Vec<_> = events.iter().filter(|e| e["type"] == "response.output_item.done").collect();
    assert_eq!(
        (&done[0]["item"]["id"], &done[0]["item"]["status"]),
        (&json!("msg_0a0000"), &json!("incomplete"))
    );
    assert_eq!(
        (&done[1]["item"]["id"], &done[1]["item"]["status"]),
        (&json!("msg_0b0000"), &json!("completed"))
    );
    assert_eq!(done[1]["output_index"], 1);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output.as_array().unwrap().len(), 1);
    assert_eq!(output[0]["id"], "msg_0b0000");
}

#[test]
fn what_a_cancelled_attempt_said_is_kept() {
    let request = request();
    let slot = Slot::default();
    let (mut run, mut out) = (run(&request), Vec::new());
    run.created(true, &mut out);
    run.begun(&mut out);
    run.asked("0a");
    run.event(&Event::ItemStart { slot, head: Item::text(Role::Assistant, "") }, &mut out);
    run.event(&Event::Delta { slot, part: 0, delta: Delta::Text("hel".into()) }, &mut out);
    assert_eq!(run.response()["status"], "in_progress");
    run.aborted(true, &mut out);
    run.end(End::Cancelled, 200, &mut out);
    let events = told(&out);
    let kinds = kinds(&events);
    assert_eq!(kinds[..3], ["response.created", "response.queued", "response.in_progress"]);
    assert_eq!(kinds.last(), Some(&"response.incomplete"));
    let response = &events.last().unwrap()["response"];
    assert_eq!(
        (&response["status"], &response["output"][0]["status"]),
        (&json!("cancelled"), &json!("incomplete"))
    );
    assert_eq!(events[0]["response"]["status"], "queued");
}

#[test]
fn a_call_that_the_client_does_not_perform_is_an_item_of_our_own() {
    let request = request();
    let (mut run, mut out) = (run(&request), Vec::new());
    run.created(false, &mut out);
    run.asked("0a");
    run.answered(&answer(vec![call("theirs")], StopReason::ToolCalls), &mut out);
    let item = json!({
        "id": "mcp_1", "type": "mcp_call", "name": "theirs", "server_label": "s",
        "arguments": "{}", "status": "in_progress",
    });
    let call = run.call(item, &mut out).unwrap();
    let fields = Map::from_iter([
        ("status".to_owned(), "completed".into()),
        ("output".to_owned(), "4".into()),
    ]);
    run.called(call, Some("response.mcp_call.completed"), fields, &mut out);
    run.asked("0b");
    run.answered(&answer(vec![Item::text(Role::Assistant, "4")], StopReason::End), &mut out);
    run.end(End::Done, 200, &mut out);
    let events = told(&out);
    assert!(!kinds(&events).contains(&"response.function_call_arguments.done"));
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["output"], "4");
    assert_eq!(output[0]["status"], "completed");
    assert_eq!(output[1]["id"], "msg_0b0000");
    assert_eq!(events.last().unwrap()["response"]["usage"]["total_tokens"], 14);
}

#[test]
fn a_failure_raises_in_clients_and_says_why() {
    let request = request();
    let (mut run, mut out) = (run(&request), Vec::new());
    run.created(false, &mut out);
    run.asked("0a");
    run.aborted(false, &mut out);
    run.end(End::Failed("no model".into()), 200, &mut out);
    let events = told(&out);
    assert_eq!(kinds(&events)[2..], ["error", "response.failed"]);
    assert_eq!(events[3]["response"]["error"]["message"], "no model");
    assert_eq!(events[3]["response"]["status"], "failed");
}
