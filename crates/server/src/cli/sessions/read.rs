//! Reading sessions.

use clap::Args;
use freehold_server::admin::escape;
use freehold_server::out;
use serde_json::{Value, json};

use super::super::door::{show, text};
use super::api::{Api, of};
use super::line;

/// The sessions of one page; nobody reads more in a terminal.
const PAGE: usize = 100;

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those that are idle, running, waiting, paused or sealed.
    #[arg(long)]
    phase: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct One {
    session: String,
}

#[derive(Debug, Args)]
pub(super) struct Journal {
    session: String,
    /// The offset before the first event.
    #[arg(long, default_value_t = 0)]
    after: u64,
    /// Print no more than so many.
    #[arg(long, default_value_t = 1_000_000)]
    limit: usize,
}

impl List {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let phase = self.phase.as_deref().map(escape);
        let phase = phase.map_or_else(String::new, |phase| format!("&phase={phase}"));
        let page = api.get(&format!("sessions?limit={PAGE}{phase}"))?;
        let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        show(api.json, &rows, &["ID", "PHASE", "EVENTS", "CREATED", "UPDATED"], |row| {
            vec![
                text(row, "id"),
                text(row, "phase"),
                text(row, "head"),
                line::time(&text(row, "created_at")),
                line::time(&text(row, "updated_at")),
            ]
        })
    }
}

impl One {
    pub(super) fn show(self, api: &Api) -> anyhow::Result<()> {
        let shown = api.get(&of(&self.session, ""))?;
        if api.json {
            out::line(serde_json::to_string_pretty(&shown)?);
            return Ok(());
        }
        for field in ["id", "phase", "head", "steps", "context_tokens", "created_at"] {
            out::line(format!("{field:<15} {}", text(&shown, field)));
        }
        if let Some(usage) = shown.get("usage") {
            let (input, output) = (text(usage, "input_tokens"), text(usage, "output_tokens"));
            out::line(format!("{:<15} {input} in, {output} out, {}", "used", text(usage, "cost")));
        }
        let turn = shown.get("turn").filter(|turn| !turn.is_null());
        let Some(turn) = turn else { return Ok(()) };
        out::line(format!("{:<15} {}", "turn", text(turn, "id")));
        for wait in turn.get("waits").and_then(Value::as_array).into_iter().flatten() {
            let (tool, on) = (text(wait, "tool"), text(wait, "on"));
            let id = match text(wait, "approval") {
                none if none == "-" => text(wait, "call"),
                approval => approval,
            };
            out::line(format!("{:<15} `{tool}` on {on}: {id}", "waits for"));
        }
        Ok(())
    }

    pub(super) fn tell(self, api: &Api, what: &str, sentence: &str) -> anyhow::Result<()> {
        let told = api.post(&of(&self.session, what), &json!({}))?;
        api.tell(&told, format!("{} {sentence}.", self.session));
        Ok(())
    }

    pub(super) fn stats(self, api: &Api) -> anyhow::Result<()> {
        let stats = api.get(&of(&self.session, "stats"))?;
        if api.json {
            out::line(serde_json::to_string_pretty(&stats)?);
            return Ok(());
        }
        let mut rows = stats.get("turns").and_then(Value::as_array).cloned().unwrap_or_default();
        for (field, name) in [("between_turns", "between turns"), ("all", "all")] {
            let mut sum = stats.get(field).cloned().unwrap_or_default();
            sum["turn"] = name.into();
            rows.push(sum);
        }
        show(false, &rows, &["TURN", "STEPS", "EVENTS", "BYTES", "IN BLOBS"], |row| {
            ["turn", "steps", "events", "bytes", "blob_bytes"]
                .iter()
                .map(|field| text(row, field))
                .collect()
        })
    }
}

impl Journal {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let (mut after, mut left) = (self.after, self.limit);
        while left > 0 {
            let path = format!("journal?after={after}&limit={}", left.min(256));
            let page = api.get(&of(&self.session, &path))?;
            let events = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
            left = left.saturating_sub(events.len());
            for event in &events {
                out::line(if api.json { event.to_string() } else { line::of(event) });
            }
            match page.get("next").and_then(Value::as_str).and_then(|next| next.parse().ok()) {
                Some(next) => after = next,
                None => break,
            }
        }
        Ok(())
    }
}
