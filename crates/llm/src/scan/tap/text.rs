//! How much generated text an event holds, without a tree of it.

use crate::scan::lex::{Lexer, Visit};

/// True if after one of the names (each `len` bytes long) a colon and a value
/// that begins with `byte` follow.
pub(super) fn starts_after(
    data: &[u8],
    mut names: impl Iterator<Item = usize>,
    len: usize,
    byte: u8,
) -> bool {
    names.any(|at| {
        let rest = data.get(at + len..).unwrap_or_default().trim_ascii_start();
        rest.strip_prefix(b":").is_some_and(|r| r.trim_ascii_start().first() == Some(&byte))
    })
}

/// Bytes of generated text in the value after the colon at `at`.
pub(super) fn text_after(data: &[u8], at: usize) -> u64 {
    let mut lexer = Lexer::new(data, at);
    lexer.space();
    if lexer.expect(b':', "").is_err() { 0 } else { text_of(data, lexer.at()) }
}

pub(super) fn text_of(data: &[u8], at: usize) -> u64 {
    let mut count = DeltaText(0);
    // What is no JSON has no text to count; the client sees it all the same.
    let _unreadable = Lexer::new(data, at).value(b"delta", 0, &mut count).is_err();
    count.0
}

/// Counts the strings that a model has written. A delta that is itself a
/// string (Responses) stands under the name `delta`.
struct DeltaText(u64);

impl Visit for DeltaText {
    fn string(&mut self, key: &[u8], raw: &[u8]) {
        if matches!(
            key,
            b"delta"
                | b"content"
                | b"text"
                | b"reasoning_content"
                | b"reasoning"
                | b"thinking"
                | b"partial_json"
                | b"arguments"
                | b"refusal"
                | b"input"
        ) {
            self.0 += raw.len() as u64;
        }
    }
}
