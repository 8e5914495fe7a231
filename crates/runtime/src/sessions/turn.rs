//! A node's sessions are taken by one of its tasks at a time.
//!
//! What a node holds without a worker is free to its own tasks. A second task
//! would find a session so that a first has claimed and not yet found a worker,
//! claim it from under it, and two workers would begin, one of them fenced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::{Inner, lock};
use crate::archive::Id;

/// The sessions that are about to be taken, each with what rings when that is
/// over.
#[derive(Default)]
pub(super) struct Turns(Mutex<BTreeMap<Id, Arc<Notify>>>);

impl Turns {
    /// Waits until a session is not about to be taken, if it is.
    pub(super) async fn over(&self, id: &Id) {
        let Some(bell) = lock(&self.0).get(id).cloned() else { return };
        let rung = bell.notified();
        // It rings after it is out: whoever still finds it there hears it.
        if !lock(&self.0).get(id).is_some_and(|now| Arc::ptr_eq(now, &bell)) {
            return;
        }
        rung.await;
    }
}

/// The right to take a session into this node's hand, until it is dropped.
pub(crate) struct Turn {
    inner: Arc<Inner>,
    id: Id,
    /// The epoch of a claim of which nobody knows what became.
    doubt: Option<u64>,
}

impl Turn {
    /// `None` if the session is in hand already, or about to be.
    pub(crate) fn of(inner: &Arc<Inner>, id: &Id) -> Option<Self> {
        let mut turns = lock(&inner.turns.0);
        // Whose turn it was has put a worker there before; one that went down
        // takes no mail any more.
        let in_hand = inner.workers().get(id).is_some_and(|handle| !handle.mail.is_closed());
        if in_hand || turns.contains_key(id) {
            return None;
        }
        turns.insert(id.clone(), Arc::default());
        Some(Self { inner: Arc::clone(inner), id: id.clone(), doubt: None })
    }

    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// A claim begins that may give the session to this node under this epoch.
    pub(super) fn claims(&mut self, epoch: u64) {
        self.doubt = Some(epoch);
    }

    /// What became of the claim is known.
    pub(super) fn settled(&mut self) {
        self.doubt = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(epoch) = self.doubt {
            self.inner.adrift.add(&self.id, epoch, self.inner.env().monotonic());
        }
        let bell = lock(&self.inner.turns.0).remove(&self.id);
        if let Some(bell) = bell {
            bell.notify_waiters();
        }
    }
}
