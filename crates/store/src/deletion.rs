//! How a session goes away: at once for all who ask, and then for good, in
//! bounded units. What [`forks`](crate::forks) begin with stays until the last
//! of them is deleted, and nobody but them can read it.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, UnitReceipt, args};
use jiff::Timestamp;

const DELETE: &str = "UPDATE sessions SET deleted_at = $3, epoch = epoch + 1, node = NULL,
    claim = NULL, due_at = NULL WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL";
const EXPIRE: &str = "UPDATE sessions SET deleted_at = $3, epoch = epoch + 1, node = NULL,
    claim = NULL, due_at = NULL WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL
    AND updated_at < $4 AND due_at IS NULL AND node IS NULL";
/// What waits is not idle, however long it has to.
const IDLE: &str = "SELECT tenant, id FROM sessions
    WHERE (tenant, id) > ($1, $2) AND updated_at < $3 AND deleted_at IS NULL
    AND due_at IS NULL AND node IS NULL
    AND NOT EXISTS (SELECT 1 FROM timers WHERE timers.tenant = sessions.tenant
        AND timers.session = sessions.id)
    AND NOT EXISTS (SELECT 1 FROM waits WHERE waits.tenant = sessions.tenant
        AND waits.session = sessions.id)
    ORDER BY tenant, id LIMIT $4";
/// In every table, of a session. What became of a bundle is nothing of it, and
/// stays, so that no bundle brings back what was deleted.
const LEFT: &str = "SELECT (SELECT COUNT(*) FROM sessions WHERE tenant = $1 AND id = $2)
    + (SELECT COUNT(*) FROM profiles WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM events WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM snapshots WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM timelines WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM timers WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM waits WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM idempotency_keys WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM blob_refs WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM forks WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM ancestors WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM holds WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM session_secrets WHERE tenant = $1 AND session = $2)
    + (SELECT COUNT(*) FROM imports WHERE tenant = $1 AND session = $2)";
/// With it goes the key without which the content cannot be read, wherever a
/// copy of it lies. The runtime bounds how many timers and waits there are.
const AT_ONCE: [&str; 5] = [
    "DELETE FROM profiles WHERE tenant = $1 AND session = $2",
    "DELETE FROM timers WHERE tenant = $1 AND session = $2",
    "DELETE FROM waits WHERE tenant = $1 AND session = $2",
    "DELETE FROM ancestors WHERE tenant = $1 AND session = $2",
    FORGET_SECRETS,
];
const DELETED: &str = "SELECT tenant, id FROM sessions
    WHERE deleted_at IS NOT NULL AND (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3";
/// Takes the row's lock, and sees that it is deleted indeed.
const HOLD: &str = "UPDATE sessions SET due_at = NULL
    WHERE tenant = $1 AND id = $2 AND deleted_at IS NOT NULL";
/// Some of the idempotency keys of a session.
pub(crate) const SOME_KEYS: &str =
    "DELETE FROM idempotency_keys WHERE tenant = $1 AND session = $2 AND name IN (
        SELECT name FROM idempotency_keys WHERE tenant = $1 AND session = $2
        ORDER BY name LIMIT $3)";
/// Some of its timelines.
pub(crate) const SOME_TIMELINES: &str =
    "DELETE FROM timelines WHERE tenant = $1 AND session = $2 AND timeline IN (
        SELECT timeline FROM timelines WHERE tenant = $1 AND session = $2
        ORDER BY timeline LIMIT $3)";
const SWEEP: [&str; 4] = [
    "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset IN (
        SELECT at_offset FROM events WHERE tenant = $1 AND session = $2 AND at_offset >
            (SELECT COALESCE(MAX(up_to), 0) FROM holds WHERE tenant = $1 AND session = $2)
        ORDER BY at_offset LIMIT $3)",
    SOME_KEYS,
    SOME_TIMELINES,
    "DELETE FROM snapshots WHERE tenant = $1 AND session = $2 AND at_offset IN (
        SELECT at_offset FROM snapshots WHERE tenant = $1 AND session = $2
        ORDER BY at_offset LIMIT $3)",
];
/// Who still holds something of this one holds what it begins with, too.
const FORGET_FORK: &str = "DELETE FROM forks WHERE tenant = $1 AND session = $2
    AND NOT EXISTS (SELECT 1 FROM holds WHERE tenant = $1 AND session = $2)";
