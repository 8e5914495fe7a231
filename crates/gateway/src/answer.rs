//! What came back from a deployment: the beginning of a stream, a whole answer,
//! or a refusal; each read within a limit.

use std::sync::LazyLock;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use freehold_llm::format::codec;
use freehold_llm::model::{ApiError, Event};
use freehold_llm::{DecodeError, Dialect};
use freehold_types::BoxBody;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt as _;
use memchr::memmem::Finder;

use crate::attempt::{Content, Failed, Raw};
use crate::retry::Fault;

/// The largest error body that is read.
pub(crate) const ERROR_LIMIT: usize = 256 << 10;

/// The most of a stream that is held until its first event is whole.
const FIRST_LIMIT: usize = 4 << 10;

/// Whether headers announce a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(|v| v.as_bytes().trim_ascii_start());
    kind.and_then(|kind| kind.get(..17))
        .is_some_and(|k| k.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Waits for the first event of a stream, so that a provider that fails right
/// away can still be replaced by another.
pub(crate) async fn first_of(
    dialect: Dialect,
    cut_usage: bool,
    mut rest: BoxBody,
) -> Result<Content, Failed> {
    let mut first = Bytes::new();
    while !holds_event(&first) && first.len() < FIRST_LIMIT {
        let data = match rest.frame().await {
            None if has_data(&first) => break,
            None => return Err(Failed::garbage("the stream ended before it began").after(0)),
            Some(Err(error)) => return Err(Failed::body(&error)),
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
        };
        // Most streams come by whole events, which are not copied.
        first = if first.is_empty() { data } else { [first, data].concat().into() };
    }
    match error_at_start(dialect, &first) {
        None => Ok(Content::Stream { dialect, cut_usage, first, rest }),
        Some(error) => {
            let fault = Fault::of_status(error.status, error.code.as_deref());
            Err(Failed { fault, error: Box::new(error), raw: None, wait: None, billed: None })
        }
    }
}

/// Whether a stream's first bytes hold a whole event; comments are none.
fn holds_event(bytes: &[u8]) -> bool {
    let mut in_event = false;
    for line in lines(bytes) {
        if line.is_empty() && in_event {
            return true;
        }
        in_event |= line.starts_with(b"data");
    }
    false
}

fn has_data(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, b"data").is_some()
}

/// The whole lines of an event stream, without their ends.
fn lines(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let end = memchr::memchr2(b'\n', b'\r', bytes)?;
        let (line, rest) = bytes.split_at_checked(end)?;
        bytes = rest.strip_prefix(b"\r\n").or_else(|| rest.get(1..))?;
        Some(line)
    })
}

/// The error, if a stream's first bytes are one whole error event.
fn error_at_start(dialect: Dialect, first: &[u8]) -> Option<ApiError> {
    has_error(first.get(..FIRST_LIMIT.min(first.len()))?).then_some(())?;
    let mut events = Vec::new();
    let mut decoder = codec(dialect).stream_decoder();
    // The event may be the last one and lack its empty line.
    let fed = decoder.feed(first, &mut events).and_then(|()| decoder.feed(b"\n\n", &mut events));
    match fed {
        Err(DecodeError::Api(error)) => return Some(*error),
        Err(_) => return None,
        Ok(()) => {}
    }
    match events.into_iter().find(|e| !matches!(e, Event::Ping | Event::Start { .. })) {
        Some(Event::Error(error)) => Some(error),
        _ => None,
    }
}

/// Whether something in it is named `error`.
fn has_error(bytes: &[u8]) -> bool {
    static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"error\""));
    NAME.find(bytes).is_some()
}

/// Reads a body to its end, within a limit.
pub(crate) async fn collect(mut body: BoxBody, limit: usize) -> Result<Bytes, Failed> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let came = first.len() + more.len();
        let frame = frame.map_err(|error| Failed::body(&error).after(came))?;
        let Ok(data) = frame.into_data() else { continue };
        if came + data.len() > limit {
            return Err(Failed::garbage(format!("it is larger than {limit} bytes")).after(came));
        }
        // One frame, as most answers are, is not copied.
        if more.is_empty() && first.is_empty() {
            first = data;
        } else {
            if more.is_empty() {
                more.extend_from_slice(&first);
                first = Bytes::new();
            }
            more.extend_from_slice(&data);
        }
    }
    Ok(if more.is_empty() { first } else { more.freeze() })
}

/// A whole answer must be a JSON object, and not an error under a status that
/// says success.
pub(crate) fn check_whole(
    dialect: Dialect,
    status: StatusCode,
    body: &Bytes,
) -> Result<(), Failed> {
    let trimmed = body.trim_ascii();
    if trimmed.first() != Some(&b'{') || trimmed.last() != Some(&b'}') {
        let start: String =
            String::from_utf8_lossy(trimmed.get(..100.min(trimmed.len())).unwrap_or_default())
                .into_owned();
        let failed = Failed::garbage(format!("expected JSON, found: {start}"));
        // A page of a proxy's is nothing that a provider bills.
        let began = trimmed.first() == Some(&b'{');
        return Err(if began { failed.after(body.len()) } else { failed });
    }
    // An error object stands at the start of its body; Responses has
    // `"error": null` in every answer, which decode_answer tells apart.
    let start = body.get(..300.min(body.len())).unwrap_or_default();
    if has_error(start)
        && let Err(error) = codec(dialect).decode_answer(body)
    {
        return Err(match error {
            DecodeError::Api(error) => {
                let status = if error.status < 400 { 502 } else { error.status };
                Failed::new(
                    Fault::of_status(status, error.code.as_deref()),
                    ApiError { status, ..*error },
                )
            }
            other => Failed::garbage(other).after(body.len()),
        });
    }
    debug_assert!(status.is_success());
    Ok(())
}

/// An error response.
pub(crate) async fn refused(
    caller: Dialect,
    dialect: Dialect,
    status: StatusCode,
    headers: HeaderMap,
    body: BoxBody,
    wait: Option<Duration>,
) -> Failed {
    // What came of the body serves; the status alone would.
    let body = collect(body, ERROR_LIMIT).await.unwrap_or_default();
    let mut error = codec(dialect).decode_error(status.as_u16(), &body);
    if error.retry_after_ms.is_none() {
        error.retry_after_ms = wait.and_then(|w| u64::try_from(w.as_millis()).ok());
    }
    let fault = Fault::of_status(status.as_u16(), error.code.as_deref());
    if status.is_redirection() {
        return Failed::garbage(format!("it redirects ({status}); check the provider's base_url"));
    }
    let raw = (dialect == caller
        && fault != Fault::Credential
        && body.trim_ascii().first() == Some(&b'{'))
    .then(|| Box::new(Raw { status, headers, body }));
    Failed { fault, error: Box::new(error), raw, wait, billed: None }
}
