//! Where each table lies when an engine spreads them over machines.

use crate::sessions;

/// Where a table lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Spread by this column, together with all others that are: a session's
    /// rows of all tables lie on one machine.
    Spread(&'static str),
    /// A copy on every machine: small, read by all, seldom changed.
    Everywhere,
    /// On the machine that nodes connect to.
    Here,
}

/// Small configuration.
const EVERYWHERE: [&str; 4] = ["groups", "keys", "budgets", "tenant_keys"];
/// What no session has a part in: written in batches over all tenants, or each
/// second.
const HERE: [&str; 8] = [
    "exchanges",
    "lost_attempts",
    "usage_days",
    "budget_spend",
    "budget_shares",
    "nodes",
    "changes",
    "migrations",
];

/// Every table, those that are spread first; the first of all is the one that
/// the others lie with.
pub fn tables() -> impl Iterator<Item = (&'static str, Place)> {
    let spread = sessions::TABLES.iter().map(|(table, column)| (*table, Place::Spread(column)));
    let everywhere = EVERYWHERE.iter().map(|table| (*table, Place::Everywhere));
    spread.chain(everywhere).chain(HERE.iter().map(|table| (*table, Place::Here)))
}
