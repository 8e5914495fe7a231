//! Records on their way into one unit of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use freehold_store::budgets::{self, Spend};
use freehold_store::exchanges::{self, Closed, Opened};
use freehold_types::{BudgetId, Money, NodeId, TenantId, Unit};
use jiff::Timestamp;
use tokio::sync::oneshot;

/// A budget, in one of its periods, that an exchange is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) budget: BudgetId,
    pub(crate) period_start: Timestamp,
}

/// How an exchange ended.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// Somebody said how it went.
    Closed(Closed),
    /// It was lost after an attempt had begun: it costs what `opened` has
    /// reserved.
    Interrupted,
}

/// The end of an exchange, and whom it is charged to.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) opened: Arc<Opened>,
    pub(crate) how: How,
    pub(crate) posts: Vec<Post>,
}

impl Ending {
    fn cost(&self) -> Money {
        match &self.how {
            How::Closed(closed) => closed.cost,
            How::Interrupted => self.opened.reserved,
        }
    }
}

/// One record in the queue.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "half of all records are ends: a box for each would cost an exchange more than the \
              room in the queue"
)]
pub(super) enum Record {
    Opened(Arc<Opened>),
    Ended(Ending),
}

/// A record, and who waits for it to be durable.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    pub(super) waiter: Option<oneshot::Sender<bool>>,
}

/// Records that are written together. The unit made of them is the same each
/// time, so that it may be sent again when nobody knows whether it is in.
#[derive(Debug)]
pub(super) struct Batch {
    /// Without those that end in the same batch: their end says it all.
    opened: Vec<Arc<Opened>>,
    ended: Vec<Ending>,
    waiters: Vec<oneshot::Sender<bool>>,
    coalesced: usize,
    node: Option<NodeId>,
    at: Timestamp,
}

impl Batch {
    pub(super) fn new(
        entries: impl IntoIterator<Item = Entry>,
        node: Option<NodeId>,
        at: Timestamp,
    ) -> Self {
        let (opened, ended, waiters) = (Vec::new(), Vec::new(), Vec::new());
        let mut batch = Self { opened, ended, waiters, coalesced: 0, node, at };
        for entry in entries {
            match entry.record {
                Record::Opened(opened) => batch.opened.push(opened),
                Record::Ended(ending) => batch.ended.push(ending),
            }
            batch.waiters.extend(entry.waiter);
        }
        let ended: BTreeSet<_> = batch.ended.iter().map(|ending| ending.opened.id).collect();
        let before = batch.opened.len();
        batch.opened.retain(|opened| !ended.contains(&opened.id));
        batch.coalesced = before - batch.opened.len();
        batch
    }

    pub(super) fn unit(&self) -> Unit {
        let mut unit = Unit::new("usage.batch");
        unit.append(exchanges::open(self.node, self.opened.iter().map(|opened| &**opened)));
        unit.append(exchanges::close(self.ended.iter().filter_map(|ending| match &ending.how {
            How::Closed(closed) => Some((&*ending.opened, closed)),
            How::Interrupted => None,
        })));
        let interrupted = self.ended.iter().filter(|ending| matches!(ending.how, How::Interrupted));
        unit.append(exchanges::interrupt(interrupted.map(|ending| &*ending.opened), self.at));
        add_spends(&mut unit, &self.ended);
        unit
    }

    /// The same records, each in a batch of its own: so that one that the
    /// store does not accept does not keep the others out.
    pub(super) fn split(self) -> impl Iterator<Item = Self> {
        let (node, at) = (self.node, self.at);
        let record = move |record| Self::new([Entry { record, waiter: None }], node, at);
        let opened = self.opened.into_iter().map(Record::Opened);
        opened.chain(self.ended.into_iter().map(Record::Ended)).map(record)
    }

    /// What it charges each budget.
    pub(super) fn spends(&self) -> Vec<Spend> {
        spends(&self.ended)
    }

    pub(super) fn len(&self) -> usize {
        self.opened.len() + self.ended.len()
    }

    /// How many exchanges end in it.
    pub(super) fn ended(&self) -> usize {
        self.ended.len()
    }

    /// How many openings need no row of their own.
    pub(super) fn coalesced(&self) -> usize {
        self.coalesced
    }

    /// Tells those who wait whether it is durable. Nobody waits any more after.
    pub(super) fn answer(&mut self, durable: bool) {
        for waiter in self.waiters.drain(..) {
            // One that has gone away does not mind.
            waiter.send(durable).ok();
        }
    }
}

/// Adds what the endings cost to the budgets that they are charged to.
pub(crate) fn add_spends(unit: &mut Unit, ended: &[Ending]) {
    for spend in spends(ended) {
        budgets::spend(unit, &spend);
    }
}

fn spends(ended: &[Ending]) -> Vec<Spend> {
    let mut sums: BTreeMap<(&TenantId, BudgetId, Timestamp), Money> = BTreeMap::new();
    for ending in ended {
        for post in &ending.posts {
            let key = (&ending.opened.tenant, post.budget, post.period_start);
            let sum = sums.entry(key).or_default();
            *sum = sum.saturating_add(ending.cost());
        }
    }
    let spend = |((tenant, budget, period_start), spent): ((&TenantId, _, _), _)| Spend {
        tenant: tenant.clone(),
        budget,
        period_start,
        spent,
    };
    sums.into_iter().filter(|(_, spent)| *spent != Money::ZERO).map(spend).collect()
}
