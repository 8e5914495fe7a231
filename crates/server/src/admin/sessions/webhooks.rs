//! Signals from outside: whoever has a session's token may signal, and nothing
//! else.
//!
//! A token says whose session it is for and holds a secret, of which only the
//! hash is kept.

use std::fmt::Write as _;

use axum::Json as Shown;
use axum::extract::{Path, State};
use freehold_runtime::content::About;
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Content, Hash};
use freehold_runtime::sessions::{By, Error};
use freehold_types::{Code, SessionId, TenantId};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::Admin;
use super::access::{Found, Refused};
use super::body::Json;
use super::create::key;
use super::happen::name;
use super::shape;
use crate::problem::Problem;

/// Where they stand in what is kept of a session: name to hash.
const WEBHOOKS: &str = "webhooks";
/// The most of one session.
const WEBHOOKS_MAX: usize = 32;
/// What each token begins with.
const PREFIX: &str = "whk_";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Make {
    /// The signal that it sends.
    name: String,
}

/// Makes a token. It is told this once; the same name again makes another one
/// in its place.
pub(super) async fn make(
    found: Found,
    Json(make): Json<Make>,
) -> Result<(StatusCode, Shown<Value>), Refused> {
    let name = name("name", &make.name)?;
    let mut secret = [0; 16];
    found.access.app.env.fill_random(&mut secret);
    let token = token(&found.access.tenant, found.session, secret);
    let hash = Hash::of(token.as_bytes()).to_string();
    let change = |about: &mut About| {
        let mut all = webhooks(about);
        all.insert(name.as_str().to_owned(), hash.clone().into());
        let fits = all.len() <= WEBHOOKS_MAX;
        if fits {
            about.surface.insert(WEBHOOKS.to_owned(), all.into());
        }
        fits
    };
    let access = &found.access;
    if !access.sessions().describe(&access.tenant, found.session, change).await? {
        let message = format!("a session has at most {WEBHOOKS_MAX} webhooks");
        return Err(Problem::new(Code::SessionFull, message).into());
    }
    let url = format!("{}/v1/freehold/webhooks/{token}", access.app.url);
    let made = json!({"name": name.as_str(), "token": token, "url": url});
    Ok((StatusCode::CREATED, Shown(made)))
}

/// The names of a session's webhooks.
pub(super) async fn list(found: Found) -> Result<Shown<Value>, Refused> {
    let all = webhooks(&found.view().await?.about);
    let data: Vec<Value> = all.keys().map(|name| json!({ "name": name })).collect();
    Ok(Shown(json!({ "data": data, "next": null })))
}

/// Takes a token back.
pub(super) async fn unmake(
    found: Found,
    Path((_, name)): Path<(String, String)>,
) -> Result<StatusCode, Refused> {
    let change = |about: &mut About| {
        let mut all = webhooks(about);
        let was_there = all.shift_remove(&name).is_some();
        about.surface.insert(WEBHOOKS.to_owned(), all.into());
        was_there
    };
    let access = &found.access;
    if !access.sessions().describe(&access.tenant, found.session, change).await? {
        return Err(Problem::new(Code::SessionNotFound, "there is no such webhook").into());
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `POST webhooks/{token}`: without a key, for the token is one.
pub(super) async fn receive(
    State(admin): State<Admin>,
    Path(token): Path<String>,
    headers: HeaderMap,
    Json(content): Json<Value>,
) -> Result<Shown<Value>, Refused> {
    let app = admin.app()?;
    let unknown = || Problem::new(Code::SessionNotFound, "there is no such webhook");
    let (tenant, session) = read(&token).ok_or_else(unknown)?;
    let view = match app.sessions.view(&tenant, session).await {
        Ok(view) => view,
        Err(Error::NotFound) => return Err(unknown().into()),
        Err(error) => return Err(error.into()),
    };
    // The hash is of all of it, so its comparison tells nothing of the secret.
    let hash = Value::from(Hash::of(token.as_bytes()).to_string());
    let all = webhooks(&view.about);
    let found = all.iter().find(|(_, kept)| **kept == hash).map(|(name, _)| name.clone());
    let signal = name("name", &found.ok_or_else(unknown)?)?;
    let key = key(&headers, || content.to_string())?;
    let cues = vec![Cue::Signal { name: signal, content: Content::Inline(content) }];
    let receipt = app.sessions.give(&tenant, session, By::default(), cues, key).await?;
    let shown = shape::receipt(&receipt);
    Ok(Shown(json!({"session": shown["session"], "offset": shown["first"]})))
}

fn webhooks(about: &About) -> Map<String, Value> {
    about.surface.get(WEBHOOKS).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn token(tenant: &TenantId, session: SessionId, secret: [u8; 16]) -> String {
    let session = session.to_string();
    let digits = session.trim_start_matches(SessionId::PREFIX);
    let mut token = format!("{PREFIX}{tenant}.{digits}.");
    for byte in secret {
        // Writing to a string does not fail.
        let _written = write!(token, "{byte:02x}").is_ok();
    }
    token
}

fn read(token: &str) -> Option<(TenantId, SessionId)> {
    let mut parts = token.strip_prefix(PREFIX)?.rsplitn(3, '.');
    let (_, session, tenant) = (parts.next()?, parts.next()?, parts.next()?);
    let session = format!("{}{session}", SessionId::PREFIX).parse().ok()?;
    Some((TenantId::new(tenant).ok()?, session))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_session_it_is_for() {
        let session: SessionId = "sess_0190163d81167a0ebf1f2a5b3c4d5e6f".parse().unwrap();
        let tenant = TenantId::new("acme.eu").unwrap_or(TenantId::main());
        let token = token(&tenant, session, [7; 16]);
        assert_eq!(read(&token), Some((tenant, session)));
        for bad in ["", "whk_", "whk_main.x.y", "whk_.."] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
