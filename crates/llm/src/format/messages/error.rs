//! Errors: `{"type":"error","error":{"type","message"},"request_id"}`.

use freehold_types::ErrorKind;
use serde_json::{Map, Value, json};

use super::OURS;
use crate::format::error::{kind_of_status, opaque};
use crate::model::ApiError;

/// The type words of this dialect, what they mean and their status.
const TYPES: &[(&str, ErrorKind, u16)] = &[
    ("invalid_request_error", ErrorKind::Invalid, 400),
    ("authentication_error", ErrorKind::Unauthenticated, 401),
    ("billing_error", ErrorKind::OutOfBudget, 402),
    ("permission_error", ErrorKind::Forbidden, 403),
    ("not_found_error", ErrorKind::NotFound, 404),
    ("conflict_error", ErrorKind::Conflict, 409),
    ("request_too_large", ErrorKind::TooLarge, 413),
    ("rate_limit_error", ErrorKind::OverLimit, 429),
    ("api_error", ErrorKind::Upstream, 500),
    ("timeout_error", ErrorKind::Timeout, 504),
    ("overloaded_error", ErrorKind::Unavailable, 529),
];

/// Whether a body is an error instead of an answer.
pub(super) fn is_error(body: &Value) -> bool {
    body.get("type").and_then(Value::as_str) == Some("error")
        || (body.get("error").is_some_and(|e| !e.is_null()) && body.get("content").is_none())
}

pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    match serde_json::from_slice::<Value>(body) {
        Ok(value) if is_error(&value) => of_value(status, value),
        _ => opaque(status, body),
    }
}

/// An error object. Under status 200, or in a stream, its type word tells
/// the status.
pub(super) fn of_value(status: u16, value: Value) -> ApiError {
    let error = value.get("error").unwrap_or(&Value::Null);
    let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let word = text("type");
    let known = word.as_deref().and_then(|w| TYPES.iter().find(|(name, ..)| *name == w));
    let status = match known {
        Some((_, _, usual)) if status < 400 => *usual,
        None if status < 400 => 502,
        _ => status,
    };
    // A status says more than the word where both are there: a 413 comes with
    // `invalid_request_error` from some servers.
    let kind = match (kind_of_status(status), known) {
        (ErrorKind::Invalid | ErrorKind::Upstream, Some((_, kind, _))) => *kind,
        (kind, _) => kind,
    };
    let code = error.get("details").and_then(|d| d.get("error_code")).and_then(Value::as_str);
    let message = text("message").or_else(|| error.as_str().map(str::to_owned));
    let message = message.filter(|words| !words.is_empty());
    ApiError {
        kind,
        status,
        code: code.map(str::to_owned),
        native_type: word.map(|word| (OURS, word)),
        message: message.unwrap_or_else(|| "the provider gave no message".to_owned()),
        param: None,
        retry_after_ms: None,
        native: Some((OURS, value)),
    }
}

/// The error object. A provider's own of this dialect goes on as it came, but
/// with our request id.
pub(super) fn encode(error: &ApiError, request_id: Option<&str>) -> Value {
    let mut object = if let Some((OURS, Value::Object(native))) = &error.native {
        native.clone()
    } else {
        let mut inner = Map::new();
        inner.insert("type".into(), type_word(error).into());
        inner.insert("message".into(), error.message.as_str().into());
        if let Some(code) = &error.code {
            inner.insert("details".into(), json!({"error_code": code}));
        }
        let mut object = Map::new();
        object.insert("type".into(), "error".into());
        object.insert("error".into(), inner.into());
        object
    };
    if let Some(id) = request_id {
        object.insert("request_id".into(), id.into());
    }
    object.into()
}

fn type_word(error: &ApiError) -> &str {
    if let Some((OURS, word)) = &error.native_type {
        return word;
    }
    match error.kind {
        ErrorKind::Internal => "api_error",
        kind => TYPES.iter().find(|(_, k, _)| *k == kind).map_or("api_error", |(word, ..)| word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_word_and_comes_back() {
        for (word, kind, status) in TYPES {
            let body = json!({"type": "error", "error": {"type": word, "message": "m"}});
            let got = decode(*status, body.to_string().as_bytes());
            assert_eq!((got.kind, got.status), (*kind, *status), "{word}");
            let ours =
                ApiError { kind: *kind, ..ApiError::new(freehold_types::Code::LocalEngine, "m") };
            assert_eq!(encode(&ours, None)["error"]["type"], *word);
        }
    }

    #[test]
    fn a_providers_own_error_goes_on_with_our_request_id() {
        let body = br#"{"type":"error","error":{"type":"overloaded_error","message":"busy","x":1},"request_id":"theirs"}"#;
        let error = decode(529, body);
        let out = encode(&error, Some("ours"));
        assert_eq!((&out["error"]["x"], &out["request_id"]), (&json!(1), &json!("ours")));
    }

    #[test]
    fn an_error_under_status_200_has_the_status_of_its_word() {
        let body = br#"{"type":"error","error":{"type":"rate_limit_error","message":"m"}}"#;
        assert_eq!(decode(200, body).status, 429);
    }
}
