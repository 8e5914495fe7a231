//! OpenAI Responses (`POST /v1/responses`), also spoken by every server of
//! Open Responses.
//!
//! Answers and stream events are written in the strict shape of Open
//! Responses: keys that may be null are there all the same. The stream's
//! `error` event has OpenAI's and Open Responses' shape at once.
//!
//! # Normal form
//!
//! Reading and writing again gives what came, except:
//!
//! - In requests a null counts as absent; so do empty `text`, `reasoning`,
//!   `include`, `tools` and `logprobs`, and `stream: false`. The values of
//!   `include` come in another order. `output_text` parts get their
//!   `annotations`, reasoning items their `summary`; a reasoning item's empty
//!   `content` is left out. A wrong `model` is replaced by the target's.
//! - In answers the keys of the strict shape that were absent are added:
//!   nulls, the request's values, or OpenAI's defaults (`temperature` 1.0,
//!   `truncation` `disabled`...); `annotations` and `logprobs` of texts and
//!   the details of usage (0) too. `created_at` loses a fraction of a second.
//! - In streams `sequence_number` is counted anew, `obfuscation` is left
//!   out, `response.in_progress` always follows `response.created`, and
//!   `response.queued` is left out.
//!
//! # State
//!
//! The codec carries every field; that a server keeps no state is policy, for
//! which [`state_asked`] tells what a request asks for.

mod answer_decode;
mod answer_encode;
mod cross;
mod echo;
mod error;
mod item;
mod listed;
mod open_item;
mod part;
mod request_decode;
mod request_encode;
mod rest;
mod run;
mod status;
mod stream_decode;
mod stream_encode;
mod stream_part;
mod support;
mod tool;
mod usage;
mod wire;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use self::listed::list_item;
pub use self::request_decode::state_asked;
pub use self::run::{Call, End, Run, RunHead};
use crate::codec::FieldSupport;
use crate::format::error_object;
use crate::model::{Answer, ApiError, Dialect, Extra, Request};
use crate::{
    AnswerContext, Codec, DecodeError, EncodeError, Losses, RequestTarget, StreamDecoder,
    StreamEncoder,
};

/// The dialect of this module.
const OURS: Dialect = Dialect::Responses;

/// The codec of OpenAI Responses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Responses;

impl Codec for Responses {
    fn dialect(&self) -> Dialect {
        OURS
    }

    fn decode_request(&self, body: &[u8]) -> Result<Request, DecodeError> {
        request_decode::decode(body)
    }

    fn encode_request(
        &self,
        request: &Request,
        target: &RequestTarget<'_>,
        losses: &mut Losses,
    ) -> Result<Vec<u8>, EncodeError> {
        Ok(request_encode::encode(request, target, losses))
    }

    fn decode_answer(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        answer_decode::decode(body)
    }

    fn encode_answer(&self, answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
        answer_encode::encode(answer, context)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::<stream_decode::Decoder>::default()
    }

    fn stream_encoder(&self, context: &AnswerContext<'_>) -> Box<dyn StreamEncoder> {
        Box::new(stream_encode::Encoder::new(context))
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error_object::decode(OURS, status, body)
    }

    fn encode_error(&self, error: &ApiError, _request_id: Option<&str>) -> Vec<u8> {
        // The request's id is in a header.
        error::encode(error)
    }

    fn fields(&self) -> &'static [FieldSupport] {
        support::FIELDS
    }

    fn own_fields(&self) -> &'static [&'static str] {
        support::OWN_FIELDS
    }
}

/// Writes back the extras of this dialect; those of others stay away.
fn restore(extra: &Extra, object: &mut Map<String, Value>) {
    extra.write(OURS, object, "", &mut Losses::default());
}
