//! How much at a time: rates and concurrency, and how much an upstream bears.

mod adaptive;
mod bucket;
mod meter;
mod slots;

pub use adaptive::{Adaptive, AdaptiveSettings, Head, Waiting};
pub(crate) use bucket::{Bucket, Dry};
pub(crate) use meter::{Meter, MeterHold};
pub(crate) use slots::Slots;

/// What a key, a group or a tenant may use at a time. `None` is no limit of
/// its own; those above it still hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests per minute; a minute's worth may come at once.
    pub requests_per_minute: Option<u64>,
    /// Tokens per minute, input and output: the upper estimate before an
    /// exchange, what it used after.
    pub tokens_per_minute: Option<u64>,
    /// Exchanges at once.
    pub concurrency: Option<u32>,
}
