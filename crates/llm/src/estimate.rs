//! How many tokens a text has, without a tokenizer.

/// The most tokens that a picture or a short document is counted as. The
/// dearest pictures of today cost some 10,000 (2,500 patches, times a model's
/// factor of up to 2.5, and a base); a long document or recording may cost
/// more, which is posted when the answer says so.
pub const MEDIA_TOKENS: u64 = 12_000;

/// What a provider wraps around a request: its chat template, and for tools
/// an instruction of its own (up to about 700 tokens where published).
pub const REQUEST_OVERHEAD_TOKENS: u64 = 1_024;

/// An upper bound of the input tokens of a request, for reservations.
///
/// `text_bytes` are all bytes that may be shown to the model as text: for a
/// request's JSON its whole length less inline media. A token of any
/// byte-level vocabulary stands for at least one byte, and the JSON around
/// each message is longer than the few tokens that a chat template puts
/// there, so one token a byte and a fixed overhead bound it. It does not
/// bound what only the provider knows: files named by id or URL, and state
/// kept there.
pub fn upper_bound_tokens(text_bytes: u64, media_count: u64) -> u64 {
    text_bytes
        .saturating_add(media_count.saturating_mul(MEDIA_TOKENS))
        .saturating_add(REQUEST_OVERHEAD_TOKENS)
}

/// The likely number of tokens of a text: one for four bytes of ASCII, one
/// for each two-byte or longer character. Within about a quarter for English
/// prose and code, on the high side for other scripts.
pub fn estimate_tokens(text: &[u8]) -> u64 {
    let ascii = text.iter().filter(|b| b.is_ascii()).count() as u64;
    let beyond = text.iter().filter(|b| **b >= 0xC0).count() as u64;
    ascii.div_ceil(4).saturating_add(beyond)
}

/// The likely number of tokens of a text of which only the length is known.
pub fn estimate_tokens_of_len(bytes: u64) -> u64 {
    bytes.div_ceil(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_follow_the_script() {
        assert_eq!(estimate_tokens(b""), 0);
        assert_eq!(estimate_tokens(b"The quick brown fox jumps over it"), 9);
        assert_eq!(estimate_tokens("\u{4f60}\u{597d}\u{4e16}\u{754c}".as_bytes()), 4);
    }

    #[test]
    fn the_bound_is_above_the_estimate_and_does_not_overflow() {
        let text = "na\u{ef}ve \u{1f600} text".repeat(50);
        assert!(upper_bound_tokens(text.len() as u64, 0) > estimate_tokens(text.as_bytes()));
        assert_eq!(upper_bound_tokens(u64::MAX, u64::MAX), u64::MAX);
    }
}