/// Those that were put just when the session was deleted.
const FORGET_SECRETS: &str = "DELETE FROM session_secrets WHERE tenant = $1 AND session = $2";
/// Blobs lie elsewhere: whoever removes them takes their references away.
const END: &str = "DELETE FROM sessions WHERE tenant = $1 AND id = $2 AND deleted_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM events WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM idempotency_keys WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM timelines WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM snapshots WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM blob_refs WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM forks WHERE tenant = $1 AND session = $2)
    AND NOT EXISTS (SELECT 1 FROM holds WHERE tenant = $1 AND session = $2)";

/// Deletes a session, whoever works on it: nobody finds it any more, and no
/// write of before takes effect. Fails its guard if there is none.
pub fn delete(tenant: &TenantId, id: SessionId, at: Timestamp) -> Unit {
    let mut unit = Unit::new("sessions.delete");
    add(&mut unit, tenant, id, at);
    unit
}

/// Deletes a session that has been idle since before a time; fails its guard
/// if it was used since, or somebody works on it.
pub fn expire(tenant: &TenantId, id: SessionId, before: Timestamp, at: Timestamp) -> Unit {
    let mut unit = Unit::new("sessions.expire");
    unit.expect(1, EXPIRE, args![tenant.shared(), id.to_string(), at, before]);
    at_once(&mut unit, tenant, id);
    unit
}

/// Sessions of all tenants whose last event came before a time and that wait
/// for nothing, by the batch. Reads all sessions.
pub async fn idle_since(
    db: &dyn Db,
    before: Timestamp,
    after: Option<(&TenantId, SessionId)>,
    limit: u32,
) -> Result<Vec<(TenantId, SessionId)>, DbError> {
    let tenant = after.map_or_else(|| Arc::from(""), |(tenant, _)| tenant.shared());
    let session = after.map_or_else(String::new, |(_, session)| session.to_string());
    let rows = db.read(IDLE, args![tenant, session, before, limit]).await?;
    rows.into_iter().map(|mut row| Ok((row.parse()?, row.parse()?))).collect()
}

/// Rows of a session in all tables: none, if it is gone.
pub async fn rows_left(db: &dyn Db, tenant: &TenantId, id: SessionId) -> Result<u64, DbError> {
    let rows = db.read(LEFT, args![tenant.shared(), id.to_string()]).await?;
    rows.into_iter().next().map_or(Ok(0), |mut row| row.take())
}

/// The statements of [`delete`].
pub(crate) fn add(unit: &mut Unit, tenant: &TenantId, id: SessionId, at: Timestamp) {
    unit.expect(1, DELETE, args![tenant.shared(), id.to_string(), at]);
    at_once(unit, tenant, id);
}

fn at_once(unit: &mut Unit, tenant: &TenantId, id: SessionId) {
    let (tenant, id): (_, Arc<str>) = (tenant.shared(), id.to_string().into());
    for sql in AT_ONCE {
        unit.run(sql, args![Arc::clone(&tenant), Arc::clone(&id)]);
    }
}

/// Sessions that are deleted and not swept away yet, by the batch.
pub async fn deleted(
    db: &dyn Db,
    after: Option<(&TenantId, SessionId)>,
    limit: u32,
) -> Result<Vec<(TenantId, SessionId)>, DbError> {
    let tenant = after.map_or_else(|| Arc::from(""), |(tenant, _)| tenant.shared());
    let session = after.map_or_else(String::new, |(_, session)| session.to_string());
    let rows = db.read(DELETED, args![tenant, session, limit]).await?;
    rows.into_iter().map(|mut row| Ok((row.parse()?, row.parse()?))).collect()
}

/// Sweeps away up to `limit` rows of each kind of a deleted session; fails its
/// guard if it is not deleted, or gone. [`is_gone`] tells whether that was all.
pub fn sweep(tenant: &TenantId, id: SessionId, limit: u32) -> Unit {
    let mut unit = Unit::new("sessions.sweep");
    let (tenant, id): (_, Arc<str>) = (tenant.shared(), id.to_string().into());
    unit.expect(1, HOLD, args![Arc::clone(&tenant), Arc::clone(&id)]);
    for sql in SWEEP {
        unit.run(sql, args![Arc::clone(&tenant), Arc::clone(&id), limit]);
    }
    unit.run(FORGET_FORK, args![Arc::clone(&tenant), Arc::clone(&id)]);
    unit.run(FORGET_SECRETS, args![Arc::clone(&tenant), Arc::clone(&id)]);
    unit.run(END, args![tenant, id]);
    unit
}

/// Whether a [`sweep`] took the last of a session away.
pub fn is_gone(swept: &UnitReceipt) -> bool {
    swept.changed.last() == Some(&1)
}
