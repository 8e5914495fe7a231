//! What of each budget this node may spend without asking anybody.
//!
//! Each node publishes what it has taken of a budget and what it may still
//! take; together with what is spent that never exceeds the budget, for the
//! store's row has a version that each change has seen. So nodes that each
//! decide in memory keep one limit between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_store::shares::{self, Share, Shares};
use freehold_types::{BudgetId, DbError, Money, NodeId, TenantId};
use jiff::Timestamp;

use crate::budget::{Account, Others};
use crate::{Control, Error};

/// Rows that are read at once.
const PAGE: u32 = 1_000;
/// Times that a row is looked at anew in one round, when others were faster.
const PASSES: usize = 4;

type Rows = BTreeMap<(TenantId, BudgetId), Shares>;
type Accounts = Vec<(TenantId, Arc<Account>)>;

/// Who spends of the budgets.
#[derive(Clone, Copy, Debug)]
pub struct Spenders<'a> {
    /// This node.
    pub me: NodeId,
    /// All that are alive, this one among them.
    pub alive: &'a [NodeId],
    /// All that may have taken something, the alive ones among them.
    pub all: &'a BTreeSet<NodeId>,
}

impl Control {
    /// Shares the budgets out anew between the nodes. To be called every
    /// [`REFRESH`](crate::REFRESH), and first before anything is admitted: a
    /// node has nothing of a budget before.
    pub async fn share_budgets(&self, spenders: Spenders<'_>) -> Result<(), Error> {
        let mut left: Accounts = {
            let mut registry = self.registry();
            registry.set_nodes(spenders.alive.len());
            let accounts = registry.accounts();
            accounts
                .map(|(budget, account)| (budget.scope.tenant().clone(), Arc::clone(account)))
                .collect()
        };
        for _ in 0..PASSES {
            if left.is_empty() {
                break;
            }
            // Before the rows: what is written after is then counted twice,
            // and never not at all.
            let written = self.books.spent();
            let rows = self.rows().await?;
            let mut again = Vec::new();
            for (tenant, account) in left {
                let row = rows.get(&(tenant.clone(), account.id()));
                if !self.share(&tenant, &account, row, &written, spenders).await? {
                    again.push((tenant, account));
                }
            }
            left = again;
        }
        Ok(())
    }

    async fn rows(&self) -> Result<Rows, DbError> {
        let mut rows = Rows::new();
        let mut last: Option<Shares> = None;
        loop {
            let page = shares::all(&*self.db, last.as_ref(), PAGE).await?;
            let Some(row) = page.last() else { return Ok(rows) };
            last = Some(row.clone());
            rows.extend(page.into_iter().map(|row| ((row.tenant.clone(), row.budget), row)));
        }
    }

    /// Takes this node's share of one budget; tells whether that is done.
    async fn share(
        &self,
        tenant: &TenantId,
        account: &Account,
        row: Option<&Shares>,
        written: &BTreeMap<(BudgetId, Timestamp), Money>,
        spenders: Spenders<'_>,
    ) -> Result<bool, Error> {
        let now = self.env.now();
        let period_start = account.window_start(now);
        let Some(row) = row.filter(|row| row.period_start >= period_start) else {
            let begun = begin(tenant, account, row, now, spenders);
            guarded(self.db.write(shares::put(&begun)).await)?;
            return Ok(false);
        };
        self.books.forget_spent(account.id(), period_start);
        let mut of = row.of.clone();
        let mine = of.remove(&spenders.me);
        let before = of.len();
        of.retain(|node, _| spenders.all.contains(node));
        let sum = |part: fn(&Share) -> Money| {
            of.values().map(part).fold(Money::ZERO, Money::saturating_add)
        };
        let others = Others {
            period_start: row.period_start,
            spent: row.spent,
            written: written.get(&(account.id(), period_start)).copied().unwrap_or_default(),
            taken: sum(|share| share.taken),
            free: sum(|share| share.free),
            nodes: spenders.alive.len(),
        };
        // A later window is another node's, whose clock is ahead.
        let Some(claim) = account.claim(now, &others) else { return Ok(true) };
        if mine != Some(claim.share) || of.len() != before {
            of.insert(spenders.me, claim.share);
            if !guarded(self.db.write(shares::put(&Shares { of, ..row.clone() })).await)? {
                return Ok(false);
            }
        }
        account.grant(now, &claim);
        Ok(true)
    }

    /// Gives back what this node has of the budgets, when it has written all
    /// that it took.
    pub async fn leave_budgets(&self, me: NodeId) -> Result<(), Error> {
        for _ in 0..PASSES {
            let mut done = true;
            for mut row in self.rows().await?.into_values() {
                if row.of.remove(&me).is_some() {
                    done &= guarded(self.db.write(shares::put(&row)).await)?;
                }
            }
            if done {
                break;
            }
        }
        Ok(())
    }
}

/// The row of a budget, or of a window of it, that has none. Each node has
/// begun with its part, before anybody asked.
fn begin(
    tenant: &TenantId,
    account: &Account,
    row: Option<&Shares>,
    now: Timestamp,
    spenders: Spenders<'_>,
) -> Shares {
    let part = Share { taken: Money::ZERO, free: account.fresh(now, spenders.alive.len()) };
    Shares {
        tenant: tenant.clone(),
        budget: account.id(),
        period_start: account.window_start(now),
        version: row.map_or(0, |row| row.version),
        spent: Money::ZERO,
        of: spenders.alive.iter().map(|node| (*node, part)).collect(),
    }
}

/// Whether it took effect, or another one was faster.
fn guarded<T>(outcome: Result<T, DbError>) -> Result<bool, DbError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(DbError::GuardFailed { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
