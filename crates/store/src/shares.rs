//! What of a budget each node may spend without asking anybody.
//!
//! All shares of a budget are in one row, whose version guards it: who changes
//! his own has seen those of all others, and what was spent.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_types::{BudgetId, Db, DbError, Money, NodeId, Row, TenantId, Unit, args};
use jiff::Timestamp;

/// One node's share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Set aside or spent, and not yet among what was spent in the store.
    pub taken: Money,
    /// May be taken.
    pub free: Money,
}

/// All shares of a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Whose budget.
    pub tenant: TenantId,
    /// Which budget.
    pub budget: BudgetId,
    /// The period that they are of.
    pub period_start: Timestamp,
    /// Moves with each change; 0 if there are none yet.
    pub version: u64,
    /// Settled in that period, by all nodes.
    pub spent: Money,
    /// By node.
    pub of: BTreeMap<NodeId, Share>,
}

const ALL: &str = "SELECT s.tenant, s.budget, s.period_start, s.version, s.shares,
    COALESCE(b.spent_units, 0), COALESCE(b.spent_nanos, 0)
    FROM budget_shares AS s LEFT JOIN budget_spend AS b ON b.tenant = s.tenant
    AND b.budget = s.budget AND b.period_start = s.period_start
    WHERE (s.tenant, s.budget) > ($1, $2) ORDER BY s.tenant, s.budget LIMIT $3";
const INSERT: &str = "INSERT INTO budget_shares (tenant, budget, period_start, version, shares)
    VALUES ($1, $2, $3, 1, $4) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE budget_shares SET period_start = $3, shares = $4,
    version = version + 1 WHERE tenant = $1 AND budget = $2 AND version = $5";

/// The next shares of all tenants after the given ones. Empty at the end.
pub async fn all(db: &dyn Db, after: Option<&Shares>, limit: u32) -> Result<Vec<Shares>, DbError> {
    let (tenant, budget) = match after {
        Some(shares) => (shares.tenant.shared(), shares.budget.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(ALL, args![tenant, budget, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Puts these in place of those of `version`; fails its guard if somebody else
/// did so since.
pub fn put(shares: &Shares) -> Unit {
    let mut unit = Unit::new("shares.put");
    let (tenant, budget) = (shares.tenant.shared(), shares.budget.to_string());
    let text = write(&shares.of);
    if shares.version == 0 {
        unit.expect(1, INSERT, args![tenant, budget, shares.period_start, text]);
    } else {
        let args = args![tenant, budget, shares.period_start, text, shares.version];
        unit.expect(1, UPDATE, args);
    }
    unit
}

/// `{"node_..":["taken","free"]}`.
fn write(of: &BTreeMap<NodeId, Share>) -> String {
    let entries = of.iter().map(|(node, share)| {
        let Share { taken, free } = share;
        format!("\"{node}\":[\"{taken}\",\"{free}\"]")
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
}

fn read(mut row: Row) -> Result<Shares, DbError> {
    let (tenant, budget) = (row.parse()?, row.parse()?);
    let (period_start, version) = (row.take()?, row.take()?);
    let text: Arc<str> = row.take()?;
    let of = parse(&text)
        .ok_or_else(|| DbError::Corrupt(format!("the shares of the budget {budget} are {text}")))?;
    Ok(Shares { tenant, budget, period_start, version, spent: row.money()?, of })
}

fn parse(text: &str) -> Option<BTreeMap<NodeId, Share>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let entries = inner.split("],").filter(|entry| !entry.is_empty());
    entries
        .map(|entry| {
            let (node, amounts) = entry.trim_end_matches(']').split_once(":[")?;
            let (taken, free) = amounts.split_once(',')?;
            let plain = |quoted: &str| quoted.trim_matches('"').to_owned();
            let share =
                Share { taken: plain(taken).parse().ok()?, free: plain(free).parse().ok()? };
            Some((plain(node).parse().ok()?, share))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_back_as_they_were_written() {
        let node = |n: u8| format!("node_0189000000007000800000000000000{n}").parse().unwrap();
        let share = |taken: &str, free: &str| Share {
            taken: taken.parse().unwrap(),
            free: free.parse().unwrap(),
        };
        for of in [
            BTreeMap::new(),
            BTreeMap::from([(node(1), share("0", "12.5"))]),
            BTreeMap::from([(node(1), share("0.000000001", "1")), (node(2), share("3", "0"))]),
        ] {
            assert_eq!(parse(&write(&of)), Some(of));
        }
        assert_eq!(parse("{\"node_x\":[\"1\",\"2\"]}"), None);
        assert_eq!(parse("nonsense"), None);
    }
}
