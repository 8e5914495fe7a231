//! Migrations over PostgreSQL, which many nodes may start at the same time.
//!
//! A migration begins with its own row in the table `migrations`. Whoever comes
//! second waits at that row's key until the first has committed, and then finds
//! the work done; if the first fails, its row goes with its tables, and the
//! second does the work.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use freehold_types::Env;
use futures_util::future::{Either, select};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::{Connector, Link, Purpose};
use super::fault::{Class, Fault};
use crate::OpenError;
use crate::migrate::Migration;

const CREATE: &str = "CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL, hash BYTEA NOT NULL, oldest BIGINT NOT NULL)";
const APPLIED: &str = "SELECT number, name, hash, oldest FROM migrations ORDER BY number";
const RECORD: &str = "INSERT INTO migrations (number, name, hash, oldest) VALUES ($1, $2, $3, $4)";

/// Between tries to connect, and after another node was quicker.
const PAUSE: Duration = Duration::from_millis(200);

/// Brings the database up to the last of `migrations`, or refuses one that was
/// not made by them. Waits this long for a database that is not there.
pub(super) async fn run(
    connector: &Connector,
    env: &Arc<dyn Env>,
    patience: Duration,
    migrations: &[Migration],
) -> Result<(), OpenError> {
    let until = env.monotonic() + patience;
    loop {
        let Link { client, driver } = connect(connector, env, until).await?;
        let outcome = bring_up(&client, migrations).await;
        drop(client);
        drop(driver.await);
        match outcome {
            Ok(()) => return Ok(()),
            Err(Trouble::Open(error)) => return Err(error),
            Err(Trouble::Database { number, error }) => {
                if !passes(&error) || env.monotonic() >= until {
                    return Err(OpenError::Migration { number, source: error.into() });
                }
                env.sleep(PAUSE).await;
            }
        }
    }
}

/// Connects, as often as it takes until then.
async fn connect(
    connector: &Connector,
    env: &Arc<dyn Env>,
    until: Duration,
) -> Result<Link, OpenError> {
    loop {
        let left = until.saturating_sub(env.monotonic()).max(PAUSE);
        let connecting = pin!(connector.connect(Purpose::Migrating));
        let why = match select(connecting, env.sleep(left)).await {
            Either::Left((Ok(link), _)) => return Ok(link),
            Either::Left((Err(why), _)) => why,
            Either::Right(_) => "it does not answer".to_owned(),
        };
        if env.monotonic() >= until {
            return Err(OpenError::Connect { database: connector.shown().to_owned(), why });
        }
        env.sleep(PAUSE).await;
    }
}

enum Trouble {
    Open(OpenError),
    Database { number: i64, error: tokio_postgres::Error },
}

/// Whether the next try may go better: another node did the same at the same
/// time, or the connection broke.
fn passes(error: &tokio_postgres::Error) -> bool {
    let twice = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        // Two at once who make or drop the same object say so, too.
        SqlState::INTERNAL_ERROR,
    ];
    let class = error
        .as_db_error()
        .map_or(Class::Lost, |told| super::fault::class(Some(told.code().code()), false, None));
    error.code().is_some_and(|code| twice.contains(code))
        || matches!(class, Class::Conflict | Class::Lost)
}

async fn bring_up(client: &Client, migrations: &[Migration]) -> Result<(), Trouble> {
    let before = |error| Trouble::Database { number: 0, error };
    // Asked first: who may not make tables may still use them.
    if client.query(APPLIED, &[]).await.is_err() {
        client.batch_execute(CREATE).await.map_err(before)?;
    }
    let applied = client.query(APPLIED, &[]).await.map_err(before)?;
    let mut found = 0;
    for row in &applied {
        let number: i64 = row.try_get(0).map_err(before)?;
        let name: String = row.try_get(1).map_err(before)?;
        let hash: Vec<u8> = row.try_get(2).map_err(before)?;
        let oldest: i64 = row.try_get(3).map_err(before)?;
        found = number;
        let known = migrations.last().map_or(0, |last| last.number);
        match migrations.iter().find(|migration| migration.number == number) {
            Some(migration) if migration.postgres_hash()[..] == hash[..] => {}
            Some(_) => return Err(Trouble::Open(OpenError::Changed { number, name })),
            // A newer version's, made so that this one can still run.
            None if oldest <= known => {}
            None => return Err(Trouble::Open(OpenError::Newer { found: number, known })),
        }
    }
    for migration in migrations.iter().filter(|migration| migration.number > found) {
        let number = migration.number;
        apply(client, migration).await.map_err(|error| Trouble::Database { number, error })?;
    }
    Ok(())
}

async fn apply(client: &Client, migration: &Migration) -> Result<(), tokio_postgres::Error> {
    let Migration { number, name, oldest, .. } = *migration;
    client.batch_execute("BEGIN").await?;
    let applied = async {
        let hash = migration.postgres_hash();
        client.execute(RECORD, &[&number, &name, &&hash[..], &oldest]).await?;
        client.batch_execute(migration.postgres).await?;
        client.batch_execute("COMMIT").await
    };
    // The connection is given up after an error, and so is its transaction.
    applied.await
}

/// How many migrations a database has; for a report.
pub(super) async fn count(client: &Client) -> Result<usize, Fault> {
    match client.query(APPLIED, &[]).await {
        Ok(rows) => Ok(rows.len()),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
