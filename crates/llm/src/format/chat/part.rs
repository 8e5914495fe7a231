//! Content parts, in both directions.

use serde_json::{Map, Value, json};

use super::ME;
use crate::codec::{Quirk, RequestTarget};
use crate::format::json::Fields;
use crate::model::{CacheMark, Extra, Media, Part, PartBody, Source};
use crate::{DecodeError, Losses};

/// A message's `content`: a string is one text part, null none.
pub(super) fn decode_content(value: Value, path: &str) -> Result<Vec<Part>, DecodeError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![Part::text(text)]),
        Value::Array(list) => list
            .into_iter()
            .enumerate()
            .map(|(n, part)| decode(part, &format!("{path}[{n}]")))
            .collect(),
        other => Err(DecodeError::shape(
            path,
            format!(
                "expected a string or an array, found {}",
                crate::format::json::kind_of(&other)
            ),
        )),
    }
}

/// One content part. A kind without place in the hub stays native.
pub(super) fn decode(value: Value, path: &str) -> Result<Part, DecodeError> {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    if value.is_object() && !has_place(&kind, &value) {
        return Ok(Part::new(PartBody::Native { dialect: ME, json: value }));
    }
    let mut fields = Fields::new(value, path)?;
    let cached = take_cache_mark(&mut fields);
    fields.take("type");
    let mut extra = Extra::default();
    let body = match kind.as_str() {
        "refusal" => PartBody::Refusal(fields.required_string("refusal")?),
        "image_url" => image(&mut fields, &mut extra)?,
        "input_audio" => audio(&mut fields)?,
        "file" => file(&mut fields, &mut extra)?,
        "document_url" => document(&mut fields, &mut extra)?,
        _ => PartBody::Text {
            text: fields.required_string("text")?,
            annotations: Vec::new(),
            logprobs: None,
        },
    };
    for (name, value) in fields.rest() {
        extra.insert(ME, &name, value);
    }
    let cache = cached.map(|(key, mark)| {
        extra.spell(ME, "cache", key);
        mark
    });
    Ok(Part { body, cache, extra })
}

/// Takes a cache breakpoint out, in OpenAI's form or in the one that routers
/// took from Anthropic; returns it with its key.
pub(super) fn take_cache_mark(fields: &mut Fields) -> Option<(&'static str, CacheMark)> {
    let forms =
        [("cache_control", "type", "ephemeral"), ("prompt_cache_breakpoint", "mode", "explicit")];
    for (key, word_key, word) in forms {
        let Some(Value::Object(object)) = fields.peek(key) else { continue };
        let is_plain = object.keys().all(|k| k == word_key || k == "ttl")
            && object.get(word_key).and_then(Value::as_str) == Some(word)
            && object.get("ttl").is_none_or(Value::is_string);
        if is_plain {
            let ttl = object.get("ttl").and_then(Value::as_str).map(str::to_owned);
            fields.take(key);
            return Some((key, CacheMark { ttl }));
        }
    }
    None
}

/// Writes a cache breakpoint where it came from Chat or the target knows it.
pub(super) fn write_cache_mark(
    mark: Option<&CacheMark>,
    extra: &Extra,
    object: &mut Map<String, Value>,
    scope: &mut Scope<'_>,
) {
    let Some(mark) = mark else { return };
    let (key, mut value) = match extra.spelt(ME, "cache").and_then(Value::as_str) {
        Some("prompt_cache_breakpoint") => ("prompt_cache_breakpoint", json!({"mode": "explicit"})),
        Some(_) => ("cache_control", json!({"type": "ephemeral"})),
        None if scope.has(Quirk::CacheControl) => ("cache_control", json!({"type": "ephemeral"})),
        None => {
            scope.losses.add("cache_mark");
            return;
        }
    };
    if let Some(ttl) = &mark.ttl {
        value["ttl"] = ttl.as_str().into();
    }
    object.insert(key.into(), value);
}

fn image(fields: &mut Fields, extra: &mut Extra) -> Result<PartBody, DecodeError> {
    match fields.take_some("image_url") {
        Some(Value::String(url)) => {
            extra.spell(ME, "flat", true);
            Ok(PartBody::Image { source: source_of_url(url), detail: None })
        }
        Some(value) => {
            let mut inner = Fields::new(value, fields.at("image_url"))?;
            let source = source_of_url(inner.required_string("url")?);
            let detail = inner.string("detail")?;
            keep_rest(inner, "image_url", extra);
            Ok(PartBody::Image { source, detail })
        }
        None => Err(DecodeError::shape(fields.at("image_url"), "is required")),
    }
}

/// Whether the hub has a place for a part of this kind and shape.
fn has_place(kind: &str, part: &Value) -> bool {
    let is_text = |object: &Value, name: &str| object.get(name).is_some_and(Value::is_string);
    match kind {
        "text" | "refusal" | "image_url" => true,
        "input_audio" => part.get(kind).is_some_and(|inner| {
            inner.as_object().is_some_and(|map| map.len() == 2)
                && is_text(inner, "data")
                && is_text(inner, "format")
        }),
        "file" => part
            .get(kind)
            .is_some_and(|inner| is_text(inner, "file_id") != is_text(inner, "file_data")),
        "document_url" => is_text(part, kind),
        _ => false,
    }
}

