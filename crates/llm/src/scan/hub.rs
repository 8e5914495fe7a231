//! What a scan would find in a request that is a value of the hub already.

use std::borrow::Cow;
use std::io;

use super::{Field, Scan};
use crate::model::{Item, ItemBody, Part, PartBody, Request, Source};

impl<'a> Scan<'a> {
    /// What there is to know of a request without bytes: what it asks for, and
    /// how long its JSON would be. Its fields stand nowhere.
    pub fn of(request: &'a Request) -> Self {
        let (mut media_count, mut media_bytes) = (0, 0);
        for part in request.items.iter().flat_map(parts) {
            if let Some(bytes) = media_bytes_of(part) {
                media_count += 1;
                media_bytes += bytes;
            }
        }
        let mut length = Length(0);
        // What has no JSON has no way to a provider either.
        let body_bytes = match serde_json::to_writer(&mut length, request) {
            Ok(()) => length.0,
            Err(_) => media_bytes,
        };
        Self {
            model: text(Some(&request.model)),
            stream: field(Some(request.stream)),
            max_tokens: field(request.max_tokens),
            max_completion_tokens: field(request.max_tokens),
            max_output_tokens: field(request.max_tokens),
            n: field(request.n.map(u64::from)),
            store: field(request.store),
            prompt_cache_key: text(request.prompt_cache_key.as_ref()),
            user: text(request.user.as_ref()),
            service_tier: text(request.service_tier.as_ref()),
            tools: !request.tools.is_empty(),
            text_bytes: body_bytes.saturating_sub(media_bytes),
            media_count,
            media_bytes,
            body_bytes,
            ..Self::default()
        }
    }
}

fn field<T>(value: Option<T>) -> Option<Field<T>> {
    value.map(|value| Field { value: Some(value), span: 0..0 })
}

fn text(value: Option<&String>) -> Option<Field<Cow<'_, str>>> {
    field(value.map(|text| Cow::Borrowed(text.as_str())))
}

fn parts(item: &Item) -> &[Part] {
    match &item.body {
        ItemBody::Message(message) => &message.parts,
        ItemBody::ToolResult(result) => &result.output,
        _ => &[],
    }
}

/// The inline bytes of a part that is a picture, document or sound.
fn media_bytes_of(part: &Part) -> Option<usize> {
    match &part.body {
        PartBody::Image { source, .. } | PartBody::File { source, .. } => match source {
            Source::Inline(media) => Some(media.data.len()),
            Source::Url(_) | Source::FileId(_) => Some(0),
            Source::Text(_) => None,
        },
        PartBody::Audio(media) => Some(media.data.len()),
        PartBody::Text { .. } | PartBody::Refusal(_) | PartBody::Native { .. } => None,
    }
}

struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::codec;
    use crate::model::Dialect;
    use crate::scan::scan;

    #[test]
    fn a_value_is_found_to_hold_what_its_bytes_do() {
        let data = format!("iVBORw0KGgo{}", "A".repeat(5_000));
        let body = format!(
            r#"{{"model":"m","stream":true,"max_output_tokens":9,"user":"u","service_tier":"flex",
            "prompt_cache_key":"k","tools":[{{"type":"function","name":"f","parameters":{{}},"strict":false}}],
            "input":[{{"role":"user","content":[{{"type":"input_text","text":"hi"}},
            {{"type":"input_image","image_url":"data:image/png;base64,{data}"}}]}}]}}"#
        );
        let bytes = scan(body.as_bytes()).unwrap();
        let request = codec(Dialect::Responses).decode_request(body.as_bytes()).unwrap();
        let value = Scan::of(&request);
        let read = |scan: &Scan<'_>| {
            let word = |f: &Option<Field<Cow<'_, str>>>| {
                f.as_ref().and_then(|f| f.value.as_deref().map(str::to_owned))
            };
            (
                (word(&scan.model), word(&scan.user), word(&scan.service_tier)),
                word(&scan.prompt_cache_key),
                (scan.tools, scan.media_count, scan.output_limit()),
                scan.stream.as_ref().and_then(|f| f.value),
            )
        };
        assert_eq!(read(&value), read(&bytes));
        assert!(value.media_bytes >= 5_000 && value.text_bytes < 1_000, "{value:?}");
        assert_eq!(value.body_bytes, value.text_bytes + value.media_bytes);
    }
}
