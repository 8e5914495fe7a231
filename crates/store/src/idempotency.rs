//! Idempotency keys: which request became which event. They live as long as
//! their session.
//!
//! A key that makes a session has none yet to live in: the caller derives the
//! session's id from the key instead, and the second one finds it taken.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, args};

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Tells this request from another one under the same key.
    pub request_hash: Arc<[u8]>,
    /// The event that it became.
    pub offset: u64,
}

const INSERT: &str = "INSERT INTO idempotency_keys (tenant, session, name, request_hash, at_offset)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const LIST: &str = "SELECT name, request_hash, at_offset FROM idempotency_keys
    WHERE tenant = $1 AND session = $2 AND name > $3 ORDER BY name LIMIT $4";
const FIND: &str = "SELECT request_hash, at_offset FROM idempotency_keys
    WHERE tenant = $1 AND session = $2 AND name = $3
    AND EXISTS (SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL)";

/// A session's keys by their names, by the batch.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    after: &str,
    limit: u32,
) -> Result<Vec<(Arc<str>, Accepted)>, DbError> {
    let args = args![tenant.shared(), session.to_string(), after, limit];
    let rows = db.read(LIST, args).await?;
    let read = |mut row: freehold_types::Row| {
        let name = row.take()?;
        Ok((name, Accepted { request_hash: row.take()?, offset: row.take()? }))
    };
    rows.into_iter().map(read).collect()
}

/// Notes that a request was accepted; fails its guard if one with this key was
/// before. After the event that it became, in the same unit. The caller bounds
/// the key.
pub fn accept(
    unit: &mut Unit,
    tenant: &TenantId,
    session: SessionId,
    key: &str,
    accepted: &Accepted,
) {
    let args = args![
        tenant.shared(),
        session.to_string(),
        key,
        Arc::clone(&accepted.request_hash),
        accepted.offset,
    ];
    unit.expect(1, INSERT, args);
}

/// What became of the request with this key, if there was one.
pub async fn find(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    key: &str,
) -> Result<Option<Accepted>, DbError> {
    let rows = db.read(FIND, args![tenant.shared(), session.to_string(), key]).await?;
    let row = rows.into_iter().next();
    row.map(|mut row| Ok(Accepted { request_hash: row.take()?, offset: row.take()? })).transpose()
}
