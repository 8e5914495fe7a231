//! Lines of a world's story, for who reads a failure.

use freehold_types::{Statement, Unit, Value};

/// A unit in a few words: its label, its session, the kinds of its events.
pub(crate) fn unit(unit: &Unit) -> String {
    let mut line = format!("`{}`", unit.label());
    if let Some(session) = session_of(unit) {
        line.push(' ');
        line.push_str(short(&session));
    }
    let events = events_of(unit).into_iter().map(|(offset, kind)| format!(" {offset}:{kind}"));
    events.fold(line, |line, event| line + &event)
}

/// The text of the session that a unit writes to.
pub(crate) fn session_of(unit: &Unit) -> Option<String> {
    let args = unit.statements().iter().flat_map(|statement| &statement.args);
    args.filter_map(text).find(|text| text.starts_with("sess_")).map(str::to_owned)
}

/// Offsets and kinds of the events that a unit adds.
pub(crate) fn events_of(unit: &Unit) -> Vec<(i64, &str)> {
    let inserts = unit.statements().iter().filter(|statement| is_event(statement.sql));
    inserts
        .filter_map(|statement| {
            let offset = statement.args.iter().find_map(|arg| match arg {
                Value::I64(Some(offset)) => Some(*offset),
                _ => None,
            })?;
            let kind = statement
                .args
                .iter()
                .filter_map(text)
                .find(|text| freehold_runtime::event::KINDS.contains(text))?;
            Some((offset, kind))
        })
        .collect()
}

/// Whether a statement adds an event.
pub(crate) fn is_event(sql: &str) -> bool {
    sql.contains("INTO events")
}

/// The sealed body of an event that a statement adds.
pub(crate) fn body_of(statement: &Statement) -> Option<&[u8]> {
    match statement.args.last() {
        Some(Value::Bytes(Some(body))) => Some(body),
        _ => None,
    }
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(Some(text)) => Some(text),
        _ => None,
    }
}

/// The last digits of an id, which tell it from others.
pub(crate) fn short(id: &str) -> &str {
    id.get(id.len().saturating_sub(6)..).unwrap_or(id)
}
