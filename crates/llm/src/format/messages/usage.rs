//! `usage`. Here `input_tokens` leaves out what was cached; in the hub it is
//! all of the input.

use serde_json::{Map, Value, json};

use super::{OURS, plain};
use crate::DecodeError;
use crate::format::json::Fields;
use crate::model::{Extra, Usage};

const EMPTY: &[&str] = &[
    "cache_creation_input_tokens",
    "cache_read_input_tokens",
    "cache_creation",
    "output_tokens_details",
    "service_tier",
];

/// Usage, and the service tier that this dialect keeps in it.
pub(super) fn decode(value: Value, path: &str) -> Result<(Usage, Option<String>), DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    let tier = fields.string("service_tier")?;
    let fresh = fields.count("input_tokens")?.unwrap_or_default();
    let cache_write = fields.count("cache_creation_input_tokens")?;
    let cache_read = fields.count("cache_read_input_tokens")?;
    let mut usage = Usage {
        input: fresh
            .saturating_add(cache_write.unwrap_or_default())
            .saturating_add(cache_read.unwrap_or_default()),
        cache_read,
        cache_write,
        output: fields.count("output_tokens")?.unwrap_or_default(),
        ..Usage::default()
    };
    if let Some(Value::Object(split)) = fields.peek("cache_creation") {
        let part = |name: &str| split.get(name).and_then(Value::as_u64);
        let long = part("ephemeral_1h_input_tokens");
        let short = part("ephemeral_5m_input_tokens").unwrap_or_default();
        usage.cache_write_long = long;
        let sums_up =
            long.and_then(|l| l.checked_add(short)) == Some(cache_write.unwrap_or_default());
        if sums_up && split.len() == 2 {
            fields.take("cache_creation");
        }
    }
    if let Some(Value::Object(details)) = fields.peek("output_tokens_details") {
        usage.reasoning = details.get("thinking_tokens").and_then(Value::as_u64);
        if usage.reasoning.is_some() && details.len() == 1 {
            fields.take("output_tokens_details");
        }
    }
    usage.extra = Extra::new(OURS, fields.rest());
    plain::keep(empty, &mut usage.extra);
    Ok((usage, tier))
}

/// The `usage` object; an answer must have one, so none is all zeros.
pub(super) fn encode(usage: Option<&Usage>, tier: Option<&str>) -> Map<String, Value> {
    let mut object = Map::new();
    let none = Usage::default();
    let usage = usage.unwrap_or(&none);
    // Some servers count a token as read and as written; the sum must stay.
    let read = usage.cache_read.map(|tokens| tokens.min(usage.input));
    let rest = usage.input - read.unwrap_or_default();
    let write = usage.cache_write.map(|tokens| tokens.min(rest));
    object.insert("input_tokens".into(), (rest - write.unwrap_or_default()).into());
    if let Some(tokens) = write {
        object.insert("cache_creation_input_tokens".into(), tokens.into());
    }
    if let Some(tokens) = read {
        object.insert("cache_read_input_tokens".into(), tokens.into());
    }
    object.insert("output_tokens".into(), usage.output.into());
    if usage.extra.origin == Some(OURS) {
        for (name, value) in &usage.extra.fields {
            object.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    if let Some(long) = usage.cache_write_long {
        let long = long.min(write.unwrap_or_default());
        let short = write.unwrap_or_default() - long;
        object.entry("cache_creation").or_insert_with(
            || json!({"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}),
        );
    }
    if let Some(tokens) = usage.reasoning {
        object.entry("output_tokens_details").or_insert_with(|| json!({"thinking_tokens": tokens}));
    }
    if let Some(tier) = tier.and_then(tier_word) {
        object.insert("service_tier".into(), tier.into());
    }
    plain::restore(&usage.extra, EMPTY, &mut object);
    object
}

/// The lane in this dialect's words; one that it has no word for is left out.
fn tier_word(tier: &str) -> Option<&str> {
    match tier {
        "standard" | "priority" | "batch" => Some(tier),
        "default" => Some("standard"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_input_is_counted_in_the_hub_and_taken_out_again() {
        let wire = json!({
            "input_tokens": 4, "cache_creation_input_tokens": 10, "cache_read_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
            "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 2},
            "server_tool_use": {"web_search_requests": 1}, "service_tier": "standard",
        });
        let (usage, tier) = decode(wire.clone(), "usage").unwrap();
        assert_eq!((usage.input, usage.cache_write_long, usage.reasoning), (114, Some(3), Some(2)));
        assert_eq!(Value::from(encode(Some(&usage), tier.as_deref())), wire);
    }

    #[test]
    fn tokens_counted_twice_do_not_make_more_input() {
        let usage = Usage {
            input: 10,
            cache_read: Some(8),
            cache_write: Some(7),
            cache_write_long: Some(7),
            ..Usage::default()
        };
        let (back, _) = decode(encode(Some(&usage), None).into(), "usage").unwrap();
        assert_eq!((back.input, back.cache_read, back.cache_write), (10, Some(8), Some(2)));
    }

    #[test]
    fn a_split_that_does_not_sum_up_comes_out_as_it_came() {
        let wire = json!({
            "input_tokens": 1, "output_tokens": 1, "cache_creation_input_tokens": null,
            "cache_creation": {"ephemeral_5m_input_tokens": 7, "ephemeral_1h_input_tokens": 3},
        });
        let (usage, _) = decode(wire.clone(), "usage").unwrap();
        assert_eq!(Value::from(encode(Some(&usage), None)), wire);
    }
}
