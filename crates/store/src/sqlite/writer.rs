//! The one thread that writes: many units a commit; if one of them fails, each
//! in a savepoint.

use std::sync::atomic::Ordering;

use freehold_types::{DbError, Guard, Unit, UnitReceipt};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::Counters;
use super::checkpoint::Doorbell;
use super::queue::{AbandonOnExit, Queue};
use super::value::{Hand, Runner, fault};

/// Bounds of one commit, so that nobody waits long behind others.
const COMMIT_MAX_UNITS: usize = 1024;
const COMMIT_MAX_WEIGHT: usize = 8 << 20;

/// A unit, and who waits for it. The answer goes nowhere if they went away.
pub(super) struct Job {
    pub(super) unit: Unit,
    pub(super) answer: oneshot::Sender<Outcome>,
}

pub(super) type Outcome = Result<UnitReceipt, DbError>;

/// Commits what comes until the queue is closed and empty. While one commit
/// waits for the disk, the queue collects the next.
pub(super) fn run(
    connection: &Connection,
    queue: &Queue<Job>,
    checkpoints: &Doorbell,
    counters: &Counters,
) {
    let _abandon = AbandonOnExit(queue);
    let mut hand = Hand::new(connection);
    while let Some(jobs) = queue.take(COMMIT_MAX_UNITS, COMMIT_MAX_WEIGHT) {
        let (units, answers): (Vec<Unit>, Vec<_>) =
            jobs.into_iter().map(|job| (job.unit, job.answer)).unzip();
        let outcomes = match commit(&mut hand, &units) {
            Ok(outcomes) => {
                counters.commits.fetch_add(1, Ordering::Relaxed);
                counters.units.fetch_add(units.len() as u64, Ordering::Relaxed);
                outcomes
            }
            Err(error) => vec![Err(error); units.len()],
        };
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // An error here is a caller that no longer waits.
            drop(answer.send(outcome));
        }
        checkpoints.ring();
    }
}

/// Runs units in one transaction. `Err` if that came to nothing as a whole;
/// else what became of each. No outcome is true before this returns, not even
/// a failed guard: it may have failed on another unit's uncommitted rows.
fn commit(hand: &mut Hand<'_>, units: &[Unit]) -> Result<Vec<Outcome>, DbError> {
    let runner = &mut Runner::new(hand);
    begin(runner)?;
    let outcomes = match run_all(runner, units) {
        Some(outcomes) => outcomes,
        None => run_each(runner, units)?,
    };
    let connection = runner.connection();
    if let Err(error) = connection.prepare_cached("COMMIT").and_then(|mut s| s.raw_execute()) {
        if !connection.is_autocommit() {
            execute(runner, "ROLLBACK")?;
        }
        return Err(in_doubt(fault(&error)));
    }
    Ok(outcomes)
}

/// Begins a transaction; one that is open comes to nothing.
fn begin(runner: &mut Runner<'_, '_, '_>) -> Result<(), DbError> {
    if !runner.connection().is_autocommit() {
        execute(runner, "ROLLBACK")?;
    }
    execute(runner, "BEGIN IMMEDIATE").map(drop)
}

/// Runs units without a way back for each, for that costs a copy of every page
/// that a unit changes. `None` once one fails, and then nothing counts.
fn run_all<'a>(runner: &mut Runner<'_, '_, 'a>, units: &'a [Unit]) -> Option<Vec<Outcome>> {
    units.iter().map(|unit| run_statements(runner, unit).ok().map(Ok)).collect()
}

