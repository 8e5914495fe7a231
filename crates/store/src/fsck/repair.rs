//! Makes projections what the events come to.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, args};

use super::rows::Expected;
use super::{Problem, Table};
use crate::blobs::{self, BlobRef};
use crate::idempotency::{self, Accepted};
use crate::sessions::Session;
use crate::timers::{self, Timer};
use crate::waits::{self, Wait};

/// Changes of names that one repair makes; what is more is for the next.
const NAMES_MAX: usize = 1_000;

/// The rows are replaced only if nobody has written since they were looked at.
const GUARD: &str = "UPDATE sessions SET phase = $5, due_at = $6
    WHERE tenant = $1 AND id = $2 AND head = $3 AND epoch = $4 AND deleted_at IS NULL";
const NO_TIMERS: &str = "DELETE FROM timers WHERE tenant = $1 AND session = $2";
const NO_WAITS: &str = "DELETE FROM waits WHERE tenant = $1 AND session = $2";
const NO_SNAPSHOT: &str = "DELETE FROM snapshots WHERE tenant = $1 AND session = $2";
const NO_KEY: &str =
    "DELETE FROM idempotency_keys WHERE tenant = $1 AND session = $2 AND name = $3";
const NO_REF: &str = "DELETE FROM blob_refs WHERE tenant = $1 AND session = $2 AND hash = $3";

/// What is to be done about names, of which a session may have any number.
#[derive(Default)]
pub(super) struct Names {
    keys: Vec<(Arc<str>, Option<Accepted>)>,
    blobs: Vec<BlobRef>,
}

impl Names {
    /// A key should be this row, or none.
    pub(super) fn key(&mut self, name: &Arc<str>, accepted: Option<Accepted>) {
        if self.keys.len() < NAMES_MAX {
            self.keys.push((Arc::clone(name), accepted));
        }
    }

    /// A reference should be there.
    pub(super) fn blob(&mut self, blob: &BlobRef) {
        if self.blobs.len() < NAMES_MAX && !self.blobs.contains(blob) {
            self.blobs.push(blob.clone());
        }
    }
}

/// Replaces what is wrong of a session's projections. False if somebody wrote
/// meanwhile.
pub(super) async fn repair(
    db: &dyn Db,
    row: &Session,
    expected: &Expected,
    names: &Names,
    problems: &[Problem],
) -> Result<bool, DbError> {
    let (tenant, session) = (&row.tenant, row.id);
    let at = || args![tenant.shared(), session.to_string()];
    let mut unit = Unit::new("fsck.repair");
    let (phase, due) = match &expected.row {
        // Whoever has it in hand knows when it is due.
        Some(should) if row.node.is_none() => (Arc::clone(&should.phase), should.due),
        Some(should) => (Arc::clone(&should.phase), row.due_at),
        None => (Arc::clone(&row.phase), row.due_at),
    };
    let guard = args![tenant.shared(), session.to_string(), row.head, row.epoch, phase, due];
    unit.expect(1, GUARD, guard);
    let about = |of: Table| {
        problems.iter().any(|problem| match problem {
            Problem::NoEvent { table, .. }
            | Problem::Missing { table, .. }
            | Problem::Extra { table, .. }
            | Problem::Differs { table, .. } => *table == of,
            _ => false,
        })
    };
    if about(Table::Timers)
        && let Some(timers) = &expected.timers
    {
        unit.run(NO_TIMERS, at());
        for (id, (due_at, offset)) in timers {
            let (id, tenant) = (Arc::clone(id), tenant.clone());
            timers::set(
                &mut unit,
                &Timer { tenant, session, id, due_at: *due_at, offset: *offset },
            );
        }
    }
    if about(Table::Waits)
        && let Some(waits) = &expected.waits
    {
        unit.run(NO_WAITS, at());
        for (id, (kind, since, expires_at, offset)) in waits {
            let wait = Wait {
                tenant: tenant.clone(),
                session,
                id: Arc::clone(id),
                kind: Arc::clone(kind),
                since: *since,
                expires_at: *expires_at,
                offset: *offset,
            };
            waits::open(&mut unit, &wait);
        }
    }
    let is_snapshot = |problem: &Problem| {
        matches!(problem, Problem::Snapshot { .. } | Problem::SnapshotDiffers { .. })
    };
    if problems.iter().any(is_snapshot) {
        unit.run(NO_SNAPSHOT, at());
    }
    add_names(&mut unit, tenant, session, names);
    match db.write(unit).await {
        Ok(_) => Ok(true),
        Err(DbError::GuardFailed { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn add_names(unit: &mut Unit, tenant: &TenantId, session: SessionId, names: &Names) {
    for (name, accepted) in &names.keys {
        unit.run(NO_KEY, args![tenant.shared(), session.to_string(), Arc::clone(name)]);
        if let Some(accepted) = accepted {
            idempotency::accept(unit, tenant, session, name, accepted);
        }
    }
    for blob in &names.blobs {
        let hash = Arc::clone(&blob.hash);
        unit.run(NO_REF, args![tenant.shared(), session.to_string(), hash]);
        blobs::refer(unit, tenant, session, blob);
    }
}
