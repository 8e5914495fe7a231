//! A count of tokens: a request of Messages that is answered with a number.
//! It crosses to no other dialect, as none has such a call.

use freehold_llm::Dialect;
use freehold_llm::Losses;
use freehold_llm::format::messages::{
    decode_count_answer, decode_count_request, encode_count_answer, encode_count_request,
};

use super::{Outcome, error, is_error, parse, target};
use crate::recordings::exchange::Exchange;
use crate::recordings::json::differences;
use crate::recordings::normal;

const MESSAGES: Dialect = Dialect::Messages;

pub(super) fn check(exchange: &Exchange, outcome: &mut Outcome) {
    if let Some(body) = exchange.request.as_deref() {
        request(body, exchange.status, outcome);
    }
    let body = parse(&exchange.answer);
    if exchange.status >= 400 || is_error(&body) {
        error::check(MESSAGES, exchange, &body, outcome);
        return;
    }
    match decode_count_answer(&exchange.answer) {
        Ok(tokens) => {
            let again = parse(&encode_count_answer(tokens));
            outcome.differ("answer", differences(&body, &again));
        }
        Err(error) => outcome.fail("answer", error.to_string()),
    }
}

fn request(body: &[u8], status: u16, outcome: &mut Outcome) {
    let request = match decode_count_request(body) {
        Ok(request) => request,
        // A provider that refused the request may have been right.
        Err(_) if status >= 400 => return,
        Err(error) => return outcome.fail("request", error.to_string()),
    };
    let mut losses = Losses::default();
    match encode_count_request(&request, &target(&request.model), &mut losses) {
        Ok(again) => {
            let (mut wanted, mut got) = (parse(body), parse(&again));
            normal::request(MESSAGES, &mut wanted, &mut got);
            outcome.differ("request", differences(&wanted, &got));
        }
        Err(error) => outcome.fail("request", error.to_string()),
    }
    for loss in losses.iter() {
        outcome.fail("request.loss", loss.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(request: &str, answer: &str) -> Vec<String> {
        let exchange = Exchange {
            method: "POST".to_owned(),
            url: "https://h/v1/messages/count_tokens".to_owned(),
            status: 200,
            content_type: "application/json".to_owned(),
            request: Some(request.as_bytes().to_vec()),
            answer: answer.as_bytes().to_vec(),
        };
        let mut outcome = Outcome::default();
        check(&exchange, &mut outcome);
        outcome.findings.into_iter().map(|finding| finding.field).collect()
    }

    #[test]
    fn a_count_comes_back_as_it_was_and_anything_else_is_found() {
        let request = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
        assert_eq!(findings(request, r#"{"input_tokens":7}"#), [""; 0]);
        assert_eq!(findings(request, r#"{"input_tokens":"7"}"#), ["answer"]);
        assert_eq!(findings(request, r#"{"input_tokens":7,"more":1}"#), ["answer.more"]);
        assert_eq!(findings(r#"{"model":"m","messages":7}"#, r#"{"input_tokens":7}"#), ["request"]);
    }
}
