//! `POST /v1/messages/count_tokens`: a request without its output's fields,
//! answered with the number of its input tokens.

use serde_json::{Value, json};

use super::{request_decode, request_encode};
use crate::codec::{DecodeError, EncodeError, Losses, RequestTarget};
use crate::format::json::{self, Fields};
use crate::model::Request;

/// Fields of a request that the endpoint refuses.
const NOT_COUNTED: &[&str] = &[
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
    "inference_geo",
    "diagnostics",
];

/// A client's request to count, into the hub.
pub fn decode_count_request(body: &[u8]) -> Result<Request, DecodeError> {
    request_decode::decode(body)
}

/// The hub into a request to count.
pub fn encode_count_request(
    request: &Request,
    target: &RequestTarget<'_>,
    losses: &mut Losses,
) -> Result<Vec<u8>, EncodeError> {
    let mut object = request_encode::encode(request, target, losses)?;
    for name in NOT_COUNTED {
        object.shift_remove(*name);
    }
    Ok(json::to_vec(&object.into()))
}

/// The number in a provider's answer.
pub fn decode_count_answer(body: &[u8]) -> Result<u64, DecodeError> {
    let value: Value = json::parse("answer", body)?;
    if super::error::is_error(&value) {
        return Err(DecodeError::Api(Box::new(super::error::of_value(200, value))));
    }
    let count = Fields::new(value, "")?.count("input_tokens")?;
    count.ok_or_else(|| DecodeError::shape("input_tokens", "is required"))
}

/// The answer to a client.
pub fn encode_count_answer(tokens: u64) -> Vec<u8> {
    json::to_vec(&json!({"input_tokens": tokens}))
}
