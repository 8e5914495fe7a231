//! Numbered migrations, each applied once, in order, in a transaction of its
//! own. To change the schema, add a file for each database; one that was
//! released never changes.
//!
//! During a rolling upgrade nodes of two versions share a PostgreSQL database.
//! So a migration expands first (a table, a column with a default) and a later
//! release contracts; `oldest` says which binaries can still use what it
//! leaves behind.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use sha2::{Digest, Sha256};

use crate::OpenError;

/// One step from an older schema to a newer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Migration {
    pub(crate) number: i64,
    pub(crate) name: &'static str,
    /// The last migration of the oldest binary that works with the schema
    /// after this one. At first it is its own number: what it made is new.
    pub(crate) oldest: i64,
    sqlite: &'static str,
    /// The same for PostgreSQL. The columns are compared by a test.
    pub(crate) postgres: &'static str,
}

impl Migration {
    /// Tells the wording for PostgreSQL from any other.
    pub(crate) fn postgres_hash(&self) -> [u8; 32] {
        Sha256::digest(self.postgres).into()
    }
}

/// All of them, numbered from 1 without gaps.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        number: 1,
        name: "gateway",
        oldest: 1,
        sqlite: include_str!("../migrations/sqlite/0001_gateway.sql"),
        postgres: include_str!("../migrations/postgres/0001_gateway.sql"),
    },
    Migration {
        number: 2,
        name: "lost_attempts",
        oldest: 1,
        sqlite: include_str!("../migrations/sqlite/0002_lost_attempts.sql"),
        postgres: include_str!("../migrations/postgres/0002_lost_attempts.sql"),
    },
    Migration {
        number: 3,
        name: "sessions",
        // A binary of before does not look into these tables.
        oldest: 1,
        sqlite: include_str!("../migrations/sqlite/0003_sessions.sql"),
        postgres: include_str!("../migrations/postgres/0003_sessions.sql"),
    },
    Migration {
        number: 4,
        name: "forks",
        // A binary of before would sweep away what forks hold.
        oldest: 4,
        sqlite: include_str!("../migrations/sqlite/0004_forks.sql"),
        postgres: include_str!("../migrations/postgres/0004_forks.sql"),
    },
    Migration {
        number: 5,
        name: "tenant_keys",
        oldest: 4,
        sqlite: include_str!("../migrations/sqlite/0005_tenant_keys.sql"),
        postgres: include_str!("../migrations/postgres/0005_tenant_keys.sql"),
    },
    Migration {
        number: 6,
        name: "together",
        // One of before says nobody's name and leaves the counters alone.
        oldest: 4,
        sqlite: include_str!("../migrations/sqlite/0006_together.sql"),
        postgres: include_str!("../migrations/postgres/0006_together.sql"),
    },
    Migration {
        number: 7,
        name: "session_secrets",
        oldest: 4,
        sqlite: include_str!("../migrations/sqlite/0007_session_secrets.sql"),
        postgres: include_str!("../migrations/postgres/0007_session_secrets.sql"),
    },
    Migration {
        number: 8,
        name: "imports",
        // One of before imports nothing, and finds nothing of what is laid.
        oldest: 4,
        sqlite: include_str!("../migrations/sqlite/0008_imports.sql"),
        postgres: include_str!("../migrations/postgres/0008_imports.sql"),
    },
];

/// Brings the database up to the last of `migrations`, or refuses one that was
/// not made by them.
pub(crate) fn run(database: &mut Connection, migrations: &[Migration]) -> Result<(), OpenError> {
    let failed = |number| {
        move |source: rusqlite::Error| OpenError::Migration { number, source: source.into() }
    };
    let known = migrations.last().map_or(0, |migration| migration.number);
    let found = newest(database).map_err(failed(0))?;
    if found > known {
        return Err(OpenError::Newer { found, known });
    }
    for migration in migrations {
        let hash: [u8; 32] = Sha256::digest(migration.sqlite).into();
        if migration.number > found {
            apply(database, migration, &hash).map_err(failed(migration.number))?;
        } else if !is_same(database, migration, &hash).map_err(failed(migration.number))? {
            let (number, name) = (migration.number, migration.name.to_owned());
            return Err(OpenError::Changed { number, name });
        }
    }
    Ok(())
}

