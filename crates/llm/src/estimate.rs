//! How many tokens a text has, without a tokenizer.

use std::io;

use serde::Serialize;

use crate::model::{ItemBody, Media, Message, Part, PartBody, Request, Source, ToolBody};

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

/// The likely number of tokens of a picture or document whose text is not in
/// the request.
const MEDIA_TOKENS_LIKELY: u64 = 1_000;

/// What each item costs beside its words.
const ITEM_TOKENS: u64 = 4;

/// The likely number of input tokens of a request: its instructions, items and
/// tools, in the words that a model is shown. Within about a quarter, as
/// [`estimate_tokens`] is, where pictures and seals are few.
pub fn input_tokens(request: &Request) -> u64 {
    let instructions = request.instructions.iter().map(part_tokens);
    let items =
        request.items.iter().map(|item| ITEM_TOKENS.saturating_add(body_tokens(&item.body)));
    let tools = request.tools.iter().map(|tool| match &tool.body {
        ToolBody::Native { json, .. } => json_tokens(json),
        body => json_tokens(body),
    });
    instructions.chain(items).chain(tools).fold(0, u64::saturating_add)
}

fn body_tokens(body: &ItemBody) -> u64 {
    match body {
        ItemBody::Message(Message { parts, .. }) => parts_tokens(parts),
        ItemBody::Reasoning(reasoning) => {
            // Thinking that is hidden is shown again by its seal, which is a
            // third longer than what it holds.
            let shown = reasoning.text.iter().chain(&reasoning.summary);
            let sealed = reasoning.seal.iter().filter(|seal| seal.hides);
            let sealed = sealed.map(|seal| estimate_tokens_of_len(seal.data.len() as u64) / 4 * 3);
            shown.map(|text| estimate_tokens(text.as_bytes())).chain(sealed).sum()
        }
        ItemBody::ToolCall(call) => {
            estimate_tokens(call.name.as_bytes()) + estimate_tokens(call.input.as_bytes())
        }
        ItemBody::ToolResult(result) => parts_tokens(&result.output),
        ItemBody::Native { json, .. } => json_tokens(json),
    }
}

fn parts_tokens(parts: &[Part]) -> u64 {
    parts.iter().map(part_tokens).fold(0, u64::saturating_add)
}

fn part_tokens(part: &Part) -> u64 {
    match &part.body {
        PartBody::Text { text, .. }
        | PartBody::Refusal(text)
        | PartBody::File { source: Source::Text(text), .. } => estimate_tokens(text.as_bytes()),
        PartBody::Image { .. } | PartBody::File { .. } | PartBody::Audio(Media { .. }) => {
            MEDIA_TOKENS_LIKELY
        }
        PartBody::Native { json, .. } => json_tokens(json),
    }
}

fn json_tokens(value: &impl Serialize) -> u64 {
    let mut count = Count(0);
    // A value without JSON is shown to nobody.
    serde_json::to_writer(&mut count, value).map_or(0, |()| estimate_tokens_of_len(count.0))
}

struct Count(u64);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Dialect, Item, Reasoning, Role, Seal};

    #[test]
    fn a_request_is_its_words() {
        let mut request = Request::new(Dialect::Responses, "m");
        assert_eq!(input_tokens(&request), 0);
        request.instructions.push(Part::text("Be brief"));
        request.items.push(Item::text(Role::User, "The quick brown fox jumps over it"));
        assert_eq!(input_tokens(&request), 2 + 9 + ITEM_TOKENS);
        let media = Media { media_type: "image/png".into(), data: "A".repeat(1_000_000) };
        let image = PartBody::Image { source: Source::Inline(media), detail: None };
        let seal = |hides| Seal {
            dialect: Dialect::Responses,
            hides,
            data: "A".repeat(160),
            item_id: None,
        };
        let before = input_tokens(&request);
        let mut add = |body| {
            let before = input_tokens(&request);
            request.items.push(Item::new(body));
            input_tokens(&request) - before - ITEM_TOKENS
        };
        let message = Message { role: Role::User, parts: vec![Part::new(image)] };
        assert_eq!(add(ItemBody::Message(message)), MEDIA_TOKENS_LIKELY, "not its base64");
        let thought = |hides| Reasoning { seal: Some(seal(hides)), ..Reasoning::default() };
        assert_eq!(add(ItemBody::Reasoning(thought(true))), 30);
        assert_eq!(add(ItemBody::Reasoning(thought(false))), 0, "a signature is not shown");
        assert!(input_tokens(&request) > before);
    }

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
