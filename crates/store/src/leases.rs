//! Who works on which session, and which sessions wait for somebody.
//!
//! A lease is a name in the session's row. It does not run out by itself: one
//! who finds the holder dead (see [`nodes`](crate::nodes)) claims the session,
//! which raises its epoch, and from then on nothing that the old holder sends
//! takes effect.

use std::sync::Arc;

use freehold_types::{Db, DbError, NodeId, Row, SessionId, TenantId, Unit, UnitId, args};
use jiff::Timestamp;

/// A session that somebody should claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimable {
    /// Whose it is.
    pub tenant: TenantId,
    /// The session.
    pub session: SessionId,
    /// The epoch that a claim is made against.
    pub epoch: u64,
    /// Since when, or for when.
    pub due_at: Option<Timestamp>,
    /// Who has it.
    pub node: Option<NodeId>,
}

/// A claim of a session.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// Whose it is.
    pub tenant: &'a TenantId,
    /// The session.
    pub session: SessionId,
    /// The epoch in which it was found to be claimable.
    pub epoch: u64,
    /// Who claims it.
    pub node: NodeId,
    /// Names this claim among all.
    pub id: UnitId,
}

const CLAIM: &str = "UPDATE sessions SET epoch = epoch + 1, node = $4, claim = $5, due_at = NULL
    WHERE tenant = $1 AND id = $2 AND epoch = $3 AND sealed_for IS NULL AND deleted_at IS NULL";
const CLAIMED: &str = "SELECT epoch FROM sessions WHERE tenant = $1 AND id = $2 AND claim = $3";
const RELEASE: &str = "UPDATE sessions SET node = NULL, claim = NULL, due_at = $6
    WHERE tenant = $1 AND id = $2 AND epoch = $3 AND node = $4 AND head = $5";
/// One step along the index, whatever the number of sessions.
const NEXT_TENANT: &str = "SELECT tenant, due_at FROM sessions
    WHERE due_at IS NOT NULL AND tenant > $1 ORDER BY tenant, due_at LIMIT 1";
const DUE: &str = "SELECT tenant, id, epoch, due_at, node FROM sessions
    WHERE tenant = $1 AND due_at IS NOT NULL AND due_at <= $2 ORDER BY due_at, id LIMIT $3";
const NEXT_HOLDER: &str =
    "SELECT node FROM sessions WHERE node IS NOT NULL AND node > $1 ORDER BY node LIMIT 1";
/// An empty phase is any.
const HELD: &str = "SELECT tenant, id, epoch, due_at, node FROM sessions
    WHERE node = $1 AND (tenant, id) > ($2, $3) AND ($5 = '' OR phase = $5)
    ORDER BY tenant, id LIMIT $4";

/// Takes a session, and raises its epoch by one; fails its guard if somebody
/// else did so since, or the session is sealed or deleted. It is then no
/// longer due: its holder sees to it.
pub fn claim(claim: &Claim<'_>) -> Unit {
    let mut unit = Unit::new("leases.claim");
    let (tenant, session): (_, Arc<str>) =
        (claim.tenant.shared(), claim.session.to_string().into());
    let id: Arc<[u8]> = claim.id.as_bytes().into();
    let args = args![
        Arc::clone(&tenant),
        Arc::clone(&session),
        claim.epoch,
        claim.node.to_string(),
        Arc::clone(&id),
    ];
    unit.expect(1, CLAIM, args);
    unit.proven_by(CLAIMED, args![tenant, session, id]);
    unit
}

/// Lets go of a session, to be looked at again at a time, or when something
/// comes. Fails its guard if the holder has not seen the last event: somebody
/// may have added work just now.
pub fn release(unit: &mut Unit, held: &Claim<'_>, head: u64, due_at: Option<Timestamp>) {
    let args = args![
        held.tenant.shared(),
        held.session.to_string(),
        held.epoch,
        held.node.to_string(),
        head,
        due_at,
    ];
    unit.expect(1, RELEASE, args);
}

/// The next tenant in order that has a session due by then. Who goes round
/// the tenants, a few sessions each, lets none starve.
pub async fn next_tenant(
    db: &dyn Db,
    after: Option<&TenantId>,
    now: Timestamp,
) -> Result<Option<TenantId>, DbError> {
    crate::tenants::next(db, NEXT_TENANT, after, now).await
}

/// A tenant's sessions that are due by then, the longest due first; those that
/// somebody holds are among them.
pub async fn due(
    db: &dyn Db,
    tenant: &TenantId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<Claimable>, DbError> {
    let rows = db.read(DUE, args![tenant.shared(), now, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// The next node in order that holds a session, alive or not: one that is not
/// among the [`nodes`](crate::nodes) is dead.
pub async fn next_holder(db: &dyn Db, after: Option<NodeId>) -> Result<Option<NodeId>, DbError> {
    let after = after.map_or_else(String::new, |node| node.to_string());
    let rows = db.read(NEXT_HOLDER, args![after]).await?;
    rows.into_iter().next().map(|mut row| row.parse()).transpose()
}

/// What a node holds, by the batch; in one phase, or in any.
pub async fn held(
    db: &dyn Db,
    node: NodeId,
    phase: Option<&str>,
    after: Option<(&TenantId, SessionId)>,
    limit: u32,
) -> Result<Vec<Claimable>, DbError> {
    let tenant = after.map_or_else(|| Arc::from(""), |(tenant, _)| tenant.shared());
    let session = after.map_or_else(String::new, |(_, session)| session.to_string());
    let phase = phase.unwrap_or_default();
    let rows = db.read(HELD, args![node.to_string(), tenant, session, limit, phase]).await?;
    rows.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<Claimable, DbError> {
    Ok(Claimable {
        tenant: row.parse()?,
        session: row.parse()?,
        epoch: row.take()?,
        due_at: row.take()?,
        node: row.parse_optional()?,
    })
}
