//! Citus: PostgreSQL spread over machines. Says where each table lies, lays
//! them out, and looks whether they are.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::check::Finding;
use super::fault::words;
use crate::OpenError;
use crate::layout::{self, Place};

/// What is said where the layout is printed and not made.
const HEADER: &str = "\
-- Lays Freehold's tables out over a Citus cluster. Before, on the coordinator:
--   CREATE EXTENSION citus;                            (and on each worker)
--   SELECT citus_set_coordinator_host('coordinator', 5432);
--   SELECT citus_add_node('worker-1', 5432);           (for each worker)
--   freehold db init                                   (makes the tables)
-- Rows that are there already move to their places; stop all nodes meanwhile.
-- Nodes connect to the coordinator, where the tables without a line here lie.
";

/// Shards of the tables that are spread: more than the machines that there
/// will ever be, for they can be moved and not easily split.
pub(super) const SHARDS: u32 = 32;

/// The statement that lays a table out; `None` if it stays where it is.
fn statement(table: &str, place: Place, first: &str, shards: u32) -> Option<String> {
    Some(match place {
        Place::Spread(column) if table == first => format!(
            "SELECT create_distributed_table('{table}', '{column}', \
             colocate_with := 'none', shard_count := {shards})"
        ),
        Place::Spread(column) => format!(
            "SELECT create_distributed_table('{table}', '{column}', colocate_with := '{first}')"
        ),
        Place::Everywhere => format!("SELECT create_reference_table('{table}')"),
        Place::Here => return None,
    })
}

/// Each table that moves, with its statement, in order.
fn statements(shards: u32) -> Vec<(&'static str, Place, String)> {
    let first = layout::tables().next().map_or("", |(table, _)| table);
    layout::tables()
        .filter_map(|(table, place)| Some((table, place, statement(table, place, first, shards)?)))
        .collect()
}

/// The whole as a script.
pub(super) fn script(shards: u32) -> String {
    let mut script = HEADER.to_owned();
    for (_, _, sql) in statements(shards) {
        script.push_str(&sql);
        script.push_str(";\n");
    }
    script
}

/// A table as Citus has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Laid {
    /// `distributed`, `reference`, or another word.
    kind: String,
    column: String,
    colocation: i64,
}

/// What Citus has of our tables.
type Found = BTreeMap<String, Laid>;

const VERSION: &str = "SELECT extversion FROM pg_extension WHERE extname = 'citus'";
const AVAILABLE: &str = "SELECT default_version FROM pg_available_extensions WHERE name = 'citus'";
const WORKERS: &str = "SELECT count(*) FROM pg_dist_node
    WHERE noderole = 'primary' AND isactive AND shouldhaveshards";
const TABLES: &str =
    "SELECT c.relname::text, t.citus_table_type::text, t.distribution_column::text,
    t.colocation_id::bigint FROM citus_tables AS t JOIN pg_class AS c ON c.oid = t.table_name
    WHERE c.relnamespace = current_schema()::regnamespace";

async fn found(client: &Client) -> Result<Found, String> {
    let told = |error: tokio_postgres::Error| words(&error);
    let mut found = Found::new();
    for row in client.query(TABLES, &[]).await.map_err(told)? {
        let laid = Laid {
            kind: row.try_get(1).map_err(told)?,
            column: row.try_get(2).map_err(told)?,
            colocation: row.try_get(3).map_err(told)?,
        };
        found.insert(row.try_get(0).map_err(told)?, laid);
    }
    Ok(found)
}

/// What is not in its place, in words; empty if all is. A table of another
/// column or another group cannot be put right by laying out.
fn wrong(found: &Found) -> Vec<String> {
    let mut group = None;
    let mut wrong = Vec::new();
    for (table, place, _) in statements(SHARDS) {
        let laid = found.get(table);
        let right = match (place, laid) {
            (Place::Spread(column), Some(laid)) => {
                let with = *group.get_or_insert(laid.colocation);
                laid.kind == "distributed" && laid.column == column && laid.colocation == with
            }
            (Place::Everywhere, Some(laid)) => laid.kind == "reference",
            _ => false,
        };
        if !right {
            let is = laid.map_or("not laid out".into(), |laid| {
                format!("{} by {} in group {}", laid.kind, laid.column, laid.colocation)
            });
            wrong.push(format!("{table} is {is}"));
        }
    }
    wrong
}

