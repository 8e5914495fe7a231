//! `GET sessions/{id}/stats`: what a session takes, turn by turn.

use axum::Json as Shown;
use freehold_runtime::event::{Content, Event, Fact, Outcome};
use freehold_types::{Offset, TurnId};
use serde_json::{Value, json};

use super::access::{Found, Refused};

/// The turns that are told one by one: the latest.
const TURNS_MAX: usize = 1_000;

#[derive(Default)]
struct Sum {
    events: u64,
    bytes: u64,
    blob_bytes: u64,
    steps: u64,
}

impl Sum {
    fn add(&mut self, event: &Event) {
        self.events += 1;
        // As JSON: sealing adds a few bytes to each.
        self.bytes += event.encode().map_or(0, |body| body.len() as u64);
        self.blob_bytes += blob(&event.fact);
        self.steps += u64::from(matches!(event.fact, Fact::ModelAsked(_)));
    }

    fn shown(&self) -> Value {
        json!({
            "events": self.events, "bytes": self.bytes, "blob_bytes": self.blob_bytes,
            "steps": self.steps,
        })
    }
}

/// Events and bytes of the whole journal and of each turn.
pub(super) async fn stats(found: Found) -> Result<Shown<Value>, Refused> {
    let view = found.view().await?;
    let (mut all, mut between) = (Sum::default(), Sum::default());
    let mut turns: Vec<(TurnId, Sum)> = Vec::new();
    let (mut after, head) = (Offset::START, Offset(view.row.head));
    let access = &found.access;
    while after < head {
        let events = access.sessions().read(&access.tenant, found.session, after, head, 256);
        let events = events.await?;
        let Some(last) = events.last() else { break };
        after = last.offset;
        for event in &events {
            all.add(event);
            match (event.turn, turns.last_mut()) {
                (Some(turn), Some((latest, sum))) if turn == *latest => sum.add(event),
                (Some(turn), _) => {
                    let mut sum = Sum::default();
                    sum.add(event);
                    turns.push((turn, sum));
                }
                (None, _) => between.add(event),
            }
        }
        if turns.len() > TURNS_MAX {
            turns.drain(..turns.len() - TURNS_MAX);
        }
    }
    let turns: Vec<Value> = turns
        .iter()
        .map(|(turn, sum)| {
            let mut shown = sum.shown();
            shown["turn"] = turn.to_string().into();
            shown
        })
        .collect();
    Ok(Shown(json!({
        "session": found.session.to_string(),
        "all": all.shown(),
        "between_turns": between.shown(),
        "turns": turns,
    })))
}

fn blob(fact: &Fact) -> u64 {
    let content = match fact {
        Fact::InputAccepted(fact) => &fact.content,
        Fact::SignalReceived(fact) => &fact.content,
        Fact::ModelDelta(fact) => &fact.content,
        Fact::ModelAnswered(fact) => &fact.content,
        Fact::ToolOutcome(fact) => match &fact.outcome {
            Outcome::Ok(content) | Outcome::Failed(content) => content,
            Outcome::Refused(_) | Outcome::Unknown(_) => return 0,
        },
        _ => return 0,
    };
    match content {
        Content::Inline(_) => 0,
        Content::Blob { bytes, .. } => *bytes,
    }
}
