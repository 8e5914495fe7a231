//! What the errors of all dialects have in common.

use freehold_types::{Code, ErrorKind};

use crate::model::ApiError;

/// The most characters quoted of a body that is no error object.
const QUOTED_MAX: usize = 200;

/// What a caller can do about a status.
pub(super) fn kind_of_status(status: u16) -> ErrorKind {
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

/// An error of which the provider said nothing that its dialect knows.
pub(super) fn opaque(status: u16, body: &[u8]) -> ApiError {
    // No character takes more than four bytes.
    let start = body.get(..QUOTED_MAX * 4).unwrap_or(body);
    let text = String::from_utf8_lossy(start);
    let quote: String = text.trim().chars().take(QUOTED_MAX).collect();
    let message = if quote.is_empty() {
        format!("the provider answered with status {status} and no body")
    } else {
        format!("the provider answered with status {status} and no error object: {quote}")
    };
    let status = if status < 400 { 502 } else { status };
    let kind = kind_of_status(status);
    ApiError { kind, status, code: None, ..ApiError::new(Code::UpstreamError, message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_error_object_is_quoted_and_bounded() {
        let body = format!("  <html>{}", "\u{e9}".repeat(5_000));
        let error = opaque(503, body.as_bytes());
        assert_eq!((error.kind, error.status), (ErrorKind::Unavailable, 503));
        assert!(error.message.contains(": <html>") && error.message.chars().count() < 300);
        assert_eq!(error.code, None);
        assert!(opaque(500, b" ").message.ends_with("status 500 and no body"));
    }

    #[test]
    fn an_error_under_a_good_status_is_a_bad_gateways() {
        let error = opaque(200, b"broken");
        assert_eq!((error.kind, error.status), (ErrorKind::Upstream, 502));
    }
}
