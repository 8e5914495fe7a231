//! A client of the Responses API: each response after the one before, in the
//! background with a stream that is taken up elsewhere, or waited for.

use serde_json::{Value, json};

use super::stage::Stage;
use super::talk::{first_rest, rest, silence};
use super::wire::{Call, Failed, Wire};
use crate::chance::Chance;
use crate::client::{MODEL, STUCK};
use crate::clock::{nap, now};
use crate::plan::Plan;
use crate::sse::Events;
use crate::world::{Acknowledged, Seen};

const LETTERS: [char; 7] = ['i', 'q', 'p', 'i', 'I', 'Q', 'P'];
/// A stream is left for another node after one event in so many.
const MOVES: u64 = 60;

/// One chain of responses, until the end.
pub(super) fn run(stage: &Stage, number: usize) {
    let mut chance = Chance::new(stage.seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let first = first_rest(stage, &mut chance);
    if !stage.rest(first) {
        return;
    }
    let wire = Wire::new(stage, chance);
    let mut chain = Chain { wire, number, seen: Seen::default(), last: Value::Null };
    chain.seen.finished = chain.turns().is_ok();
    stage.saw(chain.seen);
}

struct Chain<'s> {
    wire: Wire<'s>,
    number: usize,
    seen: Seen,
    /// The id of the last response.
    last: Value,
}

impl Chain<'_> {
    fn turns(&mut self) -> Result<(), Failed> {
        for said in 0.. {
            let name = format!("R{}-{}-{said}", self.wire.stage.run, self.number);
            let plan = Plan::of(name, &mut self.wire.chance, &LETTERS);
            let began = now();
            let response = if self.wire.chance.below(3) == 0 {
                self.waits(&plan)?
            } else {
                self.listens(&plan)?
            };
            self.wire.stage.turn(now().duration_since(began));
            self.ended(plan, &response);
            if !rest(self.wire.stage, &mut self.wire.chance) {
                break;
            }
        }
        Ok(())
    }

    fn ended(&mut self, plan: Plan, response: &Value) {
        self.last = response["id"].clone();
        if response["status"] != "completed" {
            let note = format!("{}: {}", plan.name, response["status"]);
            self.wire.stage.wrong(|wrong| &mut wrong.refused, note);
        }
        let id = response["id"].as_str().unwrap_or_default();
        // The session's id is the first half of what follows the prefix.
        let digits: String = id.trim_start_matches("resp_").chars().take(32).collect();
        self.seen.session = format!("sess_{digits}");
        self.seen.inputs.push(Acknowledged { name: plan.name, within: 1..=u64::MAX });
    }

    fn body(&self, plan: &Plan) -> Value {
        json!({ "model": MODEL, "input": plan.text(), "previous_response_id": self.last,
            "tools": [{ "type": "mcp", "server_label": "pay", "require_approval": "never" }] })
    }

    /// The whole answer at once.
    fn waits(&mut self, plan: &Plan) -> Result<Value, Failed> {
        let (key, body) = (format!("key-{}", plan.name), self.body(plan).to_string());
        self.wire.ask(Call("POST", "/v1/responses", &key, &body))
    }

    /// In the background, by its events.
    fn listens(&mut self, plan: &Plan) -> Result<Value, Failed> {
        let mut body = self.body(plan);
        body["background"] = true.into();
        body["stream"] = true.into();
        let (key, body) = (format!("key-{}", plan.name), body.to_string());
        let mut told = Told::default();
        let mut last = now();
        while told.end.is_null() {
            if now().duration_since(last) > STUCK {
                self.wire.stage.failed(&format!("{key}: nothing in {STUCK:?}"));
                return Err(Failed);
            }
            let path = format!("/v1/responses/{}?stream=true&starting_after=", told.id);
            let coming = match told.count.checked_sub(1) {
                Some(after) => self.wire.open(Call("GET", &format!("{path}{after}"), "", ""))?,
                None => self.wire.open(Call("POST", "/v1/responses", &key, &body))?,
            };
            let mut events = Events::new(coming);
            while told.end.is_null() && self.wire.chance.below(MOVES) > 0 {
                match events.next() {
                    Ok(Some(event)) => {
                        last = now();
                        self.told(&mut told, &event.data);
                    }
                    Ok(None) => {
                        nap(10);
                        break;
                    }
                    Err(error) if self.wire.is_passing(&error) => {
                        nap(10);
                        break;
                    }
                    Err(error) => {
                        let silent = silence(last);
                        let note = format!("{key}: the stream broke after {silent}: {error}");
                        self.wire.stage.failed(&note);
                        return Err(Failed);
                    }
                }
            }
        }
        Ok(told.end)
    }

    fn told(&self, told: &mut Told, event: &Value) {
        let Some(number) = event["sequence_number"].as_u64() else { return };
        let note = || format!("{}: told {number}, expected {}", told.id, told.count);
        if number < told.count {
            return self.wire.stage.wrong(|wrong| &mut wrong.doubles, note());
        }
        if number > told.count {
            self.wire.stage.wrong(|wrong| &mut wrong.gaps, note());
        }
        told.count = number + 1;
        let kind = event["type"].as_str().unwrap_or_default();
        if told.id.is_empty() {
            told.id = String::from(event["response"]["id"].as_str().unwrap_or_default());
        }
        if matches!(kind, "response.completed" | "response.failed" | "response.incomplete") {
            told.end = event["response"].clone();
        }
    }
}

/// What was told of one response.
#[derive(Default)]
struct Told {
    id: String,
    count: u64,
    /// The whole, at the end.
    end: Value,
}
