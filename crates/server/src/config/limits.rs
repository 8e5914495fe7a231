//! `[limits]`: what holds where a key, group or tenant sets nothing itself.

use freehold_gateway::options::At;
use serde::Deserialize;

/// The `[limits]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOptions {
    /// Exchanges at one time over all clients; more are asked to come again.
    /// Default: no limit.
    pub in_flight_max: Option<u64>,
    /// For each key that sets none of its own.
    pub key: RateOptions,
}

/// Rates of one key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateOptions {
    /// Requests in a minute. Default: no limit.
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, input and output together. Default: no limit.
    pub tokens_per_minute: Option<u64>,
    /// Exchanges at one time. Default: no limit.
    pub concurrency: Option<u64>,
}

impl LimitOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        for (key, value) in [
            ("in_flight_max", self.in_flight_max),
            ("key.requests_per_minute", self.key.requests_per_minute),
            ("key.tokens_per_minute", self.key.tokens_per_minute),
            ("key.concurrency", self.key.concurrency),
        ] {
            if value == Some(0) {
                at.add(key, "0 would let nothing through: leave it out for no limit");
            }
        }
    }
}
