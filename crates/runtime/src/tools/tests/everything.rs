//! The reference server of MCP's own SDK. `tests/mcp/run` starts it.

use serde_json::json;

use super::world::{World, configured, text};
use crate::event::Name;

#[tokio::test]
#[ignore = "needs the reference server: tests/mcp/run starts it"]
async fn the_reference_server_s_tools_are_listed_and_called() {
    let url = std::env::var("FREEHOLD_TEST_MCP").expect("where the server is");
    let world = World::new(&[("every", json!({ "kind": "mcp", "url": url }))]);
    let settings = configured(&["every"]);
    let set = world.set(&settings).await;
    assert_eq!(set.listed[0].error, None);
    assert!(set.rules.len() > 8, "{:?}", set.rules.keys());
    for name in ["mcp__every__echo", "mcp__every__get-sum", "read_result"] {
        assert!(set.rules.contains_key(&Name::cut(name)), "{name}");
    }

    let (good, said) =
        text(&world.call(&settings, "mcp__every__echo", json!({ "message": "hi" })).await);
    assert!(good && said.contains("hi"), "{said}");
    let sum = world.call(&settings, "mcp__every__get-sum", json!({ "a": 2, "b": 40 })).await;
    assert!(text(&sum).1.contains("42"));
    let wrong = world.call(&settings, "mcp__every__get-sum", json!({ "a": "x" })).await;
    assert!(!text(&wrong).0, "the server's own error is told");
    let picture = world.call(&settings, "mcp__every__get-tiny-image", json!({})).await;
    assert!(format!("{picture:?}").contains("image/png"));
    let asked = world.call(&settings, "mcp__every__trigger-elicitation-request", json!({})).await;
    assert!(text(&asked).1.contains("Ask the user yourself"), "{asked:?}");

    // Two at a time over one connection, one of which takes its time and tells.
    let slow = json!({ "duration": 1, "steps": 2 });
    let (slow, quick) = futures_util::future::join(
        world.call(&settings, "mcp__every__trigger-long-running-operation", slow),
        world.call(&settings, "mcp__every__echo", json!({ "message": "meanwhile" })),
    )
    .await;
    assert!(text(&slow).1.contains("completed") && text(&quick).1.contains("meanwhile"));
}
