//! The queue between exchanges and the store: bounded, and never waited on
//! unless the operator asks for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use freehold_store::budgets::Spend;
use freehold_store::exchanges::Opened;
use freehold_types::{BudgetId, Code, Money, NodeId};
use jiff::Timestamp;
use tokio::sync::{Notify, oneshot};

use crate::Refusal;
use crate::usage::Ending;
use crate::usage::batch::{Entry, Record};

/// The most records in one unit of the store.
pub(super) const BATCH_MAX: usize = 1_000;
/// How long a caller should stay away when usage cannot be recorded.
const DOWN_WAIT: Duration = Duration::from_secs(5);

/// When a record has to be durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Within the flush window of 100 ms; a crash can lose what is younger.
    #[default]
    Async,
    /// Before an attempt is sent, and before an answer ends.
    Sync,
}

/// What to do when there is no room for another record, because the store has
/// been down for long, or when a durable record is asked for and it is down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenStoreDown {
    /// Serve without a record, counted; budgets go on in memory.
    #[default]
    Serve,
    /// Refuse new exchanges.
    Refuse,
}

/// How usage is recorded, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageSettings {
    /// When a record has to be durable.
    pub durability: Durability,
    /// What to do if it cannot be.
    pub when_store_down: WhenStoreDown,
    /// The most exchanges in flight or not yet written, together.
    pub places: usize,
    /// How long records are gathered before they are written. With the time of
    /// a commit this makes the flush window.
    pub gather: Duration,
    /// How long an exchange is kept after it began; `None` is for ever. Sums
    /// by day are kept all the same.
    pub keep: Option<Duration>,
}

impl Default for UsageSettings {
    fn default() -> Self {
        Self {
            durability: Durability::default(),
            when_store_down: WhenStoreDown::default(),
            places: 50_000,
            gather: Duration::from_millis(50),
            keep: None,
        }
    }
}

/// Counters since the start, and how it stands now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// Records that wait for the store now.
    pub queued: usize,
    /// Exchanges in flight or not yet written now.
    pub places_taken: usize,
    /// Rows written: openings and ends.
    pub written: u64,
    /// Openings that needed no row, because the end was in the same batch.
    pub coalesced: u64,
    /// Exchanges that were served without a record, for want of room.
    pub unrecorded: u64,
    /// Records that the store refused as wrong: a defect.
    pub rejected: u64,
    /// Writes that failed and were sent again.
    pub retries: u64,
    /// Why the store does not take records now, if it does not.
    pub down: Option<String>,
}

/// A place in the books for one exchange, kept until its end is durable.
#[derive(Debug)]
pub(crate) enum Place {
    /// It is recorded.
    Kept(Arc<Opened>),
    /// There was no room; it is only counted.
    Unkept,
}

/// The books of usage that are not yet in the store.
#[derive(Debug)]
pub(crate) struct Books {
    state: Mutex<State>,
    /// Rings when the writer has something to do before its time.
    pub(super) work: Notify,
    /// Rings when the writer is not to wait for the store any more.
    pub(super) hurry: Notify,
    /// Rings when the writer has come to its end.
    pub(super) finished: Notify,
}

#[derive(Debug, Default)]
struct State {
    settings: UsageSettings,
    entries: VecDeque<Entry>,
    /// Entries that somebody waits for.
    waited_for: usize,
    closing: bool,
    /// The store is not waited for any more.
    given_up: bool,
    /// Records that the writer has taken and not yet written.
    writing: usize,
    writer_gone: bool,
    /// Who this is among the nodes over one store.
    node: Option<NodeId>,
    /// Put into the store by this node, of each budget and window.
    spent: BTreeMap<(BudgetId, Timestamp), Money>,
    counts: UsageCounts,
    /// The writer looks for records without being woken.
    looks_by_itself: bool,
}

/// A record on its way into the store.
#[derive(Debug)]
#[must_use = "with durability `Sync` the exchange waits for it"]
pub struct Flush(Option<oneshot::Receiver<bool>>);

impl Flush {
    /// Nobody waits for it.
    pub(crate) const NONE: Self = Self(None);

