//! Content parts of messages and tool results, and the citations and token
//! probabilities inside of them.

use serde_json::{Map, Value, json};

use super::OURS;
use crate::format::json::Fields;
use crate::model::{
    Annotation, CacheMark, Dialect, Extra, Logprob, Media, Part, PartBody, Role, Source,
};
use crate::{DecodeError, Losses};

/// The word for text by who speaks: what a model said is output.
pub(super) fn text_type(role: Role) -> &'static str {
    if role == Role::Assistant { "output_text" } else { "input_text" }
}

/// Reads content: a string is one text. The flag says that it was one.
pub(super) fn decode_content(
    value: Value,
    role: Role,
    path: &str,
) -> Result<(Vec<Part>, bool), DecodeError> {
    match value {
        Value::String(text) => Ok((vec![Part::text(text)], true)),
        Value::Array(values) => {
            let parts = values.into_iter().enumerate();
            let parts = parts.map(|(n, v)| decode(v, role, &format!("{path}[{n}]")));
            Ok((parts.collect::<Result<_, _>>()?, false))
        }
        Value::Null => Ok((Vec::new(), false)),
        _ => Err(DecodeError::shape(path, "expected a string or a list of parts")),
    }
}

/// Reads one part. A kind that the hub does not know rides along as it is.
pub(super) fn decode(value: Value, role: Role, path: &str) -> Result<Part, DecodeError> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "input_text" | "output_text" | "text" => decode_text(value, &kind, role, path),
        "refusal" => {
            let mut fields = Fields::new(value, path)?;
            fields.take("type");
            let refusal = fields.required_string("refusal")?;
            Ok(part(PartBody::Refusal(refusal), fields))
        }
        "input_image" => decode_image(value, path),
        "input_file" => decode_file(value, path),
        "input_audio" if value.get("input_audio").is_some_and(Value::is_object) => {
            decode_audio(value, path)
        }
        _ if value.is_object() => Ok(Part::new(PartBody::Native { dialect: OURS, json: value })),
        _ => Err(DecodeError::shape(path, "expected an object with a type")),
    }
}

fn part(body: PartBody, mut fields: Fields) -> Part {
    let (cache, odd) = take_cache(&mut fields);
    let mut rest = fields.rest();
    if let Some(odd) = odd {
        rest.insert("prompt_cache_breakpoint".to_owned(), odd);
    }
    Part { body, cache, extra: Extra::new(OURS, rest) }
}

/// A breakpoint that says more than the hub can is given back as it is.
fn take_cache(fields: &mut Fields) -> (Option<CacheMark>, Option<Value>) {
    let Some(mark) = fields.take_some("prompt_cache_breakpoint") else { return (None, None) };
    let ttl = mark.get("ttl").and_then(Value::as_str).map(str::to_owned);
    let known = 1 + usize::from(ttl.is_some());
    let plain = mark.get("mode").and_then(Value::as_str) == Some("explicit")
        && mark.as_object().is_some_and(|m| m.len() == known);
    if plain { (Some(CacheMark { ttl }), None) } else { (None, Some(mark)) }
}

fn decode_text(value: Value, kind: &str, role: Role, path: &str) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let text = fields.required_string("text")?;
    let annotations = fields.array("annotations")?.into_iter().map(decode_annotation).collect();
    let logprobs = fields.array("logprobs")?;
    let logprobs = decode_logprobs(logprobs, &fields.at("logprobs"))?;
    let body =
        PartBody::Text { text, annotations, logprobs: Some(logprobs).filter(|l| !l.is_empty()) };
    let mut part = part(body, fields);
    if kind != text_type(role) {
        part.extra.spell(OURS, "type", kind);
    }
    Ok(part)
}

fn decode_image(value: Value, path: &str) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let source = match fields.string("image_url")? {
        Some(url) => from_url(url),
        None => Source::FileId(
            fields
                .string("file_id")?
                .ok_or_else(|| DecodeError::shape(path, "an image needs image_url or file_id"))?,
        ),
    };
    let detail = fields.string("detail")?;
    Ok(part(PartBody::Image { source, detail }, fields))
}

