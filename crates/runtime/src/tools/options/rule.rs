//! The rules of one tool, or of all tools of a source.

use freehold_gateway::options::At;
use serde::Deserialize;

use super::ApprovalOptions;
use crate::event::RetryRule;

/// How long a call may take by default.
pub(super) const TIMEOUT_MS: u64 = 60_000;

/// More than a day is a slip of the hand: what waits longer waits on a timer.
const TIMEOUT_MS_MAX: u64 = 24 * 3_600_000;

/// How much of a result a model is shown by default.
pub(super) const RESULT_BYTES_MAX: usize = 32 * 1024;

/// `[tools.NAME.rules]` for all tools of a source, `[tools.NAME.tools.TOOL]`
/// for one. What is left out is as annotations or the HTTP method say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleOptions {
    /// Whether it may not be called. Default: false.
    pub forbidden: Option<bool>,
    /// Who is asked before each call.
    pub approval: Option<ApprovalOptions>,
    /// What becomes of a call of which nobody knows whether it ran.
    pub retry: Option<Retry>,
    /// How often it is started without asking anybody. Default: 3 where it may
    /// be repeated, else 1.
    pub attempts_max: Option<u32>,
    /// How long one start may take, in milliseconds. Default: 60,000.
    pub timeout_ms: Option<u64>,
    /// The most of a result that the model is shown, in bytes; the rest it
    /// reads in pages. Default: 32,768.
    pub result_bytes_max: Option<usize>,
    /// How the tool is asked what became of a call.
    pub query: Option<QueryOptions>,
    /// The argument that the idempotency key goes into, where a tool takes it
    /// as one.
    pub key_argument: Option<String>,
}

/// What becomes of a call of which nobody knows whether it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It is called again: the same call twice has one effect.
    Idempotent,
    /// The tool is asked by key.
    QueryByKey,
    /// A person decides.
    Ask,
    /// The model is told `unknown`.
    Unknown,
}

impl From<Retry> for RetryRule {
    fn from(retry: Retry) -> Self {
        match retry {
            Retry::Idempotent => Self::Idempotent,
            Retry::QueryByKey => Self::QueryByKey,
            Retry::Ask => Self::AskHuman,
            Retry::Unknown => Self::TellUnknown,
        }
    }
}

/// How a tool is asked by key: by another tool of the same source, or, for an
/// HTTP operation, by a GET of its own path with the key in a header.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QueryOptions {
    /// The operation or MCP tool that is asked.
    pub tool: Option<String>,
    /// Its argument that takes the key.
    pub argument: Option<String>,
    /// The header that takes the key.
    pub header: Option<String>,
}

impl RuleOptions {
    #[must_use]
    /// These rules, and where they say nothing, the others.
    pub fn or(&self, others: &Self) -> Self {
        Self {
            forbidden: self.forbidden.or(others.forbidden),
            approval: self.approval.clone().or_else(|| others.approval.clone()),
            retry: self.retry.or(others.retry),
            attempts_max: self.attempts_max.or(others.attempts_max),
            timeout_ms: self.timeout_ms.or(others.timeout_ms),
            result_bytes_max: self.result_bytes_max.or(others.result_bytes_max),
            query: self.query.clone().or_else(|| others.query.clone()),
            key_argument: self.key_argument.clone().or_else(|| others.key_argument.clone()),
        }
    }

    /// How long one start may take.
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    /// The most of a result that a model is shown.
    pub fn result_bytes_max(&self) -> usize {
        self.result_bytes_max.unwrap_or(RESULT_BYTES_MAX)
    }

    pub(super) fn validate(&self, at: &mut At<'_>) {
        if let Some(ms) = self.timeout_ms {
            check_timeout(at, ms);
        }
        if let Some(bytes) = self.result_bytes_max {
            check_result(at, bytes);
        }
        if self.attempts_max.is_some_and(|most| most == 0 || most > 100) {
            at.add("attempts_max", "it must be between 1 and 100");
        }
        if let Some(approval) = &self.approval {
            approval.validate(at);
        }
        if self.retry == Some(Retry::QueryByKey) && self.query.is_none() {
            at.add("retry", "`query_by_key` needs a `query` that says how the tool is asked");
        }
        if let Some(query) = &self.query {
            query.validate(at);
        }
    }
}

impl QueryOptions {
    fn validate(&self, at: &mut At<'_>) {
        let by_tool = self.tool.is_some() && self.argument.is_some() && self.header.is_none();
        let by_header = self.header.is_some() && self.tool.is_none() && self.argument.is_none();
        if !by_tool && !by_header {
            at.add("query", "write either `tool` and `argument`, or `header`");
        }
        if self.header.as_ref().is_some_and(|name| http::HeaderName::try_from(name).is_err()) {
            at.add("query.header", "it cannot be the name of a header");
        }
    }
}

pub(super) fn check_timeout(at: &mut At<'_>, ms: u64) {
    if ms == 0 || ms > TIMEOUT_MS_MAX {
        at.add("timeout_ms", format!("{ms} is not between 1 and {TIMEOUT_MS_MAX}"));
    }
}

pub(super) fn check_result(at: &mut At<'_>, bytes: usize) {
    if !(1_024..=1 << 20).contains(&bytes) {
        at.add("result_bytes_max", format!("{bytes} is not between 1024 and 1048576"));
    }
}
