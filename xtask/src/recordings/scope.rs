//! Which recordings the check is about.

use freehold_llm::Dialect;
use serde_json::Value;

use super::exchange::Exchange;
use super::frames;

/// Where a recording belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A model call in a dialect that is built.
    In(Dialect),
    /// A model call in a dialect that is still to come.
    Later,
    /// A count of tokens in the shape of Messages.
    Count,
    /// Nothing that a codec reads: embeddings and legacy completions, which
    /// pass as bytes; files, threads, retrieval by id...
    NotOurs,
}

/// Endpoints of model calls in dialects to come, by how their path ends.
const LATER_ENDS: [&str; 14] = [
    "/converse",
    "/converse-stream",
    "/invoke",
    "/invoke-with-response-stream",
    ":generateContent",
    ":streamGenerateContent",
    ":rawPredict",
    ":streamRawPredict",
    "/v1/chat",
    "/v2/chat",
    "/api/chat",
    "/v1/generate",
    "/api/generate",
    "/interactions",
];

/// Classifies a recording: by its endpoint, or, where only the answer was
/// kept, by the answer's shape.
pub(crate) fn of(exchange: &Exchange) -> Scope {
    if exchange.method.is_empty() { of_answer(exchange) } else { of_endpoint(exchange) }
}

fn of_endpoint(exchange: &Exchange) -> Scope {
    let path = exchange.path().trim_end_matches('/');
    if exchange.method != "POST" || path.contains("/threads/") {
        Scope::NotOurs
    } else if path.ends_with("chat/completions") {
        Scope::In(Dialect::Chat)
    } else if path.ends_with("/responses") {
        Scope::In(Dialect::Responses)
    } else if path.ends_with("/messages") {
        Scope::In(Dialect::Messages)
    } else if path.ends_with("/messages/count_tokens") {
        Scope::Count
    } else if LATER_ENDS.iter().any(|end| path.ends_with(end)) {
        Scope::Later
    } else {
        Scope::NotOurs
    }
}

fn of_answer(exchange: &Exchange) -> Scope {
    let first = if exchange.is_sse() {
        let frames = frames::read(&exchange.answer);
        let says = |v: &Value| v.get("choices").is_none_or(|c| c.get(0).is_some());
        frames.iter().map(frames::Frame::json).find(says).unwrap_or_default()
    } else {
        serde_json::from_slice(&exchange.answer).unwrap_or_default()
    };
    let has = |name: &str| first.get(name).is_some_and(|v| !v.is_null());
    let word = |name: &str| first.get(name).and_then(Value::as_str).unwrap_or_default();
    match (word("object"), word("type")) {
        ("chat.completion" | "chat.completion.chunk", _) => Scope::In(Dialect::Chat),
        ("response", _) => Scope::In(Dialect::Responses),
        (_, "message" | "message_start") => Scope::In(Dialect::Messages),
        (_, kind) if kind.starts_with("response.") => Scope::In(Dialect::Responses),
        ("", _) if has_message_choice(&first) => Scope::In(Dialect::Chat),
        _ if has("error") && !has("type") => by_word(&exchange.url),
        (_, "error") => by_word(&exchange.url),
        _ if later_shape(&first) => Scope::Later,
        _ => Scope::NotOurs,
    }
}

fn has_message_choice(first: &Value) -> bool {
    first
        .pointer("/choices/0")
        .is_some_and(|c| c.get("message").is_some() || c.get("delta").is_some())
}

/// An error has its dialect only from the index.
fn by_word(word: &str) -> Scope {
    Dialect::from_word(word).map_or(Scope::NotOurs, Scope::In)
}

/// Marks of answers in dialects to come.
fn later_shape(first: &Value) -> bool {
    let marks = [
        "/output/message",
        "/messageStart",
        "/contentBlockStart",
        "/contentBlockDelta",
        "/candidates",
        "/message/role",
        "/delta/message",
        "/interaction",
        "/steps",
    ];
    marks.iter().any(|mark| first.pointer(mark).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(url: &str) -> Scope {
        of(&Exchange { method: "POST".into(), url: url.into(), ..Exchange::default() })
    }

    #[test]
    fn endpoints() {
        assert_eq!(
            call("https://h/openai/deployments/d/chat/completions?v=1"),
            Scope::In(Dialect::Chat)
        );
        assert_eq!(call("https://h/api/v1/responses"), Scope::In(Dialect::Responses));
        assert_eq!(call("https://h/v1/messages"), Scope::In(Dialect::Messages));
        assert_eq!(call("https://h/v1/messages/count_tokens"), Scope::Count);
        assert_eq!(call("https://h/v1/threads/t/messages"), Scope::NotOurs);
        assert_eq!(call("https://h/v1/completions"), Scope::NotOurs);
        assert_eq!(call("https://h/model/m/converse"), Scope::Later);
        let get =
            Exchange { method: "GET".into(), url: "/v1/responses".into(), ..Exchange::default() };
        assert_eq!(of(&get), Scope::NotOurs);
    }

    #[test]
    fn shapes() {
        let of_json = |json: &str| of(&crate::recordings::exchange::of_json(json, "responses"));
        assert_eq!(of_json(r#"{"object":"response"}"#), Scope::In(Dialect::Responses));
        assert_eq!(of_json(r#"{"choices":[{"message":{}}]}"#), Scope::In(Dialect::Chat));
        assert_eq!(of_json(r#"{"type":"message"}"#), Scope::In(Dialect::Messages));
        assert_eq!(of_json(r#"{"error":{"message":"no"}}"#), Scope::In(Dialect::Responses));
        assert_eq!(of_json(r#"{"candidates":[]}"#), Scope::Later);
        assert_eq!(of_json(r#"{"object":"list"}"#), Scope::NotOurs);
        assert_eq!(of_json("<html>"), Scope::NotOurs);
    }
}
