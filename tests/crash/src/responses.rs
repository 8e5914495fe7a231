//! A client of the Responses API: background work whose stream is taken up
//! where it was cut.

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use crate::chance::Chance;
use crate::client::{MODEL, STUCK};
use crate::clock::{nap, now};
use crate::plan::Plan;
use crate::sse::Events;
use crate::trap::Place;
use crate::world::{Acknowledged, Seen, World};

/// One response from its beginning to its end, and all of it once more.
pub(crate) fn run(world: &World, job: usize) -> Result<()> {
    let mut chance = Chance::new(world.seed.wrapping_mul(1_000_003).wrapping_add(job as u64));
    let plan = Plan::new(format!("R{}-{job}-0", world.seed), &mut chance);
    let body = json!({ "model": MODEL, "input": plan.text(), "background": true, "stream": true,
        "tools": [{ "type": "mcp", "server_label": "pay", "require_approval": "never" }] });
    let mut client = Client { world, key: format!("key-{}", plan.name), body, events: Vec::new() };
    let ended = client.listen()?;
    let Some(id) = client.id() else { bail!("{}: never answered", plan.name) };
    // The session's id is the first half of what follows the prefix.
    let digits: String = id.trim_start_matches("resp_").chars().take(32).collect();
    let seen = Seen {
        session: format!("sess_{digits}"),
        inputs: vec![Acknowledged { name: plan.name, within: 1..=u64::MAX }],
        events: Vec::new(),
        finished: ended,
    };
    world.saw(seen);
    if ended { client.again(&id) } else { Ok(()) }
}

struct Client<'w> {
    world: &'w World,
    key: String,
    body: Value,
    events: Vec<Value>,
}

impl Client<'_> {
    fn id(&self) -> Option<String> {
        Some(self.events.first()?["response"]["id"].as_str()?.to_owned())
    }

    fn is_over(&self) -> bool {
        let kind = self.events.last().and_then(|event| event["type"].as_str());
        kind.is_some_and(|kind| {
            matches!(kind, "response.completed" | "response.failed" | "response.incomplete")
        })
    }

    fn listen(&mut self) -> Result<bool> {
        let mut last = now();
        let mut turn = 0;
        while !self.is_over() {
            if now().duration_since(last) > STUCK {
                return Ok(false);
            }
            turn += 1;
            let after = self.events.last().and_then(|event| event["sequence_number"].as_u64());
            let coming = match (self.id(), after) {
                (Some(id), Some(after)) => {
                    let path = format!("/v1/responses/{id}?stream=true&starting_after={after}");
                    self.world.cluster.open(turn, "GET", &path, "", "")?
                }
                _ => {
                    self.world.trap.reach(Place::InputSent);
                    let body = self.body.to_string();
                    self.world.cluster.open(turn, "POST", "/v1/responses", &self.key, &body)?
                }
            };
            let Some(coming) = coming else {
                nap(10);
                continue;
            };
            let mut events = Events::new(coming);
            while !self.is_over()
                && let Ok(Some(told)) = events.next()
            {
                last = now();
                self.told(told.data);
            }
        }
        Ok(true)
    }

    fn told(&mut self, event: Value) {
        let expected = self.events.len() as u64;
        let Some(number) = event["sequence_number"].as_u64() else { return };
        let note = || format!("{}: told {number}, expected {expected}", self.key);
        if number < expected {
            return self.world.wrong(|wrong| &mut wrong.doubles, note());
        }
        if number > expected {
            self.world.wrong(|wrong| &mut wrong.gaps, note());
        }
        if self.events.is_empty() {
            self.world.trap.reach(Place::InputAccepted);
        }
        self.events.push(event);
    }

    /// Whatever was told is told again, the same.
    fn again(&self, id: &str) -> Result<()> {
        let path = format!("/v1/responses/{id}?stream=true");
        let began = now();
        let mut longest = Vec::new();
        for turn in 0.. {
            if now().duration_since(began) > STUCK {
                return Err(anyhow!("{path}: not told again in {STUCK:?}"));
            }
            let Some(coming) = self.world.cluster.open(turn, "GET", &path, "", "")? else {
                nap(10);
                continue;
            };
            let mut events = Events::new(coming);
            let mut told = Vec::new();
            while let Ok(Some(event)) = events.next() {
                told.push(event.data);
            }
            longest = told;
            if longest.len() >= self.events.len() {
                break;
            }
        }
        for (at, (once, again)) in self.events.iter().zip(&longest).enumerate() {
            if once != again {
                let note = format!("{id}: event {at} was {once}, is {again}");
                self.world.wrong(|wrong| &mut wrong.differs, note);
                break;
            }
        }
        Ok(())
    }
}
