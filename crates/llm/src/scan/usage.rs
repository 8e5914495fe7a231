//! The usage of an answer, read without a tree of its content.

use std::ops::Range;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::field::unescape;
use super::lex::{Blind, Lexer};
use crate::model::{Dialect, Usage};

/// Chat's usage object, with the places where compatible servers say the same.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ChatUsage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<InputDetails>,
    completion_tokens_details: Option<OutputDetails>,
    prompt_cache_hit_tokens: Option<u64>,
    cached_tokens: Option<u64>,
}

/// Responses' usage object.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct ResponsesUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

/// Messages' usage object.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct MessagesUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
    thinking_tokens: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<u64>,
}

impl From<ChatUsage> for Usage {
    fn from(said: ChatUsage) -> Self {
        let input = said.prompt_tokens_details.unwrap_or_default();
        Self {
            input: said.prompt_tokens.unwrap_or_default(),
            cache_read: input.cached_tokens.or(said.prompt_cache_hit_tokens).or(said.cached_tokens),
            cache_write: input.cache_write_tokens,
            output: said.completion_tokens.unwrap_or_default(),
            reasoning: said.completion_tokens_details.and_then(|d| d.reasoning_tokens),
            ..Self::default()
        }
    }
}

impl From<ResponsesUsage> for Usage {
    fn from(said: ResponsesUsage) -> Self {
        let input = said.input_tokens_details.unwrap_or_default();
        Self {
            input: said.input_tokens.unwrap_or_default(),
            cache_read: input.cached_tokens,
            cache_write: input.cache_write_tokens,
            output: said.output_tokens.unwrap_or_default(),
            reasoning: said.output_tokens_details.and_then(|d| d.reasoning_tokens),
            ..Self::default()
        }
    }
}

impl From<MessagesUsage> for Usage {
    fn from(said: MessagesUsage) -> Self {
        let cached = said
            .cache_creation_input_tokens
            .unwrap_or_default()
            .saturating_add(said.cache_read_input_tokens.unwrap_or_default());
        Self {
            input: said.input_tokens.unwrap_or_default().saturating_add(cached),
            cache_read: said.cache_read_input_tokens,
            cache_write: said.cache_creation_input_tokens,
            cache_write_long: said.cache_creation.and_then(|c| c.ephemeral_1h_input_tokens),
            output: said.output_tokens.unwrap_or_default(),
            reasoning: said.output_tokens_details.and_then(|d| d.thinking_tokens),
            ..Self::default()
        }
    }
}

impl MessagesUsage {
    /// Takes in a later, cumulative object that may leave fields out.
    pub(super) fn update(&mut self, later: Self) {
        fn newer<T>(slot: &mut Option<T>, value: Option<T>) {
            if value.is_some() {
                *slot = value;
            }
        }
        newer(&mut self.input_tokens, later.input_tokens);
        newer(&mut self.output_tokens, later.output_tokens);
        newer(&mut self.cache_creation_input_tokens, later.cache_creation_input_tokens);
        newer(&mut self.cache_read_input_tokens, later.cache_read_input_tokens);
        newer(&mut self.cache_creation, later.cache_creation);
        newer(&mut self.output_tokens_details, later.output_tokens_details);
    }
}

/// The usage that a complete answer states, without the dialect's extras.
/// `None` where it states none, or the body is no answer.
pub fn answer_usage(dialect: Dialect, body: &[u8]) -> Option<Usage> {
    match dialect {
        Dialect::Chat => envelope::<ChatUsage>(body),
        Dialect::Responses => envelope::<ResponsesUsage>(body),
        Dialect::Messages => envelope::<MessagesUsage>(body),
    }
}

fn envelope<U: DeserializeOwned + Into<Usage>>(body: &[u8]) -> Option<Usage> {
    let said = body.get(usage_span(body)?)?;
    serde_json::from_slice::<Option<U>>(said).ok()?.map(Into::into)
}

