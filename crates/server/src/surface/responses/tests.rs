//! Responses told from journals that are written down here.

use freehold_llm::Dialect;
use freehold_llm::format::codec;
use freehold_llm::model::{
    Answer, Choice, Delta, Event as Said, Extra, Item, ItemBody, Role, Slot, Stop, StopReason,
    ToolCall, ToolCallKind, Usage,
};
use freehold_runtime::content::Settings;
use freehold_runtime::event::{
    AbortReason, Actor, Allowed, ApprovalAsked, Binding, Content, Deciders, EndReason, Event, Fact,
    Faulted, Hash, InputTaken, Labels, Limits, ModelAborted, ModelAnswered, ModelAsked, ModelDelta,
    Name, Note, Outcome, Place, Purpose, Question, RetryRule, Source, Text, ToolIntended,
    ToolOutcome, ToolStarted, ToolsListed, TurnEnded, TurnStarted, TurnWaiting, Usage as Used,
    WaitOn,
};
use freehold_types::{ApprovalId, CallId, Offset, SessionId, TurnId, UnitId};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::begun::Begun;
use super::follow::{Beginning, Follower, Known};
use super::ids::{self, ResponseId};
use super::stream::{data, frames};

const DIGITS: &str = "0190163d81167a0ebf1f2a5b3c4d5e6f";

fn id<T: std::str::FromStr>(prefix: &str) -> T {
    format!("{prefix}{DIGITS}").parse().ok().unwrap()
}

fn settings() -> Settings {
    let body = json!({"model": "m", "tools": [{"type": "function", "name": "mine"}]}).to_string();
    Settings {
        payer: Name::cut("key"),
        request: codec(Dialect::Responses).decode_request(body.as_bytes()).unwrap(),
        tools: Vec::new(),
        calls_max: None,
        may_truncate: false,
        limits: Limits::default(),
    }
}

/// A response that is told, and what was told of it.
struct Told {
    follower: Follower,
    out: Vec<u8>,
    at: u64,
}

impl Told {
    fn new(begun: Begun, calls: Vec<Known>) -> Self {
        let settings = settings();
        let mut out = Vec::new();
        let beginning = Beginning {
            id: ResponseId { session: id::<SessionId>("sess_"), begin: Offset(2) },
            created: 1_800_000_000,
            begun,
            settings: &settings,
            calls,
        };
        let follower = Follower::begin(beginning, &mut out);
        Self { follower, out, at: 2 }
    }

    fn fact(&mut self, fact: impl Into<Fact>) -> Offset {
        self.at += 1;
        let event = Event {
            offset: Offset(self.at),
            at: Timestamp::from_second(1_800_000_000 + self.at.cast_signed()).unwrap(),
            unit: id::<UnitId>("unit_"),
            turn: Some(id("turn_")),
            actor: Actor::Runtime,
            on_behalf_of: None,
            source: Source::Runtime,
            labels: Labels::default(),
            request: None,
            fact: fact.into(),
        };
        let content = self.follower.needs(&event).map(|content| match content {
            Content::Inline(value) => value.clone(),
            Content::Blob { .. } => panic!("none here"),
        });
        self.follower.event(&event, content, &mut self.out);
        event.offset
    }

    fn begins(&mut self) {
        self.fact(TurnStarted { turn: id::<TurnId>("turn_"), limits: Limits::default() });
        self.fact(InputTaken { inputs: vec![Offset(2)] });
    }

    fn asks(&mut self, purpose: Purpose) -> Offset {
        self.fact(ModelAsked { purpose, failures: 0, not_before: None })
    }

    fn hears(&mut self, asked: Offset, said: &[Said]) {
        let content = Content::Inline(serde_json::to_value(said).unwrap());
        self.fact(ModelDelta { asked, content });
    }

    fn answers(&mut self, asked: Offset, items: Vec<Item>) -> Offset {
        let calls = items.iter().filter(|item| matches!(item.body, ItemBody::ToolCall(_)));
        let calls = u32::try_from(calls.count()).unwrap();
        let content = Content::Inline(serde_json::to_value(answer(items)).unwrap());
        let (model, usage) = (Name::cut("up"), Used::default());
        self.fact(ModelAnswered { asked, model, content, usage, calls, more: false })
    }

    fn aborts(&mut self, asked: Offset, kept: bool) {
        let (reason, message) = (AbortReason::Retryable, Note::cut("broke"));
        self.fact(ModelAborted { asked, reason, message, usage: Used::default(), kept });
    }

    fn intends(&mut self, answer: Offset, tool: &str, allowed: Allowed) {
        self.fact(ToolIntended {
            call: id::<CallId>("call_"),
            model_call: Text::cut("c1"),
            answer,
            tool: Name::cut(tool),
            tool_version: Name::cut("1"),
            args: Hash::of(b"{}"),
            allowed,
            rules: Hash::of(b""),
            retry: RetryRule::Idempotent,
            attempts_max: 1,
            timeout_ms: 1,
        });
    }

    fn starts(&mut self, place: Place) {
        self.fact(ToolStarted { call: id("call_"), place, epoch: 1, attempt: 1 });
    }

