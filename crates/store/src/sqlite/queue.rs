//! A bounded queue into a thread, which takes what has come in one grasp.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Waiting work, bounded by number and by weight.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// Rings when something comes into an empty queue, and when it closes.
    bell: Condvar,
    max_items: usize,
    max_weight: usize,
}

struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    closed: bool,
}

/// Why a queue did not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It holds all that it may.
    Full,
    /// Nobody reads it any more.
    Closed,
}

impl<T> Queue<T> {
    pub(super) fn new(max_items: usize, max_weight: usize) -> Self {
        let state = State { items: VecDeque::new(), weight: 0, closed: false };
        Self { state: Mutex::new(state), bell: Condvar::new(), max_items, max_weight }
    }

    /// Puts something at the end. What is heavier than the whole bound still
    /// goes into an empty queue, or it could never go anywhere.
    pub(super) fn push(&self, item: T, weight: usize) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let heavy = state.weight.saturating_add(weight) > self.max_weight;
        if state.items.len() >= self.max_items || (heavy && !state.items.is_empty()) {
            return Err(Refused::Full);
        }
        state.items.push_back((item, weight));
        state.weight += weight;
        self.bell.notify_one();
        Ok(())
    }

    /// Waits for work and takes from the front: at least one item, then more
    /// up to these bounds. `None` once the queue is closed and empty.
    pub(super) fn take(&self, max_items: usize, max_weight: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        while state.items.is_empty() {
            if state.closed {
                return None;
            }
            state = self.bell.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let mut taken = Vec::new();
        let mut taken_weight = 0_usize;
        while let Some(&(_, weight)) = state.items.front() {
            let enough = taken.len() >= max_items || taken_weight + weight > max_weight;
            if enough && !taken.is_empty() {
                break;
            }
            if let Some((item, weight)) = state.items.pop_front() {
                taken_weight += weight;
                state.weight -= weight;
                taken.push(item);
            }
        }
        Some(taken)
    }

    /// Refuses new work; what waits is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.bell.notify_all();
    }

    /// Refuses new work and drops what waits.
    pub(super) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.weight = 0;
        // Dropping an item tells its sender; do that outside of the lock.
        let abandoned = std::mem::take(&mut state.items);
        drop(state);
        drop(abandoned);
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    /// Nothing panics while it holds this lock, so its state is sound even if
    /// the thread that held it went down later.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Abandons a queue when its reading thread ends, however that comes about.
pub(super) struct AbandonOnExit<'a, T>(pub(super) &'a Queue<T>);

impl<T> Drop for AbandonOnExit<'_, T> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_and_weight_are_bounded() {
        let queue = Queue::new(3, 10);
        assert_eq!(queue.push('a', 50), Ok(()), "too heavy, but alone");
        assert_eq!(queue.push('b', 1), Err(Refused::Full));
        assert_eq!(queue.take(9, 9), Some(vec!['a']));
        for item in ['b', 'c', 'd'] {
            assert_eq!(queue.push(item, 3), Ok(()));
        }
        assert_eq!(queue.push('e', 0), Err(Refused::Full));
        assert_eq!(queue.take(2, 9), Some(vec!['b', 'c']));
        assert_eq!(queue.push('e', 8), Err(Refused::Full));
        assert_eq!(queue.push('e', 7), Ok(()));
        assert_eq!(queue.take(9, 5), Some(vec!['d']), "e would be too much for one grasp");
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = Queue::new(3, 10);
        assert_eq!(queue.push('a', 1), Ok(()));
        queue.close();
        assert_eq!(queue.push('b', 1), Err(Refused::Closed));
        assert_eq!(queue.take(9, 9), Some(vec!['a']));
        assert_eq!(queue.take(9, 9), None);
    }

    #[test]
    fn a_thread_that_goes_down_leaves_nobody_waiting() {
        let queue = Queue::new(3, 10);
        let (sender, receiver) = std::sync::mpsc::sync_channel::<()>(1);
        assert_eq!(queue.push(sender, 1), Ok(()));
        drop(AbandonOnExit(&queue));
        assert!(receiver.recv().is_err());
        assert_eq!(queue.take(1, 1).map(|_| ()), None);
    }
}
