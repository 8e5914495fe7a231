//! `citations`: where a text came from.

use serde_json::{Map, Value, json};

use super::OURS;
use crate::DecodeError;
use crate::format::json::{Fields, join};
use crate::model::{Annotation, Extra};

const WEB: &str = "web_search_result_location";

/// One citation. A web search's result is one that all dialects have; the
/// others point into documents in a way of this dialect's own.
pub(super) fn decode(value: Value, path: &str) -> Result<Annotation, DecodeError> {
    if value.get("type").and_then(Value::as_str) != Some(WEB) {
        return Ok(Annotation::Native { dialect: OURS, json: value });
    }
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let url = fields.string("url")?.unwrap_or_default();
    let title = fields.string("title")?;
    let mut extra = Extra::new(OURS, fields.rest());
    if title.is_none() {
        extra.spell(OURS, "title", Value::Null);
    }
    Ok(Annotation::Url { url, title: title.unwrap_or_default(), start: None, end: None, extra })
}

/// A list of citations; the second value says if it was there but empty.
pub(super) fn decode_all(fields: &mut Fields) -> Result<Vec<Annotation>, DecodeError> {
    let path = fields.at("citations");
    let list = fields.array("citations")?;
    list.into_iter().enumerate().map(|(n, value)| decode(value, &format!("{path}[{n}]"))).collect()
}

/// A citation of an answer's `text`; `None` for another dialect's own kind.
pub(super) fn encode(annotation: &Annotation, text: &str) -> Option<Value> {
    match annotation {
        Annotation::Native { dialect: OURS, json } => Some(json.clone()),
        Annotation::Native { .. } => None,
        Annotation::Url { url, title, start, end, extra } => {
            let mut object = Map::new();
            object.insert("type".into(), WEB.into());
            if extra.origin == Some(OURS) {
                for (name, value) in &extra.fields {
                    object.insert(name.clone(), value.clone());
                }
            } else {
                object.insert("cited_text".into(), span(text, *start, *end).into());
                object.insert("encrypted_index".into(), "".into());
            }
            object.insert("url".into(), url.as_str().into());
            let untitled = title.is_empty() && extra.spelt(OURS, "title").is_some();
            object.insert("title".into(), if untitled { Value::Null } else { json!(title) });
            Some(object.into())
        }
    }
}

/// Whether a provider of this dialect would take the citation back: only its
/// own, with the proof in it.
pub(super) fn is_provable(annotation: &Annotation) -> bool {
    match annotation {
        Annotation::Native { dialect, .. } => *dialect == OURS,
        Annotation::Url { extra, .. } => extra
            .get(OURS, "encrypted_index")
            .and_then(Value::as_str)
            .is_some_and(|index| !index.is_empty()),
    }
}

/// The hub's name of a kind of citation that is lost.
pub(super) fn loss_name(annotation: &Annotation) -> &'static str {
    match annotation {
        Annotation::Native { .. } => "annotation.native",
        Annotation::Url { .. } => "annotation.url",
    }
}

/// The cited characters of the text.
fn span(text: &str, start: Option<u64>, end: Option<u64>) -> String {
    let (Some(start), Some(end)) = (start, end) else { return String::new() };
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// The path of a citation in a stream.
pub(super) fn delta_path(path: &str) -> String {
    join(path, "citation")
}
