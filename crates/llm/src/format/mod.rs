//! One folder per dialect. The only place that names a vendor's JSON field.

use crate::{Codec, Dialect};

pub mod chat;
mod error;
mod error_object;
pub mod json;
mod json_read;
pub mod json_write;
pub mod messages;
pub mod responses;

/// The codecs, one a dialect, in the order of [`Dialect::ALL`].
pub static CODECS: &[&dyn Codec] = &[&chat::Chat, &responses::Responses, &messages::Messages];

/// The codec of a dialect.
pub fn codec(dialect: Dialect) -> &'static dyn Codec {
    match dialect {
        Dialect::Chat => &chat::Chat,
        Dialect::Responses => &responses::Responses,
        Dialect::Messages => &messages::Messages,
    }
}
