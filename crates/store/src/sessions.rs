//! Sessions: the row that guards each one's writes, and what is seldom changed
//! beside it. Who works on a session is in [`leases`](crate::leases), how one
//! goes away in [`deletion`](crate::deletion).

use std::sync::Arc;

use freehold_types::{
    Db, DbError, NodeId, Page, PageRequest, Row, SessionId, TenantId, Unit, Value, args,
};
use jiff::Timestamp;

/// Each table that holds a part of sessions, and its column with the session's
/// id: by that a distributed engine spreads them, so that all of a session
/// lies together.
pub const TABLES: &[(&str, &str)] = &[
    ("sessions", "id"),
    ("profiles", "session"),
    ("events", "session"),
    ("snapshots", "session"),
    ("timelines", "session"),
    ("timers", "session"),
    ("waits", "session"),
    ("idempotency_keys", "session"),
    ("blob_refs", "session"),
    ("forks", "session"),
    ("ancestors", "session"),
    ("holds", "session"),
    ("session_secrets", "session"),
    ("imports", "session"),
    ("bundles", "session"),
];

/// A session that begins.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, unique in the tenant.
    pub id: SessionId,
    /// When it begins.
    pub created_at: Timestamp,
    /// The timeline that the cell is on.
    pub timeline: u64,
    /// Where it stands, in the runtime's words.
    pub phase: &'static str,
    /// When a worker should look at it.
    pub due_at: Option<Timestamp>,
    /// Who works on it from the start.
    pub node: Option<NodeId>,
    /// What it is: JSON that no query looks into.
    pub about: Arc<str>,
    /// The key of its content, itself sealed.
    pub content_key: Option<Arc<[u8]>>,
}

impl NewSession {
    /// The epoch in which a session begins.
    pub const EPOCH: u64 = 1;
}

/// A session as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub id: SessionId,
    /// The offset of its last event; 0 if there is none.
    pub head: u64,
    /// Raised whenever those who wrote so far may write no more.
    pub epoch: u64,
    /// Part of each of its cursors; see [`timelines`](crate::timelines).
    pub timeline: u64,
    /// Where it stands, in the runtime's words.
    pub phase: Arc<str>,
    /// When it began.
    pub created_at: Timestamp,
    /// When its last event came.
    pub updated_at: Timestamp,
    /// When a worker should look at it.
    pub due_at: Option<Timestamp>,
    /// Who has the lease.
    pub node: Option<NodeId>,
    /// The cell that it was moved to.
    pub sealed_for: Option<Arc<str>>,
}

/// What is seldom changed of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// JSON that no query looks into.
    pub about: Arc<str>,
    /// The key of its content, itself sealed.
    pub content_key: Option<Arc<[u8]>>,
}

const INSERT: &str = "INSERT INTO sessions (tenant, id, head, epoch, timeline, phase, created_at,
    updated_at, due_at, node) VALUES ($1, $2, $9, $3, $4, $5, $6, $6, $7, $8)
    ON CONFLICT DO NOTHING";
const INSERT_PROFILE: &str =
    "INSERT INTO profiles (tenant, session, about, content_key) VALUES ($1, $2, $3, $4)";
const GET: &str = "SELECT tenant, id, head, epoch, timeline, phase, created_at, updated_at, due_at,
    node, sealed_for FROM sessions WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL";
/// A fixed number of places, so that the statement is prepared once.
const HEADS: &str = "SELECT id, head FROM sessions WHERE tenant = $1 AND deleted_at IS NULL
    AND id IN (
    $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39,
    $40, $41, $42, $43, $44, $45, $46, $47, $48, $49, $50, $51, $52, $53, $54, $55, $56, $57,
    $58, $59, $60, $61, $62, $63, $64, $65
    ) LIMIT 64";
const PROFILE: &str = "SELECT about, content_key FROM profiles WHERE tenant = $1 AND session = $2";
/// Newest first: ids sort by time. An empty phase is any.
const LIST: &str =
    "SELECT tenant, id, head, epoch, timeline, phase, created_at, updated_at, due_at,
    node, sealed_for FROM sessions WHERE tenant = $1 AND id < $2 AND ($3 = '' OR phase = $3)
    AND deleted_at IS NULL ORDER BY id DESC LIMIT $4";
/// Takes the row, so that it is not sealed meanwhile.
const TOUCH: &str = "UPDATE sessions SET head = head WHERE tenant = $1 AND id = $2
    AND sealed_for IS NULL AND deleted_at IS NULL";
const DESCRIBE: &str =
    "UPDATE profiles SET about = $4 WHERE tenant = $1 AND session = $2 AND about = $3";
const SEAL: &str = "UPDATE sessions SET sealed_for = $4, epoch = epoch + 1, node = NULL,
    claim = NULL, due_at = NULL WHERE tenant = $1 AND id = $2 AND epoch = $3
    AND sealed_for IS NULL AND deleted_at IS NULL";