fn audio(fields: &mut Fields) -> Result<PartBody, DecodeError> {
    let inner = fields.take("input_audio").unwrap_or_default();
    let mut inner = Fields::new(inner, fields.at("input_audio"))?;
    Ok(PartBody::Audio(Media {
        media_type: inner.required_string("format")?,
        data: inner.required_string("data")?,
    }))
}

fn file(fields: &mut Fields, extra: &mut Extra) -> Result<PartBody, DecodeError> {
    let inner = fields.take("file").unwrap_or_default();
    let mut inner = Fields::new(inner, fields.at("file"))?;
    let name = inner.string("filename")?;
    let source = if let Some(id) = inner.string("file_id")? {
        Source::FileId(id)
    } else {
        match source_of_url(inner.required_string("file_data")?) {
            // Bare base64, as some clients send it.
            Source::Url(data) if !data.contains(':') => {
                extra.spell(ME, "bare", true);
                Source::Inline(Media { media_type: "application/pdf".into(), data })
            }
            source => source,
        }
    };
    keep_rest(inner, "file", extra);
    Ok(PartBody::File { source, name })
}

/// Mistral's document part.
fn document(fields: &mut Fields, extra: &mut Extra) -> Result<PartBody, DecodeError> {
    let url = fields.required_string("document_url")?;
    extra.spell(ME, "document_url", true);
    let name = fields.string("document_name")?;
    Ok(PartBody::File { source: source_of_url(url), name })
}

fn keep_rest(fields: Fields, name: &str, extra: &mut Extra) {
    let rest = fields.rest();
    if !rest.is_empty() {
        extra.insert(ME, name, Value::Object(rest));
    }
}

fn source_of_url(url: String) -> Source {
    let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    match inline {
        Some((media_type, data)) => {
            Source::Inline(Media { media_type: media_type.to_owned(), data: data.to_owned() })
        }
        None => Source::Url(url),
    }
}

fn data_url(media: &Media) -> String {
    format!("data:{};base64,{}", media.media_type, media.data)
}

/// What encoding a request's content needs at hand.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// To whom; `None` for an answer to a client.
    pub(super) target: Option<&'a RequestTarget<'a>>,
    /// Whether what is encoded came from Chat.
    pub(super) is_ours: bool,
    /// Where losses go.
    pub(super) losses: &'a mut Losses,
}

impl Scope<'_> {
    pub(super) fn has(&self, quirk: Quirk) -> bool {
        self.target.is_some_and(|t| t.has(quirk))
    }
}

/// One content part; `None` where Chat cannot say it.
pub(super) fn encode(part: &Part, scope: &mut Scope<'_>) -> Option<Value> {
    let mut object = match &part.body {
        PartBody::Text { text, annotations, .. } => {
            if annotations.iter().any(|a| super::annotation::encode(a).is_none()) {
                scope.losses.add("annotation.native");
            }
            object_of("text", "text", text.as_str().into())
        }
        PartBody::Refusal(text) => object_of("refusal", "refusal", text.as_str().into()),
        PartBody::Image { source, detail } => encode_image(source, detail.as_deref(), part, scope)?,
        PartBody::Audio(media) => object_of(
            "input_audio",
            "input_audio",
            json!({"data": media.data, "format": audio_format(&media.media_type)}),
        ),
        PartBody::File { source, name } => encode_file(source, name.as_deref(), part, scope)?,
        PartBody::Native { dialect: ME, json } => return Some(json.clone()),
        PartBody::Native { .. } => {
            scope.losses.add("part.native");
            return None;
        }
    };
    write_cache_mark(part.cache.as_ref(), &part.extra, &mut object, scope);
    for (name, value) in &part.extra.fields {
        // What an inner object had beside the known fields goes back into it.
        if let (Some(ME), Some(Value::Object(inner)), Value::Object(rest)) =
            (part.extra.origin, object.get_mut(name), value)
        {
            inner.extend(rest.clone());
        }
    }
    part.extra.write(ME, &mut object, "messages.content", scope.losses);
    Some(Value::Object(object))
}

fn object_of(kind: &str, name: &str, value: Value) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("type".into(), kind.into());
    object.insert(name.into(), value);
    object
}

fn encode_image(
    source: &Source,
    detail: Option<&str>,
    part: &Part,
    scope: &mut Scope<'_>,
) -> Option<Map<String, Value>> {
    let url = match source {
        Source::Url(url) => url.clone(),
        Source::Inline(media) => data_url(media),
        Source::FileId(_) | Source::Text(_) => {
            scope.losses.add("part.image.file_id");
            return None;
        }
    };
    if part.extra.spelt(ME, "flat").is_some() {
        return Some(object_of("image_url", "image_url", url.into()));
    }
    let mut inner = Map::new();
    inner.insert("url".into(), url.into());
    if let Some(detail) = detail {
        inner.insert("detail".into(), detail.into());
    }
    Some(object_of("image_url", "image_url", inner.into()))
}

