//! Reasoning on a message, which OpenAI's own Chat does not show and every
//! compatible server writes in its own way: `reasoning_content` (DeepSeek,
//! Qwen, vLLM), `reasoning` (Groq, OpenRouter, newer vLLM), OpenRouter's
//! `reasoning_details` with signatures and ciphertexts, and Mistral's
//! `thinking` parts within the content.

use serde_json::{Map, Value, json};

use super::ME;
use crate::format::json::Fields;
use crate::model::{Dialect, Item, ItemBody, Reasoning};
use crate::{DecodeError, seal};

/// The keys that hold reasoning as one string.
pub(super) const TEXT_KEYS: [&str; 2] = ["reasoning_content", "reasoning"];
/// The key of the list form.
pub(super) const DETAILS: &str = "reasoning_details";

/// Takes a message's reasoning out of its fields.
pub(super) fn take(fields: &mut Fields) -> Result<Vec<Item>, DecodeError> {
    let mut texts = Vec::new();
    for key in TEXT_KEYS {
        // `reasoning` may be an object in dialects to come: left to the extras.
        if fields.peek(key).is_some_and(|v| v.is_null() || v.is_string())
            && let Some(text) = fields.string(key)?.filter(|t| !t.is_empty())
        {
            texts.push((key, text));
        }
    }
    let details = fields.array(DETAILS)?;
    let mut items: Vec<Item> = Vec::new();
    for detail in details {
        take_detail(detail, &mut items);
    }
    let shown = joined(&items);
    if items.is_empty() && !texts.is_empty() {
        items.push(Item::new(ItemBody::Reasoning(Reasoning::default())));
    }
    let Some(first) = items.first_mut() else { return Ok(items) };
    let mut shown = shown;
    for (key, text) in texts {
        if shown.is_empty()
            && let ItemBody::Reasoning(reasoning) = &mut first.body
        {
            // Only a signature in the details: the text stands beside them.
            reasoning.text.push(text.clone());
            shown.clone_from(&text);
        }
        // A copy of what the hub has is remembered as such, an odd one whole.
        let copy = if text == shown { Value::Bool(true) } else { Value::String(text) };
        first.extra.spell(ME, key, copy);
    }
    Ok(items)
}

/// All thinking and summaries in one string, as servers that send both forms
/// have it.
fn joined(items: &[Item]) -> String {
    let mut all = String::new();
    for item in items {
        if let ItemBody::Reasoning(reasoning) = &item.body {
            for text in reasoning.summary.iter().chain(&reasoning.text) {
                all.push_str(text);
            }
        }
    }
    all
}

/// Adds one of `reasoning_details` to the item it belongs to. The shape of
/// the entry is kept with `true` in place of what the hub holds.
pub(super) fn take_detail(detail: Value, items: &mut Vec<Item>) {
    let kind = detail.get("type").and_then(Value::as_str).unwrap_or_default();
    let key = match kind {
        "reasoning.text" => "text",
        "reasoning.summary" => "summary",
        "reasoning.encrypted" => "data",
        _ => "",
    };
    let is_text = |name: &str| detail.get(name).is_none_or(|v| v.is_null() || v.is_string());
    if key.is_empty() || !is_text(key) || !is_text("signature") || !is_text("id") {
        items.push(Item::new(ItemBody::Native { dialect: ME, json: detail, from_model: true }));
        return;
    }
    let Value::Object(mut shape) = detail else { return };
    let mut text = |name: &str| match shape.get_mut(name) {
        Some(Value::String(text)) if !text.is_empty() => {
            let text = std::mem::take(text);
            shape[name] = Value::Bool(true);
            Some(text)
        }
        _ => None,
    };
    let (content, signature, id) = (text(key), text("signature"), text("id"));
    let item = item_for(items, id.as_deref());
    if item.id.is_none() {
        item.id.clone_from(&id);
    }
    let ItemBody::Reasoning(reasoning) = &mut item.body else { return };
    match (key, content) {
        ("text", Some(text)) => reasoning.text.push(text),
        ("summary", Some(text)) => reasoning.summary.push(text),
        ("data", Some(data)) => reasoning.seal = Some(seal::read(&data, ME, true, id.as_deref())),
        _ => {}
    }
    if let Some(signature) = signature {
        reasoning.seal = Some(seal::read(&signature, ME, false, id.as_deref()));
    }
    let mut shapes = match item.extra.spelling.shift_remove(DETAILS) {
        Some(Value::Array(shapes)) => shapes,
        _ => Vec::new(),
    };
    shapes.push(Value::Object(shape));
    item.extra.spell(ME, DETAILS, shapes);
}

/// The last item if the entry can belong to it, else a new one. A seal ends
/// what it seals.
fn item_for<'a>(items: &'a mut Vec<Item>, id: Option<&str>) -> &'a mut Item {
    let belongs = items.last().is_some_and(|item| {
        let same = item.id.is_none() || id.is_none() || item.id.as_deref() == id;
        same && matches!(&item.body, ItemBody::Reasoning(r) if r.seal.is_none())
    });
    if !belongs {
        items.push(Item::new(ItemBody::Reasoning(Reasoning::default())));
    }
    let last = items.len() - 1;
    &mut items[last]
}

