//! Time that passes only when nothing else can: what is due lies in one queue,
//! and the world takes it out in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use crate::world::lock;

/// A millisecond, in the clock's microseconds.
pub(crate) const MS: u64 = 1_000;
/// A second.
pub(crate) const SECOND: u64 = 1_000_000;

/// What is done at its time.
pub(crate) enum What {
    /// A task sleeps until then.
    Wake(Waker),
    /// Something of the world's happens.
    Do(Box<dyn FnOnce() + Send>),
}

/// Something that is due.
pub(crate) struct Due {
    /// The machine that has something to do afterwards.
    pub(crate) machine: usize,
    pub(crate) what: What,
}

/// The one clock of a world, and all that waits for it.
#[derive(Default)]
pub(crate) struct Clock(Mutex<State>);

#[derive(Default)]
struct State {
    now: u64,
    count: u64,
    due: BTreeMap<(u64, u64), Due>,
}

impl Clock {
    /// Microseconds since the world began.
    pub(crate) fn now(&self) -> u64 {
        lock(&self.0).now
    }

    /// Has something happen so many microseconds from now; what is due at the
    /// same time happens in the order in which it was asked for.
    pub(crate) fn after(&self, us: u64, machine: usize, act: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.0);
        let key = state.key(us);
        state.due.insert(key, Due { machine, what: What::Do(Box::new(act)) });
    }

    /// Moves on to what is due next. `None` if nothing ever will be.
    pub(crate) fn next(&self) -> Option<(u64, Due)> {
        let mut state = lock(&self.0);
        let ((at, _), due) = state.due.pop_first()?;
        state.now = state.now.max(at);
        Some((state.now, due))
    }

    /// A sleep of a machine's task.
    pub(crate) fn sleep(self: &Arc<Self>, us: u64, machine: usize) -> Sleep {
        let until = self.now().saturating_add(us);
        Sleep { clock: Arc::clone(self), machine, until, key: None }
    }

    /// Throws away what waits: the world ends.
    pub(crate) fn clear(&self) {
        let due = std::mem::take(&mut lock(&self.0).due);
        drop(due);
    }
}

impl State {
    fn key(&mut self, us: u64) -> (u64, u64) {
        self.count += 1;
        (self.now.saturating_add(us), self.count)
    }
}

/// Waits for a time of the clock's.
pub(crate) struct Sleep {
    clock: Arc<Clock>,
    machine: usize,
    until: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut state = lock(&this.clock.0);
        if state.now >= this.until {
            return Poll::Ready(());
        }
        let waker = cx.waker();
        if let Some(key) = this.key
            && let Some(Due { what: What::Wake(known), .. }) = state.due.get_mut(&key)
        {
            known.clone_from(waker);
            return Poll::Pending;
        }
        let key = {
            state.count += 1;
            (this.until, state.count)
        };
        let due = Due { machine: this.machine, what: What::Wake(waker.clone()) };
        state.due.insert(key, due);
        this.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let due = lock(&self.clock.0).due.remove(&key);
            // A waker that goes may take a task along, which may ask the clock.
            drop(due);
        }
    }
}