/// Where the value of an answer's `usage` stands; `None` if there is none, or
/// more than one, or the body is not one whole JSON object.
fn usage_span(body: &[u8]) -> Option<Range<usize>> {
    let mut lexer = Lexer::new(body, 0);
    let mut found = None;
    lexer.space();
    lexer.expect(b'{', "").ok()?;
    lexer.space();
    let mut more = lexer.peek() != Some(b'}');
    while more {
        let key = lexer.key().ok()?;
        lexer.space();
        let start = lexer.at();
        lexer.value(key, 1, &mut Blind).ok()?;
        if is_usage(key) && found.replace(start..lexer.at()).is_some() {
            return None;
        }
        lexer.space();
        more = lexer.peek() == Some(b',');
        if more {
            lexer.expect(b',', "").ok()?;
            lexer.space();
        }
    }
    lexer.expect(b'}', "").ok()?;
    lexer.space();
    found.filter(|_| lexer.peek().is_none())
}

fn is_usage(key: &[u8]) -> bool {
    key == b"usage"
        || key.contains(&b'\\')
            && std::str::from_utf8(key).is_ok_and(|key| unescape(key) == "usage")
}

/// Where the value of an answer's `model` stands, quotes included.
pub fn answer_model_span(body: &[u8]) -> Option<Range<usize>> {
    let mut lexer = Lexer::new(body, 0);
    lexer.space();
    lexer.expect(b'{', "").ok()?;
    loop {
        lexer.space();
        let key = lexer.key().ok()?;
        lexer.space();
        let start = lexer.at();
        lexer.value(key, 1, &mut Blind).ok()?;
        if key == b"model" {
            return Some(start..lexer.at());
        }
        lexer.space();
        lexer.expect(b',', "").ok()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_input_includes_what_was_cached() {
        let body = br#"{"content":[{"type":"text","text":"\"usage\""}],"usage":{"input_tokens":5,
            "cache_creation_input_tokens":7,"cache_read_input_tokens":100,"output_tokens":9,
            "cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},
            "server_tool_use":null,"service_tier":"standard"}}"#;
        let usage = answer_usage(Dialect::Messages, body).unwrap();
        assert_eq!((usage.input, usage.output), (112, 9));
        assert_eq!(usage.cache_read, Some(100));
        assert_eq!((usage.cache_write, usage.cache_write_long), (Some(7), Some(4)));
    }

    #[test]
    fn chat_usage_of_compatible_servers_is_understood() {
        let body = br#"{"usage":{"prompt_tokens":10,"completion_tokens":4,"total_tokens":14,
            "prompt_cache_hit_tokens":6,"completion_tokens_details":{"reasoning_tokens":3}}}"#;
        let usage = answer_usage(Dialect::Chat, body).unwrap();
        assert_eq!((usage.input, usage.cache_read, usage.output), (10, Some(6), 4));
        assert_eq!(usage.reasoning, Some(3));
    }

    #[test]
    fn no_usage_is_none() {
        assert_eq!(answer_usage(Dialect::Chat, br#"{"choices":[],"usage":null}"#), None);
        assert_eq!(answer_usage(Dialect::Responses, b"<html>"), None);
    }

    #[test]
    fn usage_is_read_of_one_whole_object_only() {
        let read = |body: &str| answer_usage(Dialect::Chat, body.as_bytes()).map(|u| u.input);
        let usage = r#""usage":{"prompt_tokens":3}"#;
        assert_eq!(read(&format!("{{{usage}}}")), Some(3));
        assert_eq!(read(&format!(" {{ \"a\" : [1, {{{usage}}}] , {usage} }} \n")), Some(3));
        assert_eq!(read(r#"{"us\u0061ge":{"prompt_tokens":3}}"#), Some(3));
        assert_eq!(read(&format!("{{\"a\":{{{usage}}}}}")), None, "it is not the answer's");
        for broken in [
            format!("{{{usage}"),
            format!("{{{usage},}}"),
            format!("{{{usage}}}}}"),
            format!("{{{usage},{usage}}}"),
            format!("{{{usage},\"a\":nope}}"),
            r#"{"usage":[1]}"#.to_owned(),
            "{}".to_owned(),
        ] {
            assert_eq!(read(&broken), None, "{broken}");
        }
    }

    #[test]
    fn the_models_place_is_found_at_the_top_only() {
        let body = br#"{"a":{"model":"x"}, "model" : "gpt" ,"z":1}"#;
        assert_eq!(&body[answer_model_span(body).unwrap()], br#""gpt""#);
        assert_eq!(answer_model_span(br#"{"a":1}"#), None);
    }
}
