//! Deciding, timing, limiting, forking.

use clap::{Args, Subcommand};
use freehold_server::admin::escape;
use freehold_server::out;
use http::Method;
use serde_json::{Value, json};

use super::super::door::{show, text};
use super::api::{Api, of};
use super::line;

#[derive(Debug, Args)]
pub(super) struct Approvals {
    /// Only those of this session.
    session: Option<String>,
}

impl Approvals {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let path = match &self.session {
            Some(session) => of(session, "approvals"),
            None => "approvals?limit=1000".to_owned(),
        };
        let page = api.get(&path)?;
        let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
        show(api.json, &rows, &["APPROVAL", "SESSION", "QUESTION", "EXPIRES"], |row| {
            let session = self.session.clone().unwrap_or_else(|| text(row, "session"));
            let expires = line::time(&text(row, "expires_at"));
            vec![text(row, "id"), session, text(row, "question"), expires]
        })
    }
}

#[derive(Debug, Args)]
pub(super) struct Decide {
    session: String,
    approval: String,
    /// Why.
    #[arg(long, default_value = "")]
    note: String,
}

impl Decide {
    pub(super) fn run(self, api: &Api, verdict: &str) -> anyhow::Result<()> {
        let path = of(&self.session, &format!("approvals/{}", escape(&self.approval)));
        let told = api.post(&path, &json!({"verdict": verdict, "note": self.note}))?;
        api.tell(&told, format!("{}: {verdict}.", self.approval));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Timers {
    #[command(subcommand)]
    command: TimerCommand,
}

#[derive(Debug, Subcommand)]
enum TimerCommand {
    /// Have something said to the agent later.
    Set(SetTimer),
    /// List those that will fire.
    List {
        /// Of this session.
        session: String,
    },
    /// Take one back.
    Cancel {
        /// Of this session.
        session: String,
        /// Which.
        timer: String,
    },
}

#[derive(Debug, Args)]
struct SetTimer {
    session: String,
    /// What is said then.
    text: String,
    /// So many seconds from now.
    #[arg(long = "in", value_name = "SECONDS", required_unless_present_any = ["at", "cron"])]
    in_seconds: Option<u32>,
    /// At this time (2027-01-01T00:00:00Z).
    #[arg(long, value_name = "TIME", conflicts_with = "in_seconds")]
    at: Option<String>,
    /// And again after so many seconds each.
    #[arg(long, value_name = "SECONDS")]
    every: Option<u32>,
    /// By a crontab expression with its time zone: `0 9 * * MON-FRI Europe/Berlin`.
    #[arg(long, value_name = "CRON", conflicts_with = "every")]
    cron: Option<String>,
}

impl Timers {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        match self.command {
            TimerCommand::Set(set) => {
                let mut body = json!({ "input": set.text });
                match (set.at, set.in_seconds) {
                    (Some(at), _) => body["due"] = at.into(),
                    (None, Some(seconds)) => body["in_seconds"] = seconds.into(),
                    (None, None) => {}
                }
                if let Some(cron) = set.cron {
                    body["cron"] = cron.into();
                }
                if let Some(every) = set.every {
                    body["every_seconds"] = every.into();
                }
                let told = api.post(&of(&set.session, "timers"), &body)?;
                api.tell(&told, "It is set.");
                Ok(())
            }
            TimerCommand::List { session } => {
                let page = api.get(&of(&session, "timers"))?;
                let rows = page.get("data").and_then(Value::as_array).cloned().unwrap_or_default();
                show(api.json, &rows, &["TIMER", "DUE", "REPEAT", "CALL"], |row| {
                    let due = line::time(&text(row, "due"));
                    vec![text(row, "id"), due, text(row, "repeat"), text(row, "call")]
                })
            }
            TimerCommand::Cancel { session, timer } => {
                let path = of(&session, &format!("timers/{}", escape(&timer)));
                let told = api.call(Method::DELETE, &path, None)?;
                api.tell(&told, format!("{timer} will not fire."));
                Ok(())
            }
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct Limits {
    session: String,
    /// Whose: turn, session or key.
    #[arg(long, default_value = "turn")]
    scope: String,
    /// Times that a model is asked.
    #[arg(long)]
    steps: Option<u64>,
    /// Tokens, in and out.
    #[arg(long)]
    tokens: Option<u64>,
    /// Money, such as 0.50.
    #[arg(long)]
    cost: Option<String>,
    /// Milliseconds at work.
    #[arg(long)]
    active_ms: Option<u64>,
}

impl Limits {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let limits = json!({
            "steps": self.steps, "tokens": self.tokens, "cost": self.cost,
            "active_ms": self.active_ms,
        });
        let body = json!({"scope": self.scope, "limits": limits});
        let told = api.post(&of(&self.session, "limits"), &body)?;
        api.tell(&told, "They are set; a turn that paused tries again.");
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Pin {
    session: String,
    /// The event's offset.
    offset: u64,
}

impl Pin {
    pub(super) fn run(self, api: &Api, pinned: bool) -> anyhow::Result<()> {
        let path = of(&self.session, &format!("pins/{}", self.offset));
        let method = if pinned { Method::PUT } else { Method::DELETE };
        let told = api.call(method, &path, None)?;
        let state = if pinned { "pinned" } else { "not pinned" };
        api.tell(&told, format!("The event {} is {state}.", self.offset));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Fork {
    session: String,
    /// The last event that both have; without it, the last there is.
    #[arg(long)]
    at: Option<u64>,
}

impl Fork {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let body = self.at.map_or_else(|| json!({}), |at| json!({ "at": at }));
        let told = api.post(&of(&self.session, "fork"), &body)?;
        out::line(if api.json { told.to_string() } else { text(&told, "session") });
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Rewind {
    session: String,
    /// The last event that counts: the end of a turn.
    #[arg(long)]
    to: u64,
}

impl Rewind {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let told = api.post(&of(&self.session, "rewind"), &json!({ "to": self.to }))?;
        api.tell(&told, format!("The model forgets what came after {}.", self.to));
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(super) struct Webhook {
    session: String,
    /// The signal that it sends.
    name: String,
}

impl Webhook {
    pub(super) fn run(self, api: &Api) -> anyhow::Result<()> {
        let made = api.post(&of(&self.session, "webhooks"), &json!({ "name": self.name }))?;
        if api.json {
            out::line(made.to_string());
        } else {
            out::line(text(&made, "url"));
            out::note("Whoever has this address may send the signal. It is not shown again.");
        }
        Ok(())
    }
}
