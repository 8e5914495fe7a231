//! A value that wakes those who wait for it to change, in the order in which
//! they began to wait.
//!
//! tokio's `watch` draws that order by a chance that cannot be seeded, and a
//! simulated world must go the same way twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;

/// The value, and who waits.
#[derive(Debug)]
pub(crate) struct Bell<T> {
    state: Mutex<State<T>>,
    ring: Notify,
    ears: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    /// How often it changed.
    changes: u64,
}

/// One who may wait for the value to change.
#[derive(Debug)]
pub(crate) struct Ear<T> {
    bell: Arc<Bell<T>>,
    /// The change that was noticed last.
    heard: u64,
}

impl<T: Copy> Bell<T> {
    pub(crate) fn new(value: T) -> Arc<Self> {
        let state = Mutex::new(State { value, changes: 0 });
        Arc::new(Self { state, ring: Notify::new(), ears: AtomicUsize::new(0) })
    }

    /// The value as it is.
    pub(crate) fn get(&self) -> T {
        lock(&self.state).value
    }

    /// Changes the value, and rings if `change` says that it did.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T) -> bool) {
        let mut state = lock(&self.state);
        if !change(&mut state.value) {
            return;
        }
        state.changes += 1;
        drop(state);
        self.ring.notify_waiters();
    }

    /// One more who hears what changes from now on.
    pub(crate) fn listen(self: &Arc<Self>) -> Ear<T> {
        self.ears.fetch_add(1, Ordering::Relaxed);
        let heard = lock(&self.state).changes;
        Ear { bell: Arc::clone(self), heard }
    }

    /// How many there are.
    pub(crate) fn ears(&self) -> usize {
        self.ears.load(Ordering::Relaxed)
    }
}

impl<T: Copy> Ear<T> {
    /// The value as it is; what changed until now is noticed.
    pub(crate) fn get(&mut self) -> T {
        let state = lock(&self.bell.state);
        self.heard = state.changes;
        state.value
    }

    /// Waits for a change that was not noticed yet. May be dropped while it
    /// waits: nothing is lost.
    pub(crate) async fn changed(&mut self) {
        loop {
            // Before the look: what changes after it rings here.
            let rung = self.bell.ring.notified();
            let changes = lock(&self.bell.state).changes;
            if changes != self.heard {
                self.heard = changes;
                return;
            }
            rung.await;
        }
    }
}

impl<T> Drop for Ear<T> {
    fn drop(&mut self) {
        self.bell.ears.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn those_who_wait_hear_in_the_order_in_which_they_came() {
        let bell = Bell::new(0_u32);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..20)
            .map(|number| {
                let (mut ear, heard) = (bell.listen(), Arc::clone(&heard));
                tokio::spawn(async move {
                    ear.changed().await;
                    lock(&heard).push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(bell.ears(), 20);
        bell.change(|value| {
            *value = 7;
            true
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*lock(&heard), (0..20).collect::<Vec<_>>());
        assert_eq!((bell.get(), bell.ears()), (7, 0));
    }

    #[test]
    fn a_change_is_heard_once_also_by_who_did_not_wait_for_it() {
        let bell = Bell::new(1_u32);
        let mut ear = bell.listen();
        assert_eq!(ear.changed().now_or_never(), None);
        bell.change(|value| {
            *value += 1;
            true
        });
        bell.change(|_| false);
        assert_eq!(ear.changed().now_or_never(), Some(()));
        assert_eq!(ear.changed().now_or_never(), None, "nothing changed since");
        bell.change(|_| true);
        assert_eq!(ear.get(), 2);
        assert_eq!(ear.changed().now_or_never(), None, "it was noticed");
    }
}
