//! What one scope asks of every exchange in it.

use std::sync::Arc;

use arc_swap::ArcSwap;

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

    /// In force with the next exchange; those in flight settle with the
    /// accounts that they reserved in.
    pub(crate) fn set_accounts(&self, accounts: Vec<Arc<Account>>) {
        self.accounts.store(Arc::new(accounts));
    }
}
