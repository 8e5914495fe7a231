//! Sessions that this node holds, or may come to hold, and has no worker for:
//! their worker could not go on, or nobody knows whether they were claimed or
//! let go of. Nobody else takes them while this node lives, so it looks after
//! them itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use freehold_store::sessions;

use super::{Standing, standing};
use crate::archive::Id;
use crate::sessions::{Error, Inner, lock};

/// The pause before a session is looked at; doubled for each failure.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Sessions to be looked at.
#[derive(Default)]
pub(crate) struct Adrift(Mutex<BTreeMap<Id, One>>);

#[derive(Clone, Copy)]
struct One {
    /// Under which the node may hold it: of a later one others know more.
    epoch: u64,
    /// How often it failed.
    failures: u32,
    /// When to look, by the node's monotonic clock; `None` while somebody does.
    due: Option<Duration>,
}

impl Adrift {
    /// The node may hold a session under this epoch, and has no worker for it
    /// at this time of the monotonic clock.
    pub(crate) fn add(&self, id: &Id, epoch: u64, now: Duration) {
        let mut all = lock(&self.0);
        let one = all.entry(id.clone()).or_insert(One { epoch, failures: 0, due: None });
        let doubled = 2_u32.saturating_pow(one.failures);
        one.epoch = one.epoch.max(epoch);
        one.failures = one.failures.saturating_add(1);
        one.due = Some(now + PAUSE_MIN.saturating_mul(doubled).min(PAUSE_MAX));
    }

    /// A session was let go of, or is somebody else's.
    pub(crate) fn forget(&self, id: &Id) {
        lock(&self.0).remove(id);
    }

    /// Those that are due, with their epochs; they are not given out again
    /// until they are added.
    fn due(&self, now: Duration) -> Vec<(Id, u64)> {
        let mut all = lock(&self.0);
        let due = all.iter_mut().filter(|(_, one)| one.due.is_some_and(|at| at <= now));
        due.map(|(id, one)| {
            one.due = None;
            (id.clone(), one.epoch)
        })
        .collect()
    }
}

/// Looks after them until the node stops.
pub(super) async fn watch(inner: Arc<Inner>) {
    while !inner.is_stopping() {
        inner.env().sleep(inner.options.look).await;
        for (id, epoch) in inner.adrift.due(inner.env().monotonic()) {
            match take_up(&inner, &id, epoch).await {
                Ok(true) => {}
                Ok(false) => inner.adrift.forget(&id),
                Err(error) => {
                    tracing::debug!(session = %id.session, %error, "a session is not taken up");
                    inner.adrift.add(&id, epoch, inner.env().monotonic());
                }
            }
        }
    }
}

/// Takes a session up again. False if it need not be, now or later.
async fn take_up(inner: &Arc<Inner>, id: &Id, epoch: u64) -> Result<bool, Error> {
    if inner.workers().contains_key(id) {
        return Ok(true);
    }
    let row = sessions::get(inner.db(), &id.tenant, id.session).await?;
    let Some(row) = row.filter(|row| row.epoch <= epoch && row.sealed_for.is_none()) else {
        return Ok(false);
    };
    match row.node {
        // It was let go of.
        None if row.epoch == epoch => return Ok(false),
        // What may yet claim it is fenced by a claim.
        None => {}
        Some(node) => match standing(inner, node).await? {
            Standing::Dead => {}
            Standing::Alive(_) if row.epoch == epoch => return Ok(false),
            // What may yet claim it from there is not fenced.
            Standing::Alive(address) => return Err(Error::Elsewhere { address }),
        },
    }
    if inner.workers().contains_key(id) || inner.claim(id, row.epoch).await? {
        return Ok(true);
    }
    Err(Error::Moving)
}

#[cfg(test)]
mod tests {
    use freehold_types::{SessionId, TenantId};
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn each_failure_doubles_the_pause_and_none_is_forgotten() {
        let session = SessionId::from_parts(Timestamp::UNIX_EPOCH, &[1; 10]);
        let id = Id { tenant: TenantId::main(), session };
        let adrift = Adrift::default();
        let at = Duration::from_millis;
        let one = |epoch| vec![(id.clone(), epoch)];
        adrift.add(&id, 1, at(0));
        assert!(adrift.due(at(99)).is_empty());
        assert_eq!(adrift.due(at(100)), one(1));
        assert!(adrift.due(at(9_000)).is_empty(), "somebody sees to it");
        adrift.add(&id, 3, at(1_000));
        assert!(adrift.due(at(1_199)).is_empty());
        assert_eq!(adrift.due(at(1_200)), one(3));
        for _ in 0..40 {
            adrift.add(&id, 2, at(0));
        }
        assert_eq!(adrift.due(at(30_000)), one(3), "of a later epoch more is known");
        adrift.add(&id, 3, at(0));
        adrift.forget(&id);
        assert!(adrift.due(at(90_000)).is_empty());
    }
}
