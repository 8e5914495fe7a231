//! Content blocks into items and parts.

use serde_json::{Map, Value};

use super::{OURS, cache, citation, plain};
use crate::DecodeError;
use crate::format::json::{Fields, join, kind_of};
use crate::model::{
    Extra, Item, ItemBody, Media, Message, Part, PartBody, Reasoning, Role, Seal, Source, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::seal;

/// Fields of blocks that may stand there without saying anything.
pub(super) const EMPTY: &[&str] =
    &["cache_control", "citations", "is_error", "title", "context", "caller", "toolset_name"];

/// What a block is: part of a message, or an item of its own.
#[derive(Debug)]
pub(super) enum Block {
    Part(Part),
    Item(Item),
}

/// The content of one wire message: a string or blocks. Items after the first
/// are joined to it.
pub(super) fn content(role: Role, value: Value, path: &str) -> Result<Vec<Item>, DecodeError> {
    let blocks = match value {
        Value::String(text) => {
            let mut item = Item::text(role, text);
            item.extra.spell(OURS, "content", "string");
            return Ok(vec![item]);
        }
        Value::Array(blocks) => blocks,
        other => {
            let found = kind_of(&other);
            return Err(DecodeError::shape(
                path,
                format!("expected a string or an array, found {found}"),
            ));
        }
    };
    let mut items: Vec<Item> = Vec::new();
    for (n, value) in blocks.into_iter().enumerate() {
        match block(role, value, &format!("{path}[{n}]"))? {
            Block::Item(item) => items.push(item),
            Block::Part(part) => match items.last_mut() {
                Some(Item { body: ItemBody::Message(message), .. }) => message.parts.push(part),
                _ => items.push(Item::new(ItemBody::Message(Message { role, parts: vec![part] }))),
            },
        }
    }
    if items.is_empty() {
        items.push(Item::new(ItemBody::Message(Message { role, parts: Vec::new() })));
    }
    for item in items.iter_mut().skip(1) {
        item.joined = true;
    }
    Ok(items)
}

/// One block of a message by `role`.
pub(super) fn block(role: Role, value: Value, path: &str) -> Result<Block, DecodeError> {
    let word = match value.get("type") {
        Some(Value::String(word)) => word.clone(),
        Some(other) => {
            let found = kind_of(other);
            return Err(DecodeError::shape(
                join(path, "type"),
                format!("expected a string, found {found}"),
            ));
        }
        None if value.is_object() => {
            return Err(DecodeError::shape(join(path, "type"), "is required"));
        }
        None => {
            return Err(DecodeError::shape(
                path,
                format!("expected an object, found {}", kind_of(&value)),
            ));
        }
    };
    match word.as_str() {
        "thinking" | "redacted_thinking" => reasoning(value, path).map(Block::Item),
        "tool_use" => tool_use(value, path).map(Block::Item),
        "tool_result" => tool_result(value, path).map(Block::Item),
        "text" | "image" | "document" => part(value, path).map(Block::Part),
        _ if role == Role::Assistant => Ok(Block::Item(Item::new(ItemBody::Native {
            dialect: OURS,
            json: value,
            from_model: true,
        }))),
        _ => Ok(Block::Part(native(value))),
    }
}

fn native(json: Value) -> Part {
    Part::new(PartBody::Native { dialect: OURS, json })
}

/// A block that is no item.
pub(super) fn part(value: Value, path: &str) -> Result<Part, DecodeError> {
    match value.get("type").and_then(Value::as_str) {
        Some("text") => text(value, path),
        Some("image") => match value.get("source").and_then(image_source) {
            Some(source) => with_source(value, path, PartBody::Image { source, detail: None }),
            None => Ok(native(value)),
        },
        Some("document") => match value.get("source").and_then(document_source) {
            Some(source) => with_source(value, path, PartBody::File { source, name: None }),
            None => Ok(native(value)),
        },
        _ => Ok(native(value)),
    }
}

fn text(value: Value, path: &str) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    fields.take("type");
    let text = fields.required_string("text")?;
    let annotations = citation::decode_all(&mut fields)?;
    Ok(finish(fields, empty, PartBody::Text { text, annotations, logprobs: None }))
}

fn with_source(value: Value, path: &str, mut body: PartBody) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    fields.take("type");
    fields.take("source");
    if let PartBody::File { name, .. } = &mut body {
        *name = fields.string("title")?;
    }
    Ok(finish(fields, empty, body))
}

fn finish(mut fields: Fields, empty: Vec<(String, Value)>, body: PartBody) -> Part {
    let cache = cache::take(&mut fields);
    let mut extra = Extra::new(OURS, fields.rest());
    plain::keep(empty, &mut extra);
    Part { body, cache, extra }
}

