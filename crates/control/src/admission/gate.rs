//! What one scope asks of every exchange in it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use freehold_types::BudgetId;

use crate::budget::Account;
use crate::limits::Meter;
use crate::{Limits, Scope};

/// The limits and the budgets of one scope. It outlives every change of the
/// keys and groups around it, and with it what is taken.
pub(crate) struct Gate {
    meter: Meter,
    accounts: ArcSwap<Vec<Arc<Account>>>,
}

impl Gate {
    pub(crate) fn new(scope: Scope, limits: Limits) -> Self {
        Self { meter: Meter::new(scope, limits), accounts: ArcSwap::default() }
    }

    pub(crate) fn meter(&self) -> &Meter {
        &self.meter
    }

    pub(crate) fn accounts(&self) -> arc_swap::Guard<Arc<Vec<Arc<Account>>>> {
        self.accounts.load()
    }

    /// In force with the next exchange. Callers take turns, here and below.
    pub(crate) fn open_account(&self, account: Arc<Account>) {
        let mut accounts = Vec::clone(&self.accounts.load());
        accounts.push(account);
        self.accounts.store(Arc::new(accounts));
    }

    /// Exchanges in flight settle with the accounts that they reserved in.
    pub(crate) fn close_account(&self, id: BudgetId) {
        let mut accounts = Vec::clone(&self.accounts.load());
        accounts.retain(|account| account.id() != id);
        self.accounts.store(Arc::new(accounts));
    }
}
