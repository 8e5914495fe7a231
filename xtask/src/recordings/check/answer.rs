//! A complete answer, decoded and encoded again.

use freehold_llm::Dialect;
use freehold_llm::model::Request;

use super::{Outcome, codec, context, cross, parse};
use crate::recordings::json::differences;
use crate::recordings::normal;

/// Checks a complete answer.
pub(super) fn check(dialect: Dialect, body: &[u8], request: &Request, outcome: &mut Outcome) {
    let answer = match codec(dialect).decode_answer(body) {
        Ok(answer) => answer,
        Err(error) => return outcome.fail("answer", error.to_string()),
    };
    let again = codec(dialect)
        .encode_answer(&answer, &context(request, &answer.model, answer.created.unwrap_or(0)));
    let mut wanted = parse(body);
    let mut got = parse(&again);
    normal::answer(dialect, &mut wanted, &mut got);
    outcome.differ("answer", differences(&wanted, &got));
    cross::answer(dialect, &parse(body), &answer, request, outcome);
}