/// The strings of an object that has exactly the fields `names`.
fn exactly<'a, const N: usize>(
    object: &'a Map<String, Value>,
    names: [&str; N],
) -> Option<[&'a str; N]> {
    if object.len() != N {
        return None;
    }
    let mut found = [""; N];
    for (slot, name) in found.iter_mut().zip(names) {
        *slot = object.get(name)?.as_str()?;
    }
    Some(found)
}

/// A source that the hub knows; one with anything else in it stays native.
fn image_source(source: &Value) -> Option<Source> {
    let object = source.as_object()?;
    match object.get("type")?.as_str()? {
        "base64" => {
            let [_, media_type, data] = exactly(object, ["type", "media_type", "data"])?;
            Some(Source::Inline(Media { media_type: media_type.into(), data: data.into() }))
        }
        "url" => exactly(object, ["type", "url"]).map(|[_, url]| Source::Url(url.into())),
        "file" => exactly(object, ["type", "file_id"]).map(|[_, id]| Source::FileId(id.into())),
        _ => None,
    }
}

fn document_source(source: &Value) -> Option<Source> {
    let object = source.as_object()?;
    if object.get("type")?.as_str()? == "text" {
        let [_, media_type, data] = exactly(object, ["type", "media_type", "data"])?;
        return (media_type == "text/plain").then(|| Source::Text(data.into()));
    }
    image_source(source)
}

fn reasoning(value: Value, path: &str) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let redacted =
        fields.take("type").as_ref().and_then(Value::as_str) == Some("redacted_thinking");
    let reasoning = if redacted {
        let data = fields.required_string("data")?;
        Reasoning { seal: Some(seal::read(&data, OURS, true, None)), ..Reasoning::default() }
    } else {
        let text = fields.string("thinking")?.unwrap_or_default();
        thought(text, &fields.string("signature")?.unwrap_or_default())
    };
    let mut item = Item::new(ItemBody::Reasoning(reasoning));
    item.extra = Extra::new(OURS, fields.rest());
    Ok(item)
}

/// Shown thinking with its signature. In the envelope of an issuer that hides
/// its thinking the text is that issuer's summary.
pub(super) fn thought(text: String, signature: &str) -> Reasoning {
    let seal = signature_seal(signature);
    let texts = if text.is_empty() { Vec::new() } else { vec![text] };
    match seal {
        Some(seal) if seal.hides => {
            Reasoning { text: Vec::new(), summary: texts, seal: Some(seal) }
        }
        seal => Reasoning { text: texts, summary: Vec::new(), seal },
    }
}

/// The seal in a `signature`; empty is none.
pub(super) fn signature_seal(signature: &str) -> Option<Seal> {
    (!signature.is_empty()).then(|| seal::read(signature, OURS, false, None))
}

fn tool_use(value: Value, path: &str) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    fields.take("type");
    let input = match fields.take_some("input") {
        Some(input) => input.to_string(),
        None => "{}".to_owned(),
    };
    let call = ToolCall {
        call_id: fields.required_string("id")?,
        name: fields.required_string("name")?,
        input,
        kind: ToolCallKind::Function,
        cache: cache::take(&mut fields),
    };
    let mut item = Item::new(ItemBody::ToolCall(call));
    item.extra = Extra::new(OURS, fields.rest());
    plain::keep(empty, &mut item.extra);
    Ok(item)
}

fn tool_result(value: Value, path: &str) -> Result<Item, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let empty = plain::remember(&fields, EMPTY);
    fields.take("type");
    let at = fields.at("content");
    let (output, spelling) = match fields.take_some("content") {
        None => (Vec::new(), Some("absent")),
        Some(Value::String(text)) => (vec![Part::text(text)], Some("string")),
        Some(Value::Array(blocks)) => {
            let parts = blocks.into_iter().enumerate().map(|(n, v)| part(v, &format!("{at}[{n}]")));
            (parts.collect::<Result<_, _>>()?, None)
        }
        Some(other) => {
            let found = kind_of(&other);
            return Err(DecodeError::shape(
                at,
                format!("expected a string or an array, found {found}"),
            ));
        }
    };
    let result = ToolResult {
        call_id: fields.required_string("tool_use_id")?,
        output,
        is_error: fields.boolean("is_error")?,
        kind: ToolCallKind::Function,
        cache: cache::take(&mut fields),
    };
    let mut item = Item::new(ItemBody::ToolResult(result));
    item.extra = Extra::new(OURS, fields.rest());
    plain::keep(empty, &mut item.extra);
    if let Some(word) = spelling {
        item.extra.spell(OURS, "result", word);
    }
    Ok(item)
}
