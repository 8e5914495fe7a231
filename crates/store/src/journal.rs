//! The journal: what happened in a session, in order, for good.
//!
//! Offsets count from 1 in each session without gaps, because one guarded row
//! says so: an append moves the session's head, if it is where the writer
//! believes it to be and the writer's epoch is still the session's. What is
//! projected from the events goes into the same unit, after the append.

use std::sync::Arc;

use freehold_types::{Db, DbError, ErrorKind, Row, SessionId, TenantId, Unit, UnitId, Value, args};
use jiff::Timestamp;

use crate::forks::{self, Lineage};

/// The most events that one append or one read has.
pub const MAX_EVENTS: usize = 256;
/// The most bytes of an event's body; more goes into a blob.
pub const MAX_BODY: usize = 64 << 10;
/// The most bytes of a snapshot, whatever the length of the session.
pub const MAX_SNAPSHOT: usize = 32 << 10;

/// Events that one writer adds to a session.
#[derive(Clone, Debug)]
pub struct Append<'a> {
    /// Whose session it is.
    pub tenant: &'a TenantId,
    /// The session.
    pub session: SessionId,
    /// The offset of the last event that the writer knows of.
    pub after: u64,
    /// The epoch that it writes under.
    pub epoch: u64,
    /// Names this append among all.
    pub id: UnitId,
    /// When.
    pub at: Timestamp,
    /// Where the session then stands; `None` leaves it.
    pub phase: Option<&'static str>,
    /// When a worker should look at it.
    pub due: Due,
    /// At least one.
    pub events: &'a [NewEvent],
    /// What all events with these come to.
    pub snapshot: Option<Arc<[u8]>>,
}

/// When a worker should look at a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Due {
    /// As before; the cheapest, for no index hears of it.
    #[default]
    AsBefore,
    /// At this time, or never.
    At(Option<Timestamp>),
}

/// An event that is not in the journal yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The word for what happened.
    pub kind: &'static str,
    /// The version of the body's form.
    pub version: u32,
    /// When it happened.
    pub at: Timestamp,
    /// Its content, as the runtime seals it.
    pub body: Arc<[u8]>,
}

/// An event of a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place, from 1.
    pub offset: u64,
    /// The word for what happened.
    pub kind: Arc<str>,
    /// The version of the body's form.
    pub version: u32,
    /// When it happened.
    pub at: Timestamp,
    /// Its content, as the runtime sealed it.
    pub body: Arc<[u8]>,
}

/// A snapshot of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The last event that is in it.
    pub offset: u64,
    /// Its content, as the runtime sealed it.
    pub body: Arc<[u8]>,
}

/// Why events cannot be appended. Nothing was added to the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// None, or too many.
    #[error("{0} events in one append; there must be 1 to {MAX_EVENTS}")]
    Count(usize),
    /// A body is too large.
    #[error("an event of {0} bytes, of which there may be {MAX_BODY}: put content into a blob")]
    Body(usize),
    /// The snapshot is too large.
    #[error("a snapshot of {0} bytes, of which there may be {MAX_SNAPSHOT}: keep references only")]
    Snapshot(usize),
}

impl AppendError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Internal
    }
}

const ADVANCE: &str = "UPDATE sessions SET head = head + $5, phase = COALESCE($6, phase),
    updated_at = $7 WHERE tenant = $1 AND id = $2 AND head = $3 AND epoch = $4
    AND sealed_for IS NULL AND deleted_at IS NULL";
const ADVANCE_DUE: &str = "UPDATE sessions SET head = head + $5, phase = COALESCE($6, phase),
    updated_at = $7, due_at = $8 WHERE tenant = $1 AND id = $2 AND head = $3 AND epoch = $4
    AND sealed_for IS NULL AND deleted_at IS NULL";
const INSERT: &str = "INSERT INTO events (tenant, session, at_offset, kind, version, at, write_id,
    body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const IS_IN: &str = "SELECT at_offset FROM events
    WHERE tenant = $1 AND session = $2 AND at_offset = $3 AND write_id = $4";
