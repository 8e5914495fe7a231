//! A bounded queue of jobs in front of one thread.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Something that a caller may have lost interest in.
pub(crate) trait Job: Send + 'static {
    /// True once nobody waits for it.
    fn is_abandoned(&self) -> bool;
}

/// The queue. Callers push, one worker pops.
pub(crate) struct Queue<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    limit: usize,
}

struct State<J> {
    jobs: VecDeque<J>,
    open: bool,
}

impl<J: Job> Queue<J> {
    /// A queue in which at most `limit` jobs wait, not counting the one that
    /// is worked on.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { jobs: VecDeque::new(), open: true }),
            changed: Condvar::new(),
            limit: limit.max(1),
        })
    }

    // A panic while the lock is held cannot leave the deque half changed.
    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, or gives it back if the queue is full. Abandoned jobs make
    /// room first.
    pub(crate) fn push(&self, job: J) -> Result<(), J> {
        let mut state = self.lock();
        if state.jobs.len() >= self.limit {
            state.jobs.retain(|job| !job.is_abandoned());
        }
        if !state.open || state.jobs.len() >= self.limit {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next job somebody waits for; `None` once the queue is closed.
    pub(crate) fn pop(&self) -> Option<J> {
        let mut state = self.lock();
        loop {
            if !state.open {
                return None;
            }
            match state.jobs.pop_front() {
                Some(job) if job.is_abandoned() => {}
                Some(job) => return Some(job),
                None => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// How many wait, abandoned ones included.
    pub(crate) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    /// How many may wait.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Ends the worker after its present job and drops the jobs that wait.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.open = false;
        state.jobs.clear();
        drop(state);
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    struct Flag(Arc<AtomicBool>, u32);

    impl Job for Flag {
        fn is_abandoned(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn a_full_queue_refuses_until_a_waiting_caller_leaves() {
        let queue = Queue::new(2);
        let gone = Arc::new(AtomicBool::new(false));
        let stays = Arc::new(AtomicBool::new(false));
        assert!(queue.push(Flag(gone.clone(), 1)).is_ok());
        assert!(queue.push(Flag(stays.clone(), 2)).is_ok());
        assert!(queue.push(Flag(stays.clone(), 3)).is_err());
        gone.store(true, Ordering::Relaxed);
        assert!(queue.push(Flag(stays.clone(), 3)).is_ok());
        assert_eq!((queue.pop().unwrap().1, queue.pop().unwrap().1), (2, 3));
    }

    #[test]
    fn a_closed_queue_takes_and_gives_nothing() {
        let queue = Queue::new(2);
        let stays = Arc::new(AtomicBool::new(false));
        assert!(queue.push(Flag(stays.clone(), 1)).is_ok());
        queue.close();
        assert!(queue.pop().is_none());
        assert!(queue.push(Flag(stays, 2)).is_err());
    }
}
