//! Takes away what is old or deleted, in bounded steps that may stop anywhere
//! and be done again, by any number of nodes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use freehold_types::{
    BlobError, BlobScope, Blobs, Db, DbError, Env, SessionId, TenantId, UnitId, UnitReceipt,
};
use jiff::{SignedDuration, Timestamp};

use crate::imports::{self, Import};
use crate::{blobs, deletion, forks, settle};

/// Rows of each kind in one unit, and references in one batch.
const BATCH: u32 = 256;
/// Sessions that are looked at in one batch.
const SESSIONS: u32 = 256;

/// An import in which nothing was written for so long is over: its client has
/// gone long before, for a body that does not come is given up in minutes.
const IMPORT_PATIENCE: Duration = Duration::from_secs(3_600);

/// Why something is not swept away now.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database does not do it.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The place of the blobs does not do it.
    #[error(transparent)]
    Blobs(#[from] BlobError),
}

/// A session of which nothing is left: every table was looked at after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    /// Whose it was.
    pub tenant: TenantId,
    /// Its id.
    pub session: SessionId,
    /// Rows that this sweep took away.
    pub rows: u64,
    /// Blobs that this sweep took away.
    pub blobs: u64,
}

/// What one round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Sessions that were deleted because they are too old.
    pub expired: u64,
    /// Sessions that went away for good.
    pub gone: Vec<Gone>,
    /// Deleted sessions of which forks still need something.
    pub held: u64,
    /// Imports that nobody went on with, and that were cleared away.
    pub abandoned: u64,
    /// Sessions that could not be swept away now, and why.
    pub failed: Vec<(SessionId, String)>,
}

/// How long sessions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// After its last event, if it waits for nothing; `None` is for ever.
    pub keep: Option<Duration>,
}

/// Sweeps round by round.
pub struct Sweeper {
    db: Arc<dyn Db>,
    blobs: Arc<dyn Blobs>,
    env: Arc<dyn Env>,
    retention: Mutex<Retention>,
}

impl Sweeper {
    /// A sweeper of this store and these blobs.
    pub fn new(db: Arc<dyn Db>, blobs: Arc<dyn Blobs>, env: Arc<dyn Env>) -> Self {
        Self { db, blobs, env, retention: Mutex::default() }
    }

    /// How long sessions are kept from the next round on.
    pub fn set(&self, retention: Retention) {
        *self.retention.lock().unwrap_or_else(PoisonError::into_inner) = retention;
    }

    /// Deletes what is too old, and sweeps away what is deleted, as far as it
    /// can be. To be called every few minutes.
    pub async fn round(&self) -> Result<Round, SweepError> {
        let mut round = Round::default();
        let now = self.env.now();
        let keep = self.retention.lock().unwrap_or_else(PoisonError::into_inner).keep;
        if let Some(before) = keep.and_then(|keep| before(now, keep)) {
            round.expired = self.expire(before, now).await?;
        }
        self.abandoned(now, &mut round).await?;
        let mut last: Option<(TenantId, SessionId)> = None;
        loop {
            let after = last.as_ref().map(|(tenant, session)| (tenant, *session));
            let found = deletion::deleted(&*self.db, after, SESSIONS).await?;
            for (tenant, session) in &found {
                match sweep_session(&*self.db, &*self.blobs, tenant, *session).await {
                    Ok(Some(gone)) => round.gone.push(gone),
                    Ok(None) => round.held += 1,
                    Err(SweepError::Db(error @ DbError::Unavailable(_))) => {
                        return Err(error.into());
                    }
                    // It does not keep the others.
                    Err(error) => round.failed.push((*session, error.to_string())),
                }
            }
            match found.into_iter().next_back() {
                Some(place) => last = Some(place),
                None => return Ok(round),
            }
        }
    }

    /// Clears imports away that nobody goes on with.
    async fn abandoned(&self, now: Timestamp, round: &mut Round) -> Result<(), SweepError> {
        let Some(before) = before(now, IMPORT_PATIENCE) else { return Ok(()) };
        let mut last: Option<Import> = None;
        loop {
            let found = imports::stale(&*self.db, before, last.as_ref(), SESSIONS).await?;
            for import in &found {
                match self.give_up(import, now).await {
                    Ok(()) => round.abandoned += 1,
                    // Somebody goes on with it after all.
                    Err(SweepError::Db(DbError::GuardFailed { .. })) => {}
                    Err(SweepError::Db(error @ DbError::Unavailable(_))) => {
                        return Err(error.into());
                    }
                    Err(error) => round.failed.push((import.session, error.to_string())),
                }
            }
            match found.into_iter().next_back() {
                Some(import) => last = Some(import),
                None => return Ok(()),
            }
        }
    }

