//! Which names a model goes by.

use std::borrow::Cow;

use crate::glob;

/// Whether one of the patterns is the name's and none excludes it. `*` stands
/// for any text and `#` for a digit; a pattern after `!` excludes.
pub(super) fn names(patterns: &[Cow<'_, str>], name: &str) -> bool {
    let mut named = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(excluded) if is_match(excluded.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => named = named || is_match(pattern.as_bytes(), name.as_bytes()),
        }
    }
    named
}

fn is_match(pattern: &[u8], name: &[u8]) -> bool {
    glob::matches(pattern, name, |want, byte| {
        want == byte || (want == b'#' && byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_digits_and_exclusions() {
        let table: &[(&[&str], &str, bool)] = &[
            (&["gpt-5"], "gpt-5", true),
            (&["gpt-5"], "gpt-5-mini", false),
            (&["gpt-5-####-##-##"], "gpt-5-2025-08-07", true),
            (&["gpt-5-####-##-##"], "gpt-5-2025-08-0x", false),
            (&["gpt-5-#*"], "gpt-5-2025", true),
            (&["a", "b*"], "bc", true),
            (&["*pro*", "!*-tts", "!*-tts-*"], "gemini-pro-001", true),
            (&["*pro*", "!*-tts", "!*-tts-*"], "gemini-pro-tts", false),
            (&["!x"], "y", false),
            (&[], "y", false),
            (&["*a*b*c"], "aabbcabc", true),
        ];
        for &(patterns, name, expected) in table {
            let list: Vec<Cow<'_, str>> = patterns.iter().map(|&p| p.into()).collect();
            assert_eq!(names(&list, name), expected, "{patterns:?} {name}");
        }
    }
}