fn encode_file(
    source: &Source,
    name: Option<&str>,
    part: &Part,
    scope: &mut Scope<'_>,
) -> Option<Map<String, Value>> {
    let url = match source {
        Source::Url(url) => Some(url.clone()),
        Source::Inline(media) if part.extra.spelt(ME, "bare").is_some() => Some(media.data.clone()),
        Source::Inline(media) => Some(data_url(media)),
        Source::FileId(_) => None,
        Source::Text(text) => {
            // The text is what matters; Chat has no part for documents of text.
            return Some(object_of("text", "text", text.as_str().into()));
        }
    };
    if part.extra.spelt(ME, "document_url").is_some() || scope.has(Quirk::DocumentUrl) {
        if let Some(url) = url {
            let mut object = object_of("document_url", "document_url", url.into());
            if let Some(name) = name {
                object.insert("document_name".into(), name.into());
            }
            return Some(object);
        }
        scope.losses.add("part.file.file_id");
        return None;
    }
    let is_link = matches!(source, Source::Url(_));
    if is_link && !scope.is_ours && !scope.has(Quirk::FileByUrl) {
        scope.losses.add("part.file.url");
        return None;
    }
    let mut inner = Map::new();
    match (source, url) {
        (Source::FileId(id), _) => inner.insert("file_id".into(), id.as_str().into()),
        (_, Some(url)) => inner.insert("file_data".into(), url.into()),
        _ => None,
    };
    // OpenAI refuses inline data without a name.
    let name = name.or(match source {
        Source::Inline(_) if !scope.is_ours => Some("document.pdf"),
        _ => None,
    });
    if let Some(name) = name {
        inner.insert("filename".into(), name.into());
    }
    Some(object_of("file", "file", inner.into()))
}

/// OpenAI's words are short; other dialects have MIME types.
fn audio_format(media_type: &str) -> &str {
    match media_type.strip_prefix("audio/").unwrap_or(media_type) {
        "mpeg" => "mp3",
        "x-wav" | "wave" => "wav",
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(json: &Value) -> Part {
        let part = decode(json.clone(), "p").unwrap();
        let mut losses = Losses::default();
        let mut scope = Scope { target: None, is_ours: true, losses: &mut losses };
        assert_eq!(encode(&part, &mut scope).as_ref(), Some(json));
        assert!(losses.is_empty());
        part
    }

    #[test]
    fn every_kind_comes_back() {
        for json in [
            json!({"type": "text", "text": "a"}),
            json!({"type": "refusal", "refusal": "no"}),
            json!({"type": "image_url", "image_url": {"url": "https://a.example/x", "detail": "low"}}),
            json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "odd": 1}}),
            json!({"type": "image_url", "image_url": "https://a.example/x"}),
            json!({"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}),
            json!({"type": "file", "file": {"file_id": "file-1"}}),
            json!({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"}}),
            json!({"type": "file", "file": {"file_data": "AA==", "filename": "a.pdf"}}),
            json!({"type": "file", "file": {"file_data": "https://a.example/x.pdf", "filename": "a.pdf"}}),
            json!({"type": "document_url", "document_url": "https://a.example/x.pdf"}),
            json!({"type": "video_url", "video_url": {"url": "https://a.example/x"}}),
            json!({"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
            json!({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}),
            json!({"type": "text", "text": "a", "cache_control": {"type": "odd"}, "odd": [1]}),
        ] {
            round(&json);
        }
    }

    #[test]
    fn inline_data_is_taken_apart() {
        let part = round(
            &json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}),
        );
        let media = Media { media_type: "image/png".into(), data: "AA==".into() };
        assert_eq!(part.body, PartBody::Image { source: Source::Inline(media), detail: None });
    }

    #[test]
    fn what_chat_cannot_say_is_a_loss() {
        let cases = [
            (
                PartBody::Image { source: Source::FileId("f".into()), detail: None },
                "part.image.file_id",
            ),
            (
                PartBody::File { source: Source::Url("https://a.example".into()), name: None },
                "part.file.url",
            ),
            (
                PartBody::Native { dialect: crate::Dialect::Messages, json: json!({}) },
                "part.native",
            ),
        ];
        for (body, field) in cases {
            let mut losses = Losses::default();
            let mut scope = Scope { target: None, is_ours: false, losses: &mut losses };
            assert_eq!(encode(&Part::new(body), &mut scope), None);
            let lost: Vec<_> = losses.iter().map(|l| l.field.as_str()).collect();
            assert_eq!(lost, [field]);
        }
    }

    #[test]
    fn errors_name_the_place() {
        let error = decode_content(json!([{"type": "text"}]), "messages[1].content").unwrap_err();
        assert_eq!(error.to_string(), "messages[1].content[0].text: is required");
        let error = decode_content(json!(["a"]), "messages[1].content").unwrap_err();
        assert_eq!(error.to_string(), "messages[1].content[0]: expected an object, found a string");
    }
}
