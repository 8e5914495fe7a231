//! Errors of the management API, as RFC 9457 has them.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use freehold_types::{BlobError, Code, ErrorKind};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// What went wrong, for the caller's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What the caller can do about it.
    pub kind: ErrorKind,
    /// Which reason.
    pub code: Code,
    /// What, where and what to do.
    pub detail: String,
    /// When the same request may succeed.
    pub retry_after_ms: Option<u64>,
}

impl Problem {
    /// A problem that waiting does not solve.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { kind: code.kind(), code, detail: detail.into(), retry_after_ms: None }
    }

    /// A request that is wrong.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }
}

impl From<freehold_control::Refusal> for Problem {
    fn from(refusal: freehold_control::Refusal) -> Self {
        Self {
            kind: refusal.kind,
            code: refusal.code,
            detail: refusal.message,
            retry_after_ms: refusal.retry_after_ms,
        }
    }
}

impl From<freehold_control::Error> for Problem {
    fn from(error: freehold_control::Error) -> Self {
        let (kind, code) = (error.kind(), error.code());
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        if kind == ErrorKind::Internal {
            tracing::error!(%error, cause, "management");
            return Self {
                kind,
                ..Self::new(code, "the store holds something that cannot be; see the log")
            };
        }
        let detail = cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        Self { kind, ..Self::new(code, detail) }
    }
}

impl From<BlobError> for Problem {
    fn from(error: BlobError) -> Self {
        let code = match &error {
            BlobError::Missing(_) => Code::BlobMissing,
            BlobError::Damaged { .. } => Code::BlobDamaged,
            BlobError::TooLarge(_) => Code::BodyTooLarge,
            BlobError::Denied(_) | BlobError::Full(_) | BlobError::Unavailable(_) => {
                Code::BlobsFailed
            }
        };
        tracing::error!(%error, "blobs");
        Self { kind: error.kind(), ..Self::new(code, error.to_string()) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({
            "type": format!("urn:freehold:error:{}", self.code),
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.detail,
            "code": self.code.word(),
        });
        if let Some(wait) = self.retry_after_ms {
            body["retry_after_ms"] = wait.into();
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(wait) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, wait.div_ceil(1000).into());
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        response
    }
}
