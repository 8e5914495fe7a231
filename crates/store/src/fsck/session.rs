//! One session: its journal, and what is projected from it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use freehold_types::{Db, DbError, Row, SessionId, TenantId, args};
use jiff::Timestamp;

use super::{Begin, Derive, Looked, Problem, Table};
use crate::forks::{self, Lineage};
use crate::journal::{self, MAX_EVENTS};
use crate::sessions;

/// Times that a session is looked at which is written to meanwhile.
const TRIES: u32 = 3;
/// Rows of a table in one batch.
const ROWS: u32 = 1_000;

/// Rows of one table by their names; `None` where nobody says what they
/// should be.
pub type ByName<T> = Option<BTreeMap<Arc<str>, T>>;

/// The rows of a session's projections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projections {
    /// When each is due, and the event that set it.
    pub timers: ByName<(Timestamp, u64)>,
    /// What kind each is, until when, and the event that asked.
    pub waits: ByName<(Arc<str>, Option<Timestamp>, u64)>,
    /// The hash of each request, and the event that it became.
    pub idempotency_keys: ByName<(Arc<[u8]>, u64)>,
    /// The size of each blob, by its hash in hexadecimal digits.
    pub blob_refs: ByName<u64>,
}

type Tell<'a> = dyn FnMut(Problem) + Send + 'a;

const TIMERS: &str = "SELECT id, due_at, at_offset FROM timers
    WHERE tenant = $1 AND session = $2 AND id > $3 ORDER BY id LIMIT $4";
const WAITS: &str = "SELECT id, kind, expires_at, at_offset FROM waits
    WHERE tenant = $1 AND session = $2 AND id > $3 ORDER BY id LIMIT $4";
const KEYS: &str = "SELECT name, request_hash, at_offset FROM idempotency_keys
    WHERE tenant = $1 AND session = $2 AND name > $3 ORDER BY name LIMIT $4";