/// An item as entries of `reasoning_details`.
pub(super) fn details(item: &Item) -> Vec<Value> {
    let ItemBody::Reasoning(reasoning) = &item.body else { return Vec::new() };
    match item.extra.spelt(ME, DETAILS) {
        Some(Value::Array(shapes)) => shaped_details(item, reasoning, shapes),
        _ => new_details(item, reasoning),
    }
}

fn shaped_details(item: &Item, reasoning: &Reasoning, shapes: &[Value]) -> Vec<Value> {
    let mut texts = reasoning.text.iter();
    let mut summaries = reasoning.summary.iter();
    let sealed = reasoning.seal.as_ref().map(|s| seal::carry(s, ME));
    let mut fill = |shape: &Value| {
        let mut shape = shape.clone();
        for (name, value) in shape.as_object_mut().into_iter().flatten() {
            if *value != Value::Bool(true) {
                continue;
            }
            let held = match name.as_str() {
                "text" => texts.next().cloned(),
                "summary" => summaries.next().cloned(),
                "data" | "signature" => sealed.clone(),
                "id" => item.id.clone(),
                _ => continue,
            };
            *value = held.map_or(Value::Null, Value::String);
        }
        shape
    };
    shapes.iter().map(&mut fill).collect()
}

fn new_details(item: &Item, reasoning: &Reasoning) -> Vec<Value> {
    let mut list = Vec::new();
    for summary in &reasoning.summary {
        list.push(json!({"type": "reasoning.summary", "summary": summary}));
    }
    for text in &reasoning.text {
        list.push(json!({"type": "reasoning.text", "text": text}));
    }
    if let Some(seal) = &reasoning.seal {
        let data = seal::carry(seal, ME);
        if seal.hides {
            list.push(json!({"type": "reasoning.encrypted", "data": data}));
        } else if reasoning.text.is_empty() {
            list.push(json!({"type": "reasoning.text", "signature": data}));
        } else if let Some(last) = list.last_mut() {
            last["signature"] = data.into();
        }
    }
    let id = item.id.as_ref().or_else(|| reasoning.seal.as_ref()?.item_id.as_ref());
    for detail in &mut list {
        if let Some(id) = id {
            detail["id"] = id.as_str().into();
        }
    }
    list
}

/// An item as one string: the thinking, or else its summary.
pub(super) fn as_text(reasoning: &Reasoning) -> String {
    if reasoning.text.is_empty() { reasoning.summary.join("\n\n") } else { reasoning.text.concat() }
}

/// Writes the items back as the message had them; `false` if the reasoning
/// did not come from Chat, or came within the content.
pub(super) fn write_as_it_came(items: &[&Item], message: &mut Map<String, Value>) -> bool {
    let mut is_ours = false;
    for key in TEXT_KEYS {
        let Some(copy) = items.iter().find_map(|item| item.extra.spelt(ME, key)) else { continue };
        let text = match copy {
            Value::String(text) => text.clone(),
            _ => items.iter().filter_map(|item| shown(item)).collect(),
        };
        message.insert(key.to_owned(), text.into());
        is_ours = true;
    }
    let had_details = |item: &&Item| {
        item.extra.spelt(ME, DETAILS).is_some()
            || matches!(item.body, ItemBody::Native { dialect: ME, .. })
    };
    if items.iter().any(had_details) {
        let list = items.iter().flat_map(|item| match &item.body {
            ItemBody::Native { dialect: ME, json, .. } => vec![json.clone()],
            _ => details(item),
        });
        message.insert(DETAILS.to_owned(), list.collect());
        is_ours = true;
    }
    is_ours
}

fn shown(item: &Item) -> Option<String> {
    match &item.body {
        ItemBody::Reasoning(r) => Some([r.summary.concat(), r.text.concat()].concat()),
        _ => None,
    }
}

/// A seal that a Chat server made, which only it can read.
pub(super) fn is_own_seal(reasoning: &Reasoning) -> bool {
    reasoning.seal.as_ref().is_some_and(|seal| seal.dialect == Dialect::Chat)
}

/// One of Mistral's `thinking` parts as an item.
pub(super) fn take_thinking(part: Value) -> Item {
    let mut item = Item::new(ItemBody::Reasoning(Reasoning::default()));
    let Value::Object(mut shape) = part else { return item };
    let mut text = Vec::new();
    let mut others = Vec::new();
    match shape.shift_remove("thinking") {
        Some(Value::Array(list)) => {
            for entry in list {
                match entry.get("text").and_then(Value::as_str) {
                    Some(piece) => text.push(piece.to_owned()),
                    None => others.push(entry),
                }
            }
        }
        Some(Value::String(piece)) => text.push(piece),
        _ => {}
    }
    let signature = match shape.shift_remove("signature") {
        Some(Value::String(signature)) => Some(signature),
        _ => None,
    };
    shape.shift_remove("type");
    item.extra.spell(ME, "thinking", shape);
    if !others.is_empty() {
        item.extra.spell(ME, "thinking_others", others);
    }
    item.body = ItemBody::Reasoning(Reasoning {
        text,
        summary: Vec::new(),
        seal: signature.map(|data| seal::read(&data, ME, false, None)),
    });
    item
}

