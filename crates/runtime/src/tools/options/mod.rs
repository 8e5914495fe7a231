//! `[tools]`: what the owner lets agents call, and by which rules.

mod approval;
mod auth;
mod rule;
mod source;

pub use approval::ApprovalOptions;
pub use auth::{AuthOptions, Scheme};
pub use rule::{QueryOptions, Retry, RuleOptions};
pub use source::{Elicitation, Kind, Revision, ToolOptions};

use serde::Deserialize;

use freehold_gateway::options::At;

/// The `[client_tools]` table: what holds for MCP servers that clients name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientToolOptions {
    /// Whether clients may name MCP servers at all. Default: true; their
    /// addresses go through `[gateway.fetch]`.
    pub mcp: bool,
    /// How long one call may take, in milliseconds. Default: 60,000.
    pub timeout_ms: u64,
    /// How long an approver has, in hours. Default: 168, a week.
    pub approval_hours: u64,
    /// The most of a result that a model is shown, in bytes. Default: 32,768.
    pub result_bytes_max: usize,
}

impl Default for ClientToolOptions {
    fn default() -> Self {
        Self {
            mcp: true,
            timeout_ms: rule::TIMEOUT_MS,
            approval_hours: approval::HOURS,
            result_bytes_max: rule::RESULT_BYTES_MAX,
        }
    }
}

impl ClientToolOptions {
    /// Adds what is wrong with it.
    pub fn validate(&self, at: &mut At<'_>) {
        rule::check_timeout(at, self.timeout_ms);
        rule::check_result(at, self.result_bytes_max);
        approval::check_hours(at, "approval_hours", self.approval_hours);
    }
}
