//! Between the door's values and errors, and SQLite's.

use std::sync::Arc;

use freehold_types::{DbError, MAX_ROWS, Row, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, ToSql};

/// An argument on its way into a statement.
struct Argument<'a>(&'a Value);

impl ToSql for Argument<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::I64(Some(n)) => ValueRef::Integer(*n),
            Value::Text(Some(text)) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(Some(bytes)) => ValueRef::Blob(bytes),
            Value::F64(Some(x)) => ValueRef::Real(*x),
            Value::I64(None) | Value::Text(None) | Value::Bytes(None) | Value::F64(None) => {
                ValueRef::Null
            }
        }))
    }
}

/// A column on its way out. What is absent comes without its type.
fn column(value: ValueRef<'_>) -> Result<Value, DbError> {
    Ok(match value {
        ValueRef::Null => Value::Text(None),
        ValueRef::Integer(n) => Value::I64(Some(n)),
        ValueRef::Real(x) => Value::F64(Some(x)),
        ValueRef::Blob(bytes) => Value::Bytes(Some(Arc::from(bytes))),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text)
                .map_err(|_| DbError::Corrupt("a text column holds what is not UTF-8".into()))?;
            Value::Text(Some(Arc::from(text)))
        }
    })
}

/// A prepared statement, and which argument goes to which of its places.
///
/// To SQLite `$2` is a name like any other, and its own numbers follow the
/// order in which names first appear.
struct Prepared<'c> {
    statement: CachedStatement<'c>,
    places: Vec<usize>,
}

impl<'c> Prepared<'c> {
    fn new(connection: &'c Connection, sql: &str) -> Result<Self, DbError> {
        let statement = connection.prepare_cached(sql).map_err(|e| fault(&e))?;
        let wanted = statement.parameter_count();
        let place = |index| {
            let name = statement.parameter_name(index).unwrap_or_default();
            let number = name.strip_prefix('$').and_then(|digits| digits.parse::<usize>().ok());
            number
                .filter(|number| (1..=wanted).contains(number))
                .map(|number| number - 1)
                .ok_or_else(|| {
                    DbError::Other(format!(
                        "the placeholder {name:?} is not one of $1 to ${wanted}"
                    ))
                })
        };
        let places = (1..=wanted).map(place).collect::<Result<_, _>>()?;
        Ok(Self { statement, places })
    }

    /// Gives the statement its arguments. It keeps those of its last run, which
    /// are `bound`: what is the same as then need not be copied into it again.
    fn bind(&mut self, args: &[Value], bound: &[Value]) -> Result<(), DbError> {
        let wanted = self.places.len();
        if wanted != args.len() {
            let given = args.len();
            return Err(DbError::Other(format!("{given} arguments for {wanted} placeholders")));
        }
        for (index, place) in self.places.iter().enumerate() {
            let Some(arg) = args.get(*place) else { continue };
            if bound.get(*place).is_none_or(|bound| !is_same(bound, arg)) {
                let bind = self.statement.raw_bind_parameter(index + 1, Argument(arg));
                bind.map_err(|e| fault(&e))?;
            }
        }
        Ok(())
    }
}

/// Whether two arguments are the same, as far as that is seen at a glance: texts
/// and bytes are if they are shared.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::I64(a), Value::I64(b)) => a == b,
        (Value::Text(Some(a)), Value::Text(Some(b))) => Arc::ptr_eq(a, b),
        (Value::Text(None), Value::Text(None)) => true,
        (Value::Bytes(Some(a)), Value::Bytes(Some(b))) => Arc::ptr_eq(a, b),
        // Two floats may be equal and differ in their bits.
        _ => false,
    }
}

/// Statements that a runner has at hand.
const AT_HAND: usize = 24;

/// A connection, and the statements that it ran of late: units tend to be alike.
pub(super) struct Hand<'c> {
    connection: &'c Connection,
    /// The latest first.
    statements: Vec<(&'static str, Prepared<'c>)>,
}

impl<'c> Hand<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self { connection, statements: Vec::new() }
    }

    /// Has a statement come first. Gives the place where it was; `None` if it is new.
    fn take_up(&mut self, sql: &'static str) -> Result<Option<usize>, DbError> {
        // Compared by address: comparing the text would cost what is saved.
        let known = self.statements.iter().position(|(known, _)| std::ptr::eq(*known, sql));
        if let Some(at) = known {
            self.statements.swap(at, 0);
        } else {
            // Back into the connection's cache first.
            self.statements.truncate(AT_HAND - 1);
            self.statements.insert(0, (sql, Prepared::new(self.connection, sql)?));
        }
        Ok(known)
    }
}

/// Runs statements that change rows, for as long as the units live: a statement
/// keeps what it was given last, so that it need not be given again.
pub(super) struct Runner<'h, 'c, 'a> {
    hand: &'h mut Hand<'c>,
    /// What the statements at hand were given, in their order.
    bound: Vec<&'a [Value]>,
}

impl<'h, 'c, 'a> Runner<'h, 'c, 'a> {
    pub(super) fn new(hand: &'h mut Hand<'c>) -> Self {
        let bound = vec![&[] as &[Value]; hand.statements.len()];
        Self { hand, bound }
    }

