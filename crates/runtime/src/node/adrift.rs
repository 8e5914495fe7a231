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
use crate::sessions::{Error, Inner, Turn, lock};

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

    /// A session was let go of under this epoch, or is somebody else's since.
    /// What is known of a later one stays, and is looked at soon.
    pub(crate) fn forget(&self, id: &Id, epoch: u64, now: Duration) {
        let mut all = lock(&self.0);
        let Some(one) = all.get_mut(id) else { return };
        if one.epoch <= epoch {
            all.remove(id);
        } else {
            one.due.get_or_insert(now + PAUSE_MIN);
        }
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
                Ok(false) => inner.adrift.forget(&id, epoch, inner.env().monotonic()),
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
    // What comes of a worker, or of a claim, is not known yet.
    let Some(turn) = Turn::of(inner, id) else { return Err(Error::Moving) };
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
    if inner.claim(turn, row.epoch).await? { Ok(true) } else { Err(Error::Moving) }
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
        adrift.forget(&id, 3, at(0));
        assert!(adrift.due(at(90_000)).is_empty());
    }

    #[test]
    fn what_is_over_in_one_epoch_says_nothing_of_a_later_one() {
        let session = SessionId::from_parts(Timestamp::UNIX_EPOCH, &[1; 10]);
        let id = Id { tenant: TenantId::main(), session };
        let adrift = Adrift::default();
        let at = Duration::from_millis;
        adrift.add(&id, 1, at(0));
        assert_eq!(adrift.due(at(100)), [(id.clone(), 1)]);
        // While somebody looks into that, a worker of the next epoch ends.
        adrift.add(&id, 2, at(150));
        adrift.forget(&id, 1, at(200));
        assert_eq!(adrift.due(at(1_000)), [(id.clone(), 2)]);
        // And what somebody looks into is looked into again.
        adrift.forget(&id, 1, at(1_000));
        assert_eq!(adrift.due(at(1_100)), [(id.clone(), 2)]);
        adrift.forget(&id, 2, at(1_200));
        assert!(adrift.due(at(90_000)).is_empty());
    }
}
