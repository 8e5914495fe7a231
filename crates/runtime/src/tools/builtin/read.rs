//! `read_result`: pages of a result that was too large to be shown.

use freehold_types::{SessionId, TenantId};
use serde_json::{Map, Value, json};

use super::super::Performed;
use super::super::overflow::page;
use super::super::records::Records;
use super::{failed, ok};
use crate::event::Hash;

pub(super) const DESCRIPTION: &str = "Read on in a tool's result that was too long to be shown \
    whole. Its end says the result's id and where to read on.";

/// The bytes of a page where nothing is said.
const PAGE: usize = 16 * 1024;

pub(super) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "result": { "type": "string", "description": "The result's id." },
            "offset": { "type": "integer", "description": "Where to begin, in bytes." },
            "limit": { "type": "integer", "description": "How many bytes; 16384 if not said." }
        },
        "required": ["result"],
        "additionalProperties": false
    })
}

/// One page; never more than `bytes_max`.
pub(in crate::tools) async fn read(
    records: &dyn Records,
    tenant: &TenantId,
    session: SessionId,
    arguments: &Map<String, Value>,
    bytes_max: usize,
) -> Performed {
    let hash = arguments.get("result").and_then(Value::as_str).map(str::parse::<Hash>);
    let Some(Ok(hash)) = hash else {
        return failed("`result` is the id that stands at the end of the result that was cut");
    };
    let number = |name: &str, usual: usize| match arguments.get(name) {
        None | Some(Value::Null) => Some(usual),
        Some(given) => given.as_u64().and_then(|number| usize::try_from(number).ok()),
    };
    let (Some(offset), Some(limit)) = (number("offset", 0), number("limit", PAGE)) else {
        return failed("`offset` and `limit` are whole numbers, not below 0");
    };
    let whole = match records.kept(tenant, session, hash).await {
        Ok(Some(Value::String(whole))) => whole,
        Ok(_) => return failed("this session has no result of that id"),
        Err(note) => return failed(format!("the result cannot be read now: {note}")),
    };
    let (text, next) = page(&whole, offset, limit.clamp(1, bytes_max));
    ok(match next {
        Some(next) => format!("{text}\n[{} bytes in all; read on at offset {next}]", whole.len()),
        None => format!("{text}\n[the end: {} bytes in all]", whole.len()),
    })
}
