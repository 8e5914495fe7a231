//! The check of one recording: decode, encode, compare; split; cross.

mod answer;
mod count;
mod cross;
mod error;
mod expected;
mod request;
mod split;
mod stream;

use freehold_llm::format::codec;
use freehold_llm::model::Request;
use freehold_llm::{AnswerContext, Dialect, IdSource, RequestTarget};
use serde_json::Value;

use super::exchange::Exchange;
use super::json::{self, Difference};
use super::wire;

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// Which check and which field, as `answer.choices[0].message.content`.
    pub(crate) field: String,
    /// What was found.
    pub(crate) detail: String,
}

/// What the check of one recording came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// A stream was fed again in pieces.
    pub(crate) resplit: bool,
    /// Crossings made, of requests, answers, streams and errors.
    pub(crate) crossed: usize,
    /// What is not as it should be.
    pub(crate) findings: Vec<Finding>,
}

impl Outcome {
    fn fail(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding { field: field.into(), detail: detail.into() });
    }

    /// Takes over what differs, each path below `field`.
    fn differ(&mut self, field: &str, differences: Vec<Difference>) {
        for Difference { path, detail } in differences {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            self.fail(format!("{field}{dot}{path}"), detail);
        }
    }
}

/// Checks a recording of a dialect that is built.
pub(crate) fn run(exchange: &Exchange, dialect: Dialect) -> Outcome {
    let mut outcome = Outcome::default();
    let asked = exchange
        .request
        .as_deref()
        .and_then(|body| request::check(dialect, body, exchange.status, &mut outcome));
    let asked = asked.unwrap_or_else(|| Request::new(dialect, "model"));
    if exchange.is_sse() && exchange.status < 400 {
        stream::check(dialect, &exchange.answer, &asked, &mut outcome);
        return outcome;
    }
    let body: Value = serde_json::from_slice(&exchange.answer).unwrap_or_default();
    if exchange.status >= 400 || is_error(&body) {
        error::check(dialect, exchange, &body, &mut outcome);
    } else {
        answer::check(dialect, &exchange.answer, &asked, &mut outcome);
    }
    outcome
}

/// Checks a recording of a count of tokens.
pub(crate) fn run_count(exchange: &Exchange) -> Outcome {
    let mut outcome = Outcome::default();
    count::check(exchange, &mut outcome);
    outcome
}

/// An error object under a good status: an error, and no answer beside it.
fn is_error(body: &Value) -> bool {
    let answers = ["choices", "content", "output"];
    json::some(body, "error").is_some() && answers.iter().all(|a| json::some(body, a).is_none())
}

fn others(dialect: Dialect) -> impl Iterator<Item = Dialect> {
    Dialect::ALL.into_iter().filter(move |other| *other != dialect)
}

fn target(model: &str) -> RequestTarget<'_> {
    RequestTarget { model, quirks: &[], default_max_tokens: 4096 }
}

fn context<'a>(request: &'a Request, model: &'a str, created: i64) -> AnswerContext<'a> {
    AnswerContext { request, model, ids: IdSource::new(7), created }
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(answer: &str) -> Exchange {
        let request = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#;
        Exchange {
            method: "POST".to_owned(),
            url: "https://h/v1/chat/completions".to_owned(),
            status: 200,
            content_type: "text/event-stream".to_owned(),
            request: Some(request.as_bytes().to_vec()),
            answer: answer.as_bytes().to_vec(),
        }
    }

    const STREAM: &str = concat!(
        "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",",
        "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hey\"},",
        "\"finish_reason\":null}]}\n\n",
        "data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",",
        "\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
        "data: [DONE]\n\n",
    );

    #[test]
    fn a_good_stream_passes_and_crosses() {
        let outcome = run(&exchange(STREAM), Dialect::Chat);
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        assert_eq!((outcome.resplit, outcome.crossed), (true, 4));
    }

    #[test]
    fn a_stream_without_end_is_no_answer() {
        let cut = STREAM.split_inclusive("\n\n").next().unwrap_or_default();
        let outcome = run(&exchange(cut), Dialect::Chat);
        // The codec says so too: nothing to find, and nothing but the request crosses.
        assert!(outcome.findings.is_empty(), "{:?}", outcome.findings);
        assert_eq!(outcome.crossed, 2);
    }

    #[test]
    fn what_does_not_decode_is_found() {
        let outcome = run(&exchange("data: {\"choices\":7}\n\ndata: [DONE]\n\n"), Dialect::Chat);
        assert!(!outcome.findings.is_empty());
    }
}
