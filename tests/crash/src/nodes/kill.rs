//! What a killed node had in its hands.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use super::setup::Cast;
use super::stage::Stage;
use crate::http::{self, Ask};
use crate::node::KEY;

/// The node that is killed: one whose clock is right.
pub(super) const VICTIM: usize = 1;
/// Long enough to list all sessions, and shorter than it takes to see a death.
const PATIENCE: Duration = Duration::from_secs(5);

/// `kill -9`, and the sessions that the node had.
pub(super) fn kill(cast: &Cast, stage: &Stage) -> Result<BTreeSet<String>> {
    let nodes = &cast.cluster.nodes;
    let (victim, other) = (nodes.get(VICTIM), nodes.first());
    let (victim, other) = victim.zip(other).ok_or_else(|| anyhow!("no such node"))?;
    let address = victim.address().ok_or_else(|| anyhow!("the node to be killed does not run"))?;
    let status = get(address, "/v1/freehold/status")?;
    let id = status["node"].as_str().unwrap_or_default().to_owned();
    stage.killed();
    victim.kill();
    // Its sessions keep its name until another takes them, which is later.
    let asked = other.address().ok_or_else(|| anyhow!("no node is left"))?;
    let mut held = BTreeSet::new();
    let mut after = String::new();
    loop {
        let page = get(asked, &format!("/v1/freehold/sessions?limit=1000{after}"))?;
        for row in page["data"].as_array().into_iter().flatten() {
            if row["node"].as_str() == Some(&id) {
                held.extend(row["id"].as_str().map(str::to_owned));
            }
        }
        let Some(next) = page["next"].as_str() else { return Ok(held) };
        after = format!("&after={next}");
    }
}

fn get(at: std::net::SocketAddr, path: &str) -> Result<Value> {
    let ask = Ask { method: "GET", path, bearer: KEY, key: "", body: "" };
    Ok(http::ask(at, &ask, PATIENCE)?.json())
}
