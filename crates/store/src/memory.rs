//! A store in memory, for simulations: the tables, statements, guards and
//! errors of [`Sqlite`](crate::Sqlite), at once and on the thread that asks.
//! Nothing of it outlives the process, so no server is configured with it.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use freehold_types::{BoxFuture, Db, DbError, Row, Unit, UnitReceipt, Value};
use rusqlite::Connection;

use crate::OpenError;
use crate::migrate::{self, MIGRATIONS};
use crate::sqlite::{fault, query, run_unit};

/// All statements that there are stay prepared.
const STATEMENTS_KEPT: usize = 512;

/// An empty database that is gone when it is dropped.
pub struct Memory {
    connection: Mutex<Connection>,
}

impl Memory {
    /// Makes one with the schema of this version.
    pub fn open() -> Result<Self, OpenError> {
        Self::open_at(i64::MAX)
    }

    /// Makes one with the schema that an older version had, by the number of
    /// its last migration; [`Memory::upgrade`] brings it up.
    pub fn open_at(migration: i64) -> Result<Self, OpenError> {
        let named = |source| OpenError::Sqlite { path: Path::new(":memory:").to_owned(), source };
        let mut connection = Connection::open_in_memory().map_err(named)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        let known = MIGRATIONS.iter().take_while(|known| known.number <= migration).count();
        migrate::run(&mut connection, MIGRATIONS.get(..known).unwrap_or(MIGRATIONS))?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Brings the schema up to this version's.
    pub fn upgrade(&self) -> Result<(), OpenError> {
        self.upgrade_to(i64::MAX)
    }

    /// Brings the schema up to that of a version in between.
    pub fn upgrade_to(&self, migration: i64) -> Result<(), OpenError> {
        let known = MIGRATIONS.iter().take_while(|known| known.number <= migration).count();
        migrate::run(&mut self.lock(), MIGRATIONS.get(..known).unwrap_or(MIGRATIONS))
    }

    /// Runs statements as they were dumped from another store.
    pub fn load(&self, sql: &str) -> Result<(), DbError> {
        self.lock().execute_batch(sql).map_err(|error| fault(&error))
    }

    /// Takes all rows of all tables away: faster than to open another one.
    pub fn wipe(&self) -> Result<(), DbError> {
        let connection = self.lock();
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'migrations'
            AND name NOT LIKE 'sqlite_%'";
        let mut wipe = String::from("BEGIN;");
        for mut table in query(&connection, tables, &[])? {
            wipe.push_str("DELETE FROM ");
            wipe.push_str(&table.take::<String>()?);
            wipe.push(';');
        }
        wipe.push_str("COMMIT;");
        connection.execute_batch(&wipe).map_err(|error| fault(&error))
    }

    /// What [`Db::write`] does, at once.
    pub fn run(&self, unit: &Unit) -> Result<UnitReceipt, DbError> {
        run_unit(&self.lock(), unit)
    }

    /// What [`Db::read`] does, at once.
    pub fn query(&self, sql: &str, args: &[Value]) -> Result<Vec<Row>, DbError> {
        query(&self.lock(), sql, args)
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Db for Memory {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let outcome = self.run(&unit);
        Box::pin(std::future::ready(outcome))
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        let rows = self.query(sql, &args);
        Box::pin(std::future::ready(rows))
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::args;

    use super::*;

    fn beat(id: &str) -> Unit {
        let mut unit = Unit::new("beat");
        let sql = "INSERT INTO nodes (id, name, address, started_at, beat)
            VALUES ($1, 'n', 'a', 0, 0)";
        unit.expect(1, sql, args![id]);
        unit.expect(1, "UPDATE nodes SET beat = beat + 1 WHERE id = $1", args!["node_1"]);
        unit
    }

    #[test]
    fn a_unit_that_fails_its_guard_leaves_nothing() {
        let store = Memory::open().unwrap();
        assert!(matches!(
            store.run(&beat("node_2")),
            Err(DbError::GuardFailed { statement: 1, .. })
        ));
        assert_eq!(store.run(&beat("node_1")).unwrap().changed, [1, 1]);
        let rows = store.query("SELECT id FROM nodes", &[]).unwrap();
        assert_eq!(rows.len(), 1);
    }

    #[test]
    fn what_is_wiped_is_empty_and_works_on() {
        let store = Memory::open().unwrap();
        store.run(&beat("node_1")).unwrap();
        store.wipe().unwrap();
        assert!(store.query("SELECT id FROM nodes", &[]).unwrap().is_empty());
        store.run(&beat("node_1")).unwrap();
    }

    #[test]
    fn an_older_schema_is_brought_up() {
        let store = Memory::open_at(1).unwrap();
        assert!(store.query("SELECT id FROM nodes", &[]).is_err());
        store.upgrade().unwrap();
        store.run(&beat("node_1")).unwrap();
    }
}