fn decode_file(value: Value, path: &str) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let name = fields.string("filename")?;
    let mut raw = false;
    let source = if let Some(data) = fields.string("file_data")? {
        match from_url(data) {
            // Plain base64 without a media type is accepted too.
            Source::Url(data) if !data.starts_with("data:") => {
                raw = true;
                Source::Inline(Media { media_type: type_by_name(name.as_deref()).to_owned(), data })
            }
            source => source,
        }
    } else if let Some(url) = fields.string("file_url")? {
        Source::Url(url)
    } else if let Some(id) = fields.string("file_id")? {
        Source::FileId(id)
    } else {
        return Err(DecodeError::shape(path, "a file needs file_data, file_url or file_id"));
    };
    let mut part = part(PartBody::File { source, name }, fields);
    if raw {
        part.extra.spell(OURS, "file_data", "raw");
    }
    Ok(part)
}

fn decode_audio(value: Value, path: &str) -> Result<Part, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    fields.take("type");
    let inner = fields.take("input_audio").unwrap_or_default();
    let mut inner = Fields::new(inner, fields.at("input_audio"))?;
    let media = Media {
        media_type: inner.required_string("format")?,
        data: inner.required_string("data")?,
    };
    Ok(part(PartBody::Audio(media), fields))
}

fn type_by_name(name: Option<&str>) -> &'static str {
    let extension = name.and_then(|n| n.rsplit_once('.')).map(|(_, e)| e.to_ascii_lowercase());
    match extension.as_deref() {
        Some("pdf") => "application/pdf",
        Some("txt" | "md") => "text/plain",
        Some("csv") => "text/csv",
        Some("json") => "application/json",
        _ => "application/octet-stream",
    }
}

/// A `data:` URL in base64 is inline content, any other URL a place.
pub(super) fn from_url(url: String) -> Source {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) if !media_type.is_empty() && !media_type.contains([';', ',']) => {
            Source::Inline(Media { media_type: media_type.to_owned(), data: data.to_owned() })
        }
        _ => Source::Url(url),
    }
}

fn data_url(media: &Media) -> String {
    format!("data:{};base64,{}", media.media_type, media.data)
}

/// Writes one part of a request. `None` where it cannot be said there, which
/// is a loss.
pub(super) fn encode(
    part: &Part,
    role: Role,
    origin: Dialect,
    losses: &mut Losses,
) -> Option<Value> {
    let spelt = part.extra.spelt(OURS, "type").and_then(Value::as_str);
    let mut object = Map::new();
    let assistant = role == Role::Assistant;
    match &part.body {
        PartBody::Text { text, annotations, logprobs } => {
            let kind = spelt.unwrap_or(text_type(role));
            object.insert("type".into(), kind.into());
            object.insert("text".into(), text.as_str().into());
            if kind == "output_text" {
                let list = encode_annotations(annotations, losses);
                object.insert("annotations".into(), list.into());
            }
            if let Some(logprobs) = logprobs {
                object.insert("logprobs".into(), encode_logprobs(logprobs).into());
            }
        }
        PartBody::Refusal(text) if assistant => {
            object.insert("type".into(), "refusal".into());
            object.insert("refusal".into(), text.as_str().into());
        }
        PartBody::Refusal(text) => {
            object.insert("type".into(), "input_text".into());
            object.insert("text".into(), text.as_str().into());
        }
        PartBody::Image { .. } if assistant && origin != OURS => {
            losses.add("part.image.assistant");
            return None;
        }
        PartBody::Image { source, detail } => {
            encode_image(source, detail.as_deref(), origin, &mut object, losses)?;
        }
        PartBody::File { source, name } => {
            let raw = part.extra.spelt(OURS, "file_data").is_some();
            encode_file(source, name.as_deref(), raw, origin, &mut object, losses)?;
        }
        PartBody::Audio(media) => {
            object.insert("type".into(), "input_audio".into());
            object.insert(
                "input_audio".into(),
                json!({"data": media.data, "format": audio_format(&media.media_type)}),
            );
        }
        PartBody::Native { dialect, json } if *dialect == OURS => return Some(json.clone()),
        PartBody::Native { .. } => {
            losses.add("part.native");
            return None;
        }
    }
    encode_cache(part.cache.as_ref(), origin, &mut object, losses);
    part.extra.write(OURS, &mut object, "part", losses);
    Some(Value::Object(object))
}

