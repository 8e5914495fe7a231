//! Token counts, and the several places where compatible servers put them.

use serde_json::{Map, Value};

use crate::model::{Dialect, Extra, Usage};

const ME: Dialect = Dialect::Chat;

/// Keys that compatible servers use for tokens read from the prompt cache,
/// beside `prompt_tokens_details.cached_tokens`.
const CACHE_READ_KEYS: [&str; 3] =
    ["prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens"];

/// A usage object; anything else, as null, says nothing.
pub(super) fn decode(value: Value) -> Option<Usage> {
    let Value::Object(mut map) = value else { return None };
    if map.is_empty() {
        return None;
    }
    let mut usage = Usage {
        input: take_count(&mut map, "prompt_tokens").unwrap_or_default(),
        output: take_count(&mut map, "completion_tokens").unwrap_or_default(),
        ..Usage::default()
    };
    let mut spelling = Map::new();
    let mut details = take_object(&mut map, "prompt_tokens_details");
    usage.cache_read = take_count(&mut details, "cached_tokens");
    usage.cache_write = take_count(&mut details, "cache_write_tokens");
    put_back(&mut map, "prompt_tokens_details", details);
    let mut details = take_object(&mut map, "completion_tokens_details");
    usage.reasoning = take_count(&mut details, "reasoning_tokens");
    put_back(&mut map, "completion_tokens_details", details);

    if usage.cache_read.is_none() {
        // The key stays among the extras, where the same dialect finds it.
        let found = CACHE_READ_KEYS.iter().find_map(|key| map.get(*key)?.as_u64());
        if found.is_some() {
            usage.cache_read = found;
            spelling.insert("cache_read".into(), true.into());
        }
    }
    if let Some(written) = usage.cache_write {
        // Gemini's tokens are written and read at once; the hub's are one or
        // the other.
        let rest = usage.input.saturating_sub(usage.cache_read.unwrap_or_default());
        if written > rest {
            usage.cache_write = Some(rest);
            spelling.insert("cache_write".into(), written.into());
        }
    }
    if let Some(total) = take_count(&mut map, "total_tokens") {
        // xAI counts reasoning beside the completion instead of in it.
        let apart = usage
            .reasoning
            .filter(|r| *r > 0 && sum(usage.input, usage.output.saturating_add(*r)) == total);
        if let Some(reasoning) = apart {
            usage.output = usage.output.saturating_add(reasoning);
            spelling.insert("reasoning_apart".into(), true.into());
        } else if total != sum(usage.input, usage.output) {
            spelling.insert("total_tokens".into(), total.into());
        }
    }
    usage.extra = Extra::new(ME, map);
    for (name, value) in spelling {
        usage.extra.spell(ME, &name, value);
    }
    Some(usage)
}

/// The usage object.
pub(super) fn encode(usage: &Usage) -> Value {
    let spelt = |name| usage.extra.spelt(ME, name);
    let reasoning_apart = spelt("reasoning_apart").is_some();
    let completion = if reasoning_apart {
        usage.output.saturating_sub(usage.reasoning.unwrap_or_default())
    } else {
        usage.output
    };
    let total =
        spelt("total_tokens").cloned().unwrap_or_else(|| sum(usage.input, usage.output).into());

    let mut map = Map::new();
    map.insert("prompt_tokens".into(), usage.input.into());
    map.insert("completion_tokens".into(), completion.into());
    map.insert("total_tokens".into(), total);
    let mut prompt = residue(usage, "prompt_tokens_details");
    if let Some(count) = usage.cache_read.filter(|_| spelt("cache_read").is_none()) {
        prompt.insert("cached_tokens".into(), count.into());
    }
    if let Some(count) = usage.cache_write {
        let count = spelt("cache_write").cloned().unwrap_or_else(|| count.into());
        prompt.insert("cache_write_tokens".into(), count);
    }
    put_back(&mut map, "prompt_tokens_details", prompt);
    let mut completion = residue(usage, "completion_tokens_details");
    if let Some(count) = usage.reasoning {
        completion.insert("reasoning_tokens".into(), count.into());
    }
    put_back(&mut map, "completion_tokens_details", completion);
    if usage.extra.origin == Some(ME) {
        for (name, value) in &usage.extra.fields {
            map.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    Value::Object(map)
}

fn sum(input: u64, output: u64) -> u64 {
    input.saturating_add(output)
}

fn take_count(map: &mut Map<String, Value>, name: &str) -> Option<u64> {
    let count = map.get(name)?.as_u64()?;
    map.shift_remove(name);
    Some(count)
}

/// Takes an object out; what is none (null) stays.
fn take_object(map: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match map.get_mut(name) {
        Some(Value::Object(object)) => {
            let object = std::mem::take(object);
            map.shift_remove(name);
            object
        }
        _ => Map::new(),
    }
}

fn put_back(map: &mut Map<String, Value>, name: &str, object: Map<String, Value>) {
    if !object.is_empty() {
        map.insert(name.to_owned(), Value::Object(object));
    }
}

fn residue(usage: &Usage, name: &str) -> Map<String, Value> {
    match usage.extra.get(ME, name) {
        Some(Value::Object(object)) => object.clone(),
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn both_ways(value: &Value) -> Usage {
        let usage = decode(value.clone()).unwrap();
        assert_eq!(&encode(&usage), value);
        usage
    }

    #[test]
    fn openais_details() {
        let usage = both_ways(&json!({
            "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 4, "cache_write_tokens": 2},
            "completion_tokens_details": {"audio_tokens": 0, "reasoning_tokens": 3},
        }));
        assert_eq!((usage.input, usage.output), (10, 5));
        assert_eq!((usage.cache_read, usage.cache_write), (Some(4), Some(2)));
        assert_eq!(usage.reasoning, Some(3));
    }

    #[test]
    fn cache_hits_of_compatible_servers() {
        for key in CACHE_READ_KEYS {
            let usage = both_ways(&json!({
                "prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, key: 8,
            }));
            assert_eq!(usage.cache_read, Some(8), "{key}");
        }
    }

    #[test]
    fn reasoning_counted_apart_is_output() {
        let usage = both_ways(&json!({
            "prompt_tokens": 30, "completion_tokens": 2, "total_tokens": 132,
            "completion_tokens_details": {"reasoning_tokens": 100},
        }));
        assert_eq!(usage.output, 102);
    }

    #[test]
    fn tokens_written_and_read_at_once_count_once() {
        let usage = both_ways(&json!({
            "prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11,
            "prompt_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 8},
        }));
        assert_eq!((usage.cache_read, usage.cache_write), (Some(8), Some(2)));
    }

    #[test]
    fn an_odd_total_is_kept() {
        both_ways(&json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 9}));
    }

    #[test]
    fn what_is_no_object_says_nothing() {
        assert_eq!(decode(Value::Null), None);
        assert_eq!(decode(json!([1])), None);
        assert_eq!(decode(json!({})), None);
    }
}
