//! The Conversations API: a conversation is a session that may have no
//! response yet.

mod items;

use axum::body::Body;
use freehold_runtime::content::About;
use freehold_runtime::event::{Limits, Name};
use freehold_runtime::sessions::{Error, NewSession, View};
use freehold_types::Code;
use http::{Method, Response};
use serde_json::{Map, Value, json};

use super::responses::ids::ConversationId;
use super::responses::{Asking, Failure, Reading, json as whole, wrong_method};

/// Marks a session as a conversation, which goes only when it is deleted.
pub(super) const MARK: &str = "conversation";

/// The agent of sessions that this surface makes.
const AGENT: &str = "conversations";

/// The bounds of metadata.
const KEYS_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 64;
const VALUE_CHARS_MAX: usize = 512;

/// What a path below `/v1/conversations` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// All of them.
    Conversations,
    /// One.
    Conversation(String),
    /// Its items.
    Items(String),
    /// One of its items.
    Item(String, String),
}

impl Place {
    /// What the rest of a path after `/v1/conversations` names.
    pub(crate) fn of(rest: &str) -> Option<Self> {
        if rest.is_empty() {
            return Some(Self::Conversations);
        }
        let parts: Vec<&str> = rest.strip_prefix('/')?.split('/').collect();
        match parts.as_slice() {
            ["", ..] => None,
            [id] => Some(Self::Conversation((*id).to_owned())),
            [id, "items"] => Some(Self::Items((*id).to_owned())),
            [id, "items", item] if !item.is_empty() => {
                Some(Self::Item((*id).to_owned(), (*item).to_owned()))
            }
            _ => None,
        }
    }
}

/// Answers a request.
pub(crate) async fn answer(asking: &Asking, place: &Place) -> Result<Response<Body>, Failure> {
    match (place, &asking.head.method) {
        (Place::Conversations, &Method::POST) => create(asking).await,
        (Place::Conversation(id), &Method::GET) => get(asking, id).await,
        (Place::Conversation(id), &Method::POST) => update(asking, id).await,
        (Place::Conversation(id), &Method::DELETE) => delete(asking, id).await,
        (Place::Items(id), &Method::POST) => items::create(asking, id).await,
        (Place::Items(id), &Method::GET) => items::list(asking, id).await,
        (Place::Item(id, item), &Method::GET) => items::get(asking, id, item).await,
        (Place::Item(id, item), &Method::DELETE) => items::delete(asking, id, item).await,
        _ => Err(wrong_method(asking)),
    }
}

async fn create(asking: &Asking) -> Result<Response<Body>, Failure> {
    let mut body = body(asking)?;
    let metadata = metadata(body.shift_remove("metadata"))?.unwrap_or_default();
    let cues = match body.shift_remove("items") {
        None | Some(Value::Null) => Vec::new(),
        Some(items) => items::said(asking, None, items).await?.1,
    };
    let about = About {
        metadata,
        surface: Map::from_iter([(MARK.to_owned(), true.into())]),
        ..About::default()
    };
    let new = NewSession {
        id: None,
        agent: Name::cut(AGENT),
        about,
        limits: Limits::default(),
        cues,
        key: None,
    };
    let sessions = &asking.state.sessions;
    let receipt = sessions.create(asking.principal.tenant(), asking.by(), new).await?;
    get(asking, &ConversationId(receipt.session).to_string()).await
}

async fn get(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let (_, view) = find(asking, id).await?;
    Ok(whole(&shape(id, &view, &view.about.metadata)))
}

async fn update(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let (reading, view) = find(asking, id).await?;
    let metadata = metadata(body(asking)?.shift_remove("metadata"))?.unwrap_or_default();
    let change = |about: &mut About| about.metadata.clone_from(&metadata);
    reading.sessions.describe(&reading.tenant, reading.session, change).await?;
    Ok(whole(&shape(id, &view, &metadata)))
}

async fn delete(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let (reading, _) = find(asking, id).await?;
    reading.sessions.delete(&reading.tenant, reading.session).await?;
    Ok(whole(&json!({"id": id, "object": "conversation.deleted", "deleted": true})))
}

fn shape(id: &str, view: &View, metadata: &Map<String, Value>) -> Value {
    json!({
        "id": id,
        "object": "conversation",
        "created_at": view.row.created_at.as_second(),
        "metadata": metadata,
    })
}

/// A conversation of the caller's tenant.
async fn find(asking: &Asking, id: &str) -> Result<(Reading, View), Failure> {
    let missing = || Failure::not_found("Conversation", id);
    let ConversationId(session) = id.parse().map_err(|_| missing())?;
    let reading = asking.reading(session);
    match reading.sessions.view(&reading.tenant, session).await {
        Ok(view) => Ok((reading, view)),
        Err(Error::NotFound) => Err(missing()),
        Err(error) => Err(error.into()),
    }
}

/// A JSON object; an empty body is an empty one.
fn body(asking: &Asking) -> Result<Map<String, Value>, Failure> {
    if asking.body.is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_slice(&asking.body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Failure::invalid("body", "expected an object")),
        Err(error) => Err(Failure::new(Code::InvalidJson, format!("the body is no JSON: {error}"))),
    }
}

/// Metadata within the bounds that clients know.
fn metadata(value: Option<Value>) -> Result<Option<Map<String, Value>>, Failure> {
    let object = match value {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(object)) => object,
        Some(_) => return Err(Failure::invalid("metadata", "metadata: expected an object")),
    };
    let fits = |(key, value): (&String, &Value)| {
        let text = value.as_str().is_some_and(|text| text.chars().count() <= VALUE_CHARS_MAX);
        key.chars().count() <= KEY_CHARS_MAX && text
    };
    if object.len() > KEYS_MAX || !object.iter().all(fits) {
        let message = format!(
            "metadata: up to {KEYS_MAX} texts of {VALUE_CHARS_MAX} characters, under names of \
             {KEY_CHARS_MAX}"
        );
        return Err(Failure::invalid("metadata", message));
    }
    Ok(Some(object))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_places() {
        for (rest, place) in [
            ("", Some(Place::Conversations)),
            ("/c", Some(Place::Conversation("c".into()))),
            ("/c/items", Some(Place::Items("c".into()))),
            ("/c/items/i", Some(Place::Item("c".into(), "i".into()))),
            ("/c/items/", None),
            ("/", None),
            ("/c/x", None),
        ] {
            assert_eq!(Place::of(rest), place, "{rest}");
        }
    }

    #[test]
    fn metadata_has_bounds() {
        assert!(metadata(Some(json!({"a": "b"}))).is_ok());
        assert!(metadata(Some(json!({"a": 1}))).is_err());
        assert!(metadata(Some(json!({"a": "x".repeat(513)}))).is_err());
        let many: Map<String, Value> = (0..17).map(|n| (n.to_string(), "x".into())).collect();
        assert!(metadata(Some(many.into())).is_err());
    }
}