/// What is deleted is not there from that moment on, although it lies there
/// until it is swept away.
const READ: &str = "SELECT at_offset, kind, version, at, body FROM events
    WHERE tenant = $1 AND session = $2 AND at_offset > $3 AND at_offset <= $4
    AND EXISTS (SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL)
    ORDER BY at_offset LIMIT $5";
/// For a fork: what it begins with stays when its owner is deleted.
const READ_SHARED: &str = "SELECT at_offset, kind, version, at, body FROM events
    WHERE tenant = $1 AND session = $2 AND at_offset > $3 AND at_offset <= $4
    ORDER BY at_offset LIMIT $5";
const PUT_SNAPSHOT: &str = "INSERT INTO snapshots (tenant, session, at_offset, body)
    VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, session)
    DO UPDATE SET at_offset = excluded.at_offset, body = excluded.body";
const SNAPSHOT: &str = "SELECT at_offset, body FROM snapshots WHERE tenant = $1 AND session = $2
    AND EXISTS (SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL)";

/// Adds events to a unit, and gives the offset of the last of them. Fails the
/// unit's guard if another one wrote since, if the epoch is over, or if the
/// session is sealed, deleted or not there.
///
/// The unit cannot take effect twice, and can be proven: see [`is_in`].
pub fn append(unit: &mut Unit, append: &Append<'_>) -> Result<u64, AppendError> {
    let bound = |found, max, error: fn(usize) -> AppendError| {
        if found > max { Err(error(found)) } else { Ok(()) }
    };
    bound(append.events.len().wrapping_sub(1), MAX_EVENTS - 1, |n| {
        AppendError::Count(n.wrapping_add(1))
    })?;
    for event in append.events {
        bound(event.body.len(), MAX_BODY, AppendError::Body)?;
    }
    if let Some(snapshot) = &append.snapshot {
        bound(snapshot.len(), MAX_SNAPSHOT, AppendError::Snapshot)?;
    }
    let tenant = append.tenant.shared();
    let session: Arc<str> = append.session.to_string().into();
    let id: Arc<[u8]> = append.id.as_bytes().into();
    let count = append.events.len() as u64;
    advance(unit, append, &session, count);
    for (offset, event) in (append.after + 1..).zip(append.events) {
        let args = args![
            Arc::clone(&tenant),
            Arc::clone(&session),
            offset,
            event.kind,
            event.version,
            event.at,
            Arc::clone(&id),
            Arc::clone(&event.body),
        ];
        unit.expect(1, INSERT, args);
    }
    let head = append.after + count;
    if let Some(snapshot) = &append.snapshot {
        let args = args![Arc::clone(&tenant), Arc::clone(&session), head, Arc::clone(snapshot)];
        unit.expect(1, PUT_SNAPSHOT, args);
    }
    unit.proven_by(IS_IN, args![tenant, session, append.after + 1, id]);
    Ok(head)
}

/// Lays events down of a session that is not there yet; `imports` guards the
/// unit.
pub(crate) fn lay(
    unit: &mut Unit,
    tenant: &TenantId,
    session: SessionId,
    after: u64,
    events: &[(UnitId, NewEvent)],
) -> Result<(), AppendError> {
    if events.is_empty() || events.len() > MAX_EVENTS {
        return Err(AppendError::Count(events.len()));
    }
    let (tenant, session): (_, Arc<str>) = (tenant.shared(), session.to_string().into());
    for (offset, (id, event)) in (after + 1..).zip(events) {
        if event.body.len() > MAX_BODY {
            return Err(AppendError::Body(event.body.len()));
        }
        let args = args![
            Arc::clone(&tenant),
            Arc::clone(&session),
            offset,
            event.kind,
            event.version,
            event.at,
            id.as_bytes(),
            Arc::clone(&event.body),
        ];
        unit.expect(1, INSERT, args);
    }
    Ok(())
}