    /// Resolves when the record is durable, or cannot be for now; at once,
    /// unless the operator asked for [`Durability::Sync`].
    pub async fn done(self) -> Result<(), Refusal> {
        let Some(durable) = self.0 else { return Ok(()) };
        if durable.await == Ok(true) { Ok(()) } else { Err(unrecordable()) }
    }
}

impl Books {
    pub(crate) fn new(settings: UsageSettings) -> Self {
        Self {
            state: Mutex::new(State { settings, ..State::default() }),
            work: Notify::new(),
            hurry: Notify::new(),
            finished: Notify::new(),
        }
    }

    /// New settings, in force with the next record.
    pub(crate) fn set(&self, settings: UsageSettings) {
        self.state().settings = settings;
        // The writer may be gathering for as long as the old ones said.
        self.work.notify_one();
    }

    /// How long exchanges are kept.
    pub(super) fn keep(&self) -> Option<Duration> {
        self.state().settings.keep
    }

    /// Takes a place for an exchange and records that it begins.
    pub(crate) fn open(&self, opened: Opened) -> Result<(Place, Flush), Refusal> {
        let mut state = self.state();
        let sync = state.settings.durability == Durability::Sync;
        let refuse = state.settings.when_store_down == WhenStoreDown::Refuse;
        if sync && refuse && (state.counts.down.is_some() || state.writer_gone) {
            return Err(unrecordable());
        }
        if !take_place(&mut state) {
            return if refuse { Err(unrecordable()) } else { Ok((Place::Unkept, Flush::NONE)) };
        }
        let opened = Arc::new(opened);
        let flush = self.push(state, Record::Opened(Arc::clone(&opened)));
        Ok((Place::Kept(opened), flush))
    }

    /// Records the end of an exchange that has a place.
    pub(crate) fn end(&self, ending: Ending) -> Flush {
        self.push(self.state(), Record::Ended(ending))
    }

    /// Records an exchange that ended without an attempt, if there is room.
    pub(crate) fn end_unopened(&self, ending: Ending) -> Flush {
        let mut state = self.state();
        if take_place(&mut state) { self.push(state, Record::Ended(ending)) } else { Flush::NONE }
    }

    fn push(&self, mut state: MutexGuard<'_, State>, record: Record) -> Flush {
        // While the store is down nobody is made to wait: with `Refuse` new
        // exchanges are not let in, and those in flight are to end.
        let wait = state.settings.durability == Durability::Sync
            && state.counts.down.is_none()
            && !state.writer_gone;
        let (waiter, durable) = if wait {
            let (waiter, durable) = oneshot::channel();
            (Some(waiter), Some(durable))
        } else {
            (None, None)
        };
        state.entries.push_back(Entry { record, waiter });
        state.waited_for += usize::from(wait);
        let len = state.entries.len();
        let first = len == 1 && !state.looks_by_itself;
        drop(state);
        if wait || first || len == BATCH_MAX {
            self.work.notify_one();
        }
        Flush(durable)
    }

    /// Takes the oldest records.
    pub(super) fn take(&self) -> Vec<Entry> {
        let mut state = self.state();
        let count = state.entries.len().min(BATCH_MAX);
        let entries: Vec<_> = state.entries.drain(..count).collect();
        let waited_for = entries.iter().filter(|entry| entry.waiter.is_some()).count();
        state.waited_for -= waited_for;
        state.writing = entries.len();
        entries
    }

    /// What the writer is to do next. One that `stays` looks again after a
    /// while even if there is nothing, and need not be woken.
    pub(super) fn next(&self, stays: bool) -> Next {
        let mut state = self.state();
        let len = state.entries.len();
        state.looks_by_itself = stays || len > 0;
        match len {
            _ if state.given_up => Next::Finish,
            0 if state.closing => Next::Finish,
            0 if stays => Next::Gather(state.settings.gather),
            0 => Next::Wait,
            len if len >= BATCH_MAX || state.waited_for > 0 || state.closing => Next::Write,
            _ => Next::Gather(state.settings.gather),
        }
    }

    /// What those hear who wait for a record while the store is down: with
    /// `Serve`, to go on.
    pub(super) fn goes_on(&self) -> bool {
        self.state().settings.when_store_down == WhenStoreDown::Serve
    }

