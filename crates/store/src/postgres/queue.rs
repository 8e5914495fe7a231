//! A bounded queue to tasks that take one thing at a time. What waits in it
//! has a time by which it must be taken.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

/// Waiting work, bounded by number and by weight.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// A permit for each item; closed with the queue.
    ready: Semaphore,
    max_items: usize,
    max_weight: usize,
}

struct State<T> {
    items: VecDeque<Waiting<T>>,
    weight: usize,
    closed: bool,
}

struct Waiting<T> {
    item: T,
    weight: usize,
    /// On the monotonic clock.
    until: Duration,
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
        Self { state: Mutex::new(state), ready: Semaphore::new(0), max_items, max_weight }
    }

    /// Puts something at the end. What is heavier than the whole bound still
    /// goes into an empty queue, or it could never go anywhere.
    pub(super) fn push(&self, item: T, weight: usize, until: Duration) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        let heavy = state.weight.saturating_add(weight) > self.max_weight;
        if state.items.len() >= self.max_items || (heavy && !state.items.is_empty()) {
            return Err(Refused::Full);
        }
        state.items.push_back(Waiting { item, weight, until });
        state.weight += weight;
        drop(state);
        self.ready.add_permits(1);
        Ok(())
    }

    /// Waits for work and takes it from the front. `None` once the queue is
    /// closed and empty. Nothing is lost if this is dropped.
    pub(super) async fn take(&self) -> Option<T> {
        loop {
            if let Ok(permit) = self.ready.acquire().await {
                permit.forget();
            }
            let mut state = self.lock();
            match state.items.pop_front() {
                Some(waiting) => {
                    state.weight -= waiting.weight;
                    return Some(waiting.item);
                }
                None if state.closed => return None,
                // It expired between its permit and us.
                None => {}
            }
        }
    }

    /// Takes out what had to be taken by `now`.
    pub(super) fn expire(&self, now: Duration) -> Vec<T> {
        let mut state = self.lock();
        let mut expired = Vec::new();
        while state.items.front().is_some_and(|waiting| waiting.until <= now) {
            if let Some(waiting) = state.items.pop_front() {
                state.weight -= waiting.weight;
                expired.push(waiting.item);
            }
        }
        drop(state);
        self.ready.forget_permits(expired.len());
        expired
    }

    /// Refuses new work; what waits is still given out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.ready.close();
    }

    /// How many items wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Duration = Duration::from_secs(9);

    #[tokio::test]
    async fn it_is_bounded_by_number_and_by_weight() {
        let queue = Queue::new(2, 10);
        assert_eq!(queue.push('a', 20, LATER), Ok(()), "too heavy, but alone");
        assert_eq!(queue.push('b', 1, LATER), Err(Refused::Full));
        assert_eq!(queue.take().await, Some('a'));
        assert_eq!(queue.push('b', 1, LATER), Ok(()));
        assert_eq!(queue.push('c', 1, LATER), Ok(()));
        assert_eq!(queue.push('d', 1, LATER), Err(Refused::Full));
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_and_then_ends() {
        let queue = Queue::new(3, 10);
        assert_eq!(queue.push('a', 1, LATER), Ok(()));
        queue.close();
        assert_eq!(queue.push('b', 1, LATER), Err(Refused::Closed));
        assert_eq!(queue.take().await, Some('a'));
        assert_eq!(queue.take().await, None);
    }

    #[tokio::test]
    async fn what_waited_too_long_is_taken_out_and_the_rest_goes_on() {
        let queue = Queue::new(3, 10);
        assert_eq!(queue.push('a', 1, Duration::from_secs(1)), Ok(()));
        assert_eq!(queue.push('b', 1, LATER), Ok(()));
        assert_eq!(queue.expire(Duration::from_secs(2)), ['a']);
        assert_eq!(queue.take().await, Some('b'));
        assert_eq!(queue.len(), 0);
    }
}