/// Marks of other dialects are not sent: only some models know explicit
/// breakpoints, the others refuse them, and prefixes are cached without.
fn encode_cache(
    cache: Option<&CacheMark>,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) {
    match cache {
        None => {}
        Some(mark) if origin == OURS => {
            let mut value = json!({"mode": "explicit"});
            if let Some(ttl) = &mark.ttl {
                value["ttl"] = ttl.as_str().into();
            }
            object.insert("prompt_cache_breakpoint".into(), value);
        }
        Some(_) => losses.add("cache_mark"),
    }
}

fn encode_image(
    source: &Source,
    detail: Option<&str>,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Option<()> {
    object.insert("type".into(), "input_image".into());
    match source {
        Source::Url(url) => object.insert("image_url".into(), url.as_str().into()),
        Source::Inline(media) => object.insert("image_url".into(), data_url(media).into()),
        Source::FileId(_) if origin == Dialect::Messages => {
            losses.add("part.image.file_id");
            return None;
        }
        Source::FileId(id) => object.insert("file_id".into(), id.as_str().into()),
        Source::Text(text) => {
            object.insert("type".into(), "input_text".into());
            object.insert("text".into(), text.as_str().into())
        }
    };
    if let Some(detail) = detail {
        object.insert("detail".into(), detail.into());
    }
    Some(())
}

fn encode_file(
    source: &Source,
    name: Option<&str>,
    raw: bool,
    origin: Dialect,
    object: &mut Map<String, Value>,
    losses: &mut Losses,
) -> Option<()> {
    object.insert("type".into(), "input_file".into());
    if let Some(name) = name {
        object.insert("filename".into(), name.into());
    }
    match source {
        Source::Url(url) if url.starts_with("data:") => {
            object.insert("file_data".into(), url.as_str().into())
        }
        Source::Url(url) => object.insert("file_url".into(), url.as_str().into()),
        Source::Inline(media) if raw => {
            object.insert("file_data".into(), media.data.as_str().into())
        }
        Source::Inline(media) => {
            // Inline data is refused without a name.
            object.entry("filename").or_insert_with(|| name_for(&media.media_type).into());
            object.insert("file_data".into(), data_url(media).into())
        }
        Source::FileId(_) if origin == Dialect::Messages => {
            losses.add("part.file.file_id");
            return None;
        }
        Source::FileId(id) => object.insert("file_id".into(), id.as_str().into()),
        Source::Text(text) => {
            object.clear();
            object.insert("type".into(), "input_text".into());
            object.insert("text".into(), text.as_str().into())
        }
    };
    Some(())
}

fn name_for(media_type: &str) -> &'static str {
    match media_type {
        "application/pdf" => "document.pdf",
        "text/plain" => "document.txt",
        "text/csv" => "document.csv",
        "application/json" => "document.json",
        _ => "document",
    }
}

fn audio_format(media_type: &str) -> &str {
    match media_type {
        "audio/wav" | "audio/x-wav" | "audio/wave" => "wav",
        "audio/mpeg" | "audio/mp3" => "mp3",
        other => other,
    }
}

/// Reads a citation.
pub(super) fn decode_annotation(value: Value) -> Annotation {
    let whole = value.get("type").and_then(Value::as_str) == Some("url_citation");
    let url = value.get("url").and_then(Value::as_str).map(str::to_owned);
    match (value, url) {
        (Value::Object(mut map), Some(url)) if whole => {
            map.shift_remove("type");
            map.shift_remove("url");
            let title = match map.shift_remove("title") {
                Some(Value::String(title)) => title,
                _ => String::new(),
            };
            let mut at = |name: &str| {
                let at = map.get(name).and_then(Value::as_u64);
                if at.is_some() {
                    map.shift_remove(name);
                }
                at
            };
            let (start, end) = (at("start_index"), at("end_index"));
            Annotation::Url { url, title, start, end, extra: Extra::new(OURS, map) }
        }
        (json, _) => Annotation::Native { dialect: OURS, json },
    }
}