/// Runs units anew in a fresh transaction, each in a savepoint.
fn run_each<'a>(
    runner: &mut Runner<'_, '_, 'a>,
    units: &'a [Unit],
) -> Result<Vec<Outcome>, DbError> {
    begin(runner)?;
    let mut outcomes = Vec::with_capacity(units.len());
    for unit in units {
        let outcome = run_saved(runner, unit);
        if runner.connection().is_autocommit() {
            // A full disk or an IO error made SQLite undo the whole
            // transaction, the units before this one included.
            return Err(undone(outcome));
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

/// Runs a unit in a savepoint; if it fails, nothing of it remains.
pub(crate) fn run_unit(connection: &Connection, unit: &Unit) -> Outcome {
    run_saved(&mut Runner::new(&mut Hand::new(connection)), unit)
}

fn run_saved<'a>(runner: &mut Runner<'_, '_, 'a>, unit: &'a Unit) -> Outcome {
    execute(runner, "SAVEPOINT unit")?;
    let outcome = run_statements(runner, unit);
    if outcome.is_err() && !runner.connection().is_autocommit() {
        execute(runner, "ROLLBACK TO unit")?;
    }
    if !runner.connection().is_autocommit() {
        execute(runner, "RELEASE unit")?;
    }
    outcome
}

fn run_statements<'a>(runner: &mut Runner<'_, '_, 'a>, unit: &'a Unit) -> Outcome {
    let mut changed = Vec::with_capacity(unit.statements().len());
    for (index, statement) in unit.statements().iter().enumerate() {
        let found = runner.execute(statement.sql, &statement.args)?;
        match statement.guard {
            Guard::Exactly(expected) if expected != found => {
                return Err(DbError::GuardFailed {
                    unit: unit.label(),
                    statement: index,
                    expected,
                    found,
                });
            }
            Guard::Exactly(_) | Guard::None => changed.push(found),
        }
    }
    Ok(UnitReceipt { changed })
}

fn execute(runner: &mut Runner<'_, '_, '_>, sql: &'static str) -> Result<u64, DbError> {
    runner.execute(sql, &[])
}

/// The error for units that went down with another one's.
fn undone(outcome: Outcome) -> DbError {
    match outcome {
        Err(error @ (DbError::Full(_) | DbError::Corrupt(_) | DbError::Unavailable(_))) => error,
        Err(error) => DbError::Unavailable(error.to_string()),
        Ok(_) => DbError::Unavailable("the transaction ended by itself".into()),
    }
}

/// A commit fails surely if there was no room for it; if writing or syncing
/// failed, its last page may or may not be on the disk.
fn in_doubt(error: DbError) -> DbError {
    match error {
        DbError::Full(_) | DbError::Corrupt(_) => error,
        other => DbError::InDoubt(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::args;

    use super::*;

    fn table() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a BIGINT PRIMARY KEY)").unwrap();
        db
    }

    fn insert(n: i64) -> Unit {
        let mut unit = Unit::new("insert");
        unit.run("INSERT INTO t (a) VALUES ($1)", args![n]);
        unit
    }

    fn count(db: &Connection) -> i64 {
        db.query_row("SELECT COUNT(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_unit_that_fails_undoes_only_itself() {
        let db = table();
        let mut guarded = insert(2);
        guarded.expect(1, "DELETE FROM t WHERE a = $1", args![9_i64]);
        let units = [insert(1), guarded, insert(1), insert(3)];
        let outcomes = commit(&mut Hand::new(&db), &units).unwrap();
        assert_eq!(outcomes[0], Ok(UnitReceipt { changed: vec![1] }));
        let failed = DbError::GuardFailed { unit: "insert", statement: 1, expected: 1, found: 0 };
        assert_eq!(outcomes[1], Err(failed));
        assert!(matches!(outcomes[2], Err(DbError::Other(_))), "the same key twice");
        assert!(outcomes[3].is_ok());
        assert_eq!(count(&db), 2);
    }

    #[test]
    fn a_full_disk_fails_the_whole_commit_and_the_next_one_starts_afresh() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a BLOB); PRAGMA max_page_count = 20").unwrap();
        let mut big = Unit::new("big");
        big.run("INSERT INTO t (a) VALUES (zeroblob($1))", args![1_000_000_i64]);
        let mut small = Unit::new("small");
        small.run("INSERT INTO t (a) VALUES (zeroblob($1))", args![10_i64]);
        let units = [small.clone(), big];
        match commit(&mut Hand::new(&db), &units) {
            // SQLite may undo the statement alone or the whole transaction.
            Ok(outcomes) => assert!(matches!(outcomes[1], Err(DbError::Full(_)))),
            Err(error) => assert!(matches!(error, DbError::Full(_)), "{error}"),
        }
        assert!(commit(&mut Hand::new(&db), &[small]).unwrap()[0].is_ok());
    }
}
