//! Events of limits: at one, a turn pauses and asks; it does not fail.

use freehold_types::Money;
use serde::{Deserialize, Serialize};

use super::usage::money_option;

/// What may be used. `None` is no limit of its own; the key's budgets hold in
/// any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Times that a model is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Tokens, in and out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "money_option")]
    pub cost: Option<Money>,
    /// Milliseconds at work; waiting for others does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_ms: Option<u64>,
}

impl Limits {
    /// Whether none is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and the others' where these say nothing.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            steps: self.steps.or(others.steps),
            tokens: self.tokens.or(others.tokens),
            cost: self.cost.or(others.cost),
            active_ms: self.active_ms.or(others.active_ms),
        }
    }
}

/// Whose limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The turn's.
    Turn,
    /// The session's.
    Session,
    /// Those of the key or its groups, which the gateway's admission keeps.
    Key,
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Of steps.
    Steps,
    /// Of tokens.
    Tokens,
    /// Of money.
    Cost,
    /// Of time at work.
    Active,
}

/// The turn has used what it may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetPaused {
    /// Whose limit.
    pub scope: Scope,
    /// Which.
    pub limit: LimitKind,
}

/// Limits are set anew; a turn that was paused tries again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetRaised {
    /// Whose. For a key's the limits are empty: they are kept elsewhere.
    pub scope: Scope,
    /// All of them, as they are from now on.
    pub limits: Limits,
}
