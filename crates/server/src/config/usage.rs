//! `[usage]` and `[budgets]`: how the books are kept.

use std::time::Duration;

use freehold_gateway::options::At;
use serde::Deserialize;

/// The `[usage]` table.
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
    /// How many days an exchange is kept after it began; 0 is for ever. What
    /// it was summed up to, by day, is always kept. Default: 0.
    pub retention_days: u32,
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
        Self {
            durability: Durability::default(),
            flush_ms: 50,
            store_down: Otherwise::default(),
            retention_days: 0,
        }
    }
}

/// The longest retention that can be asked for, in days: ten years.
const RETENTION_DAYS_MAX: u32 = 3_653;
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl UsageOptions {
    /// How long exchanges are kept; `None` is for ever.
    pub fn retention(&self) -> Option<Duration> {
        (self.retention_days > 0).then(|| DAY * self.retention_days)
    }

    pub(super) fn validate(self, at: &mut At<'_>) {
        if !(1..=10_000).contains(&self.flush_ms) {
            at.add("flush_ms", format!("{} is not between 1 and 10000", self.flush_ms));
        }
        if self.retention_days > RETENTION_DAYS_MAX {
            let days = self.retention_days;
            at.add(
                "retention_days",
                format!("{days} is more than {RETENTION_DAYS_MAX}; write 0 to keep for ever"),
            );
        }
    }
}
