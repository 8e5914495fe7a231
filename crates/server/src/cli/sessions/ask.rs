//! What is said to a session.

use anyhow::Context as _;
use clap::Args;
use freehold_server::out;
use serde_json::{Value, json};

use super::super::door::text;
use super::api::{Api, of};

#[derive(Debug, Args)]
pub(super) struct New {
    /// What is said first; without it, nothing is.
    text: Option<String>,
    /// The model, or route, that answers.
    #[arg(long)]
    model: Option<String>,
    /// Its standing orders.
    #[arg(long)]
    instructions: Option<String>,
    /// A configured tool that it may call; can be given often.
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
    /// What works in it.
    #[arg(long)]
    agent: Option<String>,
}

impl New {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let mut body = json!({});
        if let Some(model) = self.model {
            let mut request = json!({ "model": model });
            if let Some(instructions) = self.instructions {
                request["instructions"] = instructions.into();
            }
            body["settings"] = json!({ "request": request, "tools": self.tools });
        }
        if let Some(agent) = self.agent {
            body["agent"] = agent.into();
        }
        if let Some(text) = self.text {
            body["input"] = text.into();
        }
        let made = api.post("sessions", &body)?;
        if api.json {
            out::line(made.to_string());
        } else {
            out::line(text(&made, "id"));
        }
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Say {
    session: String,
    text: String,
    /// What becomes of it if a turn runs: reject, enqueue, interrupt, rollback or steer;
    /// `quiet` has nobody answer.
    #[arg(long, default_value = "enqueue")]
    busy: String,
}

impl Say {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let body = json!({"input": self.text, "busy": self.busy});
        let told = api.post(&of(&self.session, "input"), &body)?;
        api.tell(&told, format!("It is in the journal at {}.", text(&told, "first")));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Answer {
    session: String,
    /// The call, as `sessions show` names it.
    call: String,
    /// The result.
    text: String,
    /// It is an error.
    #[arg(long)]
    error: bool,
}

impl Answer {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let answer = json!({"call": self.call, "content": self.text, "is_error": self.error});
        let told = api.post(&of(&self.session, "answers"), &json!({ "answers": [answer] }))?;
        api.tell(&told, format!("It is in the journal at {}.", text(&told, "first")));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Signal {
    session: String,
    /// Which signal.
    name: String,
    /// What comes with it, as JSON.
    content: Option<String>,
}

impl Signal {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let content: Value = match &self.content {
            Some(text) => serde_json::from_str(text).context("the content is no JSON")?,
            None => Value::Null,
        };
        let body = json!({"name": self.name, "content": content});
        let told = api.post(&of(&self.session, "signals"), &body)?;
        api.tell(&told, format!("It is in the journal at {}.", text(&told, "first")));
        Ok(())
    }
}
