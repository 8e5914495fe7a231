//! Timelines: a restored backup goes on as another one, so that a cursor into
//! what was lost is not taken for one into what came instead.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, args};

/// The old one is noted, too, so that cursors into it are known.
const NOTE_OLD: &str = "INSERT INTO timelines (tenant, session, timeline, base)
    SELECT tenant, id, timeline, 0 FROM sessions WHERE tenant = $1 AND id = $2
    ON CONFLICT (tenant, session, timeline) DO NOTHING";
const NOTE_NEW: &str = "INSERT INTO timelines (tenant, session, timeline, base)
    SELECT tenant, id, timeline, head FROM sessions WHERE tenant = $1 AND id = $2";
/// Takes the row's lock first, for the next ones look at other rows.
/// What somebody had in hand, or waits for what may have come in what was lost,
/// is to be looked at; the number is a time.
const HOLD: &str = "UPDATE sessions SET epoch = epoch + 1, node = NULL, claim = NULL,
    due_at = CASE WHEN sealed_for IS NULL AND (node IS NOT NULL OR EXISTS (
        SELECT 1 FROM waits WHERE waits.tenant = $1 AND waits.session = $2))
        THEN $3 ELSE due_at END
    WHERE tenant = $1 AND id = $2 AND timeline < $3 AND deleted_at IS NULL";
const BEGIN: &str = "UPDATE sessions SET timeline = $3 WHERE tenant = $1 AND id = $2";
const COMMON: &str = "SELECT s.timeline, s.head,
    (SELECT MIN(t.base) FROM timelines AS t
     WHERE t.tenant = $1 AND t.session = $2 AND t.timeline > $3),
    (SELECT COUNT(*) FROM timelines AS t
     WHERE t.tenant = $1 AND t.session = $2 AND t.timeline = $3)
    FROM sessions AS s WHERE s.tenant = $1 AND s.id = $2 AND s.deleted_at IS NULL";

const LIST: &str = "SELECT timeline, base FROM timelines
    WHERE tenant = $1 AND session = $2 AND timeline > $3 ORDER BY timeline LIMIT $4";
/// Of the store as a whole. It lies with the counters of changes, of which
/// nodes of before know nothing but those that they ask for.
const SET: &str = "INSERT INTO changes (kind, version) VALUES ('timeline', $1)
    ON CONFLICT (kind) DO UPDATE SET version = excluded.version
    WHERE excluded.version > changes.version";
const CURRENT: &str = "SELECT version FROM changes WHERE kind = 'timeline'";
/// That of a store that was never restored.
const FIRST: u64 = 1;

const ALL: &str = "SELECT tenant, id, head FROM sessions WHERE (tenant, id) > ($1, $2)
    AND deleted_at IS NULL ORDER BY tenant, id LIMIT $3";

/// A session that went over to another timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id.
    pub session: SessionId,
    /// The last event that it has in common with its timelines of before.
    pub last_common: u64,
}

/// Sessions that are looked at together.
const BATCH: u32 = 500;

/// The timeline that new sessions begin on.
pub async fn current(db: &dyn Db) -> Result<u64, DbError> {
    let row = db.read(CURRENT, args![]).await?.into_iter().next();
    row.map_or(Ok(FIRST), |mut row| row.take())
}

/// Puts all sessions on a timeline that begins now, after a restore and before
/// anybody serves, and those that are yet to come; tells of each that is there.
pub async fn begin_all(
    db: &dyn Db,
    timeline: u64,
    mut told: impl FnMut(Begun),
) -> Result<(), DbError> {
    let mut set = Unit::new("timelines.set");
    set.run(SET, args![timeline]);
    db.write(set).await?;
    let mut after = (Arc::<str>::from(""), String::new());
    loop {
        let (tenant, session) = after.clone();
        let rows = db.read(ALL, args![tenant, session, BATCH]).await?;
        let mut last = None;
        for mut row in rows {
            let (tenant, session): (TenantId, SessionId) = (row.parse()?, row.parse()?);
            let begun = Begun { tenant, session, last_common: row.take()? };
            match db.write(begin(&begun.tenant, session, timeline)).await {
                // Begun before this was interrupted, or deleted.
                Err(DbError::GuardFailed { .. }) | Ok(_) => {}
                Err(error) => return Err(error),
            }
            last = Some((begun.tenant.shared(), session.to_string()));
            told(begun);
        }
        match last {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Puts a session on a timeline that begins after its last event, and raises
/// its epoch; fails its guard if the session is on that timeline or a later
/// one. Timelines are numbered by time: two restores of one backup must not
/// give the same.
pub fn begin(tenant: &TenantId, session: SessionId, timeline: u64) -> Unit {
    let mut unit = Unit::new("timelines.begin");
    let (tenant, id): (_, Arc<str>) = (tenant.shared(), session.to_string().into());
    unit.expect(1, HOLD, args![Arc::clone(&tenant), Arc::clone(&id), timeline]);
    unit.run(NOTE_OLD, args![Arc::clone(&tenant), Arc::clone(&id)]);
    unit.expect(1, BEGIN, args![Arc::clone(&tenant), Arc::clone(&id), timeline]);
    unit.expect(1, NOTE_NEW, args![tenant, id]);
    unit
}

/// The timelines that a session was on, after one, with the offset that each
/// began after, by the batch.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    after: u64,
    limit: u32,
) -> Result<Vec<(u64, u64)>, DbError> {
    let args = args![tenant.shared(), session.to_string(), after, limit];
    let rows = db.read(LIST, args).await?;
    rows.into_iter().map(|mut row| Ok((row.take()?, row.take()?))).collect()
}

/// The last offset that a timeline has in common with the session as it is
/// now. `None` if that cannot be told: the session is not there, or this
/// timeline began after the backup and was lost with what came then.
pub async fn last_common(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    timeline: u64,
) -> Result<Option<u64>, DbError> {
    let args = args![tenant.shared(), session.to_string(), timeline];
    let Some(mut row) = db.read(COMMON, args).await?.into_iter().next() else { return Ok(None) };
    let (now, head): (u64, u64) = (row.take()?, row.take()?);
    let (base, noted): (Option<u64>, u64) = (row.take()?, row.take()?);
    Ok(match base {
        _ if timeline == now => Some(head),
        Some(base) if noted > 0 => Some(base),
        _ => None,
    })
}
