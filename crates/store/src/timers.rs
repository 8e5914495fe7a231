//! Timers that sessions have set: what a journal says of them, laid out so that
//! those which are due are found across sessions.

use std::sync::Arc;

use freehold_types::{Db, DbError, Page, PageRequest, Row, SessionId, TenantId, Unit, args};
use jiff::Timestamp;

/// A timer that has not fired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    /// Whose it is.
    pub tenant: TenantId,
    /// The session that set it.
    pub session: SessionId,
    /// Its name in the session.
    pub id: Arc<str>,
    /// When it fires.
    pub due_at: Timestamp,
    /// The event that set it, and says what for.
    pub offset: u64,
}

const SET: &str = "INSERT INTO timers (tenant, session, id, due_at, at_offset)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, session, id)
    DO UPDATE SET due_at = excluded.due_at, at_offset = excluded.at_offset";
const CLEAR: &str = "DELETE FROM timers WHERE tenant = $1 AND session = $2 AND id = $3";
/// One step along the index, whatever the number of timers.
const NEXT_TENANT: &str =
    "SELECT tenant, due_at FROM timers WHERE tenant > $1 ORDER BY tenant, due_at LIMIT 1";
const DUE: &str = "SELECT tenant, session, id, due_at, at_offset FROM timers
    WHERE tenant = $1 AND due_at <= $2 ORDER BY due_at, session, id LIMIT $3";
const OF_SESSION: &str = "SELECT tenant, session, id, due_at, at_offset FROM timers
    WHERE tenant = $1 AND session = $2 AND id > $3 ORDER BY id LIMIT $4";

/// Sets a timer, or sets it anew. After the event that tells of it, in the
/// same unit.
pub fn set(unit: &mut Unit, timer: &Timer) {
    let args = args![
        timer.tenant.shared(),
        timer.session.to_string(),
        Arc::clone(&timer.id),
        timer.due_at,
        timer.offset,
    ];
    unit.expect(1, SET, args);
}

/// Takes a timer away because it fired or was cancelled; fails its guard if
/// it is not set, so it fires once. After the event that tells of it, in the
/// same unit.
pub fn clear(unit: &mut Unit, tenant: &TenantId, session: SessionId, id: &str) {
    unit.expect(1, CLEAR, args![tenant.shared(), session.to_string(), id]);
}

/// The next tenant in order that has a timer due by then.
pub async fn next_tenant(
    db: &dyn Db,
    after: Option<&TenantId>,
    now: Timestamp,
) -> Result<Option<TenantId>, DbError> {
    crate::tenants::next(db, NEXT_TENANT, after, now).await
}

/// A tenant's timers that are due by then, the longest due first.
pub async fn due(
    db: &dyn Db,
    tenant: &TenantId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Timer>, DbError> {
    let rows = db.read(DUE, args![tenant.shared(), now, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// A session's timers by their names.
pub async fn of_session(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    page: &PageRequest,
) -> Result<Page<Timer>, DbError> {
    let after = page.after.as_deref().unwrap_or("");
    let limit = i64::from(page.limit()) + 1;
    let rows = db.read(OF_SESSION, args![tenant.shared(), session.to_string(), after, limit]);
    let timers: Vec<Timer> = rows.await?.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(timers, |timer: &Timer| String::from(&*timer.id)))
}

fn read(mut row: Row) -> Result<Timer, DbError> {
    Ok(Timer {
        tenant: row.parse()?,
        session: row.parse()?,
        id: row.take()?,
        due_at: row.take()?,
        offset: row.take()?,
    })
}
