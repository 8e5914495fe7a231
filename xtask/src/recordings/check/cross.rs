//! A request or answer in another dialect, and back.
//!
//! What crossed is judged by [`wire`], which reads both sides without the
//! codecs. [`expected`] is the table of what a dialect cannot say.

use freehold_llm::Dialect;
use freehold_llm::Losses;
use freehold_llm::model::{Answer, Request};
use serde_json::{Value, json};

use super::{Outcome, codec, context, others, parse, target, wire};
use crate::recordings::json::differences;
use wire::{Answered, Asked, Said, Tokens};

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
        let (wanted, got) = expected::request(from, to, asked.clone(), got);
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
            let (wanted, got) = expected::request(from, to, asked.clone(), got);
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
    (from, to): (Dialect, Dialect),
    wanted: &Answered,
    got: &Answered,
    outcome: &mut Outcome,
) {
    let (wanted, got) = expected::answer(from, to, wanted, got);
    outcome.differ(field, differences(&wanted, &got));
}

/// What is left of a body's facts once it has been in another dialect.
mod expected {
    use super::{Answered, Asked, Dialect, Said, Tokens, Value, json};

    pub(super) fn request(
        from: Dialect,
        to: Dialect,
        mut wanted: Asked,
        mut got: Asked,
    ) -> (Value, Value) {
        let _ = from;
        // Messages demands a limit; where none was asked for, a default stands.
        if wanted.max_tokens.is_null() {
            got.max_tokens = Value::Null;
        }
        // Responses has no stop strings.
        if to == Dialect::Responses || from == Dialect::Responses {
            wanted.stop = Value::Null;
            got.stop = Value::Null;
        }
        for side in [&mut wanted, &mut got] {
            // `auto` is what no choice means.
            if side.tool_choice == json!("auto") {
                side.tool_choice = Value::Null;
            }
            // No stop strings are none.
            if side.stop == json!([]) {
                side.stop = Value::Null;
            }
        }
        (wanted.to_json(), got.to_json())
    }

    pub(super) fn answer(
        from: Dialect,
        to: Dialect,
        wanted: &Answered,
        got: &Answered,
    ) -> (Value, Value) {
        let (mut wanted, mut got) = (wanted.clone(), got.clone());
        // Only Chat has alternatives; the others get the first.
        wanted.choices.truncate(1);
        got.choices.truncate(1);
        for (a, b) in wanted.choices.iter_mut().zip(&mut got.choices) {
            stops(from, to, a, b);
        }
        let reasoning = |side: &Answered| side.usage.and_then(|u| u.reasoning);
        let keep_reasoning = reasoning(&wanted).is_some() && reasoning(&got).is_some();
        (shown(&wanted, keep_reasoning), shown(&got, keep_reasoning))
    }

    fn stops(_from: Dialect, _to: Dialect, wanted: &mut Said, got: &mut Said) {
        for side in [wanted, got] {
            // Only Messages tells a stop string from an end.
            if side.stop == "sequence" {
                side.stop = "end".into();
            }
            // Responses does not say that it waits for tools; the calls do.
            if side.stop == "end" && !side.calls.is_empty() {
                side.stop = "tools".into();
            }
        }
    }

    fn shown(answered: &Answered, reasoning: bool) -> Value {
        let choices: Vec<Value> = answered
            .choices
            .iter()
            .map(|c| json!({"text": c.text, "calls": c.calls, "stop": c.stop}))
            .collect();
        let usage = answered.usage.map(|u| tokens(&u, reasoning)).unwrap_or_default();
        json!({"choices": choices, "usage": usage})
    }

    fn tokens(usage: &Tokens, reasoning: bool) -> Value {
        json!({
            "input": usage.input,
            "output": usage.output,
            "cached": usage.cached.unwrap_or(0),
            "reasoning": usage.reasoning.filter(|_| reasoning),
        })
    }
}
