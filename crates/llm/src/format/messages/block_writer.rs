//! The blocks of a stream, one open at a time.

use serde_json::{Map, Value, json};

use super::block_encode::{block, carry};
use super::{OURS, citation};
use crate::Losses;
use crate::format::json::to_vec;
use crate::model::{Annotation, Delta, Event, Item, ItemBody, PartBody, Seal, ToolCallKind};
use crate::sse::write_frame;

/// Writes `content_block_start`, `_delta` and `_stop`. A block begins with its
/// first content, so that empty ones are never seen.
#[derive(Debug, Default)]
pub(super) struct BlockWriter {
    index: u64,
    open: Option<Open>,
    /// A custom tool's free text, which becomes an object when it is whole.
    free_text: Option<String>,
}

#[derive(Debug)]
enum Open {
    /// A part of a message, and its text so far.
    Text {
        part: u32,
        text: String,
    },
    /// Thinking, and which text of it is being written.
    Thinking {
        at: Option<(bool, u32)>,
    },
    Call,
}

/// Deltas are the hot path: written without a tree.
fn delta(index: u64, word: &str, name: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    out.extend_from_slice(index.to_string().as_bytes());
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(word.as_bytes());
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    // A string into memory: this cannot fail.
    let _written = serde_json::to_writer(&mut *out, text).is_ok();
    out.extend_from_slice(b"}}\n\n");
}

impl BlockWriter {
    fn start(&mut self, block: &Value, open: Open, out: &mut Vec<u8>) {
        self.stop(out);
        let data =
            json!({"type": "content_block_start", "index": self.index, "content_block": block});
        write_frame("content_block_start", &to_vec(&data), out);
        self.open = Some(open);
    }

    fn stop(&mut self, out: &mut Vec<u8>) {
        if self.open.take().is_some() {
            let data = json!({"type": "content_block_stop", "index": self.index});
            write_frame("content_block_stop", &to_vec(&data), out);
            self.index += 1;
        }
    }

    fn value_delta(&self, delta: &Value, out: &mut Vec<u8>) {
        let data = json!({"type": "content_block_delta", "index": self.index, "delta": delta});
        write_frame("content_block_delta", &to_vec(&data), out);
    }

    /// An item begins, or goes on after a pause.
    pub(super) fn begin(&mut self, head: &Item, out: &mut Vec<u8>) {
        match &head.body {
            ItemBody::ToolCall(call) => {
                let mut object = block("tool_use");
                object.insert("id".into(), call.call_id.as_str().into());
                object.insert("name".into(), call.name.as_str().into());
                object.insert("input".into(), json!({}));
                head.extra.write(OURS, &mut object, "", &mut Losses::default());
                self.start(&object.into(), Open::Call, out);
                self.free_text = (call.kind == ToolCallKind::Custom).then(String::new);
            }
            ItemBody::Native { dialect: OURS, json, .. } => self.whole(json, out),
            ItemBody::Message(_)
            | ItemBody::Reasoning(_)
            | ItemBody::ToolResult(_)
            | ItemBody::Native { .. } => {}
        }
    }

    /// A block that only this dialect knows. A server tool's input and a
    /// compaction stream as the provider does it; others come in one piece.
    fn whole(&mut self, json: &Value, out: &mut Vec<u8>) {
        let mut head = json.as_object().cloned().unwrap_or_default();
        let word = head.get("type").and_then(Value::as_str).unwrap_or_default();
        if word == "compaction" {
            let mut later = block("compaction_delta");
            for name in ["content", "encrypted_content"] {
                if let Some(value) = head.get_mut(name).filter(|v| !v.is_null()) {
                    later.insert(name.into(), value.take());
                }
            }
            self.start(&head.into(), Open::Call, out);
            self.value_delta(&later.into(), out);
        } else if let Some(input) = head.get_mut("input").filter(|i| i.is_object()) {
            let text = std::mem::replace(input, Map::new().into()).to_string();
            self.start(&head.into(), Open::Call, out);
            delta(self.index, "input_json_delta", "partial_json", &text, out);
        } else {
            self.start(&head.into(), Open::Call, out);
        }
        self.stop(out);
    }