    pub(super) fn note_written(&self, rows: usize, ended: usize, coalesced: usize) {
        let mut state = self.state();
        let counts = &mut state.counts;
        counts.written = counts.written.saturating_add(rows as u64);
        counts.coalesced = counts.coalesced.saturating_add(coalesced as u64);
        counts.places_taken = counts.places_taken.saturating_sub(ended);
        counts.down = None;
    }

    /// Who opens exchanges from now on.
    pub(crate) fn set_node(&self, node: Option<NodeId>) {
        self.state().node = node;
    }

    pub(super) fn node(&self) -> Option<NodeId> {
        self.state().node
    }

    /// The store has what these were charged.
    pub(super) fn note_spent(&self, sums: &[Spend]) {
        let mut state = self.state();
        if state.node.is_none() {
            return;
        }
        for sum in sums {
            let spent = state.spent.entry((sum.budget, sum.period_start)).or_default();
            *spent = spent.saturating_add(sum.spent);
        }
    }

    /// What the store has from this node of each budget, by the window that
    /// it was charged to.
    pub(crate) fn spent(&self) -> BTreeMap<(BudgetId, Timestamp), Money> {
        self.state().spent.clone()
    }

    /// Forgets what is of windows before this one.
    pub(crate) fn forget_spent(&self, budget: BudgetId, period_start: Timestamp) {
        let before = |key: &(BudgetId, Timestamp)| key.0 == budget && key.1 < period_start;
        self.state().spent.retain(|key, _| !before(key));
    }

    pub(super) fn note_down(&self, why: String) {
        let mut state = self.state();
        state.counts.retries = state.counts.retries.saturating_add(1);
        state.counts.down = Some(why);
    }

    pub(super) fn note_rejected(&self, rows: usize, ended: usize) {
        let mut state = self.state();
        let counts = &mut state.counts;
        counts.rejected = counts.rejected.saturating_add(rows as u64);
        counts.places_taken = counts.places_taken.saturating_sub(ended);
    }

    /// No writer will come any more: those who wait hear so.
    pub(super) fn writer_gone(&self) {
        let mut state = self.state();
        state.writer_gone = true;
        state.waited_for = 0;
        for entry in &mut state.entries {
            entry.waiter = None;
        }
        drop(state);
        self.finished.notify_waiters();
    }

    /// Writes what is there and stops the writer; resolves when it has
    /// stopped. The caller bounds the wait.
    pub(crate) async fn close(&self) {
        let finished = self.finished.notified();
        tokio::pin!(finished);
        // From here on a ring is not missed.
        finished.as_mut().enable();
        {
            let mut state = self.state();
            state.closing = true;
            if state.writer_gone {
                return;
            }
        }
        self.work.notify_one();
        finished.await;
    }

    /// Ends the writer even if the store does not take what is left.
    pub(crate) fn give_up(&self) {
        self.state().given_up = true;
        self.hurry.notify_one();
        self.work.notify_one();
    }

    pub(super) fn given_up(&self) -> bool {
        self.state().given_up
    }

    /// The writer is through with what it took, one way or the other.
    pub(super) fn note_taken(&self) {
        self.state().writing = 0;
    }

    /// Records that are not in the store.
    pub(crate) fn unwritten(&self) -> usize {
        let state = self.state();
        state.entries.len() + state.writing
    }

    /// How it stands.
    pub(crate) fn counts(&self) -> UsageCounts {
        let state = self.state();
        UsageCounts { queued: state.entries.len(), ..state.counts.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change above is one that cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take_place(state: &mut State) -> bool {
    let room = state.counts.places_taken < state.settings.places;
    if room {
        state.counts.places_taken += 1;
    } else {
        state.counts.unrecorded += 1;
    }
    room
}

/// What the writer is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Wait,
    Gather(Duration),
    Write,
    Finish,
}

fn unrecordable() -> Refusal {
    let message = "the store does not take records of usage just now, and this server does not \
                   serve without them; send it again";
    Refusal::new(Code::UsageUnrecordable, message).retry_after(DOWN_WAIT)
}
