//! Sessions that come from other cells.
//!
//! A session of any length is laid down in many units: its events under its
//! id, while there is no row in `sessions` yet, so that nobody finds them. One
//! last unit makes the session, and with it takes the note of the import away.
//! Whoever begins again, or finds an import that nobody goes on with, takes
//! the note (its token is the guard of every unit), and clears what was laid.
//!
//! What became of a bundle stays when the session goes: `imported`, and it is
//! not imported again; `refused`, and it never will be.

use std::sync::Arc;

use freehold_types::{
    Blobs, Db, DbError, Row, SessionId, TenantId, Unit, UnitId, UnitReceipt, args,
};
use jiff::Timestamp;

use crate::deletion;
use crate::idempotency::Accepted;
use crate::journal::{self, AppendError, NewEvent};
use crate::sessions::{self, NewSession};
use crate::sweeper::{self, SweepError};

/// Rows of each kind that one unit clears away.
const BATCH: u32 = 256;

/// An import that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Whose the session will be.
    pub tenant: TenantId,
    /// The session that it will be.
    pub session: SessionId,
    /// What is imported.
    pub bundle: Arc<[u8]>,
    /// Names this attempt among all.
    pub token: Arc<[u8]>,
    /// The key of the session's content, itself sealed. Attempts of one
    /// session share it, so that a blob of an earlier one is no damage.
    pub content_key: Arc<[u8]>,
    /// When something of it was last written.
    pub beat_at: Timestamp,
}

/// What became of a bundle, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is a session here, or was.
    Imported,
    /// It is none, and will be none.
    Refused,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Refused => "refused",
        }
    }
}

const BEGIN: &str = "INSERT INTO imports (tenant, session, bundle, token, content_key, laid,
    beat_at) VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT (tenant, session)
    DO UPDATE SET bundle = excluded.bundle, token = excluded.token, beat_at = excluded.beat_at";
/// After the one that takes the row: another import may just have made it.
const IS_FREE: &str = "UPDATE imports SET beat_at = $4
    WHERE tenant = $1 AND session = $2 AND token = $3
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2)";
const IS_OURS: &str =
    "SELECT session FROM imports WHERE tenant = $1 AND session = $2 AND token = $3";
const GET: &str = "SELECT tenant, session, bundle, token, content_key, beat_at FROM imports
    WHERE tenant = $1 AND session = $2";
const STALE: &str = "SELECT tenant, session, bundle, token, content_key, beat_at FROM imports
    WHERE (tenant, session) > ($1, $2) AND beat_at < $3 ORDER BY tenant, session LIMIT $4";
const TAKE: &str = "UPDATE imports SET token = $4, beat_at = $5
    WHERE tenant = $1 AND session = $2 AND token = $3";
const ADVANCE: &str = "UPDATE imports SET laid = $5, beat_at = $6
    WHERE tenant = $1 AND session = $2 AND token = $3 AND laid = $4";
const CLEAR: [&str; 3] = [
    "DELETE FROM events WHERE tenant = $1 AND session = $2 AND at_offset IN (
        SELECT at_offset FROM events WHERE tenant = $1 AND session = $2
        ORDER BY at_offset LIMIT $3)",
    deletion::SOME_KEYS,
    deletion::SOME_TIMELINES,
];
const RESET: &str = "UPDATE imports SET laid = 0
    WHERE tenant = $1 AND session = $2 AND token = $3";
const END: &str = "DELETE FROM imports WHERE tenant = $1 AND session = $2 AND token = $3";
const FINISH: &str =
    "DELETE FROM imports WHERE tenant = $1 AND session = $2 AND token = $3 AND laid = $4";
const DECIDE: &str = "INSERT INTO bundles (tenant, session, bundle, outcome, at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const OUTCOME: &str =
    "SELECT outcome FROM bundles WHERE tenant = $1 AND session = $2 AND bundle = $3";
const TIMELINE: &str = "INSERT INTO timelines (tenant, session, timeline, base)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
/// Given again, it is the same.
const ACCEPTED: &str = "INSERT INTO idempotency_keys (tenant, session, name, request_hash,
    at_offset) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const IS_AT: &str = "SELECT session FROM imports
    WHERE tenant = $1 AND session = $2 AND token = $3 AND laid = $4";