/// For a report: nothing, where there is no Citus.
pub(super) async fn findings(client: &Client) -> Vec<Finding> {
    let finding = |need, met, detail| Finding { need, must: false, met, detail };
    let Ok(Some(row)) = client.query_opt(VERSION, &[]).await else { return Vec::new() };
    let version: String = row.try_get(0).unwrap_or_default();
    let workers = client.query_one(WORKERS, &[]).await;
    let workers: i64 = workers.and_then(|row| row.try_get(0)).unwrap_or_default();
    let machines = finding(
        "machines of Citus that hold shards",
        workers > 0,
        format!("{workers}, Citus {version}"),
    );
    let spread = match found(client).await {
        Ok(found) => wrong(&found),
        Err(why) => vec![why],
    };
    let how = "run `freehold db init --distributed citus`";
    let detail = match spread.first() {
        None => "each table is in its place".into(),
        Some(first) => format!("{first}, and {} more; {how}", spread.len() - 1),
    };
    vec![machines, finding("tables laid out over Citus", spread.is_empty(), detail)]
}

/// Lays out what is not laid out yet, and tells each step. The tables are
/// there.
pub(super) async fn lay_out(client: &Client, shards: u32) -> Result<Vec<String>, OpenError> {
    let refuse = |why: String| OpenError::Layout { why };
    let told = |error: tokio_postgres::Error| OpenError::Layout { why: words(&error) };
    if client.query_opt(VERSION, &[]).await.map_err(told)?.is_none() {
        let available = client.query_opt(AVAILABLE, &[]).await.map_err(told)?.is_some();
        return Err(refuse(missing(available).into()));
    }
    let workers: i64 =
        client.query_one(WORKERS, &[]).await.and_then(|row| row.try_get(0)).map_err(told)?;
    if workers == 0 {
        let why = "Citus has no machine that holds shards; add workers with \
                   `SELECT citus_add_node('host', 5432)` on the coordinator";
        return Err(refuse(why.into()));
    }
    let before = found(client).await.map_err(refuse)?;
    let mut steps = Vec::new();
    for (table, _, sql) in statements(shards) {
        if !before.contains_key(table) {
            client.batch_execute(&sql).await.map_err(told)?;
            steps.push(sql);
        }
    }
    match wrong(&found(client).await.map_err(refuse)?) {
        wrong if wrong.is_empty() => Ok(steps),
        wrong => Err(refuse(format!(
            "{}; undo that with `SELECT undistribute_table(..)` and run this again",
            wrong.join(", ")
        ))),
    }
}

fn missing(available: bool) -> &'static str {
    if available {
        "the database has no extension citus; run `CREATE EXTENSION citus` in it, and in the \
         database of the same name on each worker"
    } else {
        "this server does not have Citus; install it, put `citus` first in \
         shared_preload_libraries, restart, and run `CREATE EXTENSION citus`; without it one \
         PostgreSQL serves any number of nodes, and needs no layout"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn laid(kind: &str, column: &str, colocation: i64) -> Laid {
        Laid { kind: kind.into(), column: column.into(), colocation }
    }

    fn all_right() -> Found {
        statements(SHARDS)
            .into_iter()
            .map(|(table, place, _)| match place {
                Place::Spread(column) => (table.to_owned(), laid("distributed", column, 3)),
                _ => (table.to_owned(), laid("reference", "<none>", 1)),
            })
            .collect()
    }

    #[test]
    fn the_script_spreads_sessions_first_and_puts_the_rest_beside_them() {
        let script = script(48);
        let lines: Vec<_> = script.lines().filter(|line| line.starts_with("SELECT")).collect();
        assert_eq!(
            lines[0],
            "SELECT create_distributed_table('sessions', 'id', colocate_with := 'none', \
             shard_count := 48);"
        );
        assert_eq!(
            lines[2],
            "SELECT create_distributed_table('events', 'session', colocate_with := 'sessions');"
        );
        assert!(lines.contains(&"SELECT create_reference_table('keys');"));
        assert!(!script.contains("('exchanges'") && !script.contains("('nodes'"));
        let moved = layout::tables().filter(|(_, place)| *place != Place::Here).count();
        assert_eq!(lines.len(), moved);
    }

    #[test]
    fn what_lies_elsewhere_is_named() {
        assert!(wrong(&all_right()).is_empty());
        let spoiled = |table: &str, laid: Option<Laid>| {
            let mut found = all_right();
            match laid {
                Some(laid) => found.insert(table.into(), laid),
                None => found.remove(table),
            };
            wrong(&found)
        };
        assert_eq!(spoiled("events", None), ["events is not laid out"]);
        let elsewhere = Some(laid("distributed", "session", 4));
        assert_eq!(spoiled("events", elsewhere), ["events is distributed by session in group 4"]);
        assert_eq!(spoiled("waits", Some(laid("distributed", "tenant", 3))).len(), 1);
        assert_eq!(spoiled("keys", Some(laid("distributed", "id", 3))).len(), 1);
    }
}
