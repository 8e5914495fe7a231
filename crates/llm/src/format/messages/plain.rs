//! Fields that say nothing, remembered so that they come out again.

use serde_json::{Map, Value};

use super::OURS;
use crate::format::json::Fields;
use crate::model::Extra;

/// True for a value that means the same as no field at all.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// Which of the fields `names` stand there without saying anything, as
/// spellings under their own names.
pub(super) fn remember(fields: &Fields, names: &[&str]) -> Vec<(String, Value)> {
    names
        .iter()
        .filter_map(|name| {
            let value = fields.peek(name).filter(|v| is_empty(v))?;
            Some(((*name).to_owned(), value.clone()))
        })
        .collect()
}

/// Puts what [`remember`] found with the extras.
pub(super) fn keep(found: Vec<(String, Value)>, extra: &mut Extra) {
    for (name, value) in found {
        extra.spell(OURS, &name, value);
    }
}

/// Writes the remembered fields of `names` where nothing else was written.
pub(super) fn restore(extra: &Extra, names: &[&str], object: &mut Map<String, Value>) {
    for name in names {
        if let Some(value) = extra.spelt(OURS, name).filter(|v| is_empty(v)) {
            object.entry((*name).to_owned()).or_insert_with(|| value.clone());
        }
    }
}
