//! The headers of a reply: what of the provider's goes on, and what we add.

use freehold_llm::Losses;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::attempt::{Answered, Content, Trying};
use crate::book::Book;
use crate::plan::Deployment;
use crate::wire::Asked;

/// Tells the client which deployment answered.
const DEPLOYMENT: HeaderName = HeaderName::from_static("x-freehold-deployment");
/// Tells the client how many attempts it took, where more than one.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-freehold-attempts");
/// Tells the client what did not cross.
const LOSSES: HeaderName = HeaderName::from_static("x-freehold-losses");

/// The headers of a reply: the provider's where the body is the provider's too.
pub(crate) fn reply_headers(
    asked: &Asked<'_>,
    answered: &Answered,
    trying: &Trying,
    book: &Book,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let bytes_lane = match &answered.content {
        Content::Whole { dialect, .. } | Content::Stream { dialect, .. } => {
            *dialect == asked.dialect
        }
        Content::Events { .. } => false,
    };
    if bytes_lane {
        copy_headers(&answered.headers, &mut headers);
    }
    show_deployment(trying.deployment(), book.attempts(), &mut headers);
    add_losses(&answered.losses, &mut headers);
    let kind = if asked.stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    if !bytes_lane || !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    headers
}

/// Copies an upstream's headers less those of the hop, of its own session,
/// and those that we write ourselves.
pub(crate) fn copy_headers(from: &HeaderMap, to: &mut HeaderMap) {
    // RFC 9110, section 7.6.1: what Connection names is the hop's as well.
    let hop = from.get_all(CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let hop: Vec<&str> = hop.flat_map(|v| v.split(',')).map(str::trim).collect();
    for (name, value) in from {
        let nominated = hop.iter().any(|h| h.eq_ignore_ascii_case(name.as_str()));
        let dropped = nominated
            || matches!(
                name.as_str(),
                "connection"
                    | "keep-alive"
                    | "proxy-authenticate"
                    | "proxy-connection"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "upgrade"
                    | "content-length"
                    | "date"
                    | "server"
                    | "set-cookie"
                    | "strict-transport-security"
                    | "alt-svc"
                    | "x-request-id"
                    | "request-id"
            );
        if !dropped {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Tells the client who answered, and after how many attempts.
pub(crate) fn show_deployment(deployment: &Deployment, attempts: u32, headers: &mut HeaderMap) {
    headers.insert(DEPLOYMENT, deployment.label.clone());
    if attempts > 1 {
        headers.insert(ATTEMPTS, HeaderValue::from(attempts));
    }
}

fn add_losses(losses: &Losses, headers: &mut HeaderMap) {
    if losses.is_empty() {
        return;
    }
    let mut text = String::new();
    for loss in losses.iter() {
        if text.len() + loss.field.len() > 1_000 {
            text.push_str(", ...");
            break;
        }
        if !text.is_empty() {
            text.push_str(", ");
        }
        // Fields are named by clients too, and headers hold few letters.
        text.extend(loss.field.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
    }
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(LOSSES, value);
    }
}
