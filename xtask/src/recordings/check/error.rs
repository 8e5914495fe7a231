//! An error, decoded and encoded in every dialect.

use freehold_llm::{DecodeError, Dialect};
use serde_json::Value;

use super::{Outcome, codec, parse, wire};
use crate::recordings::exchange::Exchange;
use crate::recordings::json::differences;

/// Checks an error answer.
pub(super) fn check(dialect: Dialect, exchange: &Exchange, body: &Value, outcome: &mut Outcome) {
    if exchange.status < 400 {
        match codec(dialect).decode_answer(&exchange.answer) {
            Err(DecodeError::Api(_)) => {}
            other => outcome.fail("error", format!("decoded as an answer: {other:?}")),
        }
    }
    let status = if exchange.status < 400 { 500 } else { exchange.status };
    let error = codec(dialect).decode_error(status, &exchange.answer);
    if error.status != status {
        outcome.fail("error.status", format!("{status} became {}", error.status));
    }
    let message = wire::error_message(body);
    if let Some(message) = message
        && error.message != message
    {
        outcome.fail("error.message", format!("{message:?} became {:?}", error.message));
    }
    if message.is_some() {
        let again = parse(&codec(dialect).encode_error(&error, None));
        outcome.differ("error", differences(body, &again));
    }
    for other in super::others(dialect) {
        let bytes = codec(other).encode_error(&error, Some("req_1"));
        let shown = parse(&bytes);
        let field = format!("cross.{}.error", other.word());
        if wire::error_message(&shown) != Some(error.message.as_str()) {
            outcome.fail(format!("{field}.wire"), format!("{:?} is not in {shown}", error.message));
        }
        let back = codec(other).decode_error(error.status, &bytes);
        if back.message != error.message || back.kind != error.kind {
            let detail = format!(
                "{:?} {} became {:?} {}",
                error.kind, error.message, back.kind, back.message
            );
            outcome.fail(field, detail);
        }
        outcome.crossed += 1;
    }
}
