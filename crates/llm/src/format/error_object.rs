//! OpenAI's error object, which two dialects share, and what compatible
//! servers send instead.

use freehold_types::ErrorKind;
use serde_json::{Map, Value, json};

use crate::format::error::{kind_of_status, opaque};
use crate::model::{ApiError, Dialect};

/// A provider's error response in the dialect `me`.
pub(super) fn decode(me: Dialect, status: u16, body: &[u8]) -> ApiError {
    let parsed = serde_json::from_slice::<Value>(body).ok();
    let found = parsed.and_then(|value| find(me, Some(status), value));
    found.unwrap_or_else(|| opaque(status, body))
}

/// The error in a body, or in a stream's event, if it is one. Without a
/// status the error's own code stands for it, else 502.
pub(super) fn find(me: Dialect, status: Option<u16>, mut value: Value) -> Option<ApiError> {
    // Gemini's compatible server wraps the object in a list of one.
    if let Value::Array(list) = &mut value {
        value = list.pop()?;
    }
    let (fields, beside) = error_fields(status.is_some(), value)?;
    let mut error = of_fields(me, status, &fields);
    // What stands beside the error is part of a response, not of a stream.
    let mut native = json!({"error": fields});
    if let Some(native) = native.as_object_mut().filter(|_| status.is_some_and(|s| s > 0)) {
        native.extend(beside);
    }
    error.native = Some((me, native));
    Some(error)
}

/// An error from its fields alone.
pub(super) fn of_fields(me: Dialect, status: Option<u16>, fields: &Map<String, Value>) -> ApiError {
    let text = |name: &str| {
        fields.get(name).and_then(Value::as_str).filter(|s| !s.is_empty()).map(str::to_owned)
    };
    let code = match fields.get("code") {
        Some(Value::Number(code)) => Some(code.to_string()),
        _ => text("code"),
    };
    // What an object is, and not what is wrong.
    let native_type = text("type").filter(|word| word != "error" && word != "response");
    let words = [code.as_deref(), native_type.as_deref()];
    let status = status
        .filter(|s| *s >= 400)
        .or_else(|| own_status(fields))
        .or_else(|| words.into_iter().flatten().find_map(status_of_word))
        .unwrap_or(502);
    let has_no_money = words.contains(&Some("insufficient_quota"));
    ApiError {
        kind: if has_no_money { ErrorKind::OutOfBudget } else { kind_of_status(status) },
        status,
        message: text("message")
            .or_else(|| text("detail"))
            .unwrap_or_else(|| format!("the provider answered with status {status}")),
        param: text("param"),
        native_type: native_type.map(|word| (me, word)),
        code,
        retry_after_ms: None,
        native: None,
    }
}

/// Some servers write the status into the error, as a number or in text.
fn own_status(fields: &Map<String, Value>) -> Option<u16> {
    ["code", "status_code", "status"].iter().find_map(|name| {
        let number = match fields.get(*name)? {
            Value::String(text) => text.parse().ok()?,
            other => other.as_u64()?,
        };
        u16::try_from(number).ok().filter(|n| (400..600).contains(n))
    })
}

/// The error's fields, whatever they are wrapped in, and what stood beside
/// them. Outside of an error status only what is surely an error counts as one.
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
        "invalid_request_error"
        | "tool_use_failed"
        | "context_length_exceeded"
        | "invalid_prompt"
        | "invalid_image"
        | "invalid_image_url"
        | "image_too_large"
        | "bio_policy" => 400,
        "authentication_error" | "invalid_api_key" => 401,
        "permission_error" => 403,
        "not_found_error" | "model_not_found" => 404,
        "rate_limit_error"
        | "rate_limit_exceeded"
        | "insufficient_quota"
        | "tokens"
        | "requests" => 429,
        "server_error" | "internal_error" | "api_error" => 500,
        "overloaded_error" | "server_overloaded" | "service_unavailable" => 503,
        _ => return None,
    })
}

/// The error object with all four keys, as the official one.
pub(super) fn object(error: &ApiError) -> Value {
    json!({
        "message": error.message,
        "type": type_word(error),
        "param": error.param,
        "code": error.code,
    })
}

fn type_word(error: &ApiError) -> &str {
    if let Some((Dialect::Chat | Dialect::Responses, word)) = &error.native_type {
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

#[cfg(test)]
mod tests {
    use freehold_types::Code;

    use super::*;

    const BOTH: [Dialect; 2] = [Dialect::Chat, Dialect::Responses];

    #[test]
    fn the_object_is_read_whole() {
        let body = br#"{"error":{"message":"no","type":"insufficient_quota","param":"model","code":"insufficient_quota"}}"#;
        for me in BOTH {
            let error = decode(me, 429, body);
            assert_eq!((error.kind, error.status), (ErrorKind::OutOfBudget, 429));
            assert_eq!(error.code.as_deref(), Some("insufficient_quota"));
            assert_eq!(error.param.as_deref(), Some("model"));
            assert_eq!(error.native, Some((me, serde_json::from_slice(body).unwrap())));
        }
    }

    #[test]
    fn a_spent_account_is_no_matter_of_patience() {
        let error = decode(
            Dialect::Responses,
            429,
            br#"{"error":{"message":"m","type":"insufficient_quota"}}"#,
        );
        assert_eq!((error.kind, error.status), (ErrorKind::OutOfBudget, 429));
    }

    #[test]
    fn shapes_of_compatible_servers() {
        let cases: [(u16, &str, &str); 8] = [
            (400, r#"{"object":"error","message":"flat","type":"x","code":3}"#, "flat"),
            (422, r#"{"detail":"words"}"#, "words"),
            (500, r#"{"error":"string"}"#, "string"),
            (429, r#"{"message":"slow down","code":429}"#, "slow down"),
            (
                500,
                r#"{"error":{"message":"","code":null}}"#,
                "the provider answered with status 500",
            ),
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
            for me in BOTH {
                let error = decode(me, status, body.as_bytes());
                assert_eq!((error.status, error.message.as_str()), (status, message));
            }
        }
    }

    #[test]
    fn an_error_under_status_200_gets_its_own_status() {
        let under_200 = |value| find(Dialect::Chat, None, value);
        for code in [json!(429), json!("429"), json!("rate_limit_exceeded")] {
            let error = under_200(json!({"error": {"code": code, "message": "slow"}})).unwrap();
            assert_eq!((error.kind, error.status), (ErrorKind::OverLimit, 429));
        }
        let error = under_200(json!({"error": {"code": "odd", "message": "m"}})).unwrap();
        assert_eq!((error.kind, error.status), (ErrorKind::Upstream, 502));
        assert_eq!(under_200(json!({"message": "hello", "id": "x"})), None);
        assert_eq!(under_200(json!({"error": null, "choices": []})), None);
    }

    #[test]
    fn an_error_of_our_own_has_all_keys() {
        let error = ApiError::new(Code::LimitRequests, "too fast");
        let expected = json!({"message": "too fast", "type": "rate_limit_error", "param": null,
            "code": "limit.requests"});
        assert_eq!(object(&error), expected);
    }
}
