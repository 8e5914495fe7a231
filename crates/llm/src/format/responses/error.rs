//! Errors: OpenAI's error object, and the failed answers that hold one.

use freehold_types::ErrorKind;
use serde_json::{Map, Value, json};

use super::OURS;
use crate::format::json::to_vec;
use crate::model::{ApiError, Dialect};

/// The most characters quoted of a body that is no error object.
const QUOTED: usize = 200;

/// Reads a provider's error response.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) => match from_value(Some(status), &value) {
            Some(mut error) => {
                error.native = Some((OURS, value));
                error
            }
            None => opaque(status, body),
        },
        Err(_) => opaque(status, body),
    }
}

/// An error of which the provider said nothing that we can read.
fn opaque(status: u16, body: &[u8]) -> ApiError {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    let quoted: String = text.chars().take(QUOTED).collect();
    let message = if text.is_empty() {
        format!("the provider answered with status {status} and no body")
    } else {
        format!("the provider answered with status {status} and a body that is no error: {quoted}")
    };
    ApiError {
        kind: kind_of_status(status),
        status,
        code: None,
        native_type: None,
        message,
        param: None,
        retry_after_ms: None,
        native: None,
    }
}

/// The error in a body or event, in the shapes that servers of this dialect
/// use: `{"error": {...}}`, `{"error": "..."}`, the bare object with a
/// message, `{"detail": ...}`. Without a status it follows from the code.
pub(super) fn from_value(status: Option<u16>, value: &Value) -> Option<ApiError> {
    let object = value.as_object()?;
    let inner = match object.get("error") {
        Some(Value::Object(inner)) => inner.clone(),
        Some(Value::String(message)) => {
            let mut inner = object.clone();
            inner.insert("message".into(), message.as_str().into());
            inner
        }
        _ => match object.get("detail") {
            Some(detail) if !object.contains_key("message") => {
                let text = detail.as_str().map_or_else(|| detail.to_string(), str::to_owned);
                Map::from_iter([("message".to_owned(), Value::from(text))])
            }
            _ => object.clone(),
        },
    };
    let word = |name: &str| match inner.get(name) {
        Some(Value::String(s)) if !s.is_empty() => Some(s.clone()),
        Some(Value::Number(n)) => Some(n.to_string()),
        _ => None,
    };
    let message = word("message")?;
    let code = word("code");
    let kind_word = word("type").filter(|t| t != "error" && t != "response");
    let status = status
        .filter(|s| *s >= 400)
        .unwrap_or_else(|| status_of(code.as_deref().or(kind_word.as_deref()).unwrap_or_default()));
    let quota = [&code, &kind_word].into_iter().flatten().any(|w| w == "insufficient_quota");
    Some(ApiError {
        kind: if quota { ErrorKind::OutOfBudget } else { kind_of_status(status) },
        status,
        code,
        native_type: kind_word.map(|t| (OURS, t)),
        message,
        param: word("param"),
        retry_after_ms: None,
        native: None,
    })
}

/// The error of an answer with status `failed`. The whole answer is kept
/// beside it.
pub(super) fn of_failed(response: Value) -> ApiError {
    let mut error = response
        .get("error")
        .filter(|e| !e.is_null())
        .and_then(|e| from_value(None, e))
        .unwrap_or_else(|| {
            ApiError::new(ErrorKind::Upstream, "server_error", "the provider's answer failed")
        });
    error.native = Some((OURS, response));
    error
}

fn kind_of_status(status: u16) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        402 => ErrorKind::OutOfBudget,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 => ErrorKind::OverLimit,
        503 | 529 => ErrorKind::Unavailable,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Upstream,
    }
}

/// The status of an error that came under 200.
fn status_of(word: &str) -> u16 {
    match word {
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "insufficient_quota"
        | "tokens"
        | "requests" => 429,
        "invalid_api_key" | "authentication_error" => 401,
        "permission_error" => 403,
        "model_not_found" | "not_found_error" => 404,
        "invalid_prompt"
        | "invalid_request_error"
        | "context_length_exceeded"
        | "invalid_image"
        | "invalid_image_url"
        | "image_too_large"
        | "bio_policy" => 400,
        "server_overloaded" | "overloaded_error" | "service_unavailable" => 503,
        // Some servers write the status where the code belongs.
        other => other.parse().ok().filter(|s| (400..600).contains(s)).unwrap_or(502),
    }
}

