//! The items of a conversation.

use axum::body::Body;
use freehold_llm::Dialect;
use freehold_llm::format::codec;
use freehold_runtime::content::Input;
use freehold_runtime::decide::Cue;
use freehold_runtime::event::{Busy, Fact};
use freehold_types::{Code, Offset, SessionId};
use http::Response;
use serde_json::{Map, Value, json};

use super::{Asking, Failure, body, find};
use crate::surface::responses::{
    ListQuery, Lister, Order, cue, json as whole, page, read_items, refused, resolve, wants_seals,
};

/// The most items that are added at once.
const ITEMS_MAX: usize = 20;

/// `POST .../items`.
pub(super) async fn create(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let (reading, _) = find(asking, id).await?;
    let items = body(asking)?.shift_remove("items").unwrap_or_default();
    let (count, cues) = said(asking, Some(reading.session), items).await?;
    let (tenant, session) = (&reading.tenant, reading.session);
    let receipt = reading.sessions.give(tenant, session, asking.by(), cues, None).await?;
    let events = reading.events(receipt.first.before(), receipt.head, 8).await?;
    let input = events.iter().find(|event| matches!(event.fact, Fact::InputAccepted(_)));
    let lister = Lister { reading: &reading, seals: wants_seals(asking) };
    let entries = match input {
        Some(event) => lister.said(event.offset).await?,
        None => Vec::new(),
    };
    Ok(whole(&page(entries, count)))
}

/// `GET .../items`.
pub(super) async fn list(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let query: ListQuery = asking.query()?;
    let limit = query.limit()?;
    let (reading, view) = find(asking, id).await?;
    let lister = Lister { reading: &reading, seals: wants_seals(asking) };
    let head = Offset(view.row.head);
    let entries = lister.list(head, query.order, query.after.as_deref(), limit).await?;
    Ok(whole(&page(entries, limit)))
}

/// `GET .../items/{item}`.
pub(super) async fn get(asking: &Asking, id: &str, item: &str) -> Result<Response<Body>, Failure> {
    let (reading, view) = find(asking, id).await?;
    let missing = || Failure::not_found("Item", item);
    let lister = Lister { reading: &reading, seals: wants_seals(asking) };
    let found = match lister.get(item).await? {
        Some(entry) => Some(entry),
        // Questions are not named by where they are.
        None if item.starts_with("mcpr_") => {
            let all = lister.list(Offset(view.row.head), Order::Desc, None, 1_000).await?;
            all.into_iter().find(|entry| entry.id == item)
        }
        None => None,
    };
    Ok(whole(&found.ok_or_else(missing)?.value))
}

/// `DELETE .../items/{item}`: history cannot be changed item by item, and to
/// hide one that the model still sees would be a lie.
pub(super) async fn delete(
    asking: &Asking,
    id: &str,
    item: &str,
) -> Result<Response<Body>, Failure> {
    let (reading, _) = find(asking, id).await?;
    let lister = Lister { reading: &reading, seals: false };
    if lister.get(item).await?.is_none() {
        return Err(Failure::not_found("Item", item));
    }
    let message = "items of a conversation cannot be deleted one by one: its journal is \
                   immutable, and the model would still see them. Delete the conversation, or \
                   begin one with the items that should stay";
    Err(Failure::new(Code::UnsupportedFeature, message))
}

/// Items that are added without anybody being asked: how many, and the cues.
pub(super) async fn said(
    asking: &Asking,
    within: Option<SessionId>,
    items: Value,
) -> Result<(usize, Vec<Cue>), Failure> {
    let Value::Array(list) = &items else {
        return Err(Failure::invalid("items", "items: expected a list"));
    };
    let count = list.len();
    if count > ITEMS_MAX {
        return Err(Failure::invalid("items", format!("items: up to {ITEMS_MAX} at a time")));
    }
    if count == 0 {
        return Ok((0, Vec::new()));
    }
    let request = json!({"model": "any", "input": items}).to_string();
    let request = codec(Dialect::Responses).decode_request(request.as_bytes()).map_err(refused)?;
    let items = resolve(asking, within, read_items(request.items)?).await?;
    let input = Input { items, settings: None, about: Map::new() };
    Ok((count, vec![cue(&input, Busy::Quiet, None)?]))
}
