//! Timers of a session.

use axum::Json as Shown;
use axum::extract::Path;
use freehold_runtime::content::Input;
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Content, Repeat, TimerPurpose};
use freehold_types::TimerId;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::input::parse;
use super::access::{Found, Refused};
use super::body::Json;
use super::create::said;
use super::happen::give;
use super::shape;
use crate::problem::Problem;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Set {
    /// When it fires first.
    #[serde(default)]
    due: Option<Timestamp>,
    /// The same, from now.
    #[serde(default)]
    in_seconds: Option<u32>,
    /// And again after so many; never where it is left out.
    #[serde(default)]
    every_seconds: Option<u32>,
    /// Or by a crontab expression with the name of its time zone.
    #[serde(default)]
    cron: Option<String>,
    /// What is then said to the agent.
    input: Value,
}

/// Sets a timer; the session is told its input when it fires, once for each
/// time that it fires, also after a restart.
pub(super) async fn set(found: Found, Json(set): Json<Set>) -> Result<Shown<Value>, Refused> {
    let repeat = match (set.every_seconds, &set.cron) {
        (None, None) => Repeat::Once,
        (Some(0), _) => return Err(Problem::invalid("every_seconds: at least 1").into()),
        (Some(seconds), None) => Repeat::EveryMs(u64::from(seconds) * 1_000),
        (None, Some(cron)) => {
            Repeat::cron(cron).map_err(|error| Problem::invalid(format!("cron: {error}")))?
        }
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("set `every_seconds` or `cron`, not both").into());
        }
    };
    let now = found.access.app.env.now();
    let due = match (set.due, set.in_seconds) {
        (Some(due), None) => due,
        (None, Some(seconds)) => now
            .checked_add(SignedDuration::from_secs(seconds.into()))
            .map_err(|_| Problem::invalid("in_seconds: too long"))?,
        (None, None) => match repeat.next(now, now) {
            Some(due) => due,
            None => return Err(Problem::invalid("set `due`, `in_seconds` or `cron`").into()),
        },
        (Some(_), Some(_)) => {
            return Err(Problem::invalid("set `due` or `in_seconds`, not both").into());
        }
    };
    let input = Input { items: said(&set.input)?, settings: None, about: Map::new() };
    let content = serde_json::to_value(input);
    let content = content.map_err(|error| Problem::invalid(error.to_string()))?;
    let purpose = TimerPurpose::Input(Content::Inline(content));
    give(&found, vec![Cue::SetTimer { due, repeat, purpose }], None).await
}

/// The timers that will fire.
pub(super) async fn list(found: Found) -> Result<Shown<Value>, Refused> {
    let state = found.view().await?.state;
    let data: Vec<Value> = state.timers.iter().map(shape::timer).collect();
    Ok(Shown(json!({ "data": data, "next": null })))
}

/// Takes one back.
pub(super) async fn cancel(
    found: Found,
    Path((_, timer)): Path<(String, String)>,
) -> Result<Shown<Value>, Refused> {
    let timer: TimerId = parse("the timer's id", &timer)?;
    give(&found, vec![Cue::CancelTimer { timer }], None).await
}
