//! Items and parts into content blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::block_decode::EMPTY;
use super::{OURS, cache, citation, plain};
use crate::model::{
    Annotation, Dialect, Item, Media, Part, PartBody, Reasoning, Source, ToolCall, ToolCallKind,
    ToolResult,
};
use crate::{Losses, seal};

/// Where a part stands, which decides what it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    System,
    User,
    Assistant,
    ToolResult,
}

/// Writes blocks of a request and notes what is lost.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    /// The request came in this dialect: nothing is tidied.
    pub(super) own: bool,
    pub(super) losses: &'a mut Losses,
}

impl Writer<'_> {
    fn lose<T>(&mut self, field: &'static str) -> Option<T> {
        self.losses.add(field);
        None
    }

    /// A part as a block; `None` where it cannot be said.
    pub(super) fn part(&mut self, part: &Part, place: Place) -> Option<Value> {
        let mut object = match &part.body {
            PartBody::Text { text, annotations, .. } => self.text(text, annotations)?,
            PartBody::Refusal(text) => self.text(text, &[])?,
            PartBody::Native { dialect: OURS, json } => return Some(json.clone()),
            PartBody::Native { .. } if place == Place::ToolResult => {
                return self.lose("tool_result.native");
            }
            PartBody::Native { .. } => return self.lose("part.native"),
            PartBody::Audio(_) if place == Place::ToolResult => {
                return self.lose("tool_result.audio");
            }
            PartBody::Audio(_) => return self.lose("part.audio"),
            PartBody::Image { .. } if place == Place::Assistant && !self.own => {
                return self.lose("part.image.assistant");
            }
            PartBody::Image { .. } | PartBody::File { .. }
                if place == Place::System && !self.own =>
            {
                return self.lose("part.native");
            }
            PartBody::Image { source, detail } => {
                if detail.as_deref().is_some_and(|d| d != "auto") {
                    self.losses.add("part.image.detail");
                }
                self.image(source)?
            }
            PartBody::File { source, name } => self.document(source, name.as_deref())?,
        };
        cache::write(part.cache.as_ref(), &mut object, self.losses);
        part.extra.write(OURS, &mut object, "content", self.losses);
        plain::restore(&part.extra, EMPTY, &mut object);
        Some(object.into())
    }

    fn text(&mut self, text: &str, annotations: &[Annotation]) -> Option<Map<String, Value>> {
        if text.is_empty() && !self.own {
            return None;
        }
        let mut object = block("text");
        object.insert("text".into(), text.into());
        let mut citations = Vec::new();
        for annotation in annotations {
            if citation::is_provable(annotation) {
                citations.extend(citation::encode(annotation, text));
            } else {
                self.losses.add(citation::loss_name(annotation));
            }
        }
        if !citations.is_empty() {
            object.insert("citations".into(), citations.into());
        }
        Some(object)
    }

    fn image(&mut self, source: &Source) -> Option<Map<String, Value>> {
        let source = match source {
            Source::FileId(_) if !self.own => return self.lose("part.image.file_id"),
            Source::FileId(id) => json!({"type": "file", "file_id": id}),
            Source::Url(url) => json!({"type": "url", "url": url}),
            Source::Inline(media) => inline(media),
            Source::Text(_) => return self.lose("part.native"),
        };
        let mut object = block("image");
        object.insert("source".into(), source);
        Some(object)
    }

    fn document(&mut self, source: &Source, name: Option<&str>) -> Option<Map<String, Value>> {
        let source = match source {
            Source::FileId(_) if !self.own => return self.lose("part.file.file_id"),
            Source::FileId(id) => json!({"type": "file", "file_id": id}),
            Source::Url(url) => json!({"type": "url", "url": url}),
            Source::Text(text) => plain_text(text),
            Source::Inline(media) if self.own => inline(media),
            Source::Inline(media) => match text_of(media) {
                Some(text) => plain_text(&text),
                None => inline(media),
            },
        };
        let mut object = block("document");
        object.insert("source".into(), source);
        if let Some(name) = name {
            object.insert("title".into(), name.into());
        }
        Some(object)
    }

    /// Thinking of the past. Only what this dialect's provider has sealed
    /// may go back to it: an unsigned or foreign block would be refused.
    pub(super) fn reasoning(&mut self, reasoning: &Reasoning, item: &Item) -> Option<Value> {
        let ours = reasoning.seal.as_ref().filter(|s| s.dialect == OURS);
        if ours.is_none() && (!self.own || reasoning.seal.is_some()) {
            for (there, name) in [
                (!reasoning.text.is_empty(), "item.reasoning.text"),
                (!reasoning.summary.is_empty(), "item.reasoning.summary"),
                (
                    reasoning.seal.as_ref().is_some_and(|s| !s.data.is_empty()),
                    "item.reasoning.seal",
                ),
            ] {
                if there {
                    self.losses.add(name);
                }
            }
            return None;
        }
        let mut object = match ours {
            Some(seal) if seal.hides => {
                let mut object = block("redacted_thinking");
                object.insert("data".into(), seal.data.as_str().into());
                object
            }
            seal => {
                let mut object = block("thinking");
                object.insert("thinking".into(), shown(reasoning).into());
                let signature = seal.map_or("", |s| s.data.as_str());
                object.insert("signature".into(), signature.into());
                object
            }
        };
        item.extra.write(OURS, &mut object, "content", self.losses);
        Some(object.into())
    }

    pub(super) fn tool_use(&mut self, call: &ToolCall, item: &Item) -> Value {
        let input = match call.kind {
            ToolCallKind::Custom => json!({"input": call.input}),
            ToolCallKind::Function => {
                let (input, whole) = tool_input(&call.input);
                if !whole {
                    self.losses.add_extra("tool_call", "input");
                }
                input
            }
        };
        let mut object = block("tool_use");
        object.insert("id".into(), self.call_id(&call.call_id).into());
        object.insert("name".into(), call.name.as_str().into());
        object.insert("input".into(), input);
        cache::write(call.cache.as_ref(), &mut object, self.losses);
        item.extra.write(OURS, &mut object, "content", self.losses);
        plain::restore(&item.extra, EMPTY, &mut object);
        object.into()
    }

    pub(super) fn tool_result(&mut self, result: &ToolResult, item: &Item) -> Value {
        let mut object = block("tool_result");
        object.insert("tool_use_id".into(), self.call_id(&result.call_id).into());
        let spelt = item.extra.spelt(OURS, "result").and_then(Value::as_str);
        if spelt != Some("absent") {
            let blocks: Vec<Value> =
                result.output.iter().filter_map(|p| self.part(p, Place::ToolResult)).collect();
            let lone = match blocks.as_slice() {
                [] if !self.own => Some(""),
                [only] if spelt == Some("string") || !self.own => lone_text(only),
                _ => None,
            };
            let content = lone.map(Value::from);
            object.insert("content".into(), content.unwrap_or_else(|| blocks.into()));
        }
        if let Some(is_error) = result.is_error {
            object.insert("is_error".into(), is_error.into());
        }
        cache::write(result.cache.as_ref(), &mut object, self.losses);
        item.extra.write(OURS, &mut object, "content", self.losses);
        plain::restore(&item.extra, EMPTY, &mut object);
        object.into()
    }

    /// Ids of other dialects may have characters that this one refuses; call
    /// and result are changed alike.
    fn call_id(&self, id: &str) -> String {
        if self.own {
            return id.to_owned();
        }
        let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        id.chars().map(allowed).collect()
    }
}

