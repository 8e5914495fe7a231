//! `cache_control`: prompt-cache breakpoints.

use serde_json::{Map, Value, json};

use crate::Losses;
use crate::format::json::Fields;
use crate::model::CacheMark;

/// Takes the breakpoint of a block or tool. One of a form that the hub does
/// not know stays where it is and becomes an extra.
pub(super) fn take(fields: &mut Fields) -> Option<CacheMark> {
    let object = fields.peek("cache_control")?.as_object()?;
    let known = object.get("type").and_then(Value::as_str) == Some("ephemeral")
        && object
            .iter()
            .all(|(name, value)| name == "type" || (name == "ttl" && value.is_string()));
    if !known {
        return None;
    }
    let ttl = object.get("ttl").and_then(Value::as_str).map(str::to_owned);
    fields.take("cache_control");
    Some(CacheMark { ttl })
}

/// Writes a breakpoint. A lifetime that this dialect does not know is left
/// out, which means the short one.
pub(super) fn write(
    mark: Option<&CacheMark>,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    let Some(mark) = mark else { return };
    let value = match mark.ttl.as_deref() {
        Some(ttl @ ("5m" | "1h")) => json!({"type": "ephemeral", "ttl": ttl}),
        Some(_) => {
            losses.add("cache_mark.ttl");
            json!({"type": "ephemeral"})
        }
        None => json!({"type": "ephemeral"}),
    };
    object.insert("cache_control".to_owned(), value);
}
