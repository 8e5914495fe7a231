//! Freehold's own tools, and the client's beside them.

use freehold_llm::model::{Extra, Tool};
use freehold_types::{Offset, UnitId};
use serde_json::json;

use super::world::{World, configured, settings, text};
use crate::event::{Actor, Busy, Content, Event, Fact, InputAccepted, Labels, Name, Place, Source};
use crate::tools::offer::function;
use crate::tools::{Performed, READ_RESULT, ToolSpec};

fn tool(name: &str) -> Tool {
    let body = function(name, Some("The client's."), json!({ "type": "object" }));
    Tool { body, cache: None, extra: Extra::default() }
}

#[tokio::test]
async fn the_client_s_tools_come_first_and_nobody_takes_their_names() {
    let world = World::new(&[]);
    let ours = ["wait_until", "ask_human", "nowhere"].map(|n| ToolSpec::Configured(Name::cut(n)));
    let settings = settings(vec![tool("mine"), tool("wait_until")], ours.to_vec());
    let set = world.set(&settings).await;
    let names: Vec<_> = set.rules.iter().map(|(n, r)| (n.as_str(), r.place)).collect();
    assert_eq!(
        names,
        [("ask_human", Place::Human), ("mine", Place::Client), ("wait_until", Place::Client)]
    );
    assert_eq!(set.offered.len(), 3);
    assert_eq!(set.listed[0].error.as_deref(), Some("no tools of this name are configured"));
}

#[tokio::test]
async fn a_forbidden_tool_is_not_shown_and_keeps_its_rules() {
    let forbidden = json!({ "kind": "builtin", "rules": { "forbidden": true } });
    let world = World::new(&[("wait_until", forbidden)]);
    let set = world.set(&configured(&["wait_until"])).await;
    assert!(set.rules[&Name::cut("wait_until")].forbidden);
    assert!(!serde_json::to_string(&set.offered).expect("JSON").contains("wait_until"));
}

#[tokio::test]
async fn a_wait_is_left_to_a_timer() {
    let world = World::new(&[]);
    let settings = configured(&["wait_until"]);
    let waits = world.call(&settings, "wait_until", json!({ "seconds": 2_592_000 })).await;
    let Performed::Until(time) = waits else { panic!("{waits:?}") };
    assert_eq!(time.as_second(), 1_800_000_000 + 2_592_000);
}

#[tokio::test]
async fn a_session_finds_what_it_heard_and_pages_what_is_long() {
    let world = World::new(&[]);
    let settings = configured(&["session_search"]);
    for n in 1..=1_500_u64 {
        let said = if n == 3 { "The code word is Heliotrope." } else { "Small talk." };
        let content = json!({ "items": [{ "body": { "message": {
            "role": "user", "parts": [{ "body": { "text": { "text": said } } }] } } }] });
        world.memory.events.lock().expect("no panic before").push(event(n, content));
    }
    let found =
        world.call(&settings, "session_search", json!({ "query": "heliotrope code" })).await;
    let (good, found) = text(&found);
    assert!(good && found.starts_with("[input at 3] The code word is Heliotrope."), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
    let none = world.call(&settings, "session_search", json!({ "query": "amaranth" })).await;
    assert!(text(&none).1.starts_with("Nothing in 1500 events"));

    let many =
        world.call(&settings, "session_search", json!({ "query": "talk", "limit": 3 })).await;
    let lines: Vec<String> = text(&many).1.lines().map(str::to_owned).collect();
    assert!(lines.len() == 3 && lines[0].starts_with("[input at 1500]"), "{lines:?}");
    assert!(!text(&world.call(&settings, READ_RESULT, json!({ "result": "x" })).await).0);
}

fn event(n: u64, content: serde_json::Value) -> Event {
    let fact = InputAccepted {
        content: Content::Inline(content),
        busy: Busy::Enqueue,
        key: None,
        settings: false,
    };
    let mut offset = Offset::START;
    for _ in 0..n {
        offset = offset.next();
    }
    let at = jiff::Timestamp::from_second(1_800_000_000).expect("a time");
    Event {
        offset,
        at,
        unit: UnitId::from_parts(at, &[0; 10]),
        turn: None,
        actor: Actor::Runtime,
        on_behalf_of: None,
        source: Source::User,
        labels: Labels::default(),
        request: None,
        fact: Fact::from(fact),
    }
}
