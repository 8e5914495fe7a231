//! One session: its journal, and what is projected from it.

use std::sync::Arc;

use freehold_types::{DbError, SessionId, TenantId, args};
use jiff::{SignedDuration, Timestamp};

use super::repair::repair;
use super::rows::{self, Expected, ExpectedRow, kept};
use super::walk::{Problems, Walk};
use super::{Error, Fsck, Looked, Problem, Table, Unopened};
use crate::forks::{self, Lineage};
use crate::journal;
use crate::sessions::{self, Session};

/// Looks at a session that is written to meanwhile; each goes on where the one
/// before stopped.
const LOOKS: u32 = 16;
/// A wake-up that is late by this is on time: clocks differ.
const LATE: SignedDuration = SignedDuration::from_secs(2);

const TIMELINE: &str =
    "SELECT MAX(timeline), MAX(base) FROM timelines WHERE tenant = $1 AND session = $2";
/// What goes at once when a session is deleted.
const LEFTOVERS: &[(&str, &str)] = &[
    ("profiles", "SELECT 1 FROM profiles WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("timers", "SELECT 1 FROM timers WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("waits", "SELECT 1 FROM waits WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("session_secrets", "SELECT 1 FROM session_secrets WHERE tenant = $1 AND session = $2 LIMIT 1"),
    ("ancestors", "SELECT 1 FROM ancestors WHERE tenant = $1 AND session = $2 LIMIT 1"),
];

/// What was found, and whether it was repaired.
pub(super) type Told = Vec<(Problem, bool)>;

/// A session that is looked at.
pub(super) struct One<'a> {
    pub(super) fsck: &'a Fsck<'a>,
    pub(super) tenant: &'a TenantId,
    pub(super) session: SessionId,
}

impl One<'_> {
    pub(super) async fn check_deleted(&self) -> Result<Told, DbError> {
        let mut told = Told::new();
        for (table, sql) in LEFTOVERS {
            let args = args![self.tenant.shared(), self.session.to_string()];
            if !self.fsck.db.read(sql, args).await?.is_empty() {
                told.push((Problem::Leftover { table }, false));
            }
        }
        Ok(told)
    }

    pub(super) async fn check(&self, looked: &mut Looked) -> Result<Told, Error> {
        let (db, tenant, session) = (self.fsck.db, self.tenant, self.session);
        // One that is being made, or was deleted just now, is not there.
        let Some(lineage) = forks::peek(db, tenant, session).await? else { return Ok(vec![]) };
        let Some(mut row) = sessions::get(db, tenant, session).await? else { return Ok(vec![]) };
        let snapshot = journal::snapshot(db, tenant, session).await?;
        let (derive, unopened) = match self.fsck.begin.begin(tenant, &lineage).await {
            Ok(derive) => (derive, None),
            Err(Unopened::Away(error)) => return Err(error.into()),
            Err(Unopened::Wrong(why)) => (None, Some(Problem::Unopened { why })),
        };
        let mut walk = Walk::new(db, tenant, &lineage, derive, snapshot);
        walk.opens_blobs = self.fsck.blobs.is_some();
        walk.gone = self.gone(&lineage).await?;
        if let Some(problem) = unopened {
            walk.problems.tell(problem);
        }
        self.check_hold(&mut walk.problems).await?;
        let mut found = None;
        for _ in 0..LOOKS {
            walk.up_to(row.head).await?;
            let rows = rows::read(db, tenant, session).await?;
            // Deleted since: what was read of it says nothing.
            let Some(now) = sessions::get(db, tenant, session).await? else { return Ok(vec![]) };
            if now == row {
                found = Some(rows);
                break;
            }
            row = now;
        }
        walk.extra_keys(row.head).await?;
        looked.blobs += walk.blobs().await?;
        looked.events += walk.own();
        looked.moving += u64::from(found.is_none());
        let expected = walk.expected();
        if let Some(found) = found {
            self.check_ends(&row, &mut walk).await?;
            let mut tell = |problem| walk.problems.tell(problem);
            found.check_offsets(row.head, &mut tell);
            if let Some(expected) = &expected {
                found.compare(expected, &mut tell);
                if let Some(should) = &expected.row {
                    check_row(&row, should, self.fsck.now, &mut tell);
                }
            }
        }
        self.mended(&row, expected.as_ref(), walk).await
    }

    /// What is found, after what can be was made right.
    async fn mended(
        &self,
        row: &Session,
        expected: Option<&Expected>,
        walk: Walk<'_>,
    ) -> Result<Told, Error> {
        let db = self.fsck.db;
        // Rows may seem wrong of one that is being deleted.
        if sessions::get(db, self.tenant, self.session).await?.is_none() {
            return Ok(vec![]);
        }
        let (names, problems) = (walk.names, walk.problems.all());
        let mendable = self.fsck.repair && problems.iter().any(Problem::is_projected);
        let mended = match expected.filter(|_| mendable) {
            Some(expected) => repair(db, row, expected, &names, &problems).await?,
            None => false,
        };
        let told = |problem: Problem| {
            let repaired = mended && problem.is_projected();
            (problem, repaired)
        };
        Ok(problems.into_iter().map(told).collect())
    }

    /// Ancestors that are not there any more.
    async fn gone(&self, lineage: &Lineage) -> Result<Vec<SessionId>, DbError> {
        let mut gone = Vec::new();
        for ancestor in lineage.ancestors() {
            if sessions::get(self.fsck.db, self.tenant, ancestor.session).await?.is_none() {
                gone.push(ancestor.session);
            }
        }
        Ok(gone)
    }

    async fn check_hold(&self, problems: &mut Problems) -> Result<(), DbError> {
        let (db, tenant, session) = (self.fsck.db, self.tenant, self.session);
        let Some(origin) = forks::origin(db, tenant, session).await? else { return Ok(()) };
        let parent = origin.parent;
        if forks::is_swept(db, tenant, parent).await? {
            problems.tell(Problem::NoParent { parent });
        }
        let hold = forks::hold_of(db, tenant, parent, session).await?;
        if hold.is_none_or(|hold| hold.token != origin.token || hold.up_to < origin.base) {
            problems.tell(Problem::NotHeld { parent });
        }
        Ok(())
    }

    /// Whether anything lies after the head: events, a snapshot, a timeline.
    async fn check_ends(&self, row: &Session, walk: &mut Walk<'_>) -> Result<(), DbError> {
        let (db, tenant, session) = (self.fsck.db, self.tenant, self.session);
        let beyond = journal::read(db, tenant, session, row.head, u64::MAX, 1).await?;
        let still = sessions::get(db, tenant, session).await?;
        let still = still.is_some_and(|still| still.head == row.head);
        if let Some(event) = beyond.first().filter(|_| still) {
            walk.problems.tell(Problem::Beyond { head: row.head, found: event.offset });
        }
        if let Some(snapshot) = walk.snapshot.as_ref().filter(|one| one.offset > row.head) {
            let (offset, head) = (snapshot.offset, row.head);
            walk.problems.tell(Problem::Snapshot { offset, head });
        }
        let args = args![tenant.shared(), session.to_string()];
        let noted = db.read(TIMELINE, args).await?.into_iter().next();
        let Some(mut noted) = noted else { return Ok(()) };
        let (latest, base): (Option<u64>, Option<u64>) = (noted.take()?, noted.take()?);
        if let Some(latest) = latest.filter(|latest| *latest != row.timeline) {
            walk.problems.tell(differs("timeline", &row.timeline, &latest));
        }
        if let Some(base) = base.filter(|base| *base > row.head) {
            let (table, name) = (Table::Sessions, "timeline".into());
            walk.problems.tell(Problem::NoEvent { table, name, offset: base });
        }
        Ok(())
    }
}

