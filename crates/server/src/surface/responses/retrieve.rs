//! `GET`, `DELETE /v1/responses/{id}` and `POST /v1/responses/{id}/cancel`.

use std::time::Duration;

use axum::body::Body;
use freehold_runtime::content::About;
use freehold_runtime::decide::Cue;
use freehold_runtime::sessions::Error;
use freehold_types::Offset;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::begun::Begun;
use super::ids::ResponseId;
use super::reading::{Following, Reading};
use super::stream::{self, Telling};
use super::{Asking, Failure, json as whole, parse};

/// How long a cancel waits for the end of the turn.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);

/// The most deleted responses that a session remembers one by one.
const DELETED_MAX: usize = 1_000;

/// Where they stand in what the surface keeps of a session.
const DELETED: &str = "deleted_responses";

#[derive(Debug, Default, Deserialize)]
struct Query {
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    starting_after: Option<u64>,
}

pub(super) async fn get(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let query: Query = asking.query()?;
    let id = parse(id)?;
    let mut told = Vec::new();
    let mut following = find(asking, id, &mut told).await?;
    if query.stream {
        let env = asking.state.env.clone();
        let telling = Telling::new(following, &told, query.starting_after, None, env);
        return Ok(stream::body(telling));
    }
    let head = head(&following.reading).await?;
    following.run_to(head).await?;
    Ok(whole(&following.follower.response()))
}

/// A response that was not deleted.
async fn find(asking: &Asking, id: ResponseId, told: &mut Vec<u8>) -> Result<Following, Failure> {
    of_undeleted(asking, id).await?.follow(id.begin, told).await
}

/// Reads of the session of a response that was not deleted.
pub(super) async fn of_undeleted(asking: &Asking, id: ResponseId) -> Result<Reading, Failure> {
    let missing = || Failure::not_found("Response", &id.to_string());
    let reading = asking.reading(id.session);
    let view = match reading.sessions.view(&reading.tenant, id.session).await {
        Ok(view) => view,
        Err(Error::NotFound) => return Err(missing()),
        Err(error) => return Err(error.into()),
    };
    if is_deleted(&view.about, id.begin) {
        return Err(missing());
    }
    Ok(reading)
}

async fn head(reading: &Reading) -> Result<Offset, Error> {
    Ok(Offset(reading.sessions.view(&reading.tenant, reading.session).await?.row.head))
}

/// Stops the turn of a response. One that is over is given back as it is.
pub(super) async fn cancel(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let id = parse(id)?;
    let mut told = Vec::new();
    let mut following = find(asking, id, &mut told).await?;
    let head = head(&following.reading).await?;
    following.run_to(head).await?;
    if let (false, Some(turn)) = (following.follower.is_over(), following.follower.turn()) {
        let Reading { sessions, tenant, session } = following.reading.clone();
        let cues = vec![Cue::Cancel { turn: Some(turn) }];
        match sessions.give(&tenant, session, asking.by(), cues, None).await {
            // It ended by itself just then.
            Ok(_) | Err(Error::Refused(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let patience = asking.state.env.sleep(CANCEL_PATIENCE);
        tokio::select! {
            ended = following.run_to(Offset(u64::MAX)) => ended?,
            () = patience => {}
        }
    }
    Ok(whole(&following.follower.response()))
}

/// Adds a response to those that are deleted.
fn forget(about: &mut About, begin: Offset) {
    let mut all = deleted(about);
    if !all.contains(&begin) {
        all.push(begin);
    }
    let list: Vec<Value> = all.iter().map(|at| at.0.into()).collect();
    about.surface.insert(DELETED.to_owned(), list.into());
}

/// Forgets a response. The session that holds it is immutable: its other
/// responses keep what this one brought into their context. It goes as a whole
/// with its last response.
pub(super) async fn delete(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let place = parse(id)?;
    let mut told = Vec::new();
    let following = find(asking, place, &mut told).await?;
    let reading = following.reading;
    let view = reading.sessions.view(&reading.tenant, place.session).await?;
    let mut deleted = deleted(&view.about);
    deleted.push(place.begin);
    let own = !view.about.surface.contains_key(super::super::conversations::MARK);
    if own && is_all(&reading, Offset(view.row.head), &deleted).await? {
        reading.sessions.delete(&reading.tenant, place.session).await?;
    } else if deleted.len() <= DELETED_MAX {
        let change = |about: &mut About| forget(about, place.begin);
        reading.sessions.describe(&reading.tenant, place.session, change).await?;
    } else {
        let message = "so many responses of this session were deleted that it can only be \
                       deleted as a whole";
        return Err(Failure::new(freehold_types::Code::SessionFull, message));
    }
    Ok(whole(&json!({"id": id, "object": "response", "deleted": true})))
}

/// Whether a response was deleted.
pub(super) fn is_deleted(about: &About, begin: Offset) -> bool {
    deleted(about).contains(&begin)
}

fn deleted(about: &About) -> Vec<Offset> {
    let list = about.surface.get(DELETED).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_u64).map(Offset).collect()
}

/// Whether no other response began in the session.
async fn is_all(reading: &Reading, head: Offset, deleted: &[Offset]) -> Result<bool, Failure> {
    let mut after = Offset::START;
    while after < head {
        let events = reading.events(after, head, 256).await?;
        let Some(last) = events.last() else { break };
        after = last.offset;
        for event in &events {
            let input = matches!(event.fact, freehold_runtime::event::Fact::InputAccepted(_));
            if !input || deleted.contains(&event.offset) {
                continue;
            }
            let begun = reading.input(event.offset).await?;
            if begun.is_some_and(|accepted| Begun::of(&accepted.input).is_some()) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
