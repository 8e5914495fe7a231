//! OpenAI Chat Completions, and the many servers compatible with it.
//!
//! Requests, answers and streams in both directions. A request or an answer
//! that is decoded and encoded again in this dialect is the same up to this
//! normal form:
//!
//! - A field that is null equals one that is absent; so do an empty list of
//!   `tools`, `tool_calls`, `annotations` or `images`, an empty `refusal`,
//!   `reasoning_content` or `reasoning`, and an empty object where a server
//!   fills a deprecated field (`function_call`, `audio`) or the other form of a
//!   call (`custom`); in answers also an empty `finish_reason` and `content`,
//!   a choice without `message`, and `logprobs` without any.
//! - The order of an object's fields is not kept.
//! - `object` is always `chat.completion` or `chat.completion.chunk`.
//! - A tool's or call's `type` is written where it was missing.
//! - A call or choice is numbered by its place: `index` of a complete answer's
//!   choice is its place in the list.
//! - `arguments` sent as an object become their JSON text, absent ones are
//!   empty; a call or answer without id gets one.
//! - `prompt_tokens_details` and `completion_tokens_details` are left out
//!   where they are empty.
//! - `created` is a whole number; it and `model` are written where they were
//!   missing.
//! - In a stream, padding (`obfuscation`, `p`) is left out; what every chunk
//!   repeats (`id`, `created`) is that of the first; a choice that ends
//!   without `finish_reason` gets one; reasoning that came in parts of the
//!   content, or only in details, is `reasoning_content`; `service_tier` is told
//!   with the usage, so only a client that asks for usage hears of it.
//!
//! Where Chat has several ways to say one thing (`max_tokens` or
//! `max_completion_tokens`, a string or a list of one text), the way taken is
//! remembered in [`crate::model::Extra::spelling`] and taken again.
//!
//! Crossing from another dialect: `instructions` become the first system
//! message; what the model said, thought and called in one turn becomes one
//! assistant message; tool results become `tool` messages, and pictures in
//! them a user message after the results, since Chat takes only text there.
//! Reasoning of an answer is `reasoning_content` with what is sealed beside it
//! in OpenRouter's `reasoning_details`, from where a client returns it.

mod annotation;
mod answer;
mod call_id;
mod error;
mod fields;
mod message_decode;
mod message_encode;
mod part;
mod reasoning;
mod request_decode;
mod request_encode;
mod stop;
mod stream_calls;
mod stream_choice;
mod stream_decode;
mod stream_encode;
mod stream_thought;
mod thinking;
mod tool;
mod usage;

#[cfg(test)]
mod tests;

use crate::codec::{
    AnswerContext, Codec, DecodeError, EncodeError, FieldSupport, Losses, RequestTarget,
    StreamDecoder, StreamEncoder,
};
use crate::format::error_object;
use crate::model::{Answer, ApiError, Dialect, Request};

const ME: Dialect = Dialect::Chat;

/// The codec.
pub static CODEC: Chat = Chat;

/// OpenAI Chat Completions.
#[derive(Clone, Copy, Debug)]
pub struct Chat;

impl Codec for Chat {
    fn dialect(&self) -> Dialect {
        ME
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
        request_encode::encode(request, target, losses)
    }

    fn decode_answer(&self, body: &[u8]) -> Result<Answer, DecodeError> {
        answer::decode(body)
    }

    fn encode_answer(&self, answer: &Answer, context: &AnswerContext<'_>) -> Vec<u8> {
        answer::encode(answer, context)
    }

    fn stream_decoder(&self) -> Box<dyn StreamDecoder> {
        Box::new(stream_decode::Decoder::default())
    }

    fn stream_encoder(&self, context: &AnswerContext<'_>) -> Box<dyn StreamEncoder> {
        Box::new(stream_encode::Encoder::new(context))
    }

    fn decode_error(&self, status: u16, body: &[u8]) -> ApiError {
        error_object::decode(ME, status, body)
    }

    /// OpenAI tells the request's id in a header, so the body has none.
    fn encode_error(&self, error: &ApiError, _request_id: Option<&str>) -> Vec<u8> {
        error::encode(error)
    }

    fn fields(&self) -> &'static [FieldSupport] {
        fields::FIELDS
    }

    fn own_fields(&self) -> &'static [&'static str] {
        fields::OWN_FIELDS
    }
}
