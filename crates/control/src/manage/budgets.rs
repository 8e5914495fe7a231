//! Budgets: make, change, remove, list.

use freehold_store::budgets::{self, Period};
use freehold_types::{BudgetId, Money, Page, PageRequest, TenantId};

use crate::budget::{Budget, Standing};
use crate::{Control, Error, Scope};

/// A budget that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBudget {
    /// Whose spending it bounds. A group or a key must be there.
    pub scope: Scope,
    /// The most that may be spent in a period.
    pub amount: Money,
    /// The period.
    pub period: Period,
}

impl Control {
    /// Makes a budget, in force with the next exchange when this returns. What
    /// was spent before does not count.
    pub async fn create_budget(&self, new: NewBudget) -> Result<Budget, Error> {
        check_amount(new.amount)?;
        let _turn = self.turn.lock().await;
        match &new.scope {
            Scope::Tenant(_) => {}
            Scope::Group(tenant, group) => drop(self.group(tenant, group)?),
            Scope::Key(tenant, key) => drop(self.key(tenant, *key)?),
        }
        let id = BudgetId::new(&*self.env);
        let NewBudget { scope, amount, period } = new;
        let budget = Budget { id, scope, amount, period };
        let now = self.env.now();
        self.commit(budgets::insert(&super::budget_to_row(&budget, now))).await?;
        self.registry().put_budget(budget.clone(), now, Money::ZERO);
        Ok(budget)
    }

    /// Another amount for a budget, in force when this returns.
    pub async fn update_budget(
        &self,
        tenant: &TenantId,
        id: BudgetId,
        amount: Money,
    ) -> Result<Budget, Error> {
        check_amount(amount)?;
        let _turn = self.turn.lock().await;
        let budget = Budget { amount, ..self.budget(tenant, id)?.0 };
        self.commit(budgets::update(tenant, id, amount)).await?;
        self.registry().put_budget(budget.clone(), self.env.now(), Money::ZERO);
        Ok(budget)
    }

    /// Removes a budget and what is known of its spending.
    pub async fn remove_budget(&self, tenant: &TenantId, id: BudgetId) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        self.budget(tenant, id)?;
        self.commit(budgets::delete(tenant, id)).await?;
        self.registry().remove_budget(id);
        Ok(())
    }

    /// One budget, and where it stands.
    pub fn budget(&self, tenant: &TenantId, id: BudgetId) -> Result<(Budget, Standing), Error> {
        let registry = self.registry();
        let mut found = registry.budgets(self.env.now());
        found
            .find(|(budget, _)| budget.id == id && budget.scope.tenant() == tenant)
            .map(|(budget, standing)| (budget.clone(), standing))
            .ok_or_else(|| Error::NoBudget(tenant.clone(), id))
    }

    /// A tenant's budgets and where they stand, oldest first; a page goes on
    /// after an id.
    pub fn budgets(&self, tenant: &TenantId, page: &PageRequest) -> Page<(Budget, Standing)> {
        let after = page.after.as_ref().and_then(|id| id.parse::<BudgetId>().ok());
        let registry = self.registry();
        let found = registry
            .budgets(self.env.now())
            .filter(|(budget, _)| budget.scope.tenant() == tenant)
            .filter(|(budget, _)| after.is_none_or(|after| budget.id > after))
            .take(super::one_more(page))
            .map(|(budget, standing)| (budget.clone(), standing));
        page.page(found.collect(), |(budget, _): &(Budget, Standing)| budget.id.to_string())
    }
}

fn check_amount(amount: Money) -> Result<(), Error> {
    if amount.is_negative() {
        let why = format!("{amount} is less than nothing");
        return Err(Error::Invalid { what: "the budget's amount", why });
    }
    Ok(())
}
