//! A client of the session API: turn by turn, with its own tools, and streams
//! that are taken up at another node now and then.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::stage::Stage;
use super::wire::{Call, Failed, Wire};
use crate::chance::{Chance, digest};
use crate::client::{MODEL, STUCK};
use crate::clock::{nap, now};
use crate::model::CLIENTS_TOOL;
use crate::plan::Plan;
use crate::sse::Events;
use crate::world::{Acknowledged, Seen};

/// What turns are made of.
const LETTERS: [char; 10] = ['i', 'q', 'p', 'i', 'q', 'I', 'Q', 'P', 'c', 'w'];
/// A stream is left for another node after one event in so many.
const MOVES: u64 = 60;
/// Calls sent so soon after the kill are looked at.
const SOON: Duration = Duration::from_secs(5);

/// One session, until the end.
pub(super) fn run(stage: &Stage, number: usize) {
    let mut chance = Chance::new(stage.seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
    let first = first_rest(stage, &mut chance);
    if !stage.rest(first) {
        return;
    }
    let wire = Wire::new(stage, chance);
    let mut talk = Talk {
        wire,
        number,
        seen: Seen::default(),
        cursor: String::new(),
        said: 0,
        ended: 0,
        stream: None,
        calls: BTreeMap::new(),
        asked: None,
        looked: false,
    };
    talk.seen.finished = talk.turns().is_ok();
    stage.saw(talk.seen);
}

/// Until a session's first turn: all are there early on.
pub(super) fn first_rest(stage: &Stage, chance: &mut Chance) -> Duration {
    let most = u64::try_from(stage.think.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(chance.below(most.max(1)))
}

/// Between two turns.
pub(super) fn rest(stage: &Stage, chance: &mut Chance) -> bool {
    let mean = u64::try_from(stage.think.as_millis()).unwrap_or(u64::MAX);
    let time = mean / 2 + chance.below(mean.max(1));
    stage.rest(Duration::from_millis(time))
}

struct Talk<'s> {
    wire: Wire<'s>,
    number: usize,
    seen: Seen,
    /// The id of the last event.
    cursor: String,
    said: usize,
    ended: usize,
    stream: Option<Events>,
    /// Calls without an outcome, and their tools.
    calls: BTreeMap<String, String>,
    /// When the last input was acknowledged.
    asked: Option<Instant>,
    /// Whether the first event after the kill came.
    looked: bool,
}

impl Talk<'_> {
    fn turns(&mut self) -> Result<(), Failed> {
        loop {
            let name = format!("S{}-{}-{}", self.wire.stage.run, self.number, self.said);
            let plan = Plan::of(name, &mut self.wire.chance, &LETTERS);
            let began = now();
            if self.seen.session.is_empty() {
                self.create(&plan)?;
            } else {
                self.say(&plan)?;
            }
            self.said += 1;
            self.listen()?;
            self.wire.stage.turn(now().duration_since(began));
            // Half of the streams stay open.
            if self.wire.chance.below(2) == 0 {
                self.stream = None;
            }
            if !rest(self.wire.stage, &mut self.wire.chance) {
                return Ok(());
            }
        }
    }

    fn create(&mut self, plan: &Plan) -> Result<(), Failed> {
        let own = json!({ "type": "function", "name": CLIENTS_TOOL, "strict": false,
            "parameters": { "type": "object", "properties": { "mark": { "type": "string" } } } });
        let settings = json!({ "request": { "model": MODEL, "tools": [own] },
            "tools": ["pay", "wait_until"] });
        let body = json!({ "settings": settings, "input": plan.text() });
        let session = self.post("/v1/freehold/sessions", &plan.name, &body)?;
        self.seen.session = String::from(session["id"].as_str().unwrap_or_default());
        self.acknowledged(plan, &session["receipt"]);
        Ok(())
    }

    fn say(&mut self, plan: &Plan) -> Result<(), Failed> {
        let body = json!({ "input": plan.text(), "busy": "reject" });
        let path = format!("/v1/freehold/sessions/{}/input", self.seen.session);
        let receipt = self.post(&path, &plan.name, &body)?;
        self.acknowledged(plan, &receipt);
        Ok(())
    }

    fn post(&mut self, path: &str, key: &str, body: &Value) -> Result<Value, Failed> {
        let sent = now();
        let (text, key) = (body.to_string(), format!("key-{key}"));
        let told = self.wire.ask(Call("POST", path, &key, &text))?;
        let stage = self.wire.stage;
        if let Some(kill) = stage.kill()
            && sent.saturating_duration_since(kill.at) < SOON
            && sent > kill.at
            && !self.is_at_work()
        {
            stage.posted(&self.seen.session, now().duration_since(sent));
        }
        Ok(told)
    }

    fn acknowledged(&mut self, plan: &Plan, receipt: &Value) {
        let number = |name: &str| receipt[name].as_u64().unwrap_or_default();
        let within = number("first")..=number("head");
        self.seen.inputs.push(Acknowledged { name: plan.name.clone(), within });
        self.asked = Some(now());
    }

    /// Whether something happens without anybody's doing, and not by a timer.
    fn is_at_work(&self) -> bool {
        let waits = |tool: &String| tool == CLIENTS_TOOL || tool == "wait_until";
        self.ended < self.said && (self.calls.is_empty() || !self.calls.values().all(waits))
    }

    /// Reads the stream until the turn has ended.
    fn listen(&mut self) -> Result<(), Failed> {
        let mut last = now();
        while self.ended < self.said {
            if now().duration_since(last) > STUCK {
                self.wire.stage.failed(&format!("{}: nothing in {STUCK:?}", self.seen.session));
                return Err(Failed);
            }
            let mut events = match self.stream.take() {
                Some(events) => events,
                None => self.open()?,
            };
            match events.next() {
                Ok(Some(told)) => {
                    last = now();
                    self.told(told.id, &told.data)?;
                    if self.wire.chance.below(MOVES) > 0 {
                        self.stream = Some(events);
                    }
                }
                // It ends where its node stops.
                Ok(None) => nap(10),
                Err(error) if self.wire.is_passing(&error) => nap(10),
                Err(error) => {
                    let silent = silence(last);
                    self.wire.stage.failed(&format!(
                        "{}: the stream broke after {silent}: {error}",
                        self.seen.session
                    ));
                    return Err(Failed);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self) -> Result<Events, Failed> {
        let path =
            format!("/v1/freehold/sessions/{}/stream?after={}", self.seen.session, self.cursor);
        Ok(Events::new(self.wire.open(Call("GET", &path, "", ""))?))
    }

    fn told(&mut self, id: String, event: &Value) -> Result<(), Failed> {
        let expected = self.seen.events.len() as u64 + 1;
        let offset = event["offset"].as_u64().unwrap_or_default();
        let note = || format!("{}: told {offset}, expected {expected}", self.seen.session);
        match offset {
            offset if offset < expected => {
                self.wire.stage.wrong(|wrong| &mut wrong.doubles, note());
                return Ok(());
            }
            offset if offset > expected => {
                self.wire.stage.wrong(|wrong| &mut wrong.gaps, note());
            }
            _ => {}
        }
        self.look(event);
        self.seen.events.push(digest(event));
        self.cursor = id;
        self.happened(event)
    }

    fn happened(&mut self, event: &Value) -> Result<(), Failed> {
        let fact = &event["fact"];
        let call = fact["call"].as_str().unwrap_or_default();
        match event["kind"].as_str().unwrap_or_default() {
            "turn_ended" => self.ended += 1,
            "tool_intended" => {
                let tool = fact["tool"].as_str().unwrap_or_default();
                self.calls.insert(call.to_owned(), tool.to_owned());
            }
            "tool_outcome" => drop(self.calls.remove(call)),
            "tool_started" if fact["place"] == "client" => return self.answer(call),
            _ => {}
        }
        Ok(())
    }

    fn answer(&mut self, call: &str) -> Result<(), Failed> {
        nap(self.wire.chance.below(100));
        let body = json!({ "answers": [{ "call": call, "content": "well" }] });
        let path = format!("/v1/freehold/sessions/{}/answers", self.seen.session);
        self.post(&path, call, &body).map(drop)
    }

    /// Notes when a session of which something was due at the kill goes on.
    fn look(&mut self, event: &Value) {
        let stage = self.wire.stage;
        let Some(kill) = stage.kill().filter(|_| !self.looked) else { return };
        let made = event["at"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
        if made.is_some_and(|made| made > kill.wall) {
            self.looked = true;
            // An input that came after it was not waited for at the kill.
            let was_asked = self.asked.is_some_and(|asked| asked < kill.at);
            if was_asked && self.is_at_work() {
                stage.went_on(&self.seen.session, now().duration_since(kill.at));
            }
        }
    }
}

/// In words.
pub(super) fn silence(since: Instant) -> String {
    format!("{:.1} s of silence", now().duration_since(since).as_secs_f64())
}
