//! Items that a request names by their ids instead of saying them again.

use freehold_llm::model::{Item, ItemBody};
use freehold_runtime::sessions::Error;
use freehold_types::SessionId;
use serde_json::Value;

use super::ids::ItemId;
use super::items::item_of;
use super::{Asking, Failure};

/// The items with those that were named in their places. What the session has
/// already, its model sees anyway.
pub(crate) async fn resolve(
    asking: &Asking,
    within: Option<SessionId>,
    items: Vec<Item>,
) -> Result<Vec<Item>, Failure> {
    let mut said = Vec::with_capacity(items.len());
    for item in items {
        let Some(id) = reference(&item) else {
            said.push(item);
            continue;
        };
        let missing = || Failure::not_found("Item", &id);
        let place: ItemId = id.parse().map_err(|_| missing())?;
        let reading = asking.reading(place.session);
        let found = match item_of(&reading, place).await {
            Ok(found) => found.ok_or_else(missing)?,
            Err(Error::NotFound) => return Err(missing()),
            Err(error) => return Err(error.into()),
        };
        if within != Some(place.session) {
            said.push(found);
        }
    }
    Ok(said)
}

fn reference(item: &Item) -> Option<String> {
    let ItemBody::Native { json, .. } = &item.body else { return None };
    let kind = json.get("type").and_then(Value::as_str);
    // A bare id is a reference too.
    if !matches!(kind, None | Some("item_reference")) {
        return None;
    }
    Some(json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned())
}
