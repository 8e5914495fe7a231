//! Reasoning under way in a stream: its words, its seal, and the form it came
//! in.

use serde_json::Value;

use super::{ME, reasoning};
use crate::model::{Delta, Event, Extra, Reasoning, Slot};

/// The reasoning of one item.
#[derive(Debug)]
pub(super) struct OpenReasoning {
    pub(super) slot: Slot,
    /// Type and index of the entry of `reasoning_details` that goes on, and
    /// the shapes of all so far.
    pub(super) detail: Option<(String, Option<u64>)>,
    pub(super) shapes: Vec<Value>,
    /// The words that came outside of `reasoning_details`.
    pub(super) heard: String,
    /// True where those came first and the entries repeat them.
    pub(super) repeats: bool,
    /// True until the entry's first words.
    pub(super) begins: bool,
    texts: u32,
    summaries: u32,
    pub(super) id: Option<String>,
    pub(super) is_sealed: bool,
    /// The keys that it came under.
    keys: Vec<&'static str>,
}

impl OpenReasoning {
    pub(super) fn new(slot: Slot) -> Self {
        Self {
            slot,
            detail: None,
            shapes: Vec::new(),
            heard: String::new(),
            repeats: false,
            begins: true,
            texts: 0,
            summaries: 0,
            id: None,
            is_sealed: false,
            keys: Vec::new(),
        }
    }

    /// The entry says what was heard already, or a part of it, which then
    /// stays with its shape.
    fn note_repeat(&mut self, name: &str, words: String) {
        if words == self.heard {
            self.note_held(name);
        } else if !words.is_empty()
            && let Some(Value::Object(shape)) = self.shapes.last_mut()
        {
            shape.insert(name.to_owned(), words.into());
        }
    }

    /// The entry's field is in the hub.
    fn note_held(&mut self, name: &str) {
        if let Some(Value::Object(shape)) = self.shapes.last_mut() {
            shape.insert(name.to_owned(), Value::Bool(true));
        }
    }

    /// Adds what an entry of `reasoning_details` says.
    pub(super) fn add(&mut self, more: Reasoning, out: &mut Vec<Event>) {
        let slot = self.slot;
        let mut more = more;
        if self.repeats {
            let (texts, summaries) =
                (std::mem::take(&mut more.text), std::mem::take(&mut more.summary));
            self.note_repeat("text", texts.concat());
            self.note_repeat("summary", summaries.concat());
        }
        for words in more.text {
            self.texts += u32::from(std::mem::take(&mut self.begins));
            self.note_held("text");
            let part = self.texts.saturating_sub(1);
            out.push(Event::Delta { slot, part, delta: Delta::Reasoning(words) });
        }
        for words in more.summary {
            self.summaries += u32::from(std::mem::take(&mut self.begins));
            self.note_held("summary");
            let part = self.summaries.saturating_sub(1);
            out.push(Event::Delta { slot, part, delta: Delta::Summary(words) });
        }
        if let Some(seal) = more.seal {
            self.is_sealed = true;
            self.note_held(if seal.hides { "data" } else { "signature" });
            out.push(Event::Delta { slot, part: 0, delta: Delta::Seal(seal) });
        }
    }

    pub(super) fn note_key(&mut self, key: &'static str) {
        if !self.keys.contains(&key) {
            self.keys.push(key);
        }
    }

    /// The item is complete: what was learnt of its form goes with its end.
    pub(super) fn end(self) -> Event {
        let mut extra = Extra::default();
        for key in self.keys {
            if reasoning::TEXT_KEYS.contains(&key) {
                extra.spell(ME, key, true);
            }
        }
        if !self.shapes.is_empty() {
            extra.spell(ME, reasoning::DETAILS, self.shapes);
        }
        Event::ItemEnd { slot: self.slot, extra }
    }
}
