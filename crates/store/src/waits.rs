//! What sessions wait for from outside, as far as it must be found across
//! sessions: the inbox of approvals, calls that a client answers, signals.

use std::sync::Arc;

use freehold_types::{Db, DbError, Page, PageRequest, Row, SessionId, TenantId, Unit, args};
use jiff::Timestamp;

/// Something that a session waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Whose it is.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// Its name in the session: a call's or an approval's id.
    pub id: Arc<str>,
    /// What it is, in the runtime's words.
    pub kind: Arc<str>,
    /// Since when.
    pub since: Timestamp,
    /// Until when.
    pub expires_at: Option<Timestamp>,
    /// The event that asked, and says what for.
    pub offset: u64,
}

const OPEN: &str = "INSERT INTO waits (tenant, session, id, kind, since, expires_at, at_offset)
    VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const CLOSE: &str = "DELETE FROM waits WHERE tenant = $1 AND session = $2 AND id = $3";
const GET: &str = "SELECT tenant, session, id, kind, since, expires_at, at_offset FROM waits
    WHERE tenant = $1 AND session = $2 AND id = $3";
const LIST: &str = "SELECT tenant, session, id, kind, since, expires_at, at_offset FROM waits
    WHERE tenant = $1 AND kind = $2 AND (since, session, id) > ($3, $4, $5)
    ORDER BY since, session, id LIMIT $6";

/// Notes that a session waits; fails its guard if it waits for that already.
/// After the event that asks, in the same unit.
pub fn open(unit: &mut Unit, wait: &Wait) {
    let args = args![
        wait.tenant.shared(),
        wait.session.to_string(),
        Arc::clone(&wait.id),
        Arc::clone(&wait.kind),
        wait.since,
        wait.expires_at,
        wait.offset,
    ];
    unit.expect(1, OPEN, args);
}

/// Ends a wait; fails its guard if there is none, so an answer counts once.
/// After the event with the answer, in the same unit.
pub fn close(unit: &mut Unit, tenant: &TenantId, session: SessionId, id: &str) {
    unit.expect(1, CLOSE, args![tenant.shared(), session.to_string(), id]);
}

/// One thing that a session waits for.
pub async fn get(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    id: &str,
) -> Result<Option<Wait>, DbError> {
    let rows = db.read(GET, args![tenant.shared(), session.to_string(), id]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// What a tenant's sessions wait for of one kind, the longest first.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    kind: &str,
    page: &PageRequest,
) -> Result<Page<Wait>, DbError> {
    let (since, session, id) = page.after.as_deref().and_then(place).unwrap_or((i64::MIN, "", ""));
    let limit = i64::from(page.limit()) + 1;
    let rows = db.read(LIST, args![tenant.shared(), kind, since, session, id, limit]).await?;
    let waits: Vec<Wait> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(waits, |wait: &Wait| {
        format!("{}/{}/{}", wait.since.as_microsecond(), wait.session, wait.id)
    }))
}

/// Where a page begins, in the text that the page before ended with. Text that
/// never was one begins at the start.
fn place(after: &str) -> Option<(i64, &str, &str)> {
    let mut parts = after.splitn(3, '/');
    Some((parts.next()?.parse().ok()?, parts.next()?, parts.next()?))
}

fn read(mut row: Row) -> Result<Wait, DbError> {
    Ok(Wait {
        tenant: row.parse()?,
        session: row.parse()?,
        id: row.take()?,
        kind: row.take()?,
        since: row.take()?,
        expires_at: row.take()?,
        offset: row.take()?,
    })
}