/// The type word of an error body.
fn type_word(error: &ApiError) -> &str {
    if let Some((OURS | Dialect::Chat, word)) = &error.native_type {
        return word;
    }
    match error.kind {
        ErrorKind::Invalid | ErrorKind::TooLarge | ErrorKind::NotFound | ErrorKind::Conflict => {
            "invalid_request_error"
        }
        ErrorKind::Unauthenticated => "authentication_error",
        ErrorKind::Forbidden => "permission_error",
        ErrorKind::OutOfBudget => "insufficient_quota",
        ErrorKind::OverLimit => "rate_limit_error",
        ErrorKind::Unavailable | ErrorKind::Upstream | ErrorKind::Timeout | ErrorKind::Internal => {
            "server_error"
        }
    }
}

/// The error object: all four keys, as the official one.
pub(super) fn object(error: &ApiError) -> Value {
    json!({
        "message": error.message,
        "type": type_word(error),
        "param": error.param,
        "code": error.code,
    })
}

/// Writes an error body: the provider's own if it spoke this dialect.
pub(super) fn encode(error: &ApiError) -> Vec<u8> {
    match &error.native {
        Some((OURS, native)) if native.get("error").is_some() && !is_response(native) => {
            to_vec(native)
        }
        _ => to_vec(&json!({"error": object(error)})),
    }
}

/// True for a whole (failed) answer.
pub(super) fn is_response(value: &Value) -> bool {
    value.get("object").and_then(Value::as_str) == Some("response")
}

/// The `error` of a failed answer, whose code is one of a closed set.
pub(super) fn in_response(error: &ApiError) -> Value {
    let own = error.native_type.as_ref().is_some_and(|(d, _)| *d == OURS)
        || error.native.as_ref().is_some_and(|(d, _)| *d == OURS);
    let code = match (&error.code, error.kind) {
        (Some(code), _) if own => code,
        (_, ErrorKind::OverLimit | ErrorKind::OutOfBudget) => "rate_limit_exceeded",
        (_, ErrorKind::Invalid | ErrorKind::TooLarge) => "invalid_prompt",
        _ => "server_error",
    };
    json!({"code": code, "message": error.message})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_of_the_dialect_comes_back_whole() {
        let body = br#"{"error":{"message":"no","type":"invalid_request_error","param":"model","code":"model_not_found","x":1}}"#;
        let error = decode(404, body);
        assert_eq!(error.kind, ErrorKind::NotFound);
        assert_eq!(error.code.as_deref(), Some("model_not_found"));
        assert_eq!(error.param.as_deref(), Some("model"));
        assert_eq!(encode(&error), body);
    }

    #[test]
    fn a_page_is_quoted_briefly() {
        let page = format!("<html>{}</html>", "\u{e4}".repeat(1000));
        let error = decode(502, page.as_bytes());
        assert_eq!(error.kind, ErrorKind::Upstream);
        assert!(error.message.contains("<html>"));
        assert!(error.message.chars().count() < 300);
    }

    #[test]
    fn odd_shapes_are_understood() {
        for body in [
            r#"{"error":"slow down"}"#,
            r#"{"message":"slow down","code":429}"#,
            r#"{"detail":"slow down"}"#,
        ] {
            let error = decode(429, body.as_bytes());
            assert_eq!((error.kind, error.message.as_str()), (ErrorKind::OverLimit, "slow down"));
        }
    }

    #[test]
    fn a_spent_account_is_no_matter_of_patience() {
        let error = decode(429, br#"{"error":{"message":"m","type":"insufficient_quota"}}"#);
        assert_eq!((error.kind, error.status), (ErrorKind::OutOfBudget, 429));
    }

    #[test]
    fn errors_of_our_own_have_all_keys() {
        let error = ApiError::new(ErrorKind::Invalid, "state_later", "not yet");
        let body: Value = serde_json::from_slice(&encode(&error)).unwrap();
        assert_eq!(
            body,
            json!({"error": {"message": "not yet", "type": "invalid_request_error",
                "param": null, "code": "state_later"}})
        );
    }
}
