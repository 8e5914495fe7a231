//! Errors: OpenAI's object, and the failed answers that hold one.

use freehold_types::{Code, ErrorKind};
use serde_json::{Value, json};

use super::OURS;
use crate::format::error_object::{find, object, of_fields};
use crate::format::json::to_vec;
use crate::model::ApiError;

/// An error under status 200, in a body or an event, which is kept beside it.
pub(super) fn under_good_status(value: Value) -> ApiError {
    let mut error = find(OURS, None, value.clone()).unwrap_or_else(unexplained);
    error.native = Some((OURS, value));
    error
}

/// The error of an answer with status `failed`. The whole answer is kept
/// beside it.
pub(super) fn of_failed(response: Value) -> ApiError {
    let fields = response.get("error").and_then(Value::as_object);
    let mut error = fields.map_or_else(unexplained, |fields| of_fields(OURS, None, fields));
    error.native = Some((OURS, response));
    error
}

/// A failure without a reason, with the dialect's own code for that.
fn unexplained() -> ApiError {
    let error = ApiError::new(Code::AnswerFailed, "the provider's answer failed");
    ApiError { code: Some("server_error".to_owned()), ..error }
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
    use crate::format::error_object::decode;

    #[test]
    fn a_body_of_the_dialect_comes_back_whole() {
        let body = br#"{"error":{"message":"no","type":"invalid_request_error","param":"model","code":"model_not_found","x":1}}"#;
        assert_eq!(encode(&decode(OURS, 404, body)), body);
    }

    #[test]
    fn a_failed_answer_says_why_if_the_provider_does() {
        let failed =
            json!({"object": "response", "error": {"code": "rate_limit_exceeded", "message": "m"}});
        let error = of_failed(failed.clone());
        assert_eq!((error.kind, error.status), (ErrorKind::OverLimit, 429));
        assert_eq!(in_response(&error), failed["error"]);
        let error = of_failed(json!({"object": "response", "error": null}));
        assert_eq!(error.kind, ErrorKind::Upstream);
        assert_eq!(in_response(&error)["code"], "server_error");
    }

    #[test]
    fn an_event_that_is_an_error_is_kept() {
        let event =
            json!({"type": "error", "code": "server_overloaded", "message": "m", "param": null});
        let error = under_good_status(event.clone());
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Unavailable, "m"));
        assert_eq!(error.native, Some((OURS, event)));
    }
}
