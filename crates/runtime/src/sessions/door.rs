//! What surfaces do with sessions.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use freehold_store::{deletion, sessions};
use freehold_types::{DbError, Offset, SessionId, TenantId, Unit};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Error, Sessions};
use crate::archive::Id;
use crate::content::About;
use crate::decide::{Cue, Refused};
use crate::event::{Hash, Labels, Limits, Name, Origin};
use crate::state::State;
use crate::worker::{self, Accepted, Birth, Mail};

/// How often a change of what a session is said to be is tried.
const DESCRIBE_TRIES: u32 = 64;

/// Who does something with a session.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct By {
    /// The id of the key.
    pub actor: Option<Name>,
    /// For whom, in the client's words.
    pub on_behalf_of: Option<Name>,
    /// The labels of what they bring.
    pub labels: Labels,
}

/// A client's idempotency key, and what it sent with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key; the surface bounds it.
    pub name: String,
    /// Of the request.
    pub request: Hash,
}

/// A session that is to be.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Its id, if somebody must know it before; `None` makes one.
    pub id: Option<SessionId>,
    /// The agent that works in it, with its version.
    pub agent: Name,
    /// What it is said to be.
    pub about: About,
    /// What it may use in all.
    pub limits: Limits,
    /// What happens in it at once.
    pub cues: Vec<Cue>,
    /// If the client sent one.
    pub key: Option<Key>,
}

/// What was accepted, durably.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The session.
    pub session: SessionId,
    /// The first event that came of it.
    pub first: Offset,
    /// The last event of the session after that.
    pub head: Offset,
    /// It was accepted before, under the same idempotency key.
    pub repeated: bool,
    /// The session after that.
    pub state: Arc<State>,
}

impl Sessions {
    /// Makes a session, with what happens in it at once: all of it or nothing.
    /// One that was made before under the same key is given back.
    pub async fn create(
        &self,
        tenant: &TenantId,
        by: By,
        new: NewSession,
    ) -> Result<Receipt, Error> {
        let env = self.inner.env();
        let session = match (new.id, &new.key) {
            (Some(id), _) => id,
            (None, Some(key)) => id_of_key(tenant, key),
            (None, None) => SessionId::new(env),
        };
        let id = Id { tenant: tenant.clone(), session };
        let NewSession { agent, about, limits, mut cues, key, .. } = new;
        if key.is_some() && sessions::get(self.inner.db(), tenant, session).await?.is_some() {
            return self.inner.give(&id, by, cues, key).await;
        }
        let birth = Cue::Create { agent, origin: Origin::New, limits };
        // Others may make the same session under the same key, each with a
        // key of its own for what is in it: a blob is sealed for the session
        // once it is there.
        if key.is_some() && worker::are_large(&mut cues)? {
            let alone = Mail::new(by.clone(), vec![birth], None);
            return match self.begun(&id, about, alone).await {
                Ok(_) | Err(Error::Moving) => self.inner.give(&id, by, cues, key).await,
                other => other,
            };
        }
        let again = key.as_ref().map(|key| (by.clone(), cues.clone(), key.clone()));
        cues.insert(0, birth);
        match (self.begun(&id, about, Mail::new(by, cues, key)).await, again) {
            // Somebody else made it under the same key at the same time.
            (Err(Error::Moving), Some((by, cues, key))) => {
                self.inner.give(&id, by, cues, Some(key)).await
            }
            (accepted, _) => accepted,
        }
    }

    async fn begun(
        &self,
        id: &Id,
        about: About,
        (mail, receipt): (Mail, Accepted),
    ) -> Result<Receipt, Error> {
        self.inner.begin(id, Birth { about, mail })?;
        receipt.await.map_err(|_| Error::Stopping)?
    }

