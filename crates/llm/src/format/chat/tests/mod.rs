//! Behaviour over whole requests, answers and streams.

mod answer;
mod cross;
mod noise;
mod request;
mod stream;

use serde_json::Value;

use super::CODEC;
use crate::codec::{AnswerContext, Codec as _, IdSource, Losses, Quirk, RequestTarget};
use crate::model::{Answer, Dialect, Event, Fold, Request};
use crate::{DecodeError, StreamDecoder};

fn request_of(json: &Value) -> Request {
    CODEC.decode_request(json.to_string().as_bytes()).unwrap()
}

/// Encodes a request; gives the body and the names of what was lost.
fn body_of(request: &Request, quirks: &[Quirk]) -> (Value, Vec<String>) {
    let target = RequestTarget { model: &request.model, quirks, default_max_tokens: 4096 };
    let mut losses = Losses::default();
    let body = CODEC.encode_request(request, &target, &mut losses).unwrap();
    let losses = losses.iter().map(ToString::to_string).collect();
    (serde_json::from_slice(&body).unwrap(), losses)
}

fn context(request: &Request) -> AnswerContext<'_> {
    AnswerContext { request, model: &request.model, ids: IdSource::new(7), created: 99 }
}

/// All events of a stream that comes in these pieces.
fn events(pieces: &[&[u8]]) -> Result<Vec<Event>, DecodeError> {
    let mut decoder: Box<dyn StreamDecoder> = CODEC.stream_decoder();
    let mut out = Vec::new();
    for piece in pieces {
        decoder.feed(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

fn fold(events: &[Event]) -> Answer {
    let mut fold = Fold::new(Dialect::Chat);
    for event in events {
        fold.event(event);
    }
    fold.finish().unwrap()
}

fn json_of(answer: &Answer, request: &Request) -> Value {
    serde_json::from_slice(&CODEC.encode_answer(answer, &context(request))).unwrap()
}

/// A stream of these chunks and `[DONE]`.
fn sse(chunks: &[Value]) -> String {
    let frames: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    frames.concat() + "data: [DONE]\n\n"
}
