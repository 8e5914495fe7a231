//! A client of the session API: makes a session, says things, and reads its
//! stream to the end, whatever becomes of the servers meanwhile.

use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};

use crate::chance::{Chance, digest};
use crate::clock::{nap, now};
use crate::plan::Plan;
use crate::sse::Events;
use crate::trap::Place;
use crate::world::{Acknowledged, Seen, World};

/// Without anything new for so long, a turn is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(40);
/// The model's name.
pub(crate) const MODEL: &str = "scripted/m";

/// One session from its beginning to its end.
pub(crate) fn run(world: &World, job: usize) -> Result<()> {
    let mut chance = Chance::new(world.seed.wrapping_mul(1_000_003).wrapping_add(job as u64));
    let names = (0..=chance.below(3)).map(|at| format!("S{}-{job}-{at}", world.seed));
    let plans: Vec<Plan> = names.map(|name| Plan::new(name, &mut chance)).collect();
    // Some say everything at once: the later inputs wait for their turns.
    let hasty = chance.below(3) == 0;
    let mut client = Client { world, seen: Seen::default(), cursor: String::new(), ended: 0 };
    let told = client.session(&plans, hasty);
    world.saw(client.seen);
    told
}

struct Client<'w> {
    world: &'w World,
    seen: Seen,
    /// The id of the last event.
    cursor: String,
    /// Turns that ended.
    ended: usize,
}

impl Client<'_> {
    fn session(&mut self, plans: &[Plan], hasty: bool) -> Result<()> {
        let Some((first, later)) = plans.split_first() else { return Ok(()) };
        self.create(first)?;
        let mut said = 1;
        if hasty {
            for plan in later {
                self.say(plan)?;
                said += 1;
            }
        }
        loop {
            if !self.listen_until(said)? {
                return Ok(());
            }
            let Some(plan) = plans.get(said) else { break };
            self.say(plan)?;
            said += 1;
        }
        self.seen.finished = true;
        Ok(())
    }

    fn create(&mut self, plan: &Plan) -> Result<()> {
        let settings = json!({ "request": { "model": MODEL }, "tools": ["pay"] });
        let body =
            json!({ "settings": settings, "input": plan.text(), "metadata": { "job": plan.name } });
        let session = self.post("/v1/freehold/sessions", plan, &body)?;
        self.seen.session = String::from(session["id"].as_str().unwrap_or_default());
        self.acknowledged(plan, &session["receipt"]);
        Ok(())
    }

    fn say(&mut self, plan: &Plan) -> Result<()> {
        let body = json!({ "input": plan.text(), "busy": "enqueue" });
        let path = format!("/v1/freehold/sessions/{}/input", self.seen.session);
        let receipt = self.post(&path, plan, &body)?;
        self.acknowledged(plan, &receipt);
        Ok(())
    }

    fn post(&self, path: &str, plan: &Plan, body: &Value) -> Result<Value> {
        self.world.trap.reach(Place::InputSent);
        let key = format!("key-{}", plan.name);
        let answer = self.world.cluster.ask("POST", path, &key, &body.to_string(), STUCK)?;
        let answer = answer.ok_or_else(|| anyhow!("POST {path}: no answer in {STUCK:?}"))?;
        Ok(answer.json())
    }

    fn acknowledged(&mut self, plan: &Plan, receipt: &Value) {
        // A session's first input comes with the session's own first event.
        let number = |name: &str| receipt[name].as_u64().unwrap_or_default();
        let within = number("first")..=number("head");
        self.seen.inputs.push(Acknowledged { name: plan.name.clone(), within });
        self.world.trap.reach(Place::InputAccepted);
    }

    /// Reads the stream until so many turns have ended; false where nothing
    /// new came for too long.
    fn listen_until(&mut self, turns: usize) -> Result<bool> {
        let mut last = now();
        let mut turn = 0;
        while self.ended < turns {
            if now().duration_since(last) > STUCK {
                return Ok(false);
            }
            turn += 1;
            let path =
                format!("/v1/freehold/sessions/{}/stream?after={}", self.seen.session, self.cursor);
            let Some(coming) = self.world.cluster.open(turn, "GET", &path, "", "")? else {
                nap(10);
                continue;
            };
            let mut events = Events::new(coming);
            // A cut stream is taken up where it was.
            while self.ended < turns
                && let Ok(Some(told)) = events.next()
            {
                last = now();
                self.told(told.id, &told.data);
            }
        }
        Ok(true)
    }

    fn told(&mut self, id: String, event: &Value) {
        let expected = self.seen.events.len() as u64 + 1;
        let offset = event["offset"].as_u64().unwrap_or_default();
        let note = || format!("{}: told {offset}, expected {expected}", self.seen.session);
        match offset {
            offset if offset < expected => {
                return self.world.wrong(|wrong| &mut wrong.doubles, note());
            }
            offset if offset > expected => self.world.wrong(|wrong| &mut wrong.gaps, note()),
            _ => {}
        }
        self.world.told(event);
        if event["kind"] == "turn_ended" {
            self.ended += 1;
        }
        self.seen.events.push(digest(event));
        self.cursor = id;
        self.world.trap.reach(Place::Record(offset));
    }
}