const CREATE: &str = "CREATE TABLE IF NOT EXISTS migrations (
    number BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, hash BLOB NOT NULL)";
const NEWEST: &str = "SELECT COALESCE(MAX(number), 0) FROM migrations";
const HASH: &str = "SELECT hash FROM migrations WHERE number = $1";
const RECORD: &str = "INSERT INTO migrations (number, name, hash) VALUES ($1, $2, $3)";

fn newest(database: &Connection) -> rusqlite::Result<i64> {
    database.execute_batch(CREATE)?;
    database.query_row(NEWEST, [], |row| row.get(0))
}

fn is_same(database: &Connection, migration: &Migration, hash: &[u8]) -> rusqlite::Result<bool> {
    let applied: Option<Vec<u8>> =
        database.query_row(HASH, [migration.number], |row| row.get(0)).optional()?;
    Ok(applied.as_deref() == Some(hash))
}

fn apply(database: &mut Connection, migration: &Migration, hash: &[u8]) -> rusqlite::Result<()> {
    let transaction = database.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(migration.sqlite)?;
    transaction.execute(RECORD, params![migration.number, migration.name, hash])?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Migration = migration(1, "one", "CREATE TABLE a (x BIGINT)");
    const TWO: Migration = migration(2, "two", "ALTER TABLE a ADD COLUMN y BIGINT");

    const fn migration(number: i64, name: &'static str, sqlite: &'static str) -> Migration {
        Migration { number, name, oldest: number, sqlite, postgres: "" }
    }

    fn database() -> Connection {
        Connection::open_in_memory().unwrap()
    }

    #[test]
    fn an_older_database_is_brought_up_and_keeps_its_rows() {
        let mut db = database();
        run(&mut db, &[ONE]).unwrap();
        db.execute("INSERT INTO a (x) VALUES (7)", []).unwrap();
        run(&mut db, &[ONE, TWO]).unwrap();
        run(&mut db, &[ONE, TWO]).unwrap();
        let row = db.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?)));
        assert_eq!(row, Ok((7, None::<i64>)));
    }

    #[test]
    fn a_newer_database_is_refused_and_left_alone() {
        let mut db = database();
        run(&mut db, &[ONE, TWO]).unwrap();
        let error = run(&mut db, &[ONE]).unwrap_err();
        assert!(matches!(error, OpenError::Newer { found: 2, known: 1 }));
        assert!(error.to_string().contains("newer version"), "{error}");
    }

    #[test]
    fn a_rewritten_migration_is_noticed() {
        let mut db = database();
        run(&mut db, &[ONE]).unwrap();
        let rewritten = Migration { sqlite: "CREATE TABLE a (x TEXT)", ..ONE };
        let error = run(&mut db, &[rewritten]).unwrap_err();
        assert!(matches!(error, OpenError::Changed { number: 1, .. }));
    }

    #[test]
    fn a_migration_that_fails_leaves_nothing_behind() {
        let mut db = database();
        let broken = Migration { sqlite: "CREATE TABLE b (x BIGINT); SELECT nonsense", ..TWO };
        let error = run(&mut db, &[ONE, broken]).unwrap_err();
        assert!(matches!(error, OpenError::Migration { number: 2, .. }));
        assert!(db.prepare("SELECT x FROM b").is_err());
        run(&mut db, &[ONE, TWO]).unwrap();
    }

    #[test]
    fn numbers_have_no_gaps() {
        for (index, migration) in (1_i64..).zip(MIGRATIONS) {
            assert_eq!(migration.number, index);
        }
    }
}
