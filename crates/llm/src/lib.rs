//! Every way to speak to a model: dialects, the hub between them, and the
//! catalogue of providers as data.
//!
//! Bytes in, values out. Nothing here knows a clock, a socket or a runtime; a
//! codec is a pure function of what it is given, so it can be tested on
//! recordings and fuzzed. A vendor's JSON field may be named in `format/` and
//! nowhere else in the workspace.
//!
//! To add a dialect: a folder in `format/` with one [`Codec`], a row in
//! [`Dialect::ALL`], its recordings in `testdata/`. To add a compatible
//! provider: a row in `catalogue.toml`.

pub mod catalogue;
pub mod codec;
pub mod estimate;
pub mod format;
pub mod losses;
pub mod model;
mod plain_text;
pub mod scan;
pub mod seal;
pub mod sse;

pub use codec::{
    AnswerContext, Codec, DecodeError, EncodeError, IdSource, Loss, Losses, Quirk, RequestTarget,
    StreamDecoder, StreamEncoder,
};
pub use model::Dialect;
