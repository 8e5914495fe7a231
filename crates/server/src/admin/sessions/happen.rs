//! What happens in a session because somebody wants it to.

use axum::extract::Path;
use freehold_runtime::decide::{ClientAnswer, Cue};
use freehold_runtime::event::{Busy, Content, Limits, Name, Scope};
use freehold_runtime::sessions::Key;
use freehold_types::{CallId, Code, Offset, TurnId};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Found, Refused};
use super::body::Json;
use super::create::{Run, cue, key, said, settings};
use super::shape;
use crate::problem::Problem;

/// The most calls that one request answers.
const ANSWERS_MAX: usize = 64;

type Told = Result<axum::Json<Value>, Refused>;

pub(super) async fn give(found: &Found, cues: Vec<Cue>, key: Option<Key>) -> Told {
    let access = &found.access;
    let receipt =
        access.sessions().give(&access.tenant, found.session, access.by(), cues, key).await?;
    Ok(axum::Json(shape::receipt(&receipt)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    input: Value,
    /// What becomes of it if a turn runs.
    #[serde(default)]
    busy: Busy,
    /// How to go on from here.
    #[serde(default)]
    settings: Option<Run>,
}

/// Says something to the agent.
pub(super) async fn input(found: Found, headers: HeaderMap, Json(say): Json<Say>) -> Told {
    let key = key(&headers, || json!([&say.input, say.busy]).to_string())?;
    let settings = say.settings.map(|run| settings(&found.access, run)).transpose()?;
    let items = said(&say.input)?;
    let cues = vec![cue(&items, settings, say.busy, key.as_ref())?];
    give(&found, cues, key).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    answers: Vec<Answer>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    call: CallId,
    content: Value,
    #[serde(default)]
    is_error: bool,
}

/// Answers calls that wait for a client or a person: all or none.
pub(super) async fn answers(found: Found, headers: HeaderMap, Json(told): Json<Answers>) -> Told {
    if told.answers.len() > ANSWERS_MAX {
        return Err(Problem::invalid(format!("answers: more than {ANSWERS_MAX}")).into());
    }
    let request = || {
        let answers = told.answers.iter();
        let each =
            answers.map(|answer| json!([answer.call.to_string(), answer.content, answer.is_error]));
        each.collect::<Value>().to_string()
    };
    let key = key(&headers, request)?;
    let answers = told.answers.into_iter().map(|answer| ClientAnswer {
        call: answer.call,
        content: Content::Inline(answer.content),
        is_error: answer.is_error,
    });
    give(&found, vec![Cue::ClientAnswers { answers: answers.collect() }], key).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Signal {
    name: String,
    #[serde(default)]
    content: Value,
}

/// Signals: like an input that nobody said.
pub(super) async fn signal(found: Found, headers: HeaderMap, Json(signal): Json<Signal>) -> Told {
    let key = key(&headers, || json!([&signal.name, &signal.content]).to_string())?;
    let name = name("name", &signal.name)?;
    give(&found, vec![Cue::Signal { name, content: Content::Inline(signal.content) }], key).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cancel {
    #[serde(default)]
    turn: Option<TurnId>,
}

/// Stops the turn that runs.
pub(super) async fn cancel(found: Found, Json(cancel): Json<Cancel>) -> Told {
    give(&found, vec![Cue::Cancel { turn: cancel.turn }], None).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raise {
    scope: Scope,
    #[serde(default)]
    limits: Limits,
}

/// Sets limits anew; a turn that paused at one tries again.
pub(super) async fn limits(found: Found, Json(raise): Json<Raise>) -> Told {
    if !found.access.manages() && found.access.key.is_some() {
        let message = "limits of a session are raised with a key that manages its tenant";
        return Err(Problem::new(Code::AdminRequired, message).into());
    }
    let Raise { scope, limits } = raise;
    give(&found, vec![Cue::RaiseBudget { scope, limits }], None).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// Has the context summed up.
pub(super) async fn compact(found: Found, Json(Nothing {}): Json<Nothing>) -> Told {
    give(&found, vec![Cue::Compact], None).await
}

/// Has an event survive every compaction.
pub(super) async fn pin(found: Found, Path((_, at)): Path<(String, u64)>) -> Told {
    give(&found, vec![Cue::Pin { at: Offset(at) }], None).await
}

/// Lets it go.
pub(super) async fn unpin(found: Found, Path((_, at)): Path<(String, u64)>) -> Told {
    give(&found, vec![Cue::Unpin { at: Offset(at) }], None).await
}

pub(super) fn name(field: &str, text: &str) -> Result<Name, Problem> {
    let named = Name::new(text).ok().filter(|name| !name.as_str().is_empty());
    named.ok_or_else(|| {
        Problem::invalid(format!("{field}: 1 to 64 bytes without control characters"))
    })
}
