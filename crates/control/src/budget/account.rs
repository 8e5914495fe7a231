//! One budget's arithmetic: what is spent, what is reserved, what is left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use freehold_store::budgets::Period;
use freehold_types::{BudgetId, Money};
use jiff::Timestamp;

use crate::Scope;
use crate::budget::Window;

/// A budget as it was agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Its id.
    pub id: BudgetId,
    /// Whose spending it bounds.
    pub scope: Scope,
    /// The most that may be spent in a period.
    pub amount: Money,
    /// The period.
    pub period: Period,
}

/// Where a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The run of the period that this is about.
    pub window: Window,
    /// Settled in it.
    pub spent: Money,
    /// Reserved in it by exchanges in flight.
    pub reserved: Money,
    /// How often an exchange cost more than it had reserved, since the start.
    pub overspends: u64,
}

/// The live side of a [`Budget`]. The lock is held for arithmetic only.
#[derive(Debug)]
pub(crate) struct Account {
    id: BudgetId,
    scope: Scope,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    amount: Money,
    period: Period,
    window: Window,
    /// Which window that is, counted; a hold of another one is not in
    /// `reserved` any more.
    turn: u64,
    spent: Money,
    reserved: Money,
    overspends: u64,
}

/// An amount that is set aside in one account, to be settled once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reservation {
    turn: u64,
    amount: Money,
    /// The start of the window that it belongs to.
    pub(crate) window_start: Timestamp,
}

/// A budget cannot pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted {
    pub(crate) amount: Money,
    pub(crate) period: Period,
    pub(crate) free: Money,
    /// When it begins anew, if it does.
    pub(crate) renews: Option<Timestamp>,
}

impl Account {
    /// An account with `spent` settled in the window that holds `now`.
    pub(crate) fn new(budget: &Budget, now: Timestamp, spent: Money) -> Self {
        let book = Book {
            amount: budget.amount,
            period: budget.period,
            window: Window::of(budget.period, now),
            turn: 0,
            spent,
            reserved: Money::ZERO,
            overspends: 0,
        };
        Self { id: budget.id, scope: budget.scope.clone(), book: Mutex::new(book) }
    }

    pub(crate) fn id(&self) -> BudgetId {
        self.id
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Sets `amount` aside, if what is spent and reserved leaves that much.
    pub(crate) fn reserve(&self, now: Timestamp, amount: Money) -> Result<Reservation, Exhausted> {
        let mut book = self.book(now);
        let committed = book.spent.saturating_add(book.reserved);
        // Free exchanges go on when all is spent, or overspent.
        let fits = amount == Money::ZERO
            || committed.checked_add(amount).is_some_and(|sum| sum <= book.amount);
        if !fits {
            return Err(Exhausted {
                amount: book.amount,
                period: book.period,
                free: book.amount.saturating_sub(committed).max(Money::ZERO),
                renews: book.window.end,
            });
        }
        book.reserved = book.reserved.saturating_add(amount);
        Ok(Reservation { turn: book.turn, amount, window_start: book.window.start })
    }

    /// Replaces a reservation by what the exchange cost. Both belong to the
    /// window in which the reservation was made, also when it is over.
    pub(crate) fn settle(&self, now: Timestamp, held: Reservation, cost: Money) {
        let mut book = self.book(now);
        if held.turn == book.turn {
            book.reserved = book.reserved.saturating_sub(held.amount);
            book.spent = book.spent.saturating_add(cost);
        }
    }

    /// Notes that an exchange cost more than it had reserved.
    pub(crate) fn note_overspend(&self, now: Timestamp) {
        let mut book = self.book(now);
        book.overspends = book.overspends.saturating_add(1);
    }

    /// New terms, in force with the next reservation. Another period begins
    /// with what is spent in it by now; exchanges in flight belong to the old.
    pub(crate) fn change(&self, now: Timestamp, amount: Money, period: Period, spent: Money) {
        let mut book = self.book(now);
        book.amount = amount;
        if book.period != period {
            book.period = period;
            book.begin(now, spent);
        }
    }

    pub(crate) fn standing(&self, now: Timestamp) -> Standing {
        let book = self.book(now);
        Standing {
            window: book.window,
            spent: book.spent,
            reserved: book.reserved,
            overspends: book.overspends,
        }
    }

    /// The book of the window that holds `now`. A clock that went back stays
    /// in the window that has begun, or its budget could be spent twice.
    fn book(&self, now: Timestamp) -> MutexGuard<'_, Book> {
        // Every change below is one that cannot panic half-way.
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if book.window.end.is_some_and(|end| now >= end) {
            book.begin(now, Money::ZERO);
        }
        book
    }
}

impl Book {
    fn begin(&mut self, now: Timestamp, spent: Money) {
        self.window = Window::of(self.period, now);
        self.turn += 1;
        self.spent = spent;
        self.reserved = Money::ZERO;
    }
}