fn advance(unit: &mut Unit, append: &Append<'_>, session: &Arc<str>, count: u64) {
    let mut args: Vec<Value> = args![
        append.tenant.shared(),
        Arc::clone(session),
        append.after,
        append.epoch,
        count,
        append.phase,
        append.at,
    ];
    match append.due {
        Due::AsBefore => unit.expect(1, ADVANCE, args),
        Due::At(due_at) => {
            args.push(due_at.into());
            unit.expect(1, ADVANCE_DUE, args)
        }
    };
}

/// Whether an append took effect: the one of this id, with its first event at
/// this offset. While it is in doubt, only a yes is certain: send it again,
/// or raise the epoch, and then ask. [`settle`](crate::settle) does so.
pub async fn is_in(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    first: u64,
    id: UnitId,
) -> Result<bool, DbError> {
    let args = args![tenant.shared(), session.to_string(), first, id.as_bytes()];
    Ok(!db.read(IS_IN, args).await?.is_empty())
}

/// The events after one offset and up to another, at most `limit` of them and
/// never more than [`MAX_EVENTS`], so 16 MiB at the worst.
pub async fn read(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    after: u64,
    up_to: u64,
    limit: usize,
) -> Result<Vec<Event>, DbError> {
    let limit = limit.min(MAX_EVENTS) as u64;
    let args = args![tenant.shared(), session.to_string(), after, up_to, limit];
    db.read(READ, args).await?.into_iter().map(event).collect()
}

/// The events of a session and of those that it was forked from, as one
/// journal; bounds as for [`read`]. Asks once for each generation that the
/// range touches, and once for the session itself.
pub async fn read_through(
    db: &dyn Db,
    tenant: &TenantId,
    lineage: &Lineage,
    after: u64,
    up_to: u64,
    limit: usize,
) -> Result<Vec<Event>, DbError> {
    let limit = limit.min(MAX_EVENTS);
    let mut events = Vec::new();
    if after < lineage.base().min(up_to) {
        events = read_shared(db, tenant, lineage, after, up_to, limit).await?;
        // Asked after: while the fork is there, so is what it begins with.
        if !forks::is_there(db, tenant, lineage.session()).await? {
            return Ok(Vec::new());
        }
        let expected = (lineage.base().min(up_to) - after).min(limit as u64);
        let offsets = events.iter().map(|event| event.offset);
        if !offsets.eq(after + 1..=after + expected) {
            let session = lineage.session();
            let lack = format!("the fork {session} lacks events that it begins with");
            return Err(DbError::Corrupt(lack));
        }
    }
    let (last, room) = (after + events.len() as u64, limit - events.len());
    if room > 0 && last < up_to {
        events.extend(read(db, tenant, lineage.session(), last, up_to, room).await?);
    }
    Ok(events)
}

async fn read_shared(
    db: &dyn Db,
    tenant: &TenantId,
    lineage: &Lineage,
    after: u64,
    up_to: u64,
    limit: usize,
) -> Result<Vec<Event>, DbError> {
    let mut events = Vec::new();
    let mut begin = after;
    for ancestor in lineage.ancestors() {
        let (end, room) = (ancestor.up_to.min(up_to), limit - events.len());
        if begin >= end || room == 0 {
            continue;
        }
        let args = args![tenant.shared(), ancestor.session.to_string(), begin, end, room as u64];
        for row in db.read(READ_SHARED, args).await? {
            events.push(event(row)?);
        }
        begin = end;
    }
    Ok(events)
}

/// The newest snapshot of a session.
pub async fn snapshot(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Option<Snapshot>, DbError> {
    let rows = db.read(SNAPSHOT, args![tenant.shared(), session.to_string()]).await?;
    let row = rows.into_iter().next();
    row.map(|mut row| Ok(Snapshot { offset: row.take()?, body: row.take()? })).transpose()
}

fn event(mut row: Row) -> Result<Event, DbError> {
    Ok(Event {
        offset: row.take()?,
        kind: row.take()?,
        version: row.take()?,
        at: row.take()?,
        body: row.take()?,
    })
}
