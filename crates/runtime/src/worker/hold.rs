//! Whether a worker may still touch the world outside, and speak for a session.
//!
//! A node that was paused, or cut from the store, may have been called dead
//! meanwhile: then another has its sessions, and has asked what became of a call
//! that this one is only about to make. Its commits are fenced by the epoch; a
//! call is not, so that it is looked at before one. What is left is the moment
//! between the look and the call. An answer to a client is not fenced either
//! where nothing is committed for it.

use std::time::Duration;

use freehold_store::sessions;
use freehold_types::DbError;

use crate::archive::Id;
use crate::sessions::Inner;

/// A lease, and since when it is relied upon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hold {
    pub(super) epoch: u64,
    /// From before the commit that what is performed comes of, on the
    /// monotonic clock.
    pub(super) since: Duration,
}

impl Hold {
    /// Whether the session was this worker's at some moment of the question,
    /// which is all that who answers from what it knows must be sure of.
    pub(super) async fn is_there(self, inner: &Inner, id: &Id) -> Result<bool, DbError> {
        let Some(members) = &inner.parts.members else { return Ok(true) };
        if members.is_sure_since(self.since) {
            return Ok(true);
        }
        let row = sessions::get(inner.db(), &id.tenant, id.session).await?;
        Ok(row.is_some_and(|row| row.epoch == self.epoch))
    }

    /// Whether the session is this worker's. Waits while nobody can tell.
    pub(super) async fn lasts(self, inner: &Inner, id: &Id) -> bool {
        let Some(members) = &inner.parts.members else { return true };
        if members.is_sure_since(self.since) {
            return true;
        }
        loop {
            let looked = inner.env().monotonic();
            let row = sessions::get(inner.db(), &id.tenant, id.session).await;
            match row {
                Ok(row) if members.is_sure_since(looked) => {
                    return row.is_some_and(|row| row.epoch == self.epoch);
                }
                Ok(_) | Err(_) => inner.env().sleep(members.beat_every()).await,
            }
        }
    }
}