    /// A part or more content of the item that has begun.
    pub(super) fn content(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::PartStart { head, .. } => match &head.body {
                PartBody::Native { dialect: OURS, json } => self.whole(json, out),
                PartBody::Text { .. } | PartBody::Refusal(_) => {
                    if matches!(self.open, Some(Open::Text { .. })) {
                        self.stop(out);
                    }
                }
                // The other kinds are no answer in this dialect.
                _ => {}
            },
            Event::Delta { part, delta, .. } => self.delta(*part, delta, out),
            _ => {}
        }
    }

    fn delta(&mut self, part: u32, change: &Delta, out: &mut Vec<u8>) {
        match change {
            Delta::Text(more) | Delta::Refusal(more) => self.text(part, more, out),
            Delta::Reasoning(more) => self.thinking((false, part), more, out),
            Delta::Summary(more) => self.thinking((true, part), more, out),
            Delta::Seal(seal) => self.seal(seal, out),
            Delta::Input(more) => self.input(more, out),
            Delta::Annotation(annotation) => self.annotation(part, annotation, out),
            Delta::Logprobs(_) | Delta::Native { .. } => {}
        }
    }

    fn open_text(&mut self, part: u32, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open::Text { part: open, .. }) if open == part) {
            let head = json!({"type": "text", "text": ""});
            self.start(&head, Open::Text { part, text: String::new() }, out);
        }
    }

    fn text(&mut self, part: u32, more: &str, out: &mut Vec<u8>) {
        if more.is_empty() {
            return;
        }
        self.open_text(part, out);
        if let Some(Open::Text { text, .. }) = &mut self.open {
            text.push_str(more);
        }
        delta(self.index, "text_delta", "text", more, out);
    }

    fn annotation(&mut self, part: u32, annotation: &Annotation, out: &mut Vec<u8>) {
        self.open_text(part, out);
        let Some(Open::Text { text, .. }) = &self.open else { return };
        if let Some(citation) = citation::encode(annotation, text) {
            self.value_delta(&json!({"type": "citations_delta", "citation": citation}), out);
        }
    }

    fn open_thinking(&mut self, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Open::Thinking { .. })) {
            let head = json!({"type": "thinking", "thinking": "", "signature": ""});
            self.start(&head, Open::Thinking { at: None }, out);
        }
    }

    fn thinking(&mut self, place: (bool, u32), more: &str, out: &mut Vec<u8>) {
        if more.is_empty() {
            return;
        }
        self.open_thinking(out);
        let Some(Open::Thinking { at }) = &mut self.open else { return };
        let another = at.is_some_and(|there| there != place);
        *at = Some(place);
        if another {
            delta(self.index, "thinking_delta", "thinking", "\n\n", out);
        }
        delta(self.index, "thinking_delta", "thinking", more, out);
    }

    fn seal(&mut self, seal: &Seal, out: &mut Vec<u8>) {
        let shown = matches!(self.open, Some(Open::Thinking { .. }));
        if seal.hides && (!shown || seal.dialect == OURS) {
            let head = json!({"type": "redacted_thinking", "data": carry(seal)});
            self.start(&head, Open::Call, out);
            self.stop(out);
        } else {
            self.open_thinking(out);
            delta(self.index, "signature_delta", "signature", &carry(seal), out);
        }
    }

    fn input(&mut self, more: &str, out: &mut Vec<u8>) {
        if let Some(text) = &mut self.free_text {
            text.push_str(more);
        } else if !more.is_empty() && matches!(self.open, Some(Open::Call)) {
            delta(self.index, "input_json_delta", "partial_json", more, out);
        }
    }

    /// The item ends or pauses.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(text) = self.free_text.take() {
            let input = json!({"input": text}).to_string();
            delta(self.index, "input_json_delta", "partial_json", &input, out);
        }
        self.stop(out);
    }
}
