//! Errors of our own, and how they go back in the caller's dialect.

use freehold_control::Refusal;
use freehold_llm::format::codec;
use freehold_llm::model::ApiError;
use freehold_llm::{DecodeError, Dialect, EncodeError, Losses};
use freehold_types::Code;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::attempt::Failed;
use crate::call::{Reply, ReplyBody};
use crate::retry::Fault;

/// A request's body that cannot be read.
pub(crate) fn bad_body(error: &DecodeError) -> Box<ApiError> {
    let code = match error {
        DecodeError::Json { .. } => Code::InvalidJson,
        _ => Code::InvalidRequest,
    };
    let mut refused = ApiError::new(code, error.to_string());
    if let DecodeError::Shape { path, .. } = error {
        refused.param = Some(path.clone());
    }
    Box::new(refused)
}

/// A request that has no sense in the target's dialect.
pub(crate) fn cannot_encode(error: &EncodeError) -> Box<ApiError> {
    let mut refused = ApiError::new(Code::UnsupportedFeature, error.to_string());
    refused.param = Some(error.field.clone());
    Box::new(refused)
}

/// A crossing that would lose something the caller insists on.
pub(crate) fn strict(losses: &Losses, from: Dialect, to: Dialect) -> Box<ApiError> {
    let mut fields = String::new();
    for loss in losses.iter().take(20) {
        if !fields.is_empty() {
            fields.push_str(", ");
        }
        fields.push_str(&loss.field);
    }
    Box::new(ApiError::new(
        Code::StrictLoss,
        format!(
            "this route speaks {} and {} cannot carry: {fields}; leave these out, choose a route \
             that speaks {}, or do not ask for strict",
            to.word(),
            to.word(),
            from.word()
        ),
    ))
}

/// A refusal by control.
pub fn refusal(refusal: &Refusal) -> Box<ApiError> {
    Box::new(ApiError {
        kind: refusal.kind,
        status: refusal.kind.status(),
        retry_after_ms: refusal.retry_after_ms,
        ..ApiError::new(refusal.code, refusal.message.clone())
    })
}

/// What a client hears of a deployment that failed. A provider's refusal of
/// our credential is not the client's: its own key is fine.
pub(crate) fn upstream(failed: &Failed) -> ApiError {
    let mut error = (*failed.error).clone();
    if failed.fault == Fault::Credential {
        // Its words are for the operator, who finds them in the log: providers
        // repeat parts of keys in them.
        error = ApiError::new(
            Code::UpstreamCredential,
            "the provider refused the server's own credential; whoever runs the server finds in \
             its log why",
        );
    }
    error
}

/// An error as a whole reply.
pub fn reply(dialect: Dialect, error: &ApiError, request_id: &str) -> Reply {
    let body = codec(dialect).encode_error(error, Some(request_id));
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(ms) = error.retry_after_ms {
        // Whole seconds, rounded up: the header knows no less (RFC 9110).
        headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000).max(1)));
        headers.insert("retry-after-ms", HeaderValue::from(ms));
    }
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Reply { status, headers, body: ReplyBody::Full(body.into()) }
}