    /// Gives a session cues: all of them are accepted, or none.
    pub async fn give(
        &self,
        tenant: &TenantId,
        session: SessionId,
        by: By,
        cues: Vec<Cue>,
        key: Option<Key>,
    ) -> Result<Receipt, Error> {
        let id = Id { tenant: tenant.clone(), session };
        self.inner.give(&id, by, cues, key).await
    }

    /// Changes what a session is said to be, and gives what `change` said. That
    /// is asked again where somebody else was faster, so that no change is lost.
    pub async fn describe<T>(
        &self,
        tenant: &TenantId,
        session: SessionId,
        mut change: impl FnMut(&mut About) -> T,
    ) -> Result<T, Error> {
        for _ in 0..DESCRIBE_TRIES {
            let reader = self.reader(tenant, session).await?;
            let mut about = About::clone(&reader.about());
            let said = change(&mut about);
            if about == *reader.about() {
                return Ok(said);
            }
            let mut unit = Unit::new("sessions.describe");
            let (was, about) = (reader.profiled(), reader.sealed_about(&about)?);
            sessions::describe(&mut unit, tenant, session, was, about);
            match self.inner.db().write(unit).await {
                Ok(_) => {}
                // Somebody was faster, or it is gone, or another cell's.
                Err(DbError::GuardFailed { .. }) => match self.not_ours(tenant, session).await? {
                    Error::NotFound => continue,
                    error => return Err(error),
                },
                Err(error) => return Err(error.into()),
            }
            if let Some(handle) = self.inner.workers().get(&reader.id) {
                handle.stale.store(true, Ordering::Release);
            }
            return Ok(said);
        }
        Err(Error::Crowded)
    }

    /// Why a write of a session did not find it.
    async fn not_ours(&self, tenant: &TenantId, session: SessionId) -> Result<Error, Error> {
        let row = sessions::get(self.inner.db(), tenant, session).await?;
        let cell = row.and_then(|row| row.sealed_for);
        Ok(cell.map_or(Error::NotFound, |cell| Refused::Sealed(Name::cut(&cell)).into()))
    }

    /// Deletes a session, whoever works on it: from now on nobody finds it. One
    /// that was moved to another cell is refused.
    pub async fn delete(&self, tenant: &TenantId, session: SessionId) -> Result<(), Error> {
        let row = sessions::get(self.inner.db(), tenant, session).await?;
        if let Some(cell) = row.and_then(|row| row.sealed_for) {
            return Err(Refused::Sealed(Name::cut(&cell)).into());
        }
        self.forget(tenant, session).await
    }

    /// Deletes a session here, also one that was moved: what is in the other
    /// cell stays, and what is here cannot be unsealed any more.
    pub async fn forget(&self, tenant: &TenantId, session: SessionId) -> Result<(), Error> {
        let id = Id { tenant: tenant.clone(), session };
        let unit = deletion::delete(tenant, session, self.inner.env().now());
        match self.inner.db().write(unit).await {
            Ok(_) => {}
            Err(DbError::GuardFailed { .. }) => return Err(Error::NotFound),
            Err(error) => return Err(error.into()),
        }
        self.inner.dismiss(&id);
        if let Some(live) = self.inner.live_of(&id) {
            live.end();
        }
        Ok(())
    }
}

/// The id of a session that is made under an idempotency key: the same for
/// the same key, whenever it comes. Its time is that of no clock.
fn id_of_key(tenant: &TenantId, key: &Key) -> SessionId {
    id_of(&[tenant.as_str(), &key.name])
}

/// The id of a fork that is made under an idempotency key.
pub(super) fn fork_of_key(tenant: &TenantId, parent: SessionId, key: &Key) -> SessionId {
    id_of(&[tenant.as_str(), "fork", &parent.to_string(), &key.name])
}

fn id_of(parts: &[&str]) -> SessionId {
    let mut hash = Sha256::new();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            hash.update([0]);
        }
        hash.update(part.as_bytes());
    }
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    SessionId::from_parts(Timestamp::UNIX_EPOCH, &random)
}
