//! Tests of the whole codec, both ways.

mod cross;
mod hostile;
mod recorded;
mod request;
mod run;
mod stream;

use serde_json::Value;

use super::Responses;
use crate::model::{Answer, Dialect, Event, Fold, Request};
use crate::{AnswerContext, Codec, DecodeError, IdSource, Losses, RequestTarget};

const TARGET: RequestTarget<'_> =
    RequestTarget { model: "m", quirks: &[], default_max_tokens: 1000 };

fn decode_request(value: &Value) -> Request {
    Responses.decode_request(value.to_string().as_bytes()).unwrap()
}

fn encode_request(request: &Request) -> (Value, Vec<String>) {
    let mut losses = Losses::default();
    let body = Responses.encode_request(request, &TARGET, &mut losses).unwrap();
    let losses = losses.iter().map(ToString::to_string).collect();
    (serde_json::from_slice(&body).unwrap(), losses)
}

fn context(request: &Request) -> AnswerContext<'_> {
    AnswerContext { request, model: "m", ids: IdSource::new(1), created: 1_700_000_000 }
}

fn encode_answer(answer: &Answer, request: &Request) -> Value {
    serde_json::from_slice(&Responses.encode_answer(answer, &context(request))).unwrap()
}

fn decode_stream(chunks: &[&[u8]]) -> Result<Vec<Event>, DecodeError> {
    let mut decoder = Responses.stream_decoder();
    let mut events = Vec::new();
    for chunk in chunks {
        decoder.feed(chunk, &mut events)?;
    }
    decoder.finish(&mut events)?;
    Ok(events)
}

fn encode_stream(events: &[Event], request: &Request) -> Vec<u8> {
    let mut encoder = Responses.stream_encoder(&context(request));
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    out
}

fn fold(events: &[Event]) -> Answer {
    let mut fold = Fold::new(Dialect::Responses);
    for event in events {
        fold.event(event);
    }
    fold.finish().unwrap()
}

/// The data of each event of a stream.
fn data_of(stream: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(stream).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn types_of(stream: &[u8]) -> Vec<String> {
    data_of(stream).iter().map(|v| v["type"].as_str().unwrap().to_owned()).collect()
}