const ROW: &str = "SELECT deleted_at FROM sessions WHERE tenant = $1 AND id = $2";

/// Whether there is a row of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// There is none.
    Free,
    /// There is the session.
    Alive,
    /// It is deleted, and something of it is still there.
    Deleted,
}

/// Whether an id is free for a session that comes.
pub async fn taken(db: &dyn Db, tenant: &TenantId, id: SessionId) -> Result<Taken, DbError> {
    let rows = db.read(ROW, args![tenant.shared(), id.to_string()]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(Taken::Free) };
    let deleted: Option<i64> = row.take()?;
    Ok(if deleted.is_some() { Taken::Deleted } else { Taken::Alive })
}

/// Begins an import, or takes the one of this session over, of which
/// everything is then to be [cleared](clear) first; fails its guard if the
/// session is there.
pub fn begin(import: &Import) -> Unit {
    let mut unit = Unit::new("imports.begin");
    let (tenant, session, token) = import.place();
    let args = args![
        Arc::clone(&tenant),
        Arc::clone(&session),
        Arc::clone(&import.bundle),
        Arc::clone(&token),
        Arc::clone(&import.content_key),
        import.beat_at,
    ];
    unit.expect(1, BEGIN, args);
    let args = args![Arc::clone(&tenant), Arc::clone(&session), Arc::clone(&token), import.beat_at];
    unit.expect(1, IS_FREE, args);
    unit.proven_by(IS_OURS, args![tenant, session, token]);
    unit
}

