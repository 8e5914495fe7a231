//! A streamed answer.

use freehold_llm::model::{Event, Fold, Request};
use freehold_llm::{DecodeError, Dialect};
use serde_json::Value;

use super::split::{self, Decoded};
use super::{Outcome, codec, context, cross, others, parse};
use crate::recordings::frames;
use crate::recordings::json::{Difference, differences};
use crate::recordings::normal;
use crate::recordings::wire::{self, Folded};

/// Checks a streamed answer.
pub(super) fn check(dialect: Dialect, body: &[u8], request: &Request, outcome: &mut Outcome) {
    let frames = frames::read(body);
    let folded = wire::fold(dialect, &frames);
    let whole = split::decode(dialect, [body]);
    split::check(dialect, body, &frames, &whole, outcome);
    split::check_cuts(dialect, &frames, &folded, outcome);
    if let Some(message) = &folded.error {
        failed(dialect, message, &whole, request, outcome);
    } else if folded.ended_at.is_some() {
        complete(dialect, &folded, &whole, request, outcome);
    } else if whole.end.is_ok() {
        outcome.fail("stream", "has no end and is taken as complete");
    }
}

/// A stream that ends with an error says it in every dialect.
fn failed(
    dialect: Dialect,
    message: &str,
    whole: &Decoded,
    request: &Request,
    outcome: &mut Outcome,
) {
    let mut events = whole.events.clone();
    if let Err(DecodeError::Api(error)) = &whole.end {
        events.push(Event::Error((**error).clone()));
    }
    match events.last() {
        Some(Event::Error(error)) if error.message == message => {}
        other => return outcome.fail("stream.error", format!("{message:?} became {other:?}")),
    }
    for to in others(dialect) {
        let wire = encode(to, &events, request);
        let got = wire::fold(to, &frames::read(&wire)).error;
        if got.as_deref() != Some(message) {
            outcome.fail(
                format!("cross.{}.stream.error", to.word()),
                format!("{message:?} became {got:?}"),
            );
        }
        outcome.crossed += 1;
    }
}

fn complete(
    dialect: Dialect,
    folded: &Folded,
    whole: &Decoded,
    request: &Request,
    outcome: &mut Outcome,
) {
    if let Err(error) = &whole.end {
        return outcome.fail("stream", error.to_string());
    }
    let Some(answer) = fold(dialect, &whole.events, "stream", outcome) else { return };
    let bytes = codec(dialect).encode_answer(&answer, &context(request, &answer.model, 1));
    outcome.differ("stream", normal_differences(dialect, &folded.answer, parse(&bytes)));
    let again = frames::read(&encode(dialect, &whole.events, request));
    let refolded = wire::fold(dialect, &again).answer;
    outcome.differ("restream", normal_differences(dialect, &folded.answer, refolded));
    if dialect == Dialect::Responses {
        // Also to a client that reads only the deltas.
        let wanted = wire::spoken(&wire::answered(dialect, &folded.answer));
        outcome.differ("restream.deltas", differences(&wanted, &wire::of_deltas(&again)));
    }
    for to in others(dialect) {
        crossed((dialect, to), folded, whole, request, outcome);
    }
}

fn normal_differences(dialect: Dialect, wanted: &Value, mut got: Value) -> Vec<Difference> {
    let mut wanted = wanted.clone();
    normal::answer(dialect, &mut wanted, &mut got);
    normal::streamed(dialect, &mut wanted, &mut got);
    differences(&wanted, &got)
}

fn crossed(
    (from, to): (Dialect, Dialect),
    folded: &Folded,
    whole: &Decoded,
    request: &Request,
    outcome: &mut Outcome,
) {
    let field = format!("cross.{}.stream", to.word());
    let wanted = wire::answered(from, &folded.answer);
    let bytes = encode(to, &whole.events, request);
    let there = wire::fold(to, &frames::read(&bytes));
    if there.ended_at.is_none() {
        outcome.fail(&field, "has no end");
    }
    let got = wire::answered(to, &there.answer);
    cross::answer_differ(&field, (from, to), &wanted, &got, outcome);

    let decoded = split::decode(to, [bytes.as_slice()]);
    if let Err(error) = &decoded.end {
        return outcome.fail(format!("{field}.decode"), error.to_string());
    }
    if let Some(answer) = fold(to, &decoded.events, &field, outcome) {
        let back = codec(from).encode_answer(&answer, &context(request, &answer.model, 1));
        let got = wire::answered(from, &parse(&back));
        cross::answer_differ(&format!("{field}.back"), (from, to), &wanted, &got, outcome);
    }
    outcome.crossed += 1;
}

fn fold(
    dialect: Dialect,
    events: &[Event],
    field: &str,
    outcome: &mut Outcome,
) -> Option<freehold_llm::model::Answer> {
    let mut fold = Fold::new(dialect);
    for event in events {
        fold.event(event);
    }
    if !fold.ended() {
        outcome.fail(field, "the events do not end the answer");
    }
    match fold.finish() {
        Ok(answer) => Some(answer),
        Err(error) => {
            outcome.fail(field, error.message);
            None
        }
    }
}

/// The events as the stream of a client that asked in dialect `to`.
fn encode(to: Dialect, events: &[Event], request: &Request) -> Vec<u8> {
    let mut asked =
        if to == request.origin { request.clone() } else { cross::asked_in(to, request) };
    asked.stream_usage = true;
    let model = events
        .iter()
        .find_map(|e| match e {
            Event::Start { model, .. } => Some(model.clone()),
            _ => None,
        })
        .unwrap_or_default();
    let mut encoder = codec(to).stream_encoder(&context(&asked, &model, 1));
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}
