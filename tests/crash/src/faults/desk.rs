//! One server with its world around it, and what was found of it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use serde_json::{Value, json};

use crate::client::MODEL;
use crate::clock::{nap, now};
use crate::http::{self, Ask, Message};
use crate::model::{self, CLIENTS_TOOL};
use crate::node::{KEY, Node};
use crate::payments::{self, Payments};
use crate::plan::Plan;
use crate::rounds;
use crate::trap::Trap;

/// How long an answer may take, errors too.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a turn may take once all is well.
const TURN: Duration = Duration::from_secs(40);

/// What was looked at, and whether it was as it must be.
#[derive(Debug, Default)]
pub(super) struct Checks(Vec<(String, bool)>);

impl Checks {
    /// It must be so; `told` is shown where it is not.
    pub(super) fn so(&mut self, what: &str, good: bool, told: impl fmt::Display) {
        let line = if good { what.to_owned() } else { format!("{what}: {told}") };
        self.0.push((line, good));
    }

    /// It must be refused with this status and code.
    pub(super) fn refused(&mut self, what: &str, answer: &Message, status: u16, code: &str) {
        let body = answer.json();
        // The management API says it outright, dialects within their error.
        let told = body["code"].as_str().or(body["error"]["code"].as_str()).unwrap_or_default();
        let good = answer.status() == status && told == code;
        let line = format!("{what}: {status} {code}");
        self.so(&line, good, format!("{} {body}", answer.first));
    }

    pub(super) fn are_good(&self) -> bool {
        self.0.iter().all(|(_, good)| *good)
    }
}

impl fmt::Display for Checks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, good) in &self.0 {
            writeln!(f, "  {} {line}", if *good { "ok  " } else { "MISS" })?;
        }
        Ok(())
    }
}

/// A server and its world.
pub(super) struct Desk {
    pub(super) node: Node,
    pub(super) payments: Arc<Payments>,
}

impl Desk {
    /// Starts one; `config` comes before the world's part.
    pub(super) fn open(program: &Path, folder: &Path, config: &str) -> Result<Self> {
        let desk = Self::prepare(program, folder, config)?;
        desk.node.start()?;
        Ok(desk)
    }

    /// One that is not started yet.
    pub(super) fn prepare(program: &Path, folder: &Path, config: &str) -> Result<Self> {
        let trap = Arc::new(Trap::default());
        let model = model::start(Arc::clone(&trap))?;
        let (payments, pays) = Payments::start(trap)?;
        let outside = rounds::config(model, &payments::document(pays).to_string());
        let node = Node::new(program, folder.to_owned(), &format!("{config}{outside}"))?;
        Ok(Self { node, payments })
    }

    /// One request, whatever the answer.
    pub(super) fn ask(&self, method: &str, path: &str, key: &str, body: &Value) -> Result<Message> {
        let to = self.node.address().ok_or_else(|| anyhow!("the server does not run"))?;
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Ok(http::ask(to, &Ask { method, path, bearer: KEY, key, body: &body }, PATIENCE)?)
    }

    pub(super) fn get(&self, path: &str) -> Result<Message> {
        self.ask("GET", path, "", &Value::Null)
    }

    /// Makes a session with a first turn; its id.
    pub(super) fn create(&self, plan: &Plan) -> Result<String> {
        let answer = self.ask("POST", "/v1/freehold/sessions", "", &body(plan))?;
        let id = answer.json()["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| anyhow!("no session: {} {}", answer.first, answer.json()))
    }

    pub(super) fn say(&self, session: &str, plan: &Plan) -> Result<Message> {
        let path = format!("/v1/freehold/sessions/{session}/input");
        self.ask("POST", &path, "", &json!({ "input": plan.text(), "busy": "enqueue" }))
    }

    /// The events of a session.
    pub(super) fn events(&self, session: &str) -> Result<Vec<Value>> {
        let path = format!("/v1/freehold/sessions/{session}/journal?limit=256");
        let answer = self.get(&path)?;
        let Value::Array(events) = answer.json()["data"].take() else {
            bail!("no journal: {} {}", answer.first, answer.json())
        };
        Ok(events)
    }

    /// Waits until so many turns have ended; why they did.
    pub(super) fn ended(&self, session: &str, turns: usize) -> Result<Vec<String>> {
        let began = now();
        loop {
            let ended: Vec<String> = match self.events(session) {
                Ok(events) => {
                    let ends = events.iter().filter(|event| event["kind"] == "turn_ended");
                    ends.map(|end| end["fact"]["reason"].as_str().unwrap_or("?").to_owned())
                        .collect()
                }
                Err(_) => Vec::new(),
            };
            if ended.len() >= turns {
                return Ok(ended);
            }
            if now().duration_since(began) > TURN {
                bail!("{session}: {} of {turns} turns ended", ended.len());
            }
            nap(50);
        }
    }

    /// Waits for the first event of a kind.
    pub(super) fn event(&self, session: &str, kind: &str) -> Result<Value> {
        let began = now();
        while now().duration_since(began) < TURN {
            let events = self.events(session)?;
            if let Some(event) = events.into_iter().find(|event| event["kind"] == kind) {
                return Ok(event);
            }
            nap(20);
        }
        bail!("{session}: no {kind}")
    }

    /// Whether all inputs of these names are in the journal, each once.
    pub(super) fn kept(&self, session: &str, names: &[&str]) -> Result<bool> {
        let events = self.events(session)?;
        let inputs = events.iter().filter(|event| event["kind"] == "input_accepted");
        let texts: Vec<String> = inputs.map(|event| event["fact"]["content"].to_string()).collect();
        let count = |name: &str| texts.iter().filter(|text| text.contains(name)).count();
        Ok(names.iter().all(|name| count(&format!("job {name} ")) == 1))
    }

    /// How often payments of a plan took effect.
    pub(super) fn effects(&self, plan: &Plan) -> u32 {
        let all = self.payments.all();
        let own = all.values().filter(|paid| paid.mark.starts_with(&plan.name));
        own.map(|paid| paid.effects).sum()
    }
}

/// A session with a first turn.
pub(super) fn body(plan: &Plan) -> Value {
    let own = json!({ "type": "function", "name": CLIENTS_TOOL, "strict": false,
        "parameters": { "type": "object", "properties": { "mark": { "type": "string" } } } });
    json!({ "settings": { "request": { "model": MODEL, "tools": [own] }, "tools": ["pay"] },
        "input": plan.text() })
}

/// A turn of these steps.
pub(super) fn plan(name: &str, steps: &[&str]) -> Plan {
    let steps = steps.iter().map(|step| (*step).to_owned()).collect();
    Plan { name: name.to_owned(), steps, words: 5 }
}
