//! `[usage]` and `[budgets]`: how the books are kept.

use freehold_gateway::options::At;
use serde::Deserialize;

/// The `[usage]` table. It needs a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageOptions {
    /// When an exchange is on disk. Default: `async`.
    pub durability: Durability,
    /// How long records are gathered before they are written, in
    /// milliseconds: with the time of a commit, what a crash can lose under
    /// `async`. Default: 50.
    pub flush_ms: u64,
    /// What happens to new exchanges while the store cannot be written and no
    /// more records can wait for it. Default: `serve`.
    pub store_down: Otherwise,
}

/// When an exchange is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Within the flush window.
    #[default]
    Async,
    /// Before the provider is asked, and before the answer ends.
    Sync,
}

/// The `[budgets]` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetOptions {
    /// What happens to requests under a budget for models without a price.
    /// Default: `serve`.
    pub unpriced: Otherwise,
}

/// What happens where the books cannot be kept as they should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// Serve all the same.
    #[default]
    Serve,
    /// Refuse.
    Refuse,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self { durability: Durability::default(), flush_ms: 50, store_down: Otherwise::default() }
    }
}

impl UsageOptions {
    pub(super) fn validate(self, at: &mut At<'_>) {
        if !(1..=10_000).contains(&self.flush_ms) {
            at.add("flush_ms", format!("{} is not between 1 and 10000", self.flush_ms));
        }
    }
}
