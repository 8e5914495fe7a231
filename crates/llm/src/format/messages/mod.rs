//! Anthropic Messages: `POST /v1/messages` and `/v1/messages/count_tokens`.
//!
//! Decoding and encoding again gives the same JSON up to this normal form:
//!
//! - a field of null is the same as an absent one, and so are an empty
//!   `signature` and, in an answer, empty `citations`;
//! - the JSON inside numbers and strings is equal as values, not as bytes
//!   (`1.0` stays `1.0`, `\u0041` becomes `A`);
//! - in a stream, pieces of one block's text may be cut elsewhere, an empty
//!   text block is left out, and a server tool's input comes in one piece;
//! - a thinking block with a `signature` in our own envelope
//!   ([`crate::seal`]) is another dialect's reasoning, not this one's.
//!
//! What crosses in another form:
//!
//! - System and developer messages from anywhere in the conversation join
//!   `system` in their order, as other gateways do: not every model takes the
//!   `system` role in `messages`. From this dialect's own clients the role
//!   passes as it is.
//! - Neighbours of one side become one message; in it tool results stand
//!   first.
//! - A tool call whose input is no JSON object is sent as an object that
//!   holds the raw text.
//! - How much to think: see `thinking.rs`.
//! - Sealed reasoning of another issuer is never sent to a provider. In an
//!   answer it rides in `signature` or `data`, in an envelope.

mod answer;
mod block_decode;
mod block_encode;
mod block_writer;
mod cache;
mod citation;
mod conversation;
mod count;
mod error;
mod fields;
mod plain;
mod request_decode;
mod request_encode;
mod stop;
mod stream_decode;
mod stream_encode;
mod thinking;
mod tool;
mod usage;

use crate::codec::{
    AnswerContext, Codec, DecodeError, EncodeError, FieldSupport, Losses, RequestTarget,
    StreamDecoder, StreamEncoder,
};
use crate::model::{Answer, ApiError, Dialect, Request};

pub use count::{
    decode_count_answer, decode_count_request, encode_count_answer, encode_count_request,
};

const OURS: Dialect = Dialect::Messages;

/// The codec of this dialect.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages;

impl Codec for Messages {
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
        let object = request_encode::encode(request, target, losses)?;
        Ok(super::json::to_vec(&object.into()))
    }

    fn decode_answer(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        answer::decode(body)
    }

    fn encode_answer(&self, answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
        answer::encode(answer, context)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream_decode::Decoder::new())
    }

    fn stream_encoder(&self, context: &AnswerContext<'_>) -> Box<dyn StreamEncoder> {
        Box::new(stream_encode::Encoder::new(context))
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error::decode(status, body)
    }

    fn encode_error(&self, error: &ApiError, request_id: Option<&str>) -> Vec<u8> {
        super::json::to_vec(&error::encode(error, request_id))
    }

    fn fields(&self) -> &'static [FieldSupport] {
        fields::FIELDS
    }

    fn own_fields(&self) -> &'static [&'static str] {
        fields::OWN_FIELDS
    }
}

#[cfg(test)]
mod tests;
