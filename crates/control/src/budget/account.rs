//! One budget's arithmetic: what is spent, what is reserved, what is left.

use std::sync::{Mutex, MutexGuard, PoisonError};

use freehold_store::budgets::Period;
use freehold_store::shares::Share;
use freehold_types::{BudgetId, Money};
use jiff::{SignedDuration, Timestamp};

use crate::Scope;
use crate::budget::Window;

/// How long it takes until the nodes have shared a budget out anew.
const SHARE_WAIT: SignedDuration = SignedDuration::from_secs(1);

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
    /// Where other nodes spend of it, too.
    own: Option<Own>,
}

/// What this node may spend of a budget that others spend of, too.
#[derive(Clone, Copy, Debug, Default)]
struct Own {
    /// Settled here in this window.
    settled: Money,
    /// What `settled` and all reservations may come to.
    limit: Money,
    /// The limit that a new window begins with: each node's part of it all.
    fresh: Money,
}

/// What others have of a budget, as this node last saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Others {
    /// The window that this is about.
    pub(crate) period_start: Timestamp,
    /// Settled in the store, by all.
    pub(crate) spent: Money,
    /// Of what was settled here, what the store has.
    pub(crate) written: Money,
    /// Taken by others, and not among `spent`.
    pub(crate) taken: Money,
    /// Left to others to take.
    pub(crate) free: Money,
    /// How many spend of it, this node among them.
    pub(crate) nodes: usize,
}

/// What a node would like to have of a budget.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    turn: u64,
    limit: Money,
    /// For the store.
    pub(crate) share: Share,
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
            own: None,
        };
        Self { id: budget.id, scope: budget.scope.clone(), book: Mutex::new(book) }
    }

    /// The same, for one of so many nodes: each begins with its part. With 0 it
    /// is closed until this node has a share of it.
    pub(crate) fn shared(self, nodes: usize) -> Self {
        let mut book = self.book.into_inner().unwrap_or_else(PoisonError::into_inner);
        let limit = if nodes > 0 { part(book.amount, nodes) } else { Money::ZERO };
        book.own = Some(Own { limit, ..Own::default() });
        Self { book: Mutex::new(book), ..self }
    }

    /// When the window that holds `now` began.
    pub(crate) fn window_start(&self, now: Timestamp) -> Timestamp {
        self.book(now).window.start
    }

    /// What each node has of a new window before anybody asks.
    pub(crate) fn fresh(&self, now: Timestamp, nodes: usize) -> Money {
        part(self.book(now).amount, nodes)
    }

    /// What this node should have of the budget beside others: what it has
    /// taken, and an equal part of what is left, as far as that is left. From
    /// here on it takes no more than that, even before the store agrees. `None`
    /// if that is about another window, or the budget is this node's alone.
    pub(crate) fn claim(&self, now: Timestamp, others: &Others) -> Option<Claim> {
        let mut book = self.book(now);
        let (amount, reserved, turn) = (book.amount, book.reserved, book.turn);
        if others.period_start != book.window.start {
            return None;
        }
        let own = book.own.as_mut()?;
        let unwritten = own.settled.saturating_sub(others.written).max(Money::ZERO);
        let taken = unwritten.saturating_add(reserved);
        let left =
            [others.spent, others.taken, taken].into_iter().fold(amount, Money::saturating_sub);
        let open = left.saturating_sub(others.free);
        let free = part(left, others.nodes).min(open).max(Money::ZERO);
        let limit = own.settled.saturating_add(reserved).saturating_add(free);
        own.limit = own.limit.min(limit);
        own.fresh = part(amount, others.nodes);
        book.spent = others.spent.saturating_add(unwritten);
        Some(Claim { turn, limit, share: Share { taken, free } })
    }

    /// The store has agreed to a claim.
    pub(crate) fn grant(&self, now: Timestamp, claim: &Claim) {
        let mut book = self.book(now);
        if let (true, Some(own)) = (book.turn == claim.turn, book.own.as_mut()) {
            own.limit = claim.limit;
        }
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
        let left = book.amount.saturating_sub(committed).max(Money::ZERO);
        let free = book.own.map_or(left, |own| {
            let taken = own.settled.saturating_add(book.reserved);
            own.limit.saturating_sub(taken).max(Money::ZERO).min(left)
        });
        if amount > free {
            // If only this node's part is used up, it has another one soon.
            let soon = now.checked_add(SHARE_WAIT).ok().filter(|_| amount <= left);
            let (period, renews) = (book.period, soon.or(book.window.end));
            return Err(Exhausted { amount: book.amount, period, free, renews });
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
            if let Some(own) = &mut book.own {
                own.settled = own.settled.saturating_add(cost);
            }
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
        if let Some(own) = &mut self.own {
            (own.settled, own.limit) = (Money::ZERO, own.fresh);
        }
    }
}

/// Of an amount, what one of so many nodes may have: not quite all of it is
/// given out, so that one who comes finds some.
fn part(amount: Money, nodes: usize) -> Money {
    let nodes = i128::try_from(nodes).unwrap_or(i128::MAX);
    if nodes <= 1 {
        return amount;
    }
    Money::from_nanos(amount.nanos() / 5 * 4 / nodes).unwrap_or(Money::ZERO)
}
