//! What administrators change: through the store first, then in memory.
//!
//! Each change holds the turn from reading what it depends on until it is in
//! memory, so that memory and store go the same way. A change that is dropped
//! half-way may be in the store and not in memory: its caller runs it to its
//! end, whoever has stopped to wait for it.

mod bootstrap;
mod budgets;
mod groups;
mod keys;
mod reports;

use std::sync::PoisonError;

use freehold_store as store;
use freehold_types::{Db, DbError, Money, PageRequest, Unit};
use jiff::Timestamp;

pub use budgets::NewBudget;
pub use keys::{Issued, KeyChange, NewKey};

use crate::budget::{Budget, Window};
use crate::identity::tree::{self, Groups};
use crate::identity::{Group, Key, Principals, Registry, group_from_row, key_from_row};
use crate::{Control, Error, Scope};

/// Rows that are read at once.
const PAGE: u32 = 10_000;

/// All that the store has of keys, groups and budgets.
pub(crate) struct Loaded {
    pub(crate) groups: Vec<Group>,
    pub(crate) keys: Vec<Key>,
    pub(crate) budgets: Vec<Budget>,
}

impl Loaded {
    /// Whether every key that is not revoked has its place in the tree.
    fn check(&self) -> Result<(), Error> {
        let placed = |group: &Group| ((group.tenant.clone(), group.id.clone()), group.clone());
        let groups: Groups = self.groups.iter().map(placed).collect();
        let live = self.keys.iter().filter(|key| key.revoked_at.is_none());
        for Key { tenant, group, id, .. } in live {
            tree::chain(&groups, tenant, group.as_ref()).map_err(|error| Error::Damaged {
                what: format!("group of the key `{id}`"),
                why: error.to_string(),
            })?;
        }
        Ok(())
    }
}

pub(crate) async fn load(db: &dyn Db) -> Result<Loaded, Error> {
    let mut groups = Vec::new();
    let mut last = None;
    loop {
        let page = store::groups::all(db, last.as_ref(), PAGE).await?;
        for row in &page {
            groups.push(group_from_row(row)?);
        }
        let Some(row) = page.into_iter().next_back() else { break };
        last = Some(row);
    }
    let mut keys = Vec::new();
    let mut last = None;
    loop {
        let page = store::keys::all(db, last.as_ref(), PAGE).await?;
        for row in &page {
            keys.push(key_from_row(row)?);
        }
        let Some(row) = page.into_iter().next_back() else { break };
        last = Some(row);
    }
    let mut budgets = Vec::new();
    let mut last = None;
    loop {
        let page = store::budgets::all(db, last.as_ref(), PAGE).await?;
        budgets.extend(page.iter().map(budget_from_row));
        let Some(row) = page.into_iter().next_back() else { break };
        last = Some(row);
    }
    Ok(Loaded { groups, keys, budgets })
}

/// Puts in what was spent of each budget in the period that holds `now`.
pub(crate) async fn load_spends(
    db: &dyn Db,
    registry: &mut Registry,
    now: Timestamp,
) -> Result<(), DbError> {
    let mut last = None;
    loop {
        let page = store::budgets::spends(db, last.as_ref(), PAGE).await?;
        for spend in &page {
            registry.set_spent(spend, now);
        }
        let Some(row) = page.into_iter().next_back() else { return Ok(()) };
        last = Some(row);
    }
}

/// How many entries to read to know whether there is a page after this one.
fn one_more(page: &PageRequest) -> usize {
    usize::try_from(page.limit()).unwrap_or(usize::MAX).saturating_add(1)
}

fn budget_from_row(row: &store::budgets::Budget) -> Budget {
    let tenant = row.tenant.clone();
    let scope = match &row.scope {
        store::budgets::Scope::Tenant => Scope::Tenant(tenant),
        store::budgets::Scope::Group(group) => Scope::Group(tenant, group.clone()),
        store::budgets::Scope::Key(key) => Scope::Key(tenant, *key),
    };
    Budget { id: row.id, scope, amount: row.amount, period: row.period }
}

fn budget_to_row(budget: &Budget, created_at: Timestamp) -> store::budgets::Budget {
    let scope = match &budget.scope {
        Scope::Tenant(_) => store::budgets::Scope::Tenant,
        Scope::Group(_, group) => store::budgets::Scope::Group(group.clone()),
        Scope::Key(_, key) => store::budgets::Scope::Key(*key),
    };
    store::budgets::Budget {
        tenant: budget.scope.tenant().clone(),
        id: budget.id,
        scope,
        period: budget.period,
        amount: budget.amount,
        created_at,
    }
}

impl Control {
    /// Takes up what the store has now: after somebody else has written to it.
    /// What is in flight, taken and spent stays as it is in memory.
    pub async fn reload(&self) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.reload_in_turn().await
    }

    pub(crate) async fn reload_in_turn(&self) -> Result<(), Error> {
        // Before what they count: what comes in between is read once more.
        let versions = store::changes::versions(&*self.db).await?;
        let loaded = load(&*self.db).await?;
        let now = self.env.now();
        let principals = self.registry().replace(loaded, now)?;
        self.publish(principals);
        *self.versions.lock().unwrap_or_else(PoisonError::into_inner) = versions;
        Ok(())
    }

    /// Writes a change that the caller, whose turn it is, puts into memory
    /// after. If nobody knows whether it was committed, memory follows the
    /// store as soon as that can be read.
    async fn commit(&self, unit: Unit) -> Result<(), Error> {
        match self.db.write(unit).await {
            Ok(_) => Ok(()),
            Err(error) => {
                if matches!(error, DbError::InDoubt(_)) {
                    // If the store is still away, the caller hears of that.
                    self.reload_in_turn().await?;
                }
                Err(error.into())
            }
        }
    }
}

impl Registry {
    /// Puts in what the store says was spent of a budget, if that is about the
    /// period that holds `now`.
    fn set_spent(&mut self, spend: &store::budgets::Spend, now: Timestamp) {
        let Some(budget) = self.budget(&spend.tenant, spend.budget).cloned() else { return };
        if Window::of(budget.period, now).start == spend.period_start {
            self.remove_budget(budget.id);
            self.put_budget(budget, now, spend.spent);
        }
    }

    /// Becomes what the store has, or stays what it is if that cannot be.
    /// Gates and accounts that are still there stay, with all that is taken.
    pub(crate) fn replace(&mut self, loaded: Loaded, now: Timestamp) -> Result<Principals, Error> {
        loaded.check()?;
        self.forget_all_but(&loaded);
        for group in loaded.groups {
            self.put_group(group);
        }
        for key in loaded.keys {
            self.put_key(key)?;
        }
        for budget in loaded.budgets {
            self.put_budget(budget, now, Money::ZERO);
        }
        Ok(self.principals()?)
    }
}

#[cfg(test)]
mod tests;
