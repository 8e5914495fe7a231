//! How sessions are laid out: so that an engine can spread them over machines.

use std::collections::BTreeMap;

use freehold_store::layout;
use freehold_store::sessions::TABLES;
use freehold_store::{Postgres, Sqlite, SqliteOptions};
use freehold_types::{Db, args};

use crate::server;

/// Table, unique key, and the key's columns in order.
type Keys = BTreeMap<(String, String), Vec<String>>;

const SQLITE: &str = "SELECT t.name, i.name, c.name FROM sqlite_schema AS t
    JOIN pragma_index_list(t.name) AS i JOIN pragma_index_info(i.name) AS c
    WHERE t.type = 'table' AND i.\"unique\" = 1 ORDER BY t.name, i.name, c.seqno";
const POSTGRES: &str = "SELECT t.relname::text, i.relname::text, a.attname::text
    FROM pg_index AS x JOIN pg_class AS t ON t.oid = x.indrelid
    JOIN pg_class AS i ON i.oid = x.indexrelid
    JOIN pg_attribute AS a ON a.attrelid = i.oid
    WHERE x.indisunique AND t.relnamespace = current_schema()::regnamespace
    ORDER BY 1, 2, a.attnum";

async fn keys(db: &dyn Db, sql: &'static str) -> Keys {
    let mut keys = Keys::new();
    for mut row in db.read(sql, args![]).await.unwrap() {
        let key = (row.take().unwrap(), row.take().unwrap());
        keys.entry(key).or_default().push(row.take().unwrap());
    }
    keys
}

fn check(keys: &Keys) {
    for (table, column) in TABLES {
        let of_table: Vec<_> = keys.iter().filter(|((name, _), _)| name == table).collect();
        assert_eq!(of_table.len(), 1, "{table}: {of_table:?}");
        assert_eq!(of_table[0].1[..2], ["tenant", column], "{table}");
    }
}

#[tokio::test]
async fn every_unique_key_of_a_session_begins_with_its_tenant_and_id() {
    let folder = tempfile::tempdir().unwrap();
    check(&keys(&Sqlite::open(&SqliteOptions::new(folder.path())).unwrap(), SQLITE).await);
    let store = server::open(&server::fresh_url().await).await;
    check(&keys(&store, POSTGRES).await);
}

#[tokio::test]
async fn every_table_with_a_session_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
    let sql = "SELECT t.name FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
        WHERE t.type = 'table' AND (c.name = 'session' OR t.name = 'sessions')
        GROUP BY t.name ORDER BY t.name";
    let rows = store.read(sql, args![]).await.unwrap();
    let found: Vec<String> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    let mut named: Vec<_> = TABLES.iter().map(|(table, _)| *table).collect();
    named.sort_unstable();
    assert_eq!(found, named);
}

#[tokio::test]
async fn every_table_has_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&SqliteOptions::new(folder.path())).unwrap();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'
        ORDER BY name";
    let rows = store.read(sql, args![]).await.unwrap();
    let found: Vec<String> = rows.into_iter().map(|mut row| row.take().unwrap()).collect();
    let mut placed: Vec<_> = layout::tables().map(|(table, _)| table).collect();
    placed.sort_unstable();
    assert_eq!(found, placed);
}

#[tokio::test]
async fn a_server_without_citus_is_told_what_to_do() {
    let url = server::fresh_url().await;
    let options = server::options(&url);
    Postgres::migrate(&options, &server::env()).await.unwrap();
    let error = Postgres::lay_out_over_citus(&options, None).await.unwrap_err().to_string();
    assert!(error.contains("CREATE EXTENSION citus"), "{error}");
    let report = Postgres::check(&options).await.unwrap();
    assert!(!report.findings.iter().any(|finding| finding.need.contains("Citus")));
}
