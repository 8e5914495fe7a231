//! A request, decoded and encoded again.

use freehold_llm::model::Request;
use freehold_llm::{Dialect, Losses};

use super::{Outcome, codec, cross, parse, target};
use crate::recordings::json::differences;
use crate::recordings::normal;

/// Checks a request; gives it as decoded.
pub(super) fn check(
    dialect: Dialect,
    body: &[u8],
    status: u16,
    outcome: &mut Outcome,
) -> Option<Request> {
    let request = match codec(dialect).decode_request(body) {
        Ok(request) => request,
        // A provider that refused the request may have been right.
        Err(_) if status >= 400 => return None,
        Err(error) => {
            outcome.fail("request", error.to_string());
            return None;
        }
    };
    let mut losses = Losses::default();
    match codec(dialect).encode_request(&request, &target(&request.model), &mut losses) {
        Ok(again) => {
            let mut wanted = parse(body);
            let mut got = parse(&again);
            normal::request(dialect, &mut wanted, &mut got);
            outcome.differ("request", differences(&wanted, &got));
        }
        Err(error) => outcome.fail("request", error.to_string()),
    }
    for loss in losses.iter() {
        outcome.fail("request.loss", loss.to_string());
    }
    if status < 400 {
        cross::request(dialect, body, &request, outcome);
    }
    Some(request)
}