    /// The connection.
    pub(super) fn connection(&self) -> &'c Connection {
        self.hand.connection
    }

    /// Tells how many rows the statement changed.
    pub(super) fn execute(&mut self, sql: &'static str, args: &'a [Value]) -> Result<u64, DbError> {
        if let Some(at) = self.hand.take_up(sql)? {
            self.bound.swap(at, 0);
        } else {
            self.bound.truncate(AT_HAND - 1);
            self.bound.insert(0, &[]);
        }
        let (Some((_, prepared)), Some(bound)) =
            (self.hand.statements.first_mut(), self.bound.first_mut())
        else {
            return Err(DbError::Other("no statement".into()));
        };
        // If this fails in the middle, nobody knows what it has.
        prepared.bind(args, std::mem::take(bound))?;
        *bound = args;
        let changed = prepared.statement.raw_execute().map_err(|e| fault(&e))?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }
}

/// Runs a query and takes all its rows.
pub(crate) fn query(
    connection: &Connection,
    sql: &str,
    args: &[Value],
) -> Result<Vec<Row>, DbError> {
    let mut prepared = Prepared::new(connection, sql)?;
    prepared.bind(args, &[])?;
    let width = prepared.statement.column_count();
    let mut found = Vec::new();
    let mut rows = prepared.statement.raw_query();
    while let Some(row) = rows.next().map_err(|e| fault(&e))? {
        if found.len() == MAX_ROWS {
            return Err(DbError::Other(format!("a query found more than {MAX_ROWS} rows")));
        }
        let columns = (0..width)
            .map(|index| column(row.get_ref(index).map_err(|e| fault(&e))?))
            .collect::<Result<Vec<_>, _>>()?;
        found.push(Row::new(columns));
    }
    Ok(found)
}

/// What an error of SQLite means for the caller of the door.
pub(crate) fn fault(error: &rusqlite::Error) -> DbError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DbError::Full(text),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DbError::Corrupt(text),
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::OutOfMemory
            | ErrorCode::ReadOnly
            | ErrorCode::OperationInterrupted,
        ) => DbError::Unavailable(text),
        _ => DbError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use freehold_types::args;

    use super::*;

    #[test]
    fn every_value_comes_back_as_it_went_in() {
        let db = Connection::open_in_memory().unwrap();
        let args = args![i64::MIN, "é\0x", vec![0_u8, 255], 0.5_f64, None::<i64>];
        let mut rows = query(&db, "SELECT $1, $2, $3, $4, $5", &args).unwrap();
        let mut row = rows.remove(0);
        assert_eq!(row.take::<i64>(), Ok(i64::MIN));
        assert_eq!(row.take::<String>(), Ok("é\0x".into()));
        assert_eq!(row.take::<Arc<[u8]>>(), Ok(Arc::from([0_u8, 255])));
        assert_eq!(row.take::<f64>(), Ok(0.5));
        assert_eq!(row.take::<Option<i64>>(), Ok(None));
    }

    #[test]
    fn a_wrong_number_of_arguments_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        assert!(matches!(query(&db, "SELECT $1, $2", &args![1_i64]), Err(DbError::Other(_))));
        assert!(matches!(query(&db, "SELECT 1", &args![1_i64]), Err(DbError::Other(_))));
    }

    #[test]
    fn a_statement_that_is_repeated_gets_what_has_changed() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE t (a, b, c)").unwrap();
        let shared: Arc<str> = "shared".into();
        let rows = [
            args![1_i64, Arc::clone(&shared), None::<&str>],
            args![1_i64, Arc::clone(&shared), "now"],
            args![None::<i64>, "other", "now"],
            args![2_i64, None::<&str>, None::<&str>],
            args![2_i64, shared, 0.5],
        ];
        let mut hand = Hand::new(&db);
        let mut runner = Runner::new(&mut hand);
        for row in &rows {
            assert_eq!(runner.execute("INSERT INTO t VALUES ($2, $1, $3)", row), Ok(1));
        }
        let found = query(&db, "SELECT b, a, c FROM t ORDER BY rowid", &[]).unwrap();
        for (mut found, row) in found.into_iter().zip(&rows) {
            for value in row {
                match value {
                    Value::I64(n) => assert_eq!(found.take::<Option<i64>>(), Ok(*n)),
                    Value::F64(x) => assert_eq!(found.take::<Option<f64>>(), Ok(*x)),
                    Value::Text(text) => {
                        assert_eq!(found.take::<Option<Arc<str>>>(), Ok(text.clone()));
                    }
                    Value::Bytes(_) => unreachable!(),
                }
            }
        }
    }

    #[test]
    fn placeholders_go_by_their_number_in_any_order() {
        let db = Connection::open_in_memory().unwrap();
        let mut rows = query(&db, "SELECT $2, $1, $2", &args!["a", "b"]).unwrap();
        let mut row = rows.remove(0);
        let taken = [row.take(), row.take(), row.take()].map(Result::<String, _>::unwrap);
        assert_eq!(taken, ["b", "a", "b"]);
        assert!(query(&db, "SELECT $1, $3", &args!["a", "b"]).is_err());
        assert!(query(&db, "SELECT ?1, ?2", &args!["a", "b"]).is_err());
        assert!(query(&db, "SELECT $0", &args!["a"]).is_err());
    }

    #[test]
    fn an_endless_answer_is_refused() {
        let db = Connection::open_in_memory().unwrap();
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
        assert!(matches!(query(&db, sql, &[]), Err(DbError::Other(_))));
    }

    #[test]
    fn text_that_is_not_utf8_is_damage() {
        let db = Connection::open_in_memory().unwrap();
        let read = query(&db, "SELECT CAST(x'ff' AS TEXT)", &[]);
        assert!(matches!(read, Err(DbError::Corrupt(_))));
    }
}
