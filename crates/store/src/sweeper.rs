//! Takes what is left of deleted sessions away, in bounded steps that may stop
//! anywhere and be done again.

use freehold_types::{BoxFuture, Db, DbError, SessionId, TenantId};

use crate::blobs::{self, BlobRef};
use crate::{deletion, forks};

/// Rows of each kind in one unit, and references in one batch.
const BATCH: u32 = 256;

/// Where blobs lie.
pub trait RemoveBlobs: Send + Sync + 'static {
    /// Removes a session's blobs, which nobody refers to any more. One that is
    /// not there is no error.
    fn remove<'a>(
        &'a self,
        tenant: &'a TenantId,
        session: SessionId,
        blobs: &'a [BlobRef],
    ) -> BoxFuture<'a, Result<(), DbError>>;
}

/// Sweeps one deleted session away as far as it can be, and tells whether that
/// was all: what its forks begin with stays until the last of them is gone, and
/// so do the blobs.
pub async fn sweep_session(
    db: &dyn Db,
    removal: &dyn RemoveBlobs,
    tenant: &TenantId,
    session: SessionId,
) -> Result<bool, DbError> {
    // Read first: with the session this is gone, too. If it is lost in
    // between, `let_go` finds it from the other side.
    let origin = forks::origin(db, tenant, session).await?;
    if !is_held(db, tenant, session).await? {
        remove_blobs(db, removal, tenant, session).await?;
    }
    loop {
        let swept = match db.write(deletion::sweep(tenant, session, BATCH)).await {
            Ok(swept) => swept,
            // Another one was faster.
            Err(DbError::GuardFailed { .. }) => break,
            Err(error) => return Err(error),
        };
        if deletion::is_gone(&swept) {
            break;
        }
        // The first only takes the row's lock.
        if swept.changed.iter().skip(1).all(|rows| *rows == 0) {
            return Ok(false);
        }
    }
    if let Some(origin) = origin {
        db.write(forks::release(tenant, origin.parent, session, &origin.token)).await?;
    }
    Ok(true)
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

async fn remove_blobs(
    db: &dyn Db,
    removal: &dyn RemoveBlobs,
    tenant: &TenantId,
    session: SessionId,
) -> Result<(), DbError> {
    loop {
        let found = blobs::list(db, tenant, session, None, BATCH).await?;
        if found.is_empty() {
            return Ok(());
        }
        removal.remove(tenant, session, &found).await?;
        db.write(blobs::forget(tenant, session, &found)).await?;
    }
}