/// Mistral's `thinking` part, if the item came as one.
pub(super) fn as_thinking(item: &Item) -> Option<Value> {
    let ItemBody::Reasoning(reasoning) = &item.body else { return None };
    let shape = item.extra.spelt(ME, "thinking")?;
    let texts: Vec<Value> =
        reasoning.text.iter().map(|text| json!({"type": "text", "text": text})).collect();
    let mut part = json!({"type": "thinking", "thinking": texts});
    if let (Some(list), Some(Value::Array(others))) =
        (part["thinking"].as_array_mut(), item.extra.spelt(ME, "thinking_others"))
    {
        list.extend(others.iter().cloned());
    }
    if let Some(seal) = &reasoning.seal {
        part["signature"] = seal::carry(seal, ME).into();
    }
    if let (Some(part), Value::Object(shape)) = (part.as_object_mut(), shape) {
        part.extend(shape.clone());
    }
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(message: &Value) -> Vec<Item> {
        let mut fields = Fields::new(message.clone(), "m").unwrap();
        let items = take(&mut fields).unwrap();
        let mut back = Map::new();
        let refs: Vec<&Item> = items.iter().collect();
        write_as_it_came(&refs, &mut back);
        back.extend(fields.rest());
        assert_eq!(&Value::Object(back), message);
        items
    }

    fn reasoning(item: &Item) -> &Reasoning {
        let ItemBody::Reasoning(reasoning) = &item.body else { panic!("{item:?}") };
        reasoning
    }

    #[test]
    fn one_string_under_either_key_or_both() {
        for message in [
            json!({"reasoning_content": "hm"}),
            json!({"reasoning": "hm"}),
            json!({"reasoning_content": "hm", "reasoning": "hm"}),
        ] {
            let items = round(&message);
            assert_eq!(reasoning(&items[0]).text, ["hm"]);
        }
    }

    #[test]
    fn a_signed_text() {
        let items = round(&json!({"reasoning": "hm", "reasoning_details": [
            {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "x", "index": 0},
        ]}));
        let seal = reasoning(&items[0]).seal.as_ref().unwrap();
        assert!(!seal.hides);
        assert_eq!((seal.dialect, seal.data.as_str()), (Dialect::Chat, "sig"));
    }

    #[test]
    fn a_summary_and_its_ciphertext_are_one_item() {
        let items = round(&json!({"reasoning": "s", "reasoning_details": [
            {"format": "f", "index": 0, "summary": "s", "type": "reasoning.summary"},
            {"data": "c", "format": "f", "id": "rs_1", "index": 0, "type": "reasoning.encrypted"},
            {"type": "reasoning.text", "text": null, "id": null, "signature": "late"},
        ]}));
        assert_eq!(items.len(), 2);
        assert_eq!(items[0].id.as_deref(), Some("rs_1"));
        assert_eq!(reasoning(&items[0]).summary, ["s"]);
        assert_eq!(reasoning(&items[0]).seal.as_ref().unwrap().item_id.as_deref(), Some("rs_1"));
    }

    #[test]
    fn unknown_details_ride_along() {
        let items = round(&json!({"reasoning_details": [{"type": "reasoning.odd", "x": 1}, 7]}));
        assert!(matches!(items[0].body, ItemBody::Native { .. }));
    }

    #[test]
    fn a_foreign_seal_is_found_again() {
        let foreign = crate::model::Seal {
            dialect: Dialect::Responses,
            hides: true,
            data: "gAAA".into(),
            item_id: Some("rs_1".into()),
        };
        let item = Item {
            id: Some("rs_1".into()),
            ..Item::new(ItemBody::Reasoning(Reasoning {
                text: vec![],
                summary: vec!["a".into(), "b".into()],
                seal: Some(foreign.clone()),
            }))
        };
        let message = json!({"reasoning_details": details(&item)});
        let mut fields = Fields::new(message, "m").unwrap();
        let back = take(&mut fields).unwrap();
        assert_eq!(back.len(), 1);
        assert_eq!(reasoning(&back[0]).summary, ["a", "b"]);
        assert_eq!(reasoning(&back[0]).seal.as_ref(), Some(&foreign));
    }

    #[test]
    fn a_thinking_part_comes_back() {
        let part = json!({"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": true});
        let item = take_thinking(part.clone());
        assert_eq!(reasoning(&item).text, ["hm"]);
        assert_eq!(as_thinking(&item), Some(part));
    }
}
