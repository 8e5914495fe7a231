//! Token counts.

use serde_json::{Map, Value, json};

use super::OURS;
use crate::DecodeError;
use crate::format::json::Fields;
use crate::model::{Extra, Usage};

/// Reads a usage object.
pub(super) fn decode(value: Value, path: &str) -> Result<Usage, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let input = fields.count("input_tokens")?.unwrap_or_default();
    let output = fields.count("output_tokens")?.unwrap_or_default();
    let total = fields.count("total_tokens")?;
    let mut usage = Usage { input, output, ..Usage::default() };
    let input_rest = match fields.object("input_tokens_details")? {
        None => Map::new(),
        Some(details) => {
            let path = fields.at("input_tokens_details");
            let mut details = Fields::new(Value::Object(details), path)?;
            usage.cache_read = details.count("cached_tokens")?;
            usage.cache_write = details.count("cache_write_tokens")?;
            details.rest()
        }
    };
    let output_rest = match fields.object("output_tokens_details")? {
        None => Map::new(),
        Some(details) => {
            let path = fields.at("output_tokens_details");
            let mut details = Fields::new(Value::Object(details), path)?;
            usage.reasoning = details.count("reasoning_tokens")?;
            details.rest()
        }
    };
    let mut rest = fields.rest();
    if let Some(total) = total.filter(|t| *t != input.saturating_add(output)) {
        rest.insert("total_tokens".into(), total.into());
    }
    for (name, details) in
        [("input_tokens_details", input_rest), ("output_tokens_details", output_rest)]
    {
        if !details.is_empty() {
            rest.insert(name.into(), details.into());
        }
    }
    usage.extra = Extra::new(OURS, rest);
    Ok(usage)
}

/// Writes a usage object in the strict shape: a detail not known is 0.
pub(super) fn encode(usage: &Usage) -> Value {
    let mut value = json!({
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read.unwrap_or_default(),
            "cache_write_tokens": usage.cache_write.unwrap_or_default(),
        },
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning.unwrap_or_default()},
        "total_tokens": usage.input.saturating_add(usage.output),
    });
    if let (Value::Object(object), Some(OURS)) = (&mut value, usage.extra.origin) {
        for (name, more) in &usage.extra.fields {
            match (object.get_mut(name), more) {
                (Some(Value::Object(details)), Value::Object(more)) => {
                    details.extend(more.clone());
                }
                _ => {
                    object.insert(name.clone(), more.clone());
                }
            }
        }
    }
    value
}

/// Adds what another answer used.
pub(super) fn add(sum: &mut Usage, more: &Usage) {
    let both = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or_default().saturating_add(b.unwrap_or_default())),
    };
    sum.input = sum.input.saturating_add(more.input);
    sum.output = sum.output.saturating_add(more.output);
    sum.cache_read = both(sum.cache_read, more.cache_read);
    sum.cache_write = both(sum.cache_write, more.cache_write);
    sum.reasoning = both(sum.reasoning, more.reasoning);
    sum.estimated |= more.estimated;
}
