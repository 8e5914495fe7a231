//! The codec as a whole: recordings, crossings, hostile input.

mod crossing;
mod hostile;
mod recordings;
mod streams;

use serde_json::{Value, json};

use super::{Messages, OURS};
use crate::codec::{AnswerContext, Codec, IdSource, Losses, Quirk, RequestTarget};
use crate::model::{Answer, Dialect, Event, Fold, Request};
use crate::{DecodeError, format};

/// The fields of an object without those of null, and the like below.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .filter(|(_, v)| !v.is_null())
            .map(|(k, v)| (k.clone(), normal(v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(list) => list.iter().map(normal).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

fn request_to(request: &Request, quirks: &[Quirk]) -> (Value, Losses) {
    let target = RequestTarget { model: &request.model, quirks, default_max_tokens: 4096 };
    let mut losses = Losses::default();
    let body = Messages.encode_request(request, &target, &mut losses).unwrap();
    (serde_json::from_slice(&body).unwrap(), losses)
}

/// A request of another dialect as this dialect's, and what was lost.
fn cross(from: Dialect, body: &Value) -> (Value, Vec<String>) {
    let request = format::codec(from).decode_request(body.to_string().as_bytes()).unwrap();
    let (value, losses) = request_to(&request, &[]);
    (value, losses.iter().map(ToString::to_string).collect())
}

fn answer_of(answer: &Answer) -> Value {
    let request = Request::new(OURS, "m");
    let context = context(&request, &answer.model);
    serde_json::from_slice(&Messages.encode_answer(answer, &context)).unwrap()
}

fn context<'a>(request: &'a Request, model: &'a str) -> AnswerContext<'a> {
    AnswerContext { request, model, ids: IdSource::new(7), created: 0 }
}

fn events(chunks: &[&[u8]]) -> Result<Vec<Event>, DecodeError> {
    let mut decoder = Messages.stream_decoder();
    let mut out = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

fn fold(events: &[Event]) -> Answer {
    let mut fold = Fold::new(OURS);
    for event in events {
        fold.event(event);
    }
    fold.finish().unwrap()
}

fn stream_of(events: &[Event]) -> Vec<u8> {
    let request = Request::new(OURS, "m");
    let mut encoder = Messages.stream_encoder(&context(&request, "m"));
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}

/// The data of a stream's events.
fn wire(bytes: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(bytes).unwrap();
    text.lines()
        .filter_map(|l| l.strip_prefix("data: "))
        .map(|d| serde_json::from_str(d).unwrap())
        .collect()
}

#[test]
fn counting_sends_only_what_is_counted() {
    let body = json!({"model": "m", "max_tokens": 5, "temperature": 1, "stream": true,
        "system": "s", "messages": [{"role": "user", "content": "hi"}]});
    let request = super::decode_count_request(body.to_string().as_bytes()).unwrap();
    let target = RequestTarget { model: "n", quirks: &[], default_max_tokens: 1 };
    let out = super::encode_count_request(&request, &target, &mut Losses::default()).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        out,
        json!({"model": "n", "system": "s", "messages": [{"role": "user", "content": "hi"}]})
    );
    assert_eq!(super::decode_count_answer(&super::encode_count_answer(12)), Ok(12));
    assert!(super::decode_count_answer(b"{}").is_err());
}

#[test]
fn every_field_in_the_table_has_a_stable_name() {
    for row in Messages.fields() {
        assert!(crate::losses::is_field(row.field), "{}", row.field);
    }
}