/// An object with its type.
pub(super) fn block(word: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".into(), word.into());
    object
}

/// The text of a block that is nothing but text.
pub(super) fn lone_text(block: &Value) -> Option<&str> {
    let object = block.as_object()?;
    if object.len() != 2 || object.get("type")? != "text" {
        return None;
    }
    object.get("text")?.as_str()
}

fn inline(media: &Media) -> Value {
    json!({"type": "base64", "media_type": media.media_type, "data": media.data})
}

fn plain_text(text: &str) -> Value {
    json!({"type": "text", "media_type": "text/plain", "data": text})
}

/// The text of an inline document that is text: the dialect takes only PDF
/// in base64.
fn text_of(media: &Media) -> Option<String> {
    let is_text = media.media_type.starts_with("text/") || media.media_type == "application/json";
    if !is_text {
        return None;
    }
    String::from_utf8(STANDARD.decode(&media.data).ok()?).ok()
}

/// All thinking that may be shown, as one text.
pub(super) fn shown(reasoning: &Reasoning) -> String {
    let texts: Vec<&str> =
        reasoning.summary.iter().chain(&reasoning.text).map(String::as_str).collect();
    texts.join("\n\n")
}

/// A call's input as an object, and whether it was one. None at all is the
/// empty object.
pub(super) fn tool_input(text: &str) -> (Value, bool) {
    if text.trim().is_empty() {
        return (json!({}), true);
    }
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => (object.into(), true),
        _ => (json!({"raw_input": text}), false),
    }
}

/// The reasoning of an answer to a client: foreign seals ride in an envelope.
pub(super) fn answer_reasoning(reasoning: &Reasoning) -> Option<Value> {
    let text = shown(reasoning);
    match &reasoning.seal {
        None if text.is_empty() => None,
        Some(seal) if seal.hides && (text.is_empty() || seal.dialect == OURS) => {
            Some(json!({"type": "redacted_thinking", "data": carry(seal)}))
        }
        seal => {
            let signature = seal.as_ref().map(carry).unwrap_or_default();
            Some(json!({"type": "thinking", "thinking": text, "signature": signature}))
        }
    }
}

/// A seal in this dialect's opaque field.
pub(super) fn carry(seal: &crate::model::Seal) -> String {
    seal::carry(seal, Dialect::Messages)
}
