//! Rows of sessions that are not there, nor on their way here.

use freehold_types::{Db, DbError, args};

use super::{BATCH, Finding, Problem};

/// The next sessions of which a table has something, and that are not there.
macro_rules! orphans {
    ($($table:literal),*) => {
        &[$(($table, concat!(
            "SELECT DISTINCT tenant, session FROM ", $table,
            " WHERE (tenant, session) > ($1, $2) AND NOT EXISTS (SELECT 1 FROM sessions
            WHERE sessions.tenant = ", $table, ".tenant AND ", $table, ".session = sessions.id)
            AND NOT EXISTS (SELECT 1 FROM imports
            WHERE imports.tenant = ", $table, ".tenant AND ", $table, ".session = imports.session)
            ORDER BY tenant, session LIMIT $3"
        ))),*]
    };
}

/// A fork's parent has a hold on it before it is gone, so `holds` are of
/// sessions that are there, too.
pub(super) const TABLES: &[(&str, &str)] = orphans![
    "profiles",
    "events",
    "snapshots",
    "timelines",
    "timers",
    "waits",
    "idempotency_keys",
    "blob_refs",
    "forks",
    "ancestors",
    "holds",
    "session_secrets"
];

pub(super) async fn check(db: &dyn Db, found: &mut impl FnMut(Finding)) -> Result<(), DbError> {
    for (table, sql) in TABLES {
        let mut after = (String::new(), String::new());
        loop {
            let (tenant, session) = after.clone();
            let rows = db.read(sql, args![tenant, session, BATCH]).await?;
            if rows.is_empty() {
                break;
            }
            for mut row in rows {
                let (tenant, session) = (row.parse()?, row.parse()?);
                after = (format!("{tenant}"), format!("{session}"));
                let problem = Problem::Orphan { table };
                found(Finding { tenant, session, problem, repaired: false });
            }
        }
    }
    Ok(())
}
