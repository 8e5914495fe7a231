//! Results that are too large for a model: it is shown the beginning, and how
//! to read on.
//!
//! The whole is kept as a blob. What is shown names it by its hash; the tool
//! `read_result` reads it in pages.

use freehold_llm::model::{Part, PartBody};
use serde_json::Value;

use super::builtin::READ_RESULT;
use crate::content::output;
use crate::event::{Hash, Note};

/// The most bytes of pictures and sound in a result; they are no text that
/// could be cut.
const MEDIA_BYTES_MAX: usize = 8 << 20;

/// The most parts of a result.
const PARTS_MAX: usize = 256;

/// What becomes of a result.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Sized {
    /// It fits.
    Fits(Value),
    /// It does not: this text is to be kept, and the parts are shown once it
    /// has a hash.
    Over {
        /// All text of it.
        whole: String,
        /// What is shown of it.
        shown: Vec<Part>,
    },
}

/// Weighs a result against the most bytes that are shown.
pub(super) fn weigh(result: Value, bytes_max: usize) -> Sized {
    let parts = output(&result);
    let text: usize = parts.iter().filter_map(Part::as_text).map(str::len).sum();
    let media: usize = parts.iter().map(media_bytes).sum();
    if text <= bytes_max && media <= MEDIA_BYTES_MAX && parts.len() <= PARTS_MAX {
        return Sized::Fits(result);
    }
    let whole: Vec<&str> = parts.iter().filter_map(Part::as_text).collect();
    let whole = whole.join("\n");
    let mut shown = vec![Part::text(start(&whole, bytes_max))];
    let mut left = MEDIA_BYTES_MAX;
    for part in parts.iter().filter(|part| part.as_text().is_none()).take(PARTS_MAX) {
        match left.checked_sub(media_bytes(part)) {
            Some(rest) => {
                left = rest;
                shown.push(part.clone());
            }
            None => shown.push(Part::text("[A picture or sound was left out: it is too large.]")),
        }
    }
    Sized::Over { whole, shown }
}

/// What is shown of a result that was kept under a hash.
pub(super) fn with_note(mut shown: Vec<Part>, whole: &str, hash: Hash) -> Value {
    let seen = shown.first().and_then(Part::as_text).map_or(0, str::len);
    if seen < whole.len() {
        shown.push(Part::text(format!(
            "[The result has {} bytes; these are the first {seen}. Read on with the tool \
             {READ_RESULT}: {{\"result\": \"{hash}\", \"offset\": {seen}}}]",
            whole.len()
        )));
    }
    // Parts are plain values; that they cannot be written does not happen.
    serde_json::to_value(shown).unwrap_or_default()
}

/// What is shown of a result whose whole could not be kept.
pub(super) fn not_kept(mut shown: Vec<Part>, why: &Note) -> Value {
    shown.push(Part::text(format!("[The result was cut, and the rest could not be kept: {why}]")));
    serde_json::to_value(shown).unwrap_or_default()
}

/// A page of a text: the bytes from `offset`, at most `limit`, and where the
/// next page begins. Both ends move to whole characters.
pub(super) fn page(whole: &str, offset: usize, limit: usize) -> (&str, Option<usize>) {
    let from = floor(whole, offset);
    let to = floor(whole, from.saturating_add(limit));
    // A limit below a character's length would read nothing for ever.
    let to = if to == from { ceil(whole, from.saturating_add(1)) } else { to };
    (whole.get(from..to).unwrap_or_default(), (to < whole.len()).then_some(to))
}

fn start(text: &str, max: usize) -> &str {
    text.get(..floor(text, max)).unwrap_or_default()
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn ceil(text: &str, at: usize) -> usize {
    (at..text.len()).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len())
}

fn media_bytes(part: &Part) -> usize {
    use freehold_llm::model::Source;
    match &part.body {
        PartBody::Audio(media)
        | PartBody::Image { source: Source::Inline(media), .. }
        | PartBody::File { source: Source::Inline(media), .. } => media.data.len(),
        PartBody::File { source: Source::Text(text), .. } => text.len(),
        PartBody::Text { .. }
        | PartBody::Refusal(_)
        | PartBody::Image { .. }
        | PartBody::File { .. } => 0,
        PartBody::Native { json, .. } => json.to_string().len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let result = json!({ "a": [1, 2] });
        assert_eq!(weigh(result.clone(), 1_024), Sized::Fits(result));
    }

    #[test]
    fn what_is_shown_and_the_pages_after_it_are_the_whole() {
        let text = "äöü€".repeat(1_000);
        let Sized::Over { whole, shown } = weigh(Value::from(text.as_str()), 1_024) else {
            panic!("it does not fit");
        };
        let mut read = shown[0].as_text().expect("a text").to_owned();
        assert!(read.len() <= 1_024);
        let mut next = Some(read.len());
        while let Some(offset) = next {
            let (page, then) = page(&whole, offset, 700);
            read.push_str(page);
            next = then;
        }
        assert_eq!(read, text);
        let note = with_note(shown, &whole, Hash::of(b"x")).to_string();
        assert!(note.contains("read_result") && note.contains(&Hash::of(b"x").to_string()));
    }

    #[test]
    fn a_page_always_gets_on() {
        assert_eq!(page("€€", 0, 1), ("€", Some(3)));
        assert_eq!(page("€€", 4, 100), ("€", None));
        assert_eq!(page("ab", 9, 5), ("", None));
        assert_eq!(page("", 0, 0), ("", None));
    }

    #[test]
    fn a_large_picture_is_left_out_and_said_to_be() {
        let parts = json!([{ "body": { "image": { "source": { "inline": {
            "media_type": "image/png", "data": "A".repeat(MEDIA_BYTES_MAX + 1) } } } } }]);
        let Sized::Over { shown, .. } = weigh(parts, 1_024) else { panic!("it does not fit") };
        assert_eq!(shown.len(), 2);
        assert!(shown[1].as_text().is_some_and(|text| text.contains("left out")));
    }
}