/// The import of a session that is under way.
pub async fn get(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Option<Import>, DbError> {
    let rows = db.read(GET, args![tenant.shared(), session.to_string()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// Imports that nobody has gone on with since a time, by the batch.
pub async fn stale(
    db: &dyn Db,
    before: Timestamp,
    after: Option<&Import>,
    limit: u32,
) -> Result<Vec<Import>, DbError> {
    let tenant = after.map_or_else(|| Arc::from(""), |import| import.tenant.shared());
    let session = after.map_or_else(String::new, |import| import.session.to_string());
    let rows = db.read(STALE, args![tenant, session, before, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Takes an import away from whoever was at it.
pub fn take(import: &Import, token: Arc<[u8]>, at: Timestamp) -> Unit {
    let mut unit = Unit::new("imports.take");
    let (tenant, session, before) = import.place();
    let args = args![Arc::clone(&tenant), Arc::clone(&session), before, Arc::clone(&token), at];
    unit.expect(1, TAKE, args);
    unit.proven_by(IS_OURS, args![tenant, session, token]);
    unit
}

fn read(mut row: Row) -> Result<Import, DbError> {
    Ok(Import {
        tenant: row.parse()?,
        session: row.parse()?,
        bundle: row.take()?,
        token: row.take()?,
        content_key: row.take()?,
        beat_at: row.take()?,
    })
}

impl Import {
    fn place(&self) -> (Arc<str>, Arc<str>, Arc<[u8]>) {
        (self.tenant.shared(), self.session.to_string().into(), Arc::clone(&self.token))
    }

    /// A unit that goes on after the event at `laid`, and fails its guard if
    /// another attempt has taken the import over. Whatever else is put into it
    /// must be the same when it is given again.
    pub fn unit(&self, laid: u64, now_laid: u64, at: Timestamp) -> Unit {
        let mut unit = Unit::new("imports.lay");
        let (tenant, session, token) = self.place();
        let args = args![
            Arc::clone(&tenant),
            Arc::clone(&session),
            Arc::clone(&token),
            laid,
            now_laid,
            at
        ];
        unit.expect(1, ADVANCE, args);
        unit.proven_by(IS_AT, args![tenant, session, token, now_laid]);
        unit
    }

    /// Lays events down after the one at `laid`, each with the write that it
    /// came with; fails its guard if another attempt took over.
    pub fn lay(
        &self,
        laid: u64,
        events: &[(UnitId, NewEvent)],
        at: Timestamp,
    ) -> Result<Unit, AppendError> {
        let mut unit = self.unit(laid, laid + events.len() as u64, at);
        journal::lay(&mut unit, &self.tenant, self.session, laid, events)?;
        Ok(unit)
    }

    /// Notes a timeline that the session was on before. In a unit of
    /// [`Import::unit`].
    pub fn timeline(&self, unit: &mut Unit, timeline: u64, base: u64) {
        let (tenant, session, _) = self.place();
        unit.run(TIMELINE, args![tenant, session, timeline, base]);
    }

    /// Notes a request that was accepted before. In a unit of
    /// [`Import::unit`].
    pub fn accepted(&self, unit: &mut Unit, name: &str, accepted: &Accepted) {
        let (tenant, session, _) = self.place();
        let hash = Arc::clone(&accepted.request_hash);
        unit.run(ACCEPTED, args![tenant, session, name, hash, accepted.offset]);
    }

    /// Makes the session of what was laid down, up to the event at `head`. Its
    /// next events go into the same unit, after `head`, in `epoch`, which is
    /// after those that its events tell of, and prove it. Fails its guard if another attempt
    /// took over, if the bundle was refused or imported meanwhile, or if the
    /// id is taken.
    pub fn finish(
        &self,
        unit: &mut Unit,
        new: &NewSession,
        (head, epoch): (u64, u64),
        at: Timestamp,
    ) {
        let (tenant, session, token) = self.place();
        unit.expect(1, FINISH, args![tenant, session, token, head]);
        decide(unit, &self.tenant, self.session, &self.bundle, Outcome::Imported, at);
        sessions::begin(unit, new, head, epoch);
    }

    /// The statements that clear up to `limit` rows of each kind.
    fn sweep(&self, limit: u32) -> Unit {
        let mut unit = Unit::new("imports.clear");
        let (tenant, session, token) = self.place();
        unit.expect(1, RESET, args![Arc::clone(&tenant), Arc::clone(&session), token]);
        for sql in CLEAR {
            unit.run(sql, args![Arc::clone(&tenant), Arc::clone(&session), limit]);
        }
        unit
    }
}

/// Takes away all that attempts before this one laid down, in bounded units.
/// A guard that fails tells that another one took over.
pub async fn clear(db: &dyn Db, places: &dyn Blobs, import: &Import) -> Result<(), SweepError> {
    loop {
        let swept = db.write(import.sweep(BATCH)).await?;
        if rows(&swept) == 0 {
            break;
        }
    }
    sweeper::remove_blobs(db, places, &import.tenant, import.session).await?;
    Ok(())
}

/// Clears an import and forgets it.
pub async fn give_up(db: &dyn Db, places: &dyn Blobs, import: &Import) -> Result<(), SweepError> {
    clear(db, places, import).await?;
    let mut unit = Unit::new("imports.end");
    let (tenant, session, token) = import.place();
    unit.run(END, args![tenant, session, token]);
    db.write(unit).await?;
    Ok(())
}

/// Without the first statement, which only takes the row's lock.
fn rows(swept: &UnitReceipt) -> u64 {
    swept.changed.iter().skip(1).sum()
}

fn decide(
    unit: &mut Unit,
    tenant: &TenantId,
    session: SessionId,
    bundle: &Arc<[u8]>,
    outcome: Outcome,
    at: Timestamp,
) {
    let args = args![tenant.shared(), session.to_string(), Arc::clone(bundle), outcome.word(), at];
    unit.expect(1, DECIDE, args);
}

/// Refuses a bundle for good; fails its guard if it was imported or refused
/// before: [`outcome`] tells which.
pub fn refuse(tenant: &TenantId, session: SessionId, bundle: &[u8], at: Timestamp) -> Unit {
    let mut unit = Unit::new("bundles.refuse");
    decide(&mut unit, tenant, session, &bundle.into(), Outcome::Refused, at);
    unit
}

/// What became of a bundle, if anything did.
pub async fn outcome(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    bundle: &[u8],
) -> Result<Option<Outcome>, DbError> {
    let rows = db.read(OUTCOME, args![tenant.shared(), session.to_string(), bundle]).await?;
    let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
    let word: Arc<str> = row.take()?;
    let known = [Outcome::Imported, Outcome::Refused];
    let found = known.into_iter().find(|outcome| outcome.word() == &*word);
    found.map(Some).ok_or_else(|| DbError::Corrupt(format!("a bundle's outcome is `{word}`")))
}
