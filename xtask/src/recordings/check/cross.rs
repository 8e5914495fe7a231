//! A request or answer in another dialect, and back.
//!
//! What crossed is judged by [`wire`], which reads both sides without the
//! codecs. [`expected`] is the table of what a dialect cannot say.

use freehold_llm::Dialect;
use freehold_llm::Losses;
use freehold_llm::model::{Answer, Request};
use serde_json::Value;

use super::{Outcome, codec, context, expected, others, parse, target, wire};
use crate::recordings::json::differences;
use wire::{Answered, Asked};

/// Checks the crossings of a request.
pub(super) fn request(from: Dialect, body: &[u8], request: &Request, outcome: &mut Outcome) {
    let asked = wire::asked(from, &parse(body));
    for to in others(from) {
        let field = format!("cross.{}.request", to.word());
        let encoded =
            codec(to).encode_request(request, &target(&request.model), &mut Losses::default());
        let bytes = match encoded {
            Ok(bytes) => bytes,
            Err(error) => {
                outcome.fail(field, error.to_string());
                continue;
            }
        };
        let got = wire::asked(to, &parse(&bytes));
        let (wanted, got) = expected::request((from, to), asked.clone(), got);
        outcome.differ(&field, differences(&wanted, &got));
        match codec(to).decode_request(&bytes) {
            Ok(there) => request_back(from, to, &asked, &there, outcome),
            Err(error) => outcome.fail(format!("{field}.decode"), error.to_string()),
        }
        outcome.crossed += 1;
    }
}

fn request_back(from: Dialect, to: Dialect, asked: &Asked, there: &Request, outcome: &mut Outcome) {
    let field = format!("cross.{}.request.back", to.word());
    let mut losses = Losses::default();
    match codec(from).encode_request(there, &target(&there.model), &mut losses) {
        Ok(bytes) => {
            let got = wire::asked(from, &parse(&bytes));
            let (wanted, got) = expected::request((from, to), asked.clone(), got);
            outcome.differ(&field, differences(&wanted, &got));
        }
        Err(error) => outcome.fail(field, error.to_string()),
    }
}

/// What the client of another dialect would have asked.
pub(super) fn asked_in(to: Dialect, request: &Request) -> Request {
    codec(to)
        .encode_request(request, &target(&request.model), &mut Losses::default())
        .ok()
        .and_then(|bytes| codec(to).decode_request(&bytes).ok())
        .unwrap_or_else(|| Request::new(to, request.model.clone()))
}

/// Checks the crossings of a complete answer.
pub(super) fn answer(
    from: Dialect,
    body: &Value,
    answer: &Answer,
    request: &Request,
    outcome: &mut Outcome,
) {
    let wanted = wire::answered(from, body);
    for to in others(from) {
        let field = format!("cross.{}.answer", to.word());
        let asked = asked_in(to, request);
        let bytes = codec(to).encode_answer(answer, &context(&asked, &answer.model, 1));
        answer_differ(&field, (from, to), &wanted, &wire::answered(to, &parse(&bytes)), outcome);
        match codec(to).decode_answer(&bytes) {
            Ok(there) => {
                let back = codec(from).encode_answer(&there, &context(request, &there.model, 1));
                let got = wire::answered(from, &parse(&back));
                answer_differ(&format!("{field}.back"), (from, to), &wanted, &got, outcome);
            }
            Err(error) => outcome.fail(format!("{field}.decode"), error.to_string()),
        }
        outcome.crossed += 1;
    }
}

/// Compares what an answer said with what it says on the other side.
pub(super) fn answer_differ(
    field: &str,
    way: (Dialect, Dialect),
    wanted: &Answered,
    got: &Answered,
    outcome: &mut Outcome,
) {
    let (wanted, got) = expected::answer(way, wanted, got);
    outcome.differ(field, differences(&wanted, &got));
}
