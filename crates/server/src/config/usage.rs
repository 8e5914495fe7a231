//! `[usage]` and `[budgets]`: how the books are kept.

use freehold_gateway::options::At;
use serde::Deserialize;

/// The `[usage]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageOptions {
    /// When an exchange is on disk. Default: `async`.
    pub durability: Durability,
    /// How often records are written under `async`, in milliseconds: what a
    /// crash can lose. Default: 100.
    pub flush_ms: u64,
}

/// When an exchange is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Within the flush window.
    #[default]
    Async,
    /// Before the provider is asked.
    Sync,
}

/// The `[budgets]` table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BudgetOptions {
    /// What happens to requests under a budget while the store cannot be
    /// written. Default: `allow`.
    pub store_down: StoreDown,
}

/// What happens while the store cannot be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreDown {
    /// They go on against the balance in memory.
    #[default]
    Allow,
    /// They are refused.
    Deny,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self { durability: Durability::default(), flush_ms: 100 }
    }
}

impl UsageOptions {
    pub(super) fn validate(self, at: &mut At<'_>) {
        if !(1..=10_000).contains(&self.flush_ms) {
            at.add("flush_ms", format!("{} is not between 1 and 10000", self.flush_ms));
        }
    }
}