/// What goes at once when a session is deleted.
const LEFTOVERS: &[(&str, &str)] = &[
    ("profiles", "SELECT 1 FROM profiles WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("timers", "SELECT 1 FROM timers WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("waits", "SELECT 1 FROM waits WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("session_secrets", "SELECT 1 FROM session_secrets WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("ancestors", "SELECT 1 FROM ancestors WHERE tenant = $1 AND session = $2 LIMIT 1"),
];

pub(super) async fn check_deleted(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    tell: &mut Tell<'_>,
) -> Result<(), DbError> {
    for (table, sql) in LEFTOVERS {
        if !db.read(sql, args![tenant.shared(), session.to_string()]).await?.is_empty() {
            tell(Problem::Leftover { table });
        }
    }
    Ok(())
}

pub(super) async fn check(
    db: &dyn Db,
    begin: &dyn Begin,
    tenant: &TenantId,
    session: SessionId,
    looked: &mut Looked,
    tell: &mut Tell<'_>,
) -> Result<(), DbError> {
    // One that is being made, or was deleted just now, is not there.
    let Some(lineage) = forks::peek(db, tenant, session).await? else { return Ok(()) };
    check_hold(db, tenant, session, tell).await?;
    for attempt in 1..=TRIES {
        let Some(before) = sessions::get(db, tenant, session).await? else { return Ok(()) };
        let mut problems = Vec::new();
        let mut derive = match begin.begin(tenant, &lineage).await {
            Ok(derive) => derive,
            Err(why) => {
                problems.push(Problem::Underivable { why });
                None
            }
        };
        let events =
            check_journal(db, tenant, &lineage, before.head, &mut derive, &mut problems).await?;
        let found = read(db, tenant, session).await?;
        let snapshot = journal::snapshot(db, tenant, session).await?;
        let Some(after) = sessions::get(db, tenant, session).await? else { return Ok(()) };
        let moved = after.head != before.head;
        if moved && attempt < TRIES {
            continue;
        }
        if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.offset > after.head) {
            problems.push(Problem::Snapshot { offset: snapshot.offset, head: after.head });
        }
        check_offsets(&found, after.head, &mut problems);
        if let (Some(derive), false) = (derive, moved) {
            compare(&found, &derive.expected(), &mut problems);
        }
        looked.events += events;
        looked.moving += u64::from(moved);
        problems.into_iter().for_each(&mut *tell);
        return Ok(());
    }
    Ok(())
}

async fn check_hold(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    tell: &mut Tell<'_>,
) -> Result<(), DbError> {
    let Some(origin) = forks::origin(db, tenant, session).await? else { return Ok(()) };
    let hold = forks::hold_of(db, tenant, origin.parent, session).await?;
    if hold.is_none_or(|hold| hold.token != origin.token || hold.up_to < origin.base) {
        tell(Problem::NotHeld { parent: origin.parent });
    }
    Ok(())
}

/// Reads the whole journal, and gives the number of the session's own events.
async fn check_journal(
    db: &dyn Db,
    tenant: &TenantId,
    lineage: &Lineage,
    head: u64,
    derive: &mut Option<Box<dyn Derive>>,
    problems: &mut Vec<Problem>,
) -> Result<u64, DbError> {
    let (session, base) = (lineage.session(), lineage.base());
    // Without somebody to derive it, what is shared is its owners' affair.
    let mut last = if derive.is_some() { 0 } else { base };
    loop {
        let page = journal::read_through(db, tenant, lineage, last, head, MAX_EVENTS).await;
        let events = match page {
            Ok(events) => events,
            Err(DbError::Corrupt(why)) if last < base => {
                problems.push(Problem::Lineage { why });
                *derive = None;
                last = base;
                continue;
            }
            Err(DbError::Corrupt(why)) => {
                problems.push(Problem::Unreadable { after: last, why });
                *derive = None;
                return Ok(last.saturating_sub(base));
            }
            Err(error) => return Err(error),
        };
        if events.is_empty() {
            break;
        }
        for event in &events {
            if event.offset != last + 1 {
                problems.push(Problem::Gap { after: last, next: event.offset });
                *derive = None;
            }
            last = event.offset;
            let taken = derive.as_mut().map(|derive| derive.take(event));
            if let Some(Err(why)) = taken {
                let why = format!("at the event {}: {why}", event.offset);
                problems.push(Problem::Underivable { why });
                *derive = None;
            }
        }
    }
    if last < head {
        problems.push(Problem::Short { head, last });
        *derive = None;
    }
    // Asked after the events: what was appended since moved the head before.
    let beyond = journal::read(db, tenant, session, head, u64::MAX, 1).await?;
    if let Some(event) = beyond.first() {
        let now = sessions::get(db, tenant, session).await?;
        if now.is_some_and(|now| now.head == head) {
            problems.push(Problem::Beyond { head, found: event.offset });
        }
    }
    Ok(last.saturating_sub(base))
}

async fn read(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Result<Projections, DbError> {
    let timers = rows(db, TIMERS, tenant, session, |row| Ok((row.take()?, row.take()?))).await?;
    let waits =
        rows(db, WAITS, tenant, session, |row| Ok((row.take()?, row.take()?, row.take()?))).await?;
    let keys = rows(db, KEYS, tenant, session, |row| Ok((row.take()?, row.take()?))).await?;
    let mut blobs = BTreeMap::new();
    let mut last = None;
    loop {
        let page = crate::blobs::list(db, tenant, session, last.as_ref(), ROWS).await?;
        let Some(end) = page.last() else { break };
        last = Some(end.clone());
        blobs.extend(page.iter().map(|blob| (hex(&blob.hash).into(), blob.size)));
    }
    Ok(Projections {
        timers: Some(timers),
        waits: Some(waits),
        idempotency_keys: Some(keys),
        blob_refs: Some(blobs),
    })
}

async fn rows<T>(
    db: &dyn Db,
    sql: &'static str,
    tenant: &TenantId,
    session: SessionId,
    read: impl Fn(&mut Row) -> Result<T, DbError>,
) -> Result<BTreeMap<Arc<str>, T>, DbError> {
    let mut found = BTreeMap::new();
    let mut last: Arc<str> = Arc::from("");
    loop {
        let args = args![tenant.shared(), session.to_string(), Arc::clone(&last), ROWS];
        let page = db.read(sql, args).await?;
        let end = (page.len() as u64) < u64::from(ROWS);
        for mut row in page {
            last = row.take()?;
            found.insert(Arc::clone(&last), read(&mut row)?);
        }
        if end {
            return Ok(found);
        }
    }
}

fn hex(hash: &[u8]) -> String {
    use fmt::Write as _;
    hash.iter().fold(String::new(), |mut text, byte| {
        // Writing into text does not fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Whether the event that each row names is there: those up to the head are.
fn check_offsets(found: &Projections, head: u64, problems: &mut Vec<Problem>) {
    let timers = found.timers.iter().flatten().map(|(name, row)| (Table::Timers, name, row.1));
    let waits = found.waits.iter().flatten().map(|(name, row)| (Table::Waits, name, row.2));
    let keys = found.idempotency_keys.iter().flatten();
    let keys = keys.map(|(name, row)| (Table::IdempotencyKeys, name, row.1));
    for (table, name, offset) in timers.chain(waits).chain(keys) {
        if !(1..=head).contains(&offset) {
            problems.push(Problem::NoEvent { table, name: Arc::clone(name), offset });
        }
    }
}

fn compare(found: &Projections, expected: &Projections, problems: &mut Vec<Problem>) {
    table(Table::Timers, found.timers.as_ref(), expected.timers.as_ref(), problems);
    table(Table::Waits, found.waits.as_ref(), expected.waits.as_ref(), problems);
    let keys = (found.idempotency_keys.as_ref(), expected.idempotency_keys.as_ref());
    table(Table::IdempotencyKeys, keys.0, keys.1, problems);
    table(Table::BlobRefs, found.blob_refs.as_ref(), expected.blob_refs.as_ref(), problems);
}

fn table<T: PartialEq + fmt::Debug>(
    table: Table,
    found: Option<&BTreeMap<Arc<str>, T>>,
    expected: Option<&BTreeMap<Arc<str>, T>>,
    problems: &mut Vec<Problem>,
) {
    let (Some(found), Some(expected)) = (found, expected) else { return };
    for (name, row) in expected {
        let name = Arc::clone(name);
        match found.get(&name) {
            None => problems.push(Problem::Missing { table, name }),
            Some(other) if other != row => {
                let (found, expected) = (format!("{other:?}"), format!("{row:?}"));
                problems.push(Problem::Differs { table, name, found, expected });
            }
            Some(_) => {}
        }
    }
    for name in found.keys().filter(|name| !expected.contains_key(*name)) {
        problems.push(Problem::Extra { table, name: Arc::clone(name) });
    }
}
