//! Ending in order.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Tells everyone that the end has come, and waits for them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Drain {
    draining: watch::Sender<bool>,
    open: Arc<Semaphore>,
    max: u32,
}

/// The right to be open; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    _permit: OwnedSemaphorePermit,
}

impl Drain {
    /// Allows `max` connections at one time.
    pub fn new(max: usize) -> Self {
        let max = u32::try_from(max.clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            draining: watch::Sender::new(false),
            open: Arc::new(Semaphore::new(max as usize)),
            max,
        }
    }

    /// Waits until one more may be open, and opens it; `None` once draining.
    pub async fn enter(&self) -> Option<Permit> {
        tokio::select! {
            biased;
            () = self.begun() => None,
            permit = Arc::clone(&self.open).acquire_owned() => {
                Some(Permit { _permit: permit.ok()? })
            }
        }
    }

    /// Asks everyone to finish.
    pub fn begin(&self) {
        self.draining.send_replace(true);
    }

    /// Whether everyone was asked to finish.
    pub fn has_begun(&self) -> bool {
        *self.draining.borrow()
    }

    /// Waits until everyone is asked to finish.
    pub async fn begun(&self) {
        // It cannot fail: `self` keeps the sender.
        let _closed = self.draining.subscribe().wait_for(|draining| *draining).await.is_err();
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        (self.max as usize).saturating_sub(self.open.available_permits())
    }

    /// Waits until all have finished, at most for `limit`; how many have not.
    pub async fn finished(&self, limit: Duration) -> usize {
        let all = self.open.acquire_many(self.max);
        match tokio::time::timeout(limit, all).await {
            Ok(_) => 0,
            Err(_) => self.open(),
        }
    }
}
