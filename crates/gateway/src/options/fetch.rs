//! Limits on addresses that come from clients, models and documents.

use serde::Deserialize;

use super::problem::At;
use crate::transport::guard::Network;

/// The `[gateway.fetch]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchOptions {
    /// Networks as `10.1.0.0/16`, or single addresses, that may be fetched from
    /// although they are not public. Needs a restart. Default: none.
    pub allow: Vec<String>,
    /// Whether plain http is fetched as well. Needs a restart. Default: false.
    pub allow_http: bool,
    /// Largest body, in bytes. Default: 20 MiB.
    pub body_bytes_max: u64,
    /// For the whole fetch, redirects included, in milliseconds.
    /// Default: 10,000.
    pub timeout_ms: u64,
    /// Default: 3.
    pub redirects_max: u32,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            allow_http: false,
            body_bytes_max: 20 << 20,
            timeout_ms: 10_000,
            redirects_max: 3,
        }
    }
}

impl FetchOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        if self.body_bytes_max == 0 || self.timeout_ms == 0 {
            at.add("fetch", "body_bytes_max and timeout_ms must be at least 1");
        }
        for (n, allowed) in self.allow.iter().enumerate() {
            if Network::parse(allowed).is_none() {
                at.add(
                    &format!("fetch.allow.{n}"),
                    format!("`{allowed}` is no network such as 10.1.0.0/16"),
                );
            }
        }
    }
}
