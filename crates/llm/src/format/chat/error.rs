//! Errors: OpenAI's object.

use serde_json::json;

use super::ME;
use crate::format::error_object::object;
use crate::format::json;
use crate::model::ApiError;

/// The error as a response body, and as a stream's event.
pub(super) fn encode(error: &ApiError) -> Vec<u8> {
    match &error.native {
        Some((ME, native)) => json::to_vec(native),
        _ => json::to_vec(&json!({"error": object(error)})),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::format::error_object;

    #[test]
    fn a_providers_error_comes_back_as_it_was() {
        let body = br#"{"error":{"message":"no","type":"t","param":null,"code":"c","x":1},"y":2}"#;
        let error = error_object::decode(ME, 429, body);
        assert_eq!(
            serde_json::from_slice::<Value>(&encode(&error)).unwrap(),
            serde_json::from_slice::<Value>(body).unwrap()
        );
    }
}