    fn ends(&mut self, reason: EndReason) {
        self.fact(TurnEnded { reason });
    }

    fn events(&self) -> Vec<Value> {
        let events = frames(&self.out).filter_map(data);
        let events: Vec<Value> = events.map(|json| serde_json::from_slice(json).unwrap()).collect();
        for (at, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], at, "{event}");
        }
        events
    }

    fn kinds(&self) -> Vec<String> {
        let events = self.events();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }
}

fn answer(items: Vec<Item>) -> Answer {
    let stop = Some(Stop::new(StopReason::End));
    Answer {
        origin: Dialect::Chat,
        id: "a".into(),
        model: "up".into(),
        created: None,
        choices: vec![Choice { items, stop, extra: Extra::default() }],
        usage: Some(Usage { input: 1, output: 2, ..Usage::default() }),
        service_tier: None,
        extra: Extra::default(),
    }
}

fn call(name: &str) -> Item {
    Item::new(ItemBody::ToolCall(ToolCall {
        call_id: "c1".into(),
        name: name.into(),
        input: "{\"a\":1}".into(),
        kind: ToolCallKind::Function,
        cache: None,
    }))
}

fn half(text: &str) -> Vec<Said> {
    let slot = Slot::default();
    vec![
        Said::ItemStart { slot, head: Item::new(Item::text(Role::Assistant, "").body) },
        Said::Delta { slot, part: 0, delta: Delta::Text(text.into()) },
    ]
}

#[test]
fn a_turn_is_told_from_its_input_to_its_end() {
    let mut told = Told::new(Begun { background: true, ..Begun::default() }, Vec::new());
    assert_eq!(told.follower.response()["status"], "queued");
    told.begins();
    let asked = told.asks(Purpose::Step);
    told.hears(asked, &half("hel"));
    assert_eq!(told.follower.response()["output"][0]["status"], "in_progress");
    told.answers(asked, vec![Item::text(Role::Assistant, "hello")]);
    told.ends(EndReason::Done);
    assert_eq!(told.follower.end(), Some(Offset(told.at)));
    let events = told.events();
    let last = &events.last().unwrap()["response"];
    assert_eq!(last, &told.follower.response());
    assert_eq!(last["status"], "completed");
    assert_eq!(last["id"], format!("resp_{DIGITS}0000000000000002"));
    assert_eq!(last["output"][0]["id"], format!("msg_{DIGITS}00000000000000050000"));
    assert_eq!(last["output"][0]["content"][0]["text"], "hello");
    assert_eq!((&last["background"], &last["store"]), (&json!(true), &json!(true)));
    let deltas: Vec<_> = events.iter().filter_map(|event| event["delta"].as_str()).collect();
    assert_eq!(deltas, ["hel", "lo"]);
}

#[test]
fn what_comes_after_the_end_is_of_another_response() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    told.ends(EndReason::Done);
    let before = told.out.len();
    told.begins();
    told.asks(Purpose::Step);
    assert_eq!(told.out.len(), before);
}

#[test]
fn an_attempt_that_is_made_anew_is_a_legal_stream() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let first = told.asks(Purpose::Step);
    told.hears(first, &half("hel"));
    told.aborts(first, false);
    let second = told.asks(Purpose::Step);
    told.answers(second, vec![Item::text(Role::Assistant, "hello")]);
    told.ends(EndReason::Done);
    let events = told.events();
    let done: Vec<_> = events.iter().filter(|e| e["type"] == "response.output_item.done").collect();
    assert_eq!(done[0]["item"]["status"], "incomplete");
    assert_eq!(
        (&done[1]["item"]["status"], &done[1]["output_index"]),
        (&json!("completed"), &json!(1))
    );
    assert_eq!(told.follower.response()["output"].as_array().unwrap().len(), 1);
}

#[test]
fn a_call_of_the_clients_ends_the_response() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let asked = told.asks(Purpose::Step);
    let answer = told.answers(asked, vec![call("mine")]);
    told.intends(answer, "mine", Allowed::ByRule);
    told.starts(Place::Client);
    told.fact(TurnWaiting { on: vec![WaitOn::Client(id("call_"))] });
    let response = told.follower.response();
    assert_eq!(response["status"], "completed");
    assert_eq!(response["output"][0]["type"], "function_call");
    assert_eq!(response["output"][0]["call_id"], "c1");
}

#[test]
fn a_wait_for_somebody_else_is_a_pause() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    told.fact(TurnWaiting { on: vec![WaitOn::Timer(id("call_")), WaitOn::Human(id("call_"))] });
    assert!(!told.follower.is_over());
    told.ends(EndReason::Cancelled);
    assert_eq!(told.follower.response()["status"], "cancelled");
    assert_eq!(told.kinds().last().unwrap(), "response.incomplete");
}

