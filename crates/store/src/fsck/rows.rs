//! The rows of one session's projections: as they are, and as they should be.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use freehold_types::{Db, DbError, Row, SessionId, TenantId, args};
use jiff::Timestamp;

use super::{Problem, Table};

/// Rows of a table that are compared; more than any session may have.
const ROWS: u32 = 1_000;

/// Rows of one table by their names; `None` where nobody says what they
/// should be.
pub type ByName<T> = Option<BTreeMap<Arc<str>, T>>;

/// What a session's events come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// What its own row should say.
    pub row: Option<ExpectedRow>,
    /// Of each timer, when it is due, and the event that set it.
    pub timers: ByName<(Timestamp, u64)>,
    /// Of each wait its kind, since when and until when, and the event that
    /// asked.
    pub waits: ByName<ExpectedWait>,
}

/// What a session's own row should say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedRow {
    /// Where it stands.
    pub phase: Arc<str>,
    /// The cell that it was given to.
    pub sealed_for: Option<Arc<str>>,
    /// Not before the epoch in which something was started.
    pub epoch_min: u64,
    /// Not before the timeline that its events tell of.
    pub timeline_min: u64,
    /// When somebody has to look at it, if nobody has it in hand.
    pub due: Option<Timestamp>,
}

/// Of a wait: its kind, since when, until when at the most, and the offset of
/// its event.
pub type ExpectedWait = (Arc<str>, Timestamp, Option<Timestamp>, u64);

/// The rows that there are.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) timers: BTreeMap<Arc<str>, (Timestamp, u64)>,
    pub(super) waits: BTreeMap<Arc<str>, ExpectedWait>,
}

const TIMERS: &str = "SELECT id, due_at, at_offset FROM timers
    WHERE tenant = $1 AND session = $2 ORDER BY id LIMIT $3";
const WAITS: &str = "SELECT id, kind, since, expires_at, at_offset FROM waits
    WHERE tenant = $1 AND session = $2 ORDER BY id LIMIT $3";

pub(super) async fn read(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Found, DbError> {
    let args = || args![tenant.shared(), session.to_string(), ROWS];
    let timer = |mut row: Row| Ok::<_, DbError>((row.take()?, (row.take()?, row.take()?)));
    let wait = |mut row: Row| {
        Ok::<_, DbError>((row.take()?, (row.take()?, row.take()?, row.take()?, row.take()?)))
    };
    let timers = db.read(TIMERS, args()).await?.into_iter().map(timer);
    let waits = db.read(WAITS, args()).await?.into_iter().map(wait);
    Ok(Found { timers: timers.collect::<Result<_, _>>()?, waits: waits.collect::<Result<_, _>>()? })
}

impl Found {
    /// Whether the event that each row names is there: those up to the head
    /// are.
    pub(super) fn check_offsets(&self, head: u64, tell: &mut impl FnMut(Problem)) {
        let timers = self.timers.iter().map(|(name, row)| (Table::Timers, name, row.1));
        let waits = self.waits.iter().map(|(name, row)| (Table::Waits, name, row.3));
        for (table, name, offset) in timers.chain(waits) {
            if !(1..=head).contains(&offset) {
                tell(Problem::NoEvent { table, name: Arc::clone(name), offset });
            }
        }
    }

    pub(super) fn compare(&self, expected: &Expected, tell: &mut impl FnMut(Problem)) {
        if let Some(expected) = &expected.timers {
            compare(Table::Timers, &self.timers, expected, tell);
        }
        if let Some(expected) = &expected.waits {
            compare(Table::Waits, &self.waits, expected, tell);
        }
    }
}

/// A store keeps microseconds.
pub(super) fn kept(at: Timestamp) -> i64 {
    at.as_microsecond()
}

trait Kept: fmt::Debug {
    fn is(&self, other: &Self) -> bool;
}

impl Kept for (Timestamp, u64) {
    fn is(&self, other: &Self) -> bool {
        (kept(self.0), self.1) == (kept(other.0), other.1)
    }
}

impl Kept for (Arc<str>, Timestamp, Option<Timestamp>, u64) {
    fn is(&self, other: &Self) -> bool {
        (&self.0, kept(self.1), self.2.map(kept), self.3)
            == (&other.0, kept(other.1), other.2.map(kept), other.3)
    }
}

fn compare<T: Kept>(
    table: Table,
    found: &BTreeMap<Arc<str>, T>,
    expected: &BTreeMap<Arc<str>, T>,
    tell: &mut impl FnMut(Problem),
) {
    for (name, row) in expected {
        let name = Arc::clone(name);
        match found.get(&name) {
            None => tell(Problem::Missing { table, name, expected: format!("{row:?}") }),
            Some(other) if !other.is(row) => {
                let (found, expected) = (format!("{other:?}"), format!("{row:?}"));
                tell(Problem::Differs { table, name, found, expected });
            }
            Some(_) => {}
        }
    }
    for (name, row) in found.iter().filter(|(name, _)| !expected.contains_key(*name)) {
        tell(Problem::Extra { table, name: Arc::clone(name), found: format!("{row:?}") });
    }
}

pub(super) fn hex(hash: &[u8]) -> String {
    let digits = hash.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}
