//! Who has a session: it is in hand here, at another node, or nobody's, and
//! then it is taken.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use freehold_store::leases::{self, Claim};
use freehold_store::sessions;
use freehold_types::{DbError, Offset, Unit, UnitId};
use tokio::sync::mpsc::error::TrySendError;

use super::{By, Error, Inner, Key, Receipt, Turn, home};
use crate::archive::Id;
use crate::decide::{Cue, Refused};
use crate::event::Name;
use crate::node::{Standing, standing};
use crate::worker::{self, Birth, Handle, Mail};

/// How often a session is looked for that others take at the same time.
const TRIES: u32 = 40;
/// Between such looks.
const PAUSE: Duration = Duration::from_millis(5);

impl Inner {
    /// Gives cues to the session's worker, wherever it must come from.
    pub(crate) async fn give(
        self: &Arc<Self>,
        id: &Id,
        by: By,
        cues: Vec<Cue>,
        key: Option<Key>,
    ) -> Result<Receipt, Error> {
        let (mut mail, receipt) = Mail::new(by, cues, key);
        for _ in 0..TRIES {
            mail = match self.deliver(id, mail)? {
                None => return receipt.await.map_err(|_| Error::Stopping)?,
                Some(back) => back,
            };
            // What is still in hand takes what comes for it to the end.
            if self.is_stopping() {
                return Err(Error::Stopping);
            }
            if !self.take(id).await? {
                self.env().sleep(PAUSE).await;
            }
        }
        Err(Error::Crowded)
    }

    /// Hands mail to the worker, if there is one here; else gives it back.
    fn deliver(&self, id: &Id, mail: Mail) -> Result<Option<Mail>, Error> {
        let workers = self.workers();
        let Some(handle) = workers.get(id) else { return Ok(Some(mail)) };
        match handle.mail.try_send(mail) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(_)) => Err(Error::Crowded),
            // It ends just now.
            Err(TrySendError::Closed(mail)) => Ok(Some(mail)),
        }
    }

    /// Takes a session into hand that is nobody's. False if somebody else was
    /// faster.
    async fn take(self: &Arc<Self>, id: &Id) -> Result<bool, Error> {
        // Before it is looked at: else it may be found to be this node's while
        // the claim that made it so still has to find it a worker.
        let Some(turn) = Turn::of(self, id) else {
            self.turns.over(id).await;
            return Ok(true);
        };
        let row = sessions::get(self.db(), &id.tenant, id.session).await?;
        let row = row.ok_or(Error::NotFound)?;
        if let Some(cell) = &row.sealed_for {
            return Err(Refused::Sealed(Name::cut(cell)).into());
        }
        if let Some(node) = row.node
            && let Standing::Alive(address) = standing(self, node).await?
        {
            return Err(Error::Elsewhere { address });
        }
        if self.in_hand() >= self.options.live_max {
            return Err(Error::Crowded);
        }
        self.claim(turn, row.epoch).await
    }

    /// Claims a session that was found in an epoch, and begins to work on it.
    /// False if somebody else was faster. May be dropped while it waits: what
    /// may have been claimed by then is looked after.
    pub(crate) async fn claim(self: &Arc<Self>, mut turn: Turn, epoch: u64) -> Result<bool, Error> {
        let id = &turn.id().clone();
        let claim = Claim {
            tenant: &id.tenant,
            session: id.session,
            epoch,
            node: self.me(),
            id: UnitId::new(self.env()),
        };
        turn.claims(epoch + 1);
        match freehold_store::settle(self.db(), leases::claim(&claim)).await {
            Ok(()) => {}
            Err(DbError::GuardFailed { .. }) => {
                turn.settled();
                return Ok(false);
            }
            // It may be ours all the same, or become so.
            Err(error) => return Err(error.into()),
        }
        // Whoever had it may have written until just now.
        let row = sessions::get(self.db(), &id.tenant, id.session).await?;
        turn.settled();
        let Some(row) = row.filter(|now| now.epoch == epoch + 1) else { return Ok(false) };
        let head = row.head;
        let hired = self.hire(id, worker::Start::Taken(Box::new(row)));
        if matches!(hired, Err(Error::Stopping)) {
            // It came just too late: whoever is left has to find it.
            let mut unit = Unit::new("leases.release");
            let held = Claim { epoch: epoch + 1, ..claim };
            leases::release(&mut unit, &held, head, Some(self.env().now()));
            if let Err(error) = self.db().write(unit).await {
                tracing::debug!(session = %id.session, %error, "a session is not let go of");
            }
        }
        hired
    }

    /// Begins a session that does not exist yet.
    pub(crate) fn begin(self: &Arc<Self>, id: &Id, birth: Birth) -> Result<(), Error> {
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        if self.in_hand() >= self.options.live_max {
            return Err(Error::Crowded);
        }
        if self.hire(id, worker::Start::Born(Box::new(birth)))? {
            Ok(())
        } else {
            Err(Error::Crowded)
        }
    }

    fn hire(self: &Arc<Self>, id: &Id, start: worker::Start) -> Result<bool, Error> {
        if self.is_stopping() {
            return Err(Error::Stopping);
        }
        let head = match &start {
            worker::Start::Taken(row) => Offset(row.head),
            worker::Start::Born(_) => Offset::START,
        };
        let live = self.live(id, head);
        // Who listens may not have heard what another node committed last.
        live.announce(head);
        let mut workers = self.workers();
        // One that is there under an older epoch is told by its next commit.
        if matches!(start, worker::Start::Born(_)) && workers.contains_key(id) {
            return Ok(false);
        }
        let (mail, inbox) = tokio::sync::mpsc::channel(worker::INBOX);
        let tag = worker::Tag::default();
        let (inner, id_of) = (Arc::clone(self), id.clone());
        let stale = Arc::<AtomicBool>::default();
        let (own, told) = (tag.clone(), Arc::clone(&stale));
        let post = worker::Post { inner, id: id_of, live, inbox, tag: own, stale: told };
        let worker = worker::run(post, start);
        let task = home::of_thread().as_ref().unwrap_or(&self.runtime).spawn(worker).abort_handle();
        workers.insert(id.clone(), Handle { mail, tag, task, stale });
        Ok(true)
    }

    /// The worker of this tag ends, if no mail came for it.
    pub(crate) fn retire(
        &self,
        id: &Id,
        tag: &worker::Tag,
        is_empty: impl FnOnce() -> bool,
    ) -> bool {
        let mut workers = self.workers();
        if !is_empty() {
            return false;
        }
        if workers.get(id).is_some_and(|handle| handle.tag.is(tag)) {
            workers.remove(id);
        }
        true
    }

    /// Has no worker for a session any more.
    pub(crate) fn dismiss(&self, id: &Id) {
        self.workers().remove(id);
    }
}
