//! `[limits]`: what the whole server and each tenant may take.

use std::collections::BTreeMap;

use freehold_gateway::options::At;
use freehold_types::TenantId;
use serde::Deserialize;

/// The `[limits]` table. Limits of keys and groups are kept with them, and set
/// by the command line or the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitOptions {
    /// Exchanges at one time over all clients; more are asked to come again.
    /// Default: 10,000.
    pub in_flight_max: u32,
    /// For all keys of a tenant together, by its name.
    pub tenants: BTreeMap<String, RateOptions>,
}

/// Rates of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateOptions {
    /// Requests in a minute. Default: no limit.
    pub requests_per_minute: Option<u64>,
    /// Tokens in a minute, input and output together. Default: no limit.
    pub tokens_per_minute: Option<u64>,
    /// Exchanges at one time. Default: no limit.
    pub concurrency: Option<u32>,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self { in_flight_max: 10_000, tenants: BTreeMap::new() }
    }
}

impl LimitOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        let none = "0 would let nothing through: leave it out for no limit";
        if self.in_flight_max == 0 {
            at.add("in_flight_max", "0 would let nothing through");
        }
        for (tenant, rates) in &self.tenants {
            if TenantId::new(tenant.as_str()).is_err() {
                at.add("tenants", format!("`{tenant}` cannot be the name of a tenant"));
                continue;
            }
            for (key, zero) in [
                ("requests_per_minute", rates.requests_per_minute == Some(0)),
                ("tokens_per_minute", rates.tokens_per_minute == Some(0)),
                ("concurrency", rates.concurrency == Some(0)),
            ] {
                if zero {
                    at.add(&format!("tenants.{tenant}.{key}"), none);
                }
            }
        }
    }
}