const UNSEAL: &str = "UPDATE sessions SET sealed_for = NULL, epoch = epoch + 1, due_at = $5
    WHERE tenant = $1 AND id = $2 AND epoch = $3 AND sealed_for = $4 AND deleted_at IS NULL";

/// Begins a session; fails its guard if the id is taken. Its first events go
/// into the same unit, after offset 0 and in [`NewSession::EPOCH`]; they prove
/// the unit.
pub fn create(unit: &mut Unit, new: &NewSession) {
    begin(unit, new, 0, NewSession::EPOCH);
}

/// Begins a session whose first own event comes after `base`.
pub(crate) fn begin(unit: &mut Unit, new: &NewSession, base: u64, epoch: u64) {
    let (tenant, id): (_, Arc<str>) = (new.tenant.shared(), new.id.to_string().into());
    let args = args![
        Arc::clone(&tenant),
        Arc::clone(&id),
        epoch,
        new.timeline,
        new.phase,
        new.created_at,
        new.due_at,
        new.node.map(|node| node.to_string()),
        base,
    ];
    unit.expect(1, INSERT, args);
    let args = args![tenant, id, Arc::clone(&new.about), new.content_key.clone()];
    unit.expect(1, INSERT_PROFILE, args);
}

/// Changes what a session is said to be; fails its guard if it is not said to be
/// what it `was`, is not there, or is sealed.
pub fn describe(unit: &mut Unit, tenant: &TenantId, id: SessionId, was: Arc<str>, about: Arc<str>) {
    unit.expect(1, TOUCH, args![tenant.shared(), id.to_string()]);
    unit.expect(1, DESCRIBE, args![tenant.shared(), id.to_string(), was, about]);
}

/// Gives a session to another cell: nobody writes here any more. After the
/// event that tells of it, in the same unit; the epoch is the one of that
/// event, and raised by this.
pub fn seal(unit: &mut Unit, tenant: &TenantId, id: SessionId, epoch: u64, cell: &str) {
    unit.expect(1, SEAL, args![tenant.shared(), id.to_string(), epoch, cell]);
}

/// Takes a session back that was sealed for this cell. Before the event that
/// tells of it, in the same unit: the epoch is raised by this.
pub fn unseal(
    unit: &mut Unit,
    tenant: &TenantId,
    id: SessionId,
    epoch: u64,
    cell: &str,
    due_at: Option<Timestamp>,
) {
    unit.expect(1, UNSEAL, args![tenant.shared(), id.to_string(), epoch, cell, due_at]);
}

/// A session, unless there is none, or it is deleted.
pub async fn get(
    db: &dyn Db,
    tenant: &TenantId,
    id: SessionId,
) -> Result<Option<Session>, DbError> {
    let rows = db.read(GET, args![tenant.shared(), id.to_string()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The most sessions that [`heads`] looks at.
pub const HEADS_MAX: usize = 64;

/// The offsets of the last events of some of a tenant's sessions, the first
/// [`HEADS_MAX`] of those that are asked for; what is not there is left out.
pub async fn heads(
    db: &dyn Db,
    tenant: &TenantId,
    ids: &[SessionId],
) -> Result<Vec<(SessionId, u64)>, DbError> {
    let Some(last) = ids.iter().take(HEADS_MAX).next_back() else { return Ok(Vec::new()) };
    let mut args = args![tenant.shared()];
    // The last one stands in all places that are left.
    let places = ids.iter().chain(std::iter::repeat(last)).take(HEADS_MAX);
    args.extend(places.map(|id| Value::from(id.to_string())));
    let rows = db.read(HEADS, args).await?;
    rows.into_iter().map(|mut row| Ok((row.parse()?, row.take()?))).collect()
}

/// What is seldom changed of a session.
pub async fn profile(
    db: &dyn Db,
    tenant: &TenantId,
    id: SessionId,
) -> Result<Option<Profile>, DbError> {
    let rows = db.read(PROFILE, args![tenant.shared(), id.to_string()]).await?;
    let row = rows.into_iter().next();
    row.map(|mut row| Ok(Profile { about: row.take()?, content_key: row.take()? })).transpose()
}

/// A tenant's sessions, newest first; in one phase, or in any.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    phase: Option<&str>,
    page: &PageRequest,
) -> Result<Page<Session>, DbError> {
    // After all ids: those are in lower case.
    let after = page.after.as_deref().unwrap_or("~");
    let limit = i64::from(page.limit()) + 1;
    let args = args![tenant.shared(), after, phase.unwrap_or(""), limit];
    let sessions: Vec<Session> =
        db.read(LIST, args).await?.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(sessions, |session: &Session| session.id.to_string()))
}

fn read(mut row: Row) -> Result<Session, DbError> {
    Ok(Session {
        tenant: row.parse()?,
        id: row.parse()?,
        head: row.take()?,
        epoch: row.take()?,
        timeline: row.take()?,
        phase: row.take()?,
        created_at: row.take()?,
        updated_at: row.take()?,
        due_at: row.take()?,
        node: row.parse_optional()?,
        sealed_for: row.take()?,
    })
}