#[test]
fn a_tool_of_a_server_is_called_in_the_open() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let asked = told.asks(Purpose::Step);
    let answer = told.answers(asked, vec![call("mcp__s__look")]);
    told.intends(answer, "mcp__s__look", Allowed::ByRule);
    told.starts(Place::Worker);
    told.fact(ToolOutcome { call: id("call_"), outcome: Outcome::Failed(Content::text("no")) });
    told.ends(EndReason::Done);
    let item = told.follower.response()["output"][0].clone();
    assert_eq!((&item["name"], &item["server_label"]), (&json!("look"), &json!("s")));
    assert_eq!((&item["status"], &item["arguments"]), (&json!("failed"), &json!("{\"a\":1}")));
    assert_eq!(item["error"]["content"][0]["text"], "no");
    assert!(told.kinds().contains(&"response.mcp_call.failed".to_owned()));
}

fn question(deciders: Deciders) -> ApprovalAsked {
    let hash = Hash::of(b"");
    ApprovalAsked {
        approval: id::<ApprovalId>("appr_"),
        call: id("call_"),
        question: Question::Start,
        binding: Binding { args: hash, tool: hash, rules: hash },
        deciders,
        expires: Timestamp::MAX,
    }
}

#[test]
fn a_question_to_the_client_ends_the_response_and_its_answer_goes_on() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let asked = told.asks(Purpose::Step);
    let answer = told.answers(asked, vec![call("mcp__s__look")]);
    told.intends(answer, "mcp__s__look", Allowed::OnApproval);
    told.fact(question(Deciders::Anyone));
    told.fact(TurnWaiting { on: vec![WaitOn::Approval(id("appr_"))] });
    let item = told.follower.response()["output"][0].clone();
    assert_eq!(item["type"], "mcp_approval_request");
    assert_eq!(item["id"], format!("mcpr_{DIGITS}"));

    let known = Known {
        call: id("call_"),
        tool: "mcp__s__look".into(),
        arguments: "{}".into(),
        approval: Some(id("appr_")),
    };
    let begun = Begun { joins: Some(id("turn_")), ..Begun::default() };
    let mut told = Told::new(begun, vec![known]);
    told.starts(Place::Worker);
    told.fact(ToolOutcome { call: id("call_"), outcome: Outcome::Ok(Content::text("4")) });
    told.ends(EndReason::Done);
    let item = told.follower.response()["output"][0].clone();
    assert_eq!((&item["type"], &item["output"]), (&json!("mcp_call"), &json!("4")));
    assert_eq!(item["approval_request_id"], format!("mcpr_{DIGITS}"));
}

#[test]
fn what_a_server_lists_comes_before_what_the_model_says() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let asked = told.asks(Purpose::Step);
    let content = Content::Inline(json!([
        {"label": "crm", "tools": [{"name": "find", "description": "Finds",
            "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": true}}]},
        {"label": "gone", "tools": [], "error": "no answer"},
    ]));
    let at = told.fact(ToolsListed { asked, listings: Vec::new(), content });
    told.hears(asked, &half("hi"));
    told.answers(asked, vec![Item::text(Role::Assistant, "hi")]);
    told.ends(EndReason::Done);
    let kinds = told.kinds();
    assert_eq!(
        kinds[2..10],
        [
            "response.output_item.added",
            "response.mcp_list_tools.in_progress",
            "response.mcp_list_tools.completed",
            "response.output_item.done",
            "response.output_item.added",
            "response.mcp_list_tools.in_progress",
            "response.mcp_list_tools.failed",
            "response.output_item.done",
        ]
    );
    assert_eq!(told.events()[2]["item"]["tools"], json!([]));
    let output = told.follower.response()["output"].clone();
    assert_eq!(
        output[0],
        json!({
            "id": format!("mcpl_{}", ids::item_stem(id("sess_"), at, 0)),
            "type": "mcp_list_tools",
            "server_label": "crm",
            "tools": [{"name": "find", "description": "Finds",
                "input_schema": {"type": "object"}, "annotations": {"readOnlyHint": true}}],
        })
    );
    assert_eq!(output[1]["error"], "no answer");
    // The model's items are named as where nothing was listed.
    let message = format!("msg_{}", ids::item_stem(id("sess_"), asked, 0));
    assert_eq!(
        (&output[2]["id"], &output[2]["content"][0]["text"]),
        (&json!(message), &json!("hi"))
    );
}

#[test]
fn a_question_to_somebody_else_is_not_the_clients() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    told.fact(question(Deciders::Role(Name::cut("finance"))));
    told.fact(TurnWaiting { on: vec![WaitOn::Approval(id("appr_"))] });
    assert!(!told.follower.is_over());
}

#[test]
fn a_failed_turn_says_why() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    told.fact(Faulted { code: Name::cut("model_failed"), message: Note::cut("no model") });
    told.ends(EndReason::Failed);
    let response = told.follower.response();
    assert_eq!(
        (&response["status"], &response["error"]["message"]),
        (&json!("failed"), &json!("no model"))
    );
}

#[test]
fn a_summary_is_not_told_as_an_answer() {
    let mut told = Told::new(Begun::default(), Vec::new());
    told.begins();
    let asked = told.asks(Purpose::Compaction);
    told.hears(asked, &half("sum"));
    told.answers(asked, vec![Item::text(Role::Assistant, "sum")]);
    told.ends(EndReason::Done);
    assert!(told.kinds().iter().all(|kind| !kind.contains("output_item")));
}
