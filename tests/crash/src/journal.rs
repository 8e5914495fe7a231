//! What the journal of a session says, read in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, anyhow};
use serde_json::Value;

use crate::cluster::Cluster;

/// How a call ended, by its journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// What was called.
    pub(crate) tool: String,
    /// `ok`, `failed`, `refused`, `unknown`, or nothing.
    pub(crate) outcome: String,
    /// Whether the model was told.
    pub(crate) observed: bool,
}

/// A session's journal.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    pub(crate) events: Vec<Value>,
    pub(crate) calls: BTreeMap<String, Call>,
    pub(crate) started: usize,
    /// The reasons that turns ended for.
    pub(crate) ended: Vec<String>,
    /// Offsets of inputs that became part of a turn.
    pub(crate) taken: BTreeSet<u64>,
}

impl Journal {
    /// Reads one by the page.
    pub(crate) fn read(cluster: &Cluster, session: &str) -> Result<Self> {
        let mut journal = Self::default();
        loop {
            let after = journal.events.len();
            let path = format!("/v1/freehold/sessions/{session}/journal?limit=256&after={after}");
            let page = cluster.ask("GET", &path, "", "", Duration::from_secs(30))?;
            let page = page.ok_or_else(|| anyhow!("{path}: no answer"))?.json();
            for event in page["data"].as_array().into_iter().flatten() {
                journal.event(event.clone());
            }
            if page["next"].is_null() {
                return Ok(journal);
            }
        }
    }

    fn event(&mut self, event: Value) {
        let fact = &event["fact"];
        let call = fact["call"].as_str().unwrap_or_default().to_owned();
        match event["kind"].as_str().unwrap_or_default() {
            "turn_started" => self.started += 1,
            "turn_ended" => self.ended.push(fact["reason"].as_str().unwrap_or("?").to_owned()),
            "input_taken" => {
                let inputs = fact["inputs"].as_array().into_iter().flatten();
                self.taken.extend(inputs.filter_map(Value::as_u64));
            }
            "tool_intended" => {
                let tool = fact["tool"].as_str().unwrap_or_default().to_owned();
                self.calls.entry(call).or_default().tool = tool;
            }
            "tool_outcome" => {
                let word = fact["outcome"].as_object().and_then(|outcome| outcome.keys().next());
                let word = word.map(String::as_str).or(fact["outcome"].as_str());
                self.calls.entry(call).or_default().outcome = String::from(word.unwrap_or("?"));
            }
            "tool_observed" => self.calls.entry(call).or_default().observed = true,
            _ => {}
        }
        self.events.push(event);
    }

    /// Where the input of a plan stands, as often as it does.
    pub(crate) fn inputs(&self, name: &str) -> Vec<u64> {
        let word = format!("job {name} ");
        let inputs = self.events.iter().filter(|event| event["kind"] == "input_accepted");
        let own = inputs.filter(|event| event["fact"]["content"].to_string().contains(&word));
        own.filter_map(|event| event["offset"].as_u64()).collect()
    }
}