    async fn give_up(&self, import: &Import, now: Timestamp) -> Result<(), SweepError> {
        let token: Arc<[u8]> = UnitId::new(&*self.env).as_bytes().into();
        settle(&*self.db, imports::take(import, Arc::clone(&token), now)).await?;
        let taken = Import { token, ..import.clone() };
        imports::give_up(&*self.db, &*self.blobs, &taken).await
    }

    async fn expire(&self, before: Timestamp, now: Timestamp) -> Result<u64, SweepError> {
        let mut expired = 0;
        let mut last: Option<(TenantId, SessionId)> = None;
        loop {
            let after = last.as_ref().map(|(tenant, session)| (tenant, *session));
            let found = deletion::idle_since(&*self.db, before, after, SESSIONS).await?;
            for (tenant, session) in &found {
                match self.db.write(deletion::expire(tenant, *session, before, now)).await {
                    Ok(_) => expired += 1,
                    // It was used just now, or another one was faster.
                    Err(DbError::GuardFailed { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            match found.into_iter().next_back() {
                Some(place) => last = Some(place),
                None => return Ok(expired),
            }
        }
    }
}

fn before(now: Timestamp, keep: Duration) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(keep).ok()?).ok()
}

/// Sweeps one deleted session away as far as it can be. `None` if something
/// stays: what its forks begin with, until the last of them is gone, and its
/// blobs so long.
pub async fn sweep_session(
    db: &dyn Db,
    places: &dyn Blobs,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Option<Gone>, SweepError> {
    // Read first: with the session this is gone, too. If the rest is lost in
    // between, `is_held` finds it from the other side.
    let origin = forks::origin(db, tenant, session).await?;
    let mut gone = Gone { tenant: tenant.clone(), session, rows: 0, blobs: 0 };
    if !is_held(db, tenant, session).await? {
        gone.blobs = remove_blobs(db, places, tenant, session).await?;
    }
    loop {
        let swept = match db.write(deletion::sweep(tenant, session, BATCH)).await {
            Ok(swept) => swept,
            // Another one was faster.
            Err(DbError::GuardFailed { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let rows = taken(&swept);
        gone.rows += rows;
        if deletion::is_gone(&swept) {
            break;
        }
        if rows == 0 {
            return Ok(None);
        }
    }
    if let Some(origin) = origin {
        db.write(forks::release(tenant, origin.parent, session, &origin.token)).await?;
    }
    match deletion::rows_left(db, tenant, session).await? {
        0 => Ok(Some(gone)),
        left => Err(DbError::Corrupt(format!("{session} is gone and left {left} rows")).into()),
    }
}

/// Without the first statement, which only takes the row's lock.
fn taken(swept: &UnitReceipt) -> u64 {
    swept.changed.iter().skip(1).sum()
}

/// Whether forks need this session's events. Lets go for those that are gone
/// and did not say so.
async fn is_held(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Result<bool, DbError> {
    let mut held = false;
    let mut after = None;
    loop {
        let holds = forks::holds(db, tenant, session, after, BATCH).await?;
        for hold in &holds {
            if forks::is_swept(db, tenant, hold.child).await? {
                db.write(forks::release(tenant, session, hold.child, &hold.token)).await?;
            } else {
                held = true;
            }
        }
        match holds.last() {
            Some(last) => after = Some(last.child),
            None => return Ok(held),
        }
    }
}

/// Also those that were put and then not referred to.
pub(crate) async fn remove_blobs(
    db: &dyn Db,
    places: &dyn Blobs,
    tenant: &TenantId,
    session: SessionId,
) -> Result<u64, SweepError> {
    let scope = BlobScope::Session(tenant.clone(), session);
    let mut removed = 0;
    loop {
        let found = places.list(&scope, None, BATCH as usize).await?;
        if found.is_empty() {
            break;
        }
        for entry in &found {
            places.delete(&entry.name).await?;
            removed += 1;
        }
    }
    loop {
        let found = blobs::list(db, tenant, session, None, BATCH).await?;
        if found.is_empty() {
            return Ok(removed);
        }
        db.write(blobs::forget(tenant, session, &found)).await?;
    }
}
