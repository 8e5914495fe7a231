//! How long the JSON of a value is, without making it.

use std::io;

use serde::Serialize;

/// Bytes of a value's JSON; of one that has none, as many as there can be.
pub(crate) fn of(value: &impl Serialize) -> usize {
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => usize::MAX,
    }
}

/// Bytes of a character within a JSON string, as `serde_json` writes it.
pub(super) fn of_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\u{8}' | '\u{9}' | '\u{a}' | '\u{c}' | '\u{d}' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_as_long_as_serde_writes_it() {
        for c in ('\0'..='\u{100}').chain(['\u{2028}', '\u{ffff}', '\u{1f600}']) {
            let text = c.to_string();
            assert_eq!(of_char(c), serde_json::to_string(&text).unwrap().len() - 2, "{c:?}");
            assert_eq!(of(&text), of_char(c) + 2);
        }
    }
}
