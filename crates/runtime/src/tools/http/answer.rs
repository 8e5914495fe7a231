//! What an API's answer means for the call.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freehold_llm::model::{Media, Part, PartBody, Source};
use freehold_types::{TransportError, TransportFault};
use http::StatusCode;
use serde_json::Value;

use crate::decide::{Ended, Found};
use crate::event::Content;

/// An answer that was read, as far as its bound goes.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) media_type: String,
    pub(super) bytes: Vec<u8>,
    /// Whether there was more.
    pub(super) cut: bool,
}

/// What a failed exchange means. Where no connection came about, nothing ran;
/// where one broke, nobody knows.
pub(super) fn unsent(error: &TransportError) -> Ended {
    match error.fault {
        TransportFault::Connect | TransportFault::ConnectTimeout | TransportFault::Refused => {
            Ended::Failed(Content::text(format!(
                "It was not called, for it cannot be reached: {}",
                error.message
            )))
        }
        TransportFault::HeadersTimeout | TransportFault::Broken => Ended::Lost,
    }
}

/// How a call ended that was answered. An error is the API's own word, which
/// the model reads; but a gateway that gave up waiting knows no more than we.
pub(super) fn ended(answer: &Answer) -> Ended {
    if answer.status.is_success() {
        return Ended::Ok(content(answer));
    }
    if answer.status == StatusCode::GATEWAY_TIMEOUT {
        return Ended::Lost;
    }
    let moved = if answer.status.is_redirection() { " (redirects are not followed)" } else { "" };
    let text = text_of(answer);
    Ended::Failed(Content::text(format!("{}{moved}\n{text}", answer.status).trim_end()))
}

/// What the answer to a question by key says.
pub(super) fn found(answer: &Answer) -> Found {
    if matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
        return Found::Nothing;
    }
    if !answer.status.is_success() || answer.cut {
        return Found::Unclear;
    }
    match serde_json::from_slice::<Value>(&answer.bytes) {
        Ok(Value::Null) => Found::Nothing,
        Ok(Value::Array(items)) if items.is_empty() => Found::Nothing,
        Ok(Value::Object(fields)) if fields.is_empty() => Found::Nothing,
        _ if answer.bytes.is_empty() => Found::Nothing,
        _ => Found::Ok(content(answer)),
    }
}

fn content(answer: &Answer) -> Content {
    let kind = answer.media_type.as_str();
    let media = || Media { media_type: kind.to_owned(), data: STANDARD.encode(&answer.bytes) };
    let body = match kind.split('/').next() {
        _ if answer.cut => None,
        Some("image") => Some(PartBody::Image { source: Source::Inline(media()), detail: None }),
        Some("audio") => Some(PartBody::Audio(media())),
        _ if kind == "application/pdf" => {
            Some(PartBody::File { source: Source::Inline(media()), name: None })
        }
        _ => None,
    };
    let value = body.and_then(|body| serde_json::to_value([Part::new(body)]).ok());
    value.map_or_else(|| Content::text(text_of(answer)), Content::Inline)
}

/// The text of an answer; of anything else, what it is.
fn text_of(answer: &Answer) -> String {
    if answer.bytes.is_empty() {
        return format!("{} without content", answer.status);
    }
    let note = if answer.cut { "\n[The answer went on; it was too large to be read.]" } else { "" };
    let text = match std::str::from_utf8(&answer.bytes) {
        Ok(text) => Some(text),
        // The cut may have gone through a character.
        Err(error) if answer.cut && error.error_len().is_none() => {
            answer.bytes.get(..error.valid_up_to()).and_then(|b| std::str::from_utf8(b).ok())
        }
        Err(_) => None,
    };
    match text {
        Some(text) => format!("{text}{note}"),
        None => format!(
            "[{} bytes of {}, which is no text]{note}",
            answer.bytes.len(),
            answer.media_type
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).expect("a status"),
            media_type: "application/json".into(),
            bytes: body.into(),
            cut: false,
        }
    }

    #[test]
    fn nothing_ran_where_no_connection_came_about() {
        for (fault, known) in [
            (TransportFault::Connect, true),
            (TransportFault::ConnectTimeout, true),
            (TransportFault::Refused, true),
            (TransportFault::HeadersTimeout, false),
            (TransportFault::Broken, false),
        ] {
            let error = TransportError { fault, message: "m".into() };
            assert_eq!(matches!(unsent(&error), Ended::Failed(_)), known, "{fault:?}");
        }
    }

    #[test]
    fn an_error_is_the_tool_s_word_and_a_gateway_that_waited_knows_nothing() {
        assert_eq!(ended(&answer(200, "[1]")), Ended::Ok(Content::text("[1]")));
        for status in [302, 400, 404, 409, 429, 500, 502, 503] {
            assert!(matches!(ended(&answer(status, "x")), Ended::Failed(_)), "{status}");
        }
        assert_eq!(ended(&answer(504, "x")), Ended::Lost);
    }

    #[test]
    fn a_question_by_key_has_three_answers() {
        for (status, body, wanted) in [
            (404, "", Found::Nothing),
            (200, "[]", Found::Nothing),
            (200, "null", Found::Nothing),
            (204, "", Found::Nothing),
            (500, "", Found::Unclear),
            (401, "", Found::Unclear),
            (200, "{\"id\":1}", Found::Ok(Content::text("{\"id\":1}"))),
        ] {
            assert_eq!(found(&answer(status, body)), wanted, "{status} {body}");
        }
    }

    #[test]
    fn a_cut_goes_around_a_character() {
        let whole = "aé".as_bytes();
        let cut = Answer { bytes: whole[..2].into(), cut: true, ..answer(200, "") };
        let Ended::Ok(Content::Inline(Value::String(text))) = ended(&cut) else { panic!("text") };
        assert!(text.starts_with("a\n[The answer went on"), "{text}");
    }
}