/// Writes a citation; `None` for one that only another dialect knows.
pub(super) fn encode_annotation(annotation: &Annotation) -> Option<Value> {
    match annotation {
        Annotation::Url { url, title, start, end, extra } => {
            // Both ends are required: an unknown span is the empty one.
            let start = start.unwrap_or(0);
            let mut object = Map::new();
            object.insert("type".into(), "url_citation".into());
            object.insert("start_index".into(), start.into());
            object.insert("end_index".into(), end.unwrap_or(start).into());
            object.insert("title".into(), title.as_str().into());
            object.insert("url".into(), url.as_str().into());
            super::restore(extra, &mut object);
            Some(Value::Object(object))
        }
        Annotation::Native { dialect, json } if *dialect == OURS => Some(json.clone()),
        Annotation::Native { .. } => None,
    }
}

fn encode_annotations(annotations: &[Annotation], losses: &mut Losses) -> Vec<Value> {
    let mut list = Vec::new();
    for annotation in annotations {
        match encode_annotation(annotation) {
            Some(value) => list.push(value),
            None => losses.add("annotation.native"),
        }
    }
    list
}

/// Reads token probabilities.
pub(super) fn decode_logprobs(values: Vec<Value>, path: &str) -> Result<Vec<Logprob>, DecodeError> {
    let each = values.into_iter().enumerate();
    each.map(|(n, v)| decode_logprob(v, &format!("{path}[{n}]"), true)).collect()
}

fn decode_logprob(value: Value, path: &str, outer: bool) -> Result<Logprob, DecodeError> {
    let mut fields = Fields::new(value, path)?;
    let token = fields.string("token")?.unwrap_or_default();
    let logprob = fields.number("logprob")?.unwrap_or_else(|| 0.into());
    let bytes = match fields.take_some("bytes") {
        Some(Value::Array(bytes)) => Some(
            bytes.iter().filter_map(Value::as_u64).filter_map(|b| u8::try_from(b).ok()).collect(),
        ),
        _ => None,
    };
    let mut top = Vec::new();
    // One level only: alternatives have none of their own.
    if outer {
        for (n, value) in fields.array("top_logprobs")?.into_iter().enumerate() {
            top.push(decode_logprob(value, &format!("{path}.top_logprobs[{n}]"), false)?);
        }
    }
    Ok(Logprob { token, logprob, bytes, top })
}

/// Writes token probabilities in the strict shape, which demands the bytes.
pub(super) fn encode_logprobs(logprobs: &[Logprob]) -> Vec<Value> {
    logprobs.iter().map(|l| encode_logprob(l, true)).collect()
}

fn encode_logprob(logprob: &Logprob, outer: bool) -> Value {
    let bytes = logprob.bytes.as_deref().unwrap_or(logprob.token.as_bytes());
    let mut value = json!({"token": logprob.token, "logprob": logprob.logprob, "bytes": bytes});
    if outer {
        let top: Vec<Value> = logprob.top.iter().map(|l| encode_logprob(l, false)).collect();
        value["top_logprobs"] = top.into();
    }
    value
}

/// Writes one part of an answer in the strict shape; `None` for what an
/// answer cannot hold.
pub(super) fn encode_output(part: &Part) -> Option<Value> {
    let mut object = Map::new();
    match &part.body {
        PartBody::Text { text, annotations, logprobs } => {
            let annotations: Vec<Value> =
                annotations.iter().filter_map(encode_annotation).collect();
            let logprobs = encode_logprobs(logprobs.as_deref().unwrap_or_default());
            let kind = part.extra.spelt(OURS, "type").cloned();
            object.insert("type".into(), kind.unwrap_or_else(|| "output_text".into()));
            object.insert("text".into(), text.as_str().into());
            object.insert("annotations".into(), annotations.into());
            object.insert("logprobs".into(), logprobs.into());
        }
        PartBody::Refusal(text) => {
            object.insert("type".into(), "refusal".into());
            object.insert("refusal".into(), text.as_str().into());
        }
        PartBody::Native { dialect, json } if *dialect == OURS => return Some(json.clone()),
        // An answer of this dialect may repeat what it was asked.
        PartBody::Image { .. } | PartBody::File { .. } | PartBody::Audio(_)
            if part.extra.origin == Some(OURS) =>
        {
            return encode(part, Role::User, OURS, &mut Losses::default());
        }
        _ => return None,
    }
    super::restore(&part.extra, &mut object);
    Some(Value::Object(object))
}
