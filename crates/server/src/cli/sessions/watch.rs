//! Following a session, by long polls: they go through every proxy.

use clap::Args;
use freehold_server::admin::escape;
use freehold_server::out;
use serde_json::Value;

use super::api::{Api, of};
use super::line;

/// How long one poll waits, in seconds.
const WAIT: u32 = 25;

#[derive(Debug, Args)]
pub(super) struct Watch {
    session: String,
    /// Where to begin: an offset or a cursor.
    #[arg(long, default_value = "0")]
    after: String,
    /// End when the turn that runs does.
    #[arg(long)]
    turn: bool,
}

impl Watch {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let mut after = self.after;
        loop {
            let path = format!("stream?wait={WAIT}&after={}", escape(&after));
            let page = api.get(&of(&self.session, &path))?;
            for event in page.get("data").and_then(Value::as_array).into_iter().flatten() {
                out::line(if api.json { event.to_string() } else { line::of(event) });
                let kind = event.get("kind").and_then(Value::as_str);
                if self.turn && matches!(kind, Some("turn_ended" | "turn_waiting")) {
                    return Ok(());
                }
            }
            if let Some(next) = page.get("next").and_then(Value::as_str) {
                next.clone_into(&mut after);
            }
        }
    }
}
