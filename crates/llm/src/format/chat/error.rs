//! Errors: OpenAI's object, and what compatible servers send instead.

use freehold_types::ErrorKind;
use serde_json::{Map, Value, json};

use crate::format::json;
use crate::model::{ApiError, Dialect};

const ME: Dialect = Dialect::Chat;

/// A provider's error response.
pub(super) fn decode(status: u16, body: &[u8]) -> ApiError {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    if let Some(error) = parsed.and_then(|value| find(Some(status), value)) {
        return error;
    }
    let text = String::from_utf8_lossy(body.get(..4096).unwrap_or(body));
    let quote: String = text.trim().chars().take(200).collect();
    let message = if quote.is_empty() {
        format!("the provider answered with status {status} and no body")
    } else {
        format!("the provider answered with status {status} and no error object: {quote}")
    };
    ApiError { status, code: None, ..ApiError::new(kind(status, None), "", message) }
}

/// The error in a body, or in a stream's event, if it is one. Without a
/// status the error's own code stands for it, else 502.
pub(super) fn find(status: Option<u16>, mut value: Value) -> Option<ApiError> {
    // Gemini's compatible server wraps the object in a list of one.
    if let Value::Array(list) = &mut value {
        value = list.pop()?;
    }
    let (fields, beside) = error_fields(status.is_some(), value)?;
    let text = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    let code = match fields.get("code") {
        Some(Value::String(code)) => Some(code.clone()),
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => None,
    };
    let own_status = ["code", "status_code", "status"].iter().find_map(|name| {
        let number = fields.get(*name)?.as_u64().filter(|n| (400..600).contains(n))?;
        u16::try_from(number).ok()
    });
    let native_type = text("type");
    let words = [code.as_deref(), native_type.as_deref()];
    let is_response = status.is_some_and(|s| s > 0);
    let status = status
        .filter(|s| *s >= 400)
        .or(own_status)
        .or_else(|| words.iter().flatten().find_map(|word| status_of_word(word)))
        .unwrap_or(502);
    let has_no_money = words.contains(&Some("insufficient_quota"));
    // What stands beside the error is part of a response, not of a stream.
    let mut native = json!({"error": fields});
    if let Some(native) = native.as_object_mut().filter(|_| is_response) {
        native.extend(beside);
    }
    Some(ApiError {
        kind: if has_no_money { ErrorKind::OutOfBudget } else { kind(status, code.as_deref()) },
        status,
        message: text("message")
            .or_else(|| text("detail"))
            .filter(|words| !words.is_empty())
            .unwrap_or_else(|| format!("the provider answered with status {status}")),
        param: text("param"),
        native_type: native_type.map(|word| (ME, word)),
        code,
        retry_after_ms: None,
        native: Some((ME, native)),
    })
}

/// The error's fields, whatever they are wrapped in, and what stood beside
/// them. Outside of an error
/// status only what is surely an error counts as one.
fn error_fields(
    is_error_status: bool,
    value: Value,
) -> Option<(Map<String, Value>, Map<String, Value>)> {
    let Value::Object(mut body) = value else { return None };
    match body.shift_remove("error") {
        Some(Value::Object(error)) => return Some((error, body)),
        Some(Value::String(message)) => {
            body.entry("message").or_insert(Value::String(message));
            return Some((body, Map::new()));
        }
        _ => {}
    }
    let is_error = body.get("object").and_then(Value::as_str) == Some("error")
        || body.get("type").and_then(Value::as_str) == Some("error");
    let says = body.contains_key("message") || body.contains_key("detail");
    if !says || !(is_error || is_error_status) {
        return None;
    }
    // FastAPI's validation errors: a list of places and messages.
    for name in ["detail", "message"] {
        if let Some(detail) = body.get_mut(name).filter(|d| d.is_array() || d.is_object()) {
            *detail = Value::String(detail.to_string());
        }
    }
    Some((body, Map::new()))
}

fn status_of_word(word: &str) -> Option<u16> {
    Some(match word {
        "invalid_request_error" | "tool_use_failed" | "context_length_exceeded" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "permission_error" => 403,
        "not_found_error" | "model_not_found" => 404,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "tokens"
        | "requests" => 429,
        "server_error" | "internal_error" | "api_error" => 500,
        "overloaded_error" | "service_unavailable" => 503,
        _ => return None,
    })
}

fn kind(status: u16, code: Option<&str>) -> ErrorKind {
    match status {
        401 => ErrorKind::Unauthenticated,
        402 => ErrorKind::OutOfBudget,
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::Timeout,
        409 => ErrorKind::Conflict,
        413 => ErrorKind::TooLarge,
        429 if code == Some("insufficient_quota") => ErrorKind::OutOfBudget,
        429 => ErrorKind::OverLimit,
        503 | 529 => ErrorKind::Unavailable,
        400..500 => ErrorKind::Invalid,
        _ => ErrorKind::Upstream,
    }
}

/// The error as a response body, and as a stream's event.
pub(super) fn encode(error: &ApiError) -> Vec<u8> {
    if let Some((ME, native)) = &error.native {
        return json::to_vec(native);
    }
    json::to_vec(&json!({"error": {
        "message": error.message,
        "type": type_word(error.kind),
        "param": error.param,
        "code": error.code,
    }}))
}

fn type_word(kind: ErrorKind) -> &'static str {
    match kind {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openais_object() {
        let body = br#"{"error":{"message":"no","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#;
        let error = decode(429, body);
        assert_eq!(error.kind, ErrorKind::OutOfBudget);
        assert_eq!(error.code.as_deref(), Some("insufficient_quota"));
        assert_eq!(
            serde_json::from_slice::<Value>(&encode(&error)).unwrap(),
            serde_json::from_slice::<Value>(body).unwrap()
        );
    }

    #[test]
    fn shapes_of_compatible_servers() {
        let cases: [(u16, &str, &str); 6] = [
            (400, r#"{"object":"error","message":"flat","type":"x","code":3}"#, "flat"),
            (422, r#"{"detail":"words"}"#, "words"),
            (500, r#"{"error":"string"}"#, "string"),
            (
                400,
                r#"[{"error":{"code":400,"message":"listed","status":"INVALID_ARGUMENT"}}]"#,
                "listed",
            ),
            (422, r#"{"detail":[{"loc":["body"],"msg":"m"}]}"#, r#"[{"loc":["body"],"msg":"m"}]"#),
            (
                502,
                "<html>bad</html>",
                "the provider answered with status 502 and no error object: <html>bad</html>",
            ),
        ];
        for (status, body, message) in cases {
            let error = decode(status, body.as_bytes());
            assert_eq!((error.status, error.message.as_str()), (status, message));
        }
    }

    #[test]
    fn an_error_under_status_200_gets_its_own_status() {
        let error = find(None, json!({"error": {"code": 429, "message": "slow"}})).unwrap();
        assert_eq!((error.kind, error.status), (ErrorKind::OverLimit, 429));
        assert_eq!(find(None, json!({"message": "hello", "id": "x"})), None);
        assert_eq!(find(None, json!({"error": null, "choices": []})), None);
    }

    #[test]
    fn a_long_page_is_quoted_in_short() {
        let error = decode(500, "\u{e4}".repeat(9000).as_bytes());
        assert!(error.message.chars().count() < 300);
    }

    #[test]
    fn our_own_error_in_openais_form() {
        let error = ApiError::new(ErrorKind::OverLimit, "rate_limited", "too fast");
        let body: Value = serde_json::from_slice(&encode(&error)).unwrap();
        assert_eq!(body["error"]["type"], "rate_limit_error");
        assert_eq!(body["error"]["param"], Value::Null);
    }
}
