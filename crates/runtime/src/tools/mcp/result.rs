//! What an MCP server's result is for a model.

use freehold_llm::model::{Media, Part, PartBody, Source};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::Value;

use crate::decide::Ended;
use crate::event::Content;

/// The parts of a result that are looked at.
const BLOCKS_MAX: usize = 1_024;

/// How a call ended, with what the server sent and what is to be said beside.
pub(super) fn ended(result: &CallToolResult, notes: &[String]) -> Ended {
    let mut parts: Vec<Part> = result.content.iter().take(BLOCKS_MAX).map(part).collect();
    if let Some(structured) = &result.structured_content
        && !says(&parts, structured)
    {
        parts.push(Part::text(structured.to_string()));
    }
    parts.extend(notes.iter().map(|note| Part::text(format!("[{note}]"))));
    let value = match parts.as_slice() {
        [] => Value::from("done, without a word"),
        [only] if only.as_text().is_some() => Value::from(only.as_text().unwrap_or_default()),
        // Parts are plain values: that they cannot be written does not happen.
        parts => serde_json::to_value(parts).unwrap_or_default(),
    };
    let content = Content::Inline(value);
    if result.is_error == Some(true) { Ended::Failed(content) } else { Ended::Ok(content) }
}

/// Whether a text says the structured content already, as servers should have
/// it for clients that do not read it. A plain text is structured by a field
/// around it.
fn says(parts: &[Part], structured: &Value) -> bool {
    let wrapped = structured.as_object().filter(|fields| fields.len() == 1);
    let wrapped = wrapped.and_then(|fields| fields.get("result")?.as_str());
    parts.iter().filter_map(Part::as_text).any(|text| {
        wrapped == Some(text)
            || serde_json::from_str::<Value>(text).is_ok_and(|said| said == *structured)
    })
}

fn part(block: &ContentBlock) -> Part {
    match block {
        ContentBlock::Text(text) => Part::text(text.text.as_str()),
        ContentBlock::Image(image) => picture(&image.mime_type, &image.data),
        ContentBlock::Audio(audio) => Part::new(PartBody::Audio(Media {
            media_type: audio.mime_type.clone(),
            data: audio.data.clone(),
        })),
        ContentBlock::Resource(embedded) => match &embedded.resource {
            ResourceContents::TextResourceContents { uri, text, .. } => {
                Part::text(format!("[{uri}]\n{text}"))
            }
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("application/octet-stream");
                if kind.starts_with("image/") {
                    return picture(kind, blob);
                }
                let media = Media { media_type: kind.to_owned(), data: blob.clone() };
                let name = uri.rsplit('/').next().map(|name| name.chars().take(200).collect());
                Part::new(PartBody::File { source: Source::Inline(media), name })
            }
            _ => Part::text("[a resource of a kind that is not known here]"),
        },
        ContentBlock::ResourceLink(link) => {
            let kind = link.mime_type.as_deref().map(|kind| format!(" ({kind})"));
            let about = link.description.as_deref().map(|about| format!(": {about}"));
            Part::text(format!(
                "[resource {} at {}{}{}]",
                link.name,
                link.uri,
                kind.unwrap_or_default(),
                about.unwrap_or_default()
            ))
        }
        _ => Part::text("[content of a kind that is not known here]"),
    }
}

fn picture(kind: &str, data: &str) -> Part {
    let media = Media { media_type: kind.to_owned(), data: data.to_owned() };
    Part::new(PartBody::Image { source: Source::Inline(media), detail: None })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(result: Value) -> Ended {
        let result: CallToolResult = serde_json::from_value(result).expect("a result");
        ended(&result, &[])
    }

    #[test]
    fn every_kind_of_content_has_its_part() {
        let content = json!([
            { "type": "text", "text": "t" },
            { "type": "image", "mimeType": "image/png", "data": "AA==" },
            { "type": "audio", "mimeType": "audio/wav", "data": "AA==" },
            { "type": "resource", "resource": { "uri": "file:///a.txt", "text": "inside" } },
            { "type": "resource", "resource": { "uri": "file:///a.bin", "blob": "AA==" } },
            { "type": "resource_link", "uri": "file:///b", "name": "b", "mimeType": "x/y" }
        ]);
        let Ended::Ok(Content::Inline(value)) = read(json!({ "content": content })) else {
            panic!("it succeeded")
        };
        let parts = crate::content::output(&value);
        assert_eq!(parts.len(), 6);
        assert!(matches!(parts[1].body, PartBody::Image { .. }));
        assert!(matches!(parts[2].body, PartBody::Audio(_)));
        assert_eq!(parts[3].as_text(), Some("[file:///a.txt]\ninside"));
        assert!(matches!(&parts[4].body, PartBody::File { name: Some(n), .. } if n == "a.bin"));
        assert_eq!(parts[5].as_text(), Some("[resource b at file:///b (x/y)]"));
    }

    #[test]
    fn what_is_structured_is_said_once() {
        let text = json!([{ "type": "text", "text": "{\"b\":1, \"a\":2}" }]);
        let once = read(json!({ "content": text, "structuredContent": { "a": 2, "b": 1 } }));
        assert_eq!(once, Ended::Ok(Content::text("{\"b\":1, \"a\":2}")));
        let plain = json!([{ "type": "text", "text": "free" }]);
        let wrapped = read(json!({ "content": plain, "structuredContent": { "result": "free" } }));
        assert_eq!(wrapped, Ended::Ok(Content::text("free")));
        let alone = read(json!({ "content": [], "structuredContent": { "a": 2 } }));
        assert_eq!(alone, Ended::Ok(Content::text("{\"a\":2}")));
        let error = json!([{ "type": "text", "text": "no" }]);
        let failed = read(json!({ "content": error, "isError": true }));
        assert_eq!(failed, Ended::Failed(Content::text("no")));
    }
}
