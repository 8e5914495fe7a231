//! Events that wait for the next commit, in pieces that fit into chunks.

use std::collections::VecDeque;

use freehold_llm::model::{Delta, Event, Slot};
use serde_json::Value;

use super::{CHUNK_BYTES_MAX, size, text_of};

/// The brackets of a chunk.
const LIST_BYTES: usize = 2;

/// The most that stands around the text of a delta: names, brackets and three
/// numbers of ten digits.
const AROUND_BYTES: usize = 128;

/// The most bytes of one piece of text, as JSON writes it.
const TEXT_BYTES_MAX: usize = CHUNK_BYTES_MAX - LIST_BYTES - AROUND_BYTES;

/// Events in their order.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<Piece>);

#[derive(Debug)]
struct Piece {
    event: Event,
    /// Of its JSON.
    bytes: usize,
    /// Of those, its text's.
    text_bytes: usize,
}

impl Pending {
    /// Takes an event whose JSON is so long.
    pub(super) fn push(&mut self, event: Event, bytes: usize) {
        if let Event::Delta { slot, part, delta } = &event
            && let Some(text) = text_of(delta)
            && !text.is_empty()
        {
            return self.push_text(*slot, *part, delta, text);
        }
        self.0.push_back(Piece { event, bytes, text_bytes: 0 });
    }

    /// Text joins what came before it of the same, and is cut where a chunk
    /// would be too large.
    fn push_text(&mut self, slot: Slot, part: u32, delta: &Delta, text: &str) {
        let mut rest = text;
        if let Some(last) = self.0.back_mut()
            && let Event::Delta { slot: s, part: p, delta: before } = &mut last.event
            && (*s, *p) == (slot, part)
            && let Some(joined) = same_text(before, delta)
        {
            let (more, bytes) = fitting(rest, TEXT_BYTES_MAX.saturating_sub(last.text_bytes));
            joined.push_str(more);
            last.bytes += bytes;
            last.text_bytes += bytes;
            rest = rest.get(more.len()..).unwrap_or_default();
        }
        while !rest.is_empty() {
            let (piece, text_bytes) = fitting(rest, TEXT_BYTES_MAX);
            let event = Event::Delta { slot, part, delta: with_text(delta, piece) };
            let bytes = size::of(&event);
            self.0.push_back(Piece { event, bytes, text_bytes });
            rest = rest.get(piece.len()..).unwrap_or_default();
        }
    }

    /// The events of the next chunk, as JSON.
    pub(super) fn chunk(&mut self) -> Option<Vec<Value>> {
        let mut events = Vec::new();
        let mut bytes = LIST_BYTES;
        while let Some(piece) = self.0.pop_front() {
            let with = bytes + piece.bytes + 1;
            if with > CHUNK_BYTES_MAX + 1 && !events.is_empty() {
                self.0.push_front(piece);
                break;
            }
            bytes = with;
            // What its length was taken of has JSON.
            events.extend(serde_json::to_value(&piece.event));
        }
        (!events.is_empty()).then_some(events)
    }
}

/// The text to which another of its kind can be added.
fn same_text<'a>(before: &'a mut Delta, more: &Delta) -> Option<&'a mut String> {
    match (before, more) {
        (Delta::Text(text), Delta::Text(_))
        | (Delta::Refusal(text), Delta::Refusal(_))
        | (Delta::Reasoning(text), Delta::Reasoning(_))
        | (Delta::Summary(text), Delta::Summary(_))
        | (Delta::Input(text), Delta::Input(_)) => Some(text),
        _ => None,
    }
}

/// A delta of the same kind with this text.
fn with_text(delta: &Delta, text: &str) -> Delta {
    let text = text.to_owned();
    match delta {
        Delta::Refusal(_) => Delta::Refusal(text),
        Delta::Reasoning(_) => Delta::Reasoning(text),
        Delta::Summary(_) => Delta::Summary(text),
        Delta::Input(_) => Delta::Input(text),
        _ => Delta::Text(text),
    }
}

/// The beginning of a text that needs no more than so many bytes in JSON, and
/// how many it needs.
fn fitting(text: &str, most: usize) -> (&str, usize) {
    let mut bytes = 0;
    for (at, c) in text.char_indices() {
        let with = bytes + size::of_char(c);
        if with > most {
            return (text.get(..at).unwrap_or_default(), bytes);
        }
        bytes = with;
    }
    (text, bytes)
}
