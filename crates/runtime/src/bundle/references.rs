//! Which blobs an event names.

use crate::event::{Content, Event, Hash};
use crate::fsck::content_of;

/// The contents of an event that lie in blobs: the event is nothing without
/// them.
pub(super) fn held(event: &Event) -> Option<Hash> {
    match content_of(&event.fact)? {
        Content::Inline(_) => None,
        Content::Blob { hash, .. } => Some(*hash),
    }
}

/// All that could be a blob's hash in some text: the whole of a long result is
/// named inside of what the model is shown of it.
pub(super) fn mentioned(text: &[u8]) -> impl Iterator<Item = Hash> {
    let runs = text.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let runs = runs.filter(|run| run.len() == 64);
    runs.filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_found_wherever_they_stand() {
        let (one, two) = (Hash::of(b"1"), Hash::of(b"2"));
        let short: String = one.to_string().chars().skip(1).collect();
        let text = format!("{{\"hash\":\"{one}\"}} xx{two}yy {two}0 {short}");
        assert_eq!(mentioned(text.as_bytes()).collect::<Vec<_>>(), [one, two]);
        assert_eq!(mentioned(b"").count(), 0);
    }
}
