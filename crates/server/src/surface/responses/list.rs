//! Lists of items, by the page.

use axum::body::Body;
use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::begun::Begun;
use super::items::{Entry, Lister, Order};
use super::{Asking, Failure, json as whole, parse, retrieve};

/// The most items of a page.
const LIMIT_MAX: usize = 100;
/// The items of a page where nothing is said.
const LIMIT: usize = 20;

/// What a list is asked with. Repeated parameters (`include[]`) are looked for
/// in the query itself.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(default)]
    pub(crate) order: Order,
    #[serde(default)]
    pub(crate) after: Option<String>,
    #[serde(default)]
    limit: Option<usize>,
}

impl ListQuery {
    /// How many items a page may have.
    pub(crate) fn limit(&self) -> Result<usize, Failure> {
        match self.limit.unwrap_or(LIMIT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(Failure::invalid("limit", format!("limit: 1 to {LIMIT_MAX}"))),
        }
    }
}

/// Whether the query asks for the seals of reasoning.
pub(crate) fn wants_seals(asking: &Asking) -> bool {
    asking.head.uri.query().is_some_and(|query| query.contains("reasoning.encrypted_content"))
}

/// A page of a list that was read with one item more, if there was one.
pub(crate) fn page(mut entries: Vec<Entry>, limit: usize) -> Value {
    let has_more = entries.len() > limit;
    entries.truncate(limit);
    let id = |entry: Option<&Entry>| entry.map(|entry| entry.id.clone());
    let (first, last) = (id(entries.first()), id(entries.last()));
    let data: Vec<Value> = entries.into_iter().map(|entry| entry.value).collect();
    // Described as text, also where there is none.
    json!({
        "object": "list",
        "data": data,
        "first_id": first.unwrap_or_default(),
        "last_id": last.unwrap_or_default(),
        "has_more": has_more,
    })
}

/// What a response was asked: the items of its own request.
pub(super) async fn input_items(asking: &Asking, id: &str) -> Result<Response<Body>, Failure> {
    let query: ListQuery = asking.query()?;
    let limit = query.limit()?;
    let place = parse(id)?;
    let missing = || Failure::not_found("Response", id);
    let reading = retrieve::of_undeleted(asking, place).await?;
    let accepted = reading.input(place.begin).await?.ok_or_else(missing)?;
    Begun::of(&accepted.input).ok_or_else(missing)?;
    let lister = Lister { reading: &reading, seals: wants_seals(asking) };
    let mut entries = lister.said(place.begin).await?;
    if query.order == Order::Desc {
        entries.reverse();
    }
    if let Some(after) = &query.after {
        let at = entries.iter().position(|entry| entry.id == *after);
        let at = at.ok_or_else(|| Failure::invalid("after", "after: there is no such item"))?;
        entries.drain(..=at);
    }
    Ok(whole(&page(entries, limit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_says_whether_there_is_more() {
        let entry = |id: &str| Entry { id: id.into(), value: json!({ "id": id }) };
        let full = page(vec![entry("a"), entry("b"), entry("c")], 2);
        assert_eq!((&full["last_id"], &full["has_more"]), (&json!("b"), &json!(true)));
        let empty = page(Vec::new(), 2);
        assert_eq!((&empty["first_id"], &empty["has_more"]), (&json!(""), &json!(false)));
    }

    #[test]
    fn a_limit_has_bounds() {
        let limit = |limit| ListQuery { limit, ..ListQuery::default() }.limit();
        assert_eq!(limit(None).unwrap(), 20);
        assert!(limit(Some(0)).is_err() && limit(Some(101)).is_err());
    }
}