fn differs(column: &str, found: &dyn std::fmt::Debug, expected: &dyn std::fmt::Debug) -> Problem {
    Problem::Differs {
        table: Table::Sessions,
        name: column.into(),
        found: format!("{found:?}"),
        expected: format!("{expected:?}"),
    }
}

/// The session's own row beside what its events come to.
fn check_row(row: &Session, should: &ExpectedRow, now: Timestamp, tell: &mut impl FnMut(Problem)) {
    if row.phase != should.phase {
        tell(differs("phase", &row.phase, &should.phase));
    }
    if row.sealed_for != should.sealed_for {
        tell(differs("sealed_for", &row.sealed_for, &should.sealed_for));
    }
    if row.epoch < should.epoch_min {
        let least = format!("at least {}", should.epoch_min);
        tell(differs("epoch", &row.epoch, &least));
    }
    if row.timeline < should.timeline_min {
        let least = format!("at least {}", should.timeline_min);
        tell(differs("timeline", &row.timeline, &least));
    }
    // Whoever has it in hand knows when it is due; one that is looked at too
    // early is let go of again.
    let Some(due) = should.due.filter(|_| row.node.is_none() && row.sealed_for.is_none()) else {
        return;
    };
    let latest = due.max(now).checked_add(LATE).unwrap_or(due);
    if row.due_at.is_none_or(|at| kept(at) > kept(latest)) {
        let (found, name) = (format!("{:?}", row.due_at), Arc::from("due_at"));
        let expected = format!("{due:?}");
        tell(Problem::Differs { table: Table::Sessions, name, found, expected });
    }
}
