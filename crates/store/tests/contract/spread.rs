//! Whether what the store asks for can be done by machines that sessions are
//! spread over: every check runs behind a door that looks.

use std::collections::BTreeSet;
use std::sync::Arc;

use freehold_store::layout::{self, Place};
use freehold_types::{BoxFuture, Db, DbError, Row, Unit, UnitReceipt, Value};

/// A database behind which nothing passes that Citus refuses, or does over
/// two machines at once.
pub(crate) struct Looked<D>(pub(crate) Arc<D>);

impl<D: Db> Db for Looked<D> {
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>> {
        let mut sessions = BTreeSet::new();
        let mut spread = 0;
        for statement in unit.statements() {
            let found = look(statement.sql, &statement.args, true);
            spread += usize::from(found.is_some());
            sessions.extend(found);
        }
        let label = unit.label();
        assert!(sessions.len() <= 1, "the unit `{label}` touches {sessions:?}");
        let mixed = spread > 0 && spread < unit.statements().len();
        assert!(!mixed, "the unit `{label}` touches what is spread and what is not");
        self.0.write(unit)
    }

    fn read(
        &self,
        sql: &'static str,
        args: Vec<Value>,
    ) -> BoxFuture<'_, Result<Vec<Row>, DbError>> {
        look(sql, &args, false);
        self.0.read(sql, args)
    }
}

/// The session that a statement is about; `None` if it is about no table that
/// is spread, or reads across sessions.
fn look(sql: &str, args: &[Value], writes: bool) -> Option<Arc<str>> {
    let words = words(sql);
    let mut of_spread = 0;
    let mut of_others = 0;
    for (index, word) in words.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| words[before].as_str());
        if !matches!(before, Some("FROM" | "INTO" | "UPDATE" | "JOIN")) {
            continue;
        }
        match layout::tables().find(|(table, _)| table == word) {
            Some((_, Place::Spread(_))) => of_spread += 1,
            Some(_) => of_others += 1,
            None => {}
        }
    }
    if of_spread == 0 {
        return None;
    }
    assert_eq!(of_others, 0, "it mixes tables that are spread with others: {sql}");
    let named = sessions(&words, args, sql);
    if named.len() < of_spread {
        assert!(!writes, "it writes to what is spread and names no session: {sql}");
        assert!(named.is_empty(), "it names a session for some of its tables: {sql}");
        // Across machines: each gives its first rows, of one table.
        assert!(sql.contains("LIMIT") && !sql.contains("JOIN"), "it cannot be merged: {sql}");
        // Another table is only looked at beside its own session.
        let correlated = sql.matches(".session = sessions.id").count()
            + sql.matches(".session = imports.session").count();
        assert_eq!(of_spread, 1 + correlated, "it looks at other machines: {sql}");
        return None;
    }
    let distinct: BTreeSet<_> = named.into_iter().collect();
    assert_eq!(distinct.len(), 1, "it is about {distinct:?}: {sql}");
    distinct.into_iter().next()
}

fn words(sql: &str) -> Vec<String> {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | '.' | '=');
    let spaced: String = sql
        .chars()
        .flat_map(|c| match c {
            '=' => vec![' ', '=', ' '],
            c if is_part(c) => vec![c],
            _ => vec![' '],
        })
        .collect();
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// What is given for the column that rows are spread by: for each table once.
fn sessions(words: &[String], args: &[Value], sql: &str) -> Vec<Arc<str>> {
    let value = |placeholder: &str| {
        let number: usize = placeholder.strip_prefix('$')?.parse().ok()?;
        match args.get(number - 1)? {
            Value::Text(Some(text)) if text.starts_with("sess_") => Some(Arc::clone(text)),
            _ => None,
        }
    };
    let is_column = |word: &str| matches!(word.rsplit('.').next(), Some("session" | "id"));
    let compared = words.windows(3).filter(|three| is_column(&three[0]) && three[1] == "=");
    let mut found: Vec<_> = compared.filter_map(|three| value(&three[2])).collect();
    // A row that is put in says it by its place.
    if let Some((into, values)) = sql.split_once("VALUES").filter(|_| sql.starts_with("INSERT")) {
        let columns = into.split(['(', ')']).nth(1).unwrap_or_default();
        let place = columns.split(',').position(|column| is_column(column.trim()));
        let given = values.split(['(', ')']).nth(1).unwrap_or_default();
        let given = place.and_then(|place| given.split(',').nth(place));
        found.extend(given.and_then(|placeholder| value(placeholder.trim())));
    }
    // What is put in from the session's own row lies beside it.
    if sql.starts_with("INSERT") && sql.contains("SELECT tenant, id,") {
        found.extend(found.clone());
    }
    found
}

mod the_door_itself {
    use super::*;
    use freehold_types::args;

    #[test]
    fn tells_which_session_a_statement_is_about() {
        let session = "sess_01890000000070008000000000000001";
        let about = look(
            "UPDATE sessions SET head = $3 WHERE tenant = $1 AND id = $2",
            &args!["main", session, 1_i64],
            true,
        );
        assert_eq!(about.as_deref(), Some(session));
        let about = look(
            "INSERT INTO waits (tenant, session, id) VALUES ($1, $2, $3)",
            &args!["main", session, "x"],
            true,
        );
        assert_eq!(about.as_deref(), Some(session));
        assert_eq!(look("UPDATE nodes SET beat = 1 WHERE id = $1", &args!["n"], true), None);
        look("SELECT id FROM sessions WHERE tenant = $1 LIMIT 1", &args!["main"], false);
    }

    #[test]
    #[should_panic(expected = "names no session")]
    fn refuses_a_write_across_sessions() {
        look("DELETE FROM timers WHERE tenant = $1", &args!["main"], true);
    }

    #[test]
    #[should_panic(expected = "it is about")]
    fn refuses_two_sessions_in_one_statement() {
        let sql = "DELETE FROM events WHERE session = $1 AND NOT EXISTS (
            SELECT 1 FROM holds WHERE session = $2)";
        look(sql, &args!["sess_1", "sess_2"], true);
    }

    #[test]
    #[should_panic(expected = "mixes tables")]
    fn refuses_what_lies_in_two_ways() {
        look("SELECT 1 FROM sessions JOIN keys ON true LIMIT 1", &args![], false);
    }
}
