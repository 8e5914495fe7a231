//! The door to the database: closed write units and plain reads.
//!
//! A write is a [`Unit`]: everything that it does is in the value, so a store
//! can run many in one commit, undo one alone, or send one again. SQL is
//! `&'static str` with `$1` placeholders; no statement is put together from
//! data.

use std::sync::Arc;

use crate::{BoxFuture, ErrorKind, Money};

/// The database. Faults are injected here in tests.
pub trait Db: Send + Sync + 'static {
    /// Queues a unit at once and resolves when it is durable or has failed.
    ///
    /// A unit takes effect after every unit that was answered before it was
    /// queued. Units under way together may do so in any order (SQLite keeps
    /// that of the calls, PostgreSQL does not): who needs one waits for the
    /// first, or guards the second. Dropping the future does not take the unit
    /// back. A full queue is [`DbError::Unavailable`].
    fn write(&self, unit: Unit) -> BoxFuture<'_, Result<UnitReceipt, DbError>>;

    /// Runs one query over what was committed when it began, and gives all
    /// rows; so the query bounds them, and a store refuses more than
    /// [`MAX_ROWS`].
    fn read(&self, sql: &'static str, args: Vec<Value>)
    -> BoxFuture<'_, Result<Vec<Row>, DbError>>;
}

/// The most rows that one [`Db::read`] gives out.
pub const MAX_ROWS: usize = 100_000;

/// One argument or column. Even what is absent has a type: PostgreSQL asks for
/// it.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// An integer, a flag (0 or 1), or a time in microseconds since 1970.
    I64(Option<i64>),
    /// Text.
    Text(Option<Arc<str>>),
    /// Bytes.
    Bytes(Option<Arc<[u8]>>),
    /// A measure; never money.
    F64(Option<f64>),
}

impl Value {
    /// Roughly what it takes in a queue, in bytes.
    pub fn weight(&self) -> usize {
        let content = match self {
            Self::Text(Some(text)) => text.len(),
            Self::Bytes(Some(bytes)) => bytes.len(),
            _ => 0,
        };
        size_of::<Self>() + content
    }
}

/// Conversions into arguments, for the type itself and for its `Option`.
macro_rules! into_value {
    ($($from:ty => $variant:ident, $convert:expr;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$variant(Some($convert(value)))
            }
        }

        impl From<Option<$from>> for Value {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map($convert))
            }
        }
    )*};
}

into_value! {
    i64 => I64, |n| n;
    u32 => I64, i64::from;
    u16 => I64, i64::from;
    // A count beyond an i64 is not a count of anything.
    u64 => I64, |n| i64::try_from(n).unwrap_or(i64::MAX);
    bool => I64, i64::from;
    &str => Text, Arc::from;
    String => Text, Arc::from;
    Arc<str> => Text, |text| text;
    &[u8] => Bytes, Arc::from;
    Arc<[u8]> => Bytes, |bytes| bytes;
    Vec<u8> => Bytes, Arc::from;
    f64 => F64, |x| x;
    // Microseconds, which both stores keep as a BIGINT.
    jiff::Timestamp => I64, jiff::Timestamp::as_microsecond;
}

/// The arguments of a statement: `args![tenant, 5_i64, None::<i64>]`.
#[macro_export]
macro_rules! args {
    ($($value:expr),* $(,)?) => {
        ::std::vec![$($crate::Value::from($value)),*]
    };
}

/// How many rows a statement must change; if it does not, its unit is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Any number.
    None,
    /// This number.
    Exactly(u64),
}

/// One SQL statement that changes rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// With `$1` placeholders.
    pub sql: &'static str,
    /// One for each placeholder.
    pub args: Vec<Value>,
    /// What must be true of its effect.
    pub guard: Guard,
}

/// A write: statements that take effect together or not at all.
#[derive(Clone, Debug, PartialEq)]
pub struct Unit {
    label: &'static str,
    statements: Vec<Statement>,
    proof: Option<Proof>,
}

/// How to see that a unit took effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// A query that finds a row if that unit took effect, and none if not.
    pub sql: &'static str,
    /// Its arguments.
    pub args: Vec<Value>,
}

impl Unit {
    /// An empty unit; the label names it in errors, metrics and traces.
    pub fn new(label: &'static str) -> Self {
        Self { label, statements: Vec::new(), proof: None }
    }

    /// Adds a statement that may change any number of rows.
    pub fn run(&mut self, sql: &'static str, args: Vec<Value>) -> &mut Self {
        self.push(Statement { sql, args, guard: Guard::None })
    }

    /// Adds a statement that must change exactly `rows` rows.
    pub fn expect(&mut self, rows: u64, sql: &'static str, args: Vec<Value>) -> &mut Self {
        self.push(Statement { sql, args, guard: Guard::Exactly(rows) })
    }

    /// Adds a statement.
    pub fn push(&mut self, statement: Statement) -> &mut Self {
        self.statements.push(statement);
        self
    }

    /// Promises that this unit cannot take effect twice (a guard or a unique
    /// key of its own stands in the way), and gives a query that finds a row
    /// if it did take effect. A store that loses a commit's answer may then
    /// send the unit again and look, in place of [`DbError::InDoubt`].
    ///
    /// The row must name this very unit, by an id that nobody else uses: that
    /// the state is as the unit would have left it proves nothing. And what
    /// stands in the way must be a row that the unit itself writes, so that a
    /// second sending waits there until the first is over.
    pub fn proven_by(&mut self, sql: &'static str, args: Vec<Value>) -> &mut Self {
        self.proof = Some(Proof { sql, args });
        self
    }

    /// Adds all of another unit's statements after these; its label is lost.
    /// What proves either proves both, for they take effect together.
    pub fn append(&mut self, other: Self) -> &mut Self {
        self.statements.extend(other.statements);
        self.proof = self.proof.take().or(other.proof);
        self
    }

    /// What it is called.
    pub fn label(&self) -> &'static str {
        self.label
    }

    /// How to see that it took effect, if it cannot take effect twice.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// Its statements, in order.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Whether it does nothing.
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// Roughly what it takes in a queue, in bytes.
    pub fn weight(&self) -> usize {
        let statements = self.statements.iter().flat_map(|statement| &statement.args);
        let arguments = statements.chain(self.proof.iter().flat_map(|proof| &proof.args));
        size_of::<Self>()
            + self.statements.len() * size_of::<Statement>()
            + arguments.map(Value::weight).sum::<usize>()
    }
}

/// Proof that a unit is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReceipt {
    /// The rows that each statement changed, in their order.
    pub changed: Vec<u64>,
}

/// Why a database did not do it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// A guard did not hold; nothing of the unit took effect.
    #[error(
        "statement {statement} of the unit `{unit}` changed {found} rows instead of {expected}"
    )]
    GuardFailed {
        /// The unit's label.
        unit: &'static str,
        /// The statement's place in the unit, from 0.
        statement: usize,
        /// The rows that it had to change.
        expected: u64,
        /// The rows that it did change.
        found: u64,
    },
    /// Nothing was done; it may work later.
    #[error("the store cannot take this now: {0}")]
    Unavailable(String),
    /// The commit may or may not be durable, and may still become so: a read
    /// that does not find it proves nothing. What its guards or keys keep from
    /// taking effect twice can be sent again, and waits for the first.
    #[error("the store cannot say whether this was committed: {0}")]
    InDoubt(String),
    /// What is stored cannot be right; an operator must look.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// There is no room; an operator must make some.
    #[error("the store is full: {0}")]
    Full(String),
    /// A defect: a statement or a value that the database does not accept.
    #[error("the store refused a statement: {0}")]
    Other(String),
}

impl DbError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::GuardFailed { .. } => ErrorKind::Conflict,
            Self::Unavailable(_) | Self::InDoubt(_) | Self::Full(_) => ErrorKind::Unavailable,
            Self::Corrupt(_) | Self::Other(_) => ErrorKind::Internal,
        }
    }
}

/// One row of a query's answer; its columns are taken from the left.
#[derive(Clone, Debug)]
pub struct Row {
    columns: std::vec::IntoIter<Value>,
    taken: usize,
}

impl Row {
    /// A row of these columns.
    pub fn new(columns: Vec<Value>) -> Self {
        Self { columns: columns.into_iter(), taken: 0 }
    }

    /// The next column. One that is not there or has another type is
    /// [`DbError::Corrupt`].
    pub fn take<T: FromValue>(&mut self) -> Result<T, DbError> {
        let column = self.taken;
        self.taken += 1;
        self.columns.next().and_then(T::from_value).ok_or_else(|| {
            DbError::Corrupt(format!("column {column} does not hold {}", T::EXPECTED))
        })
    }

    /// The next column, text that must parse.
    pub fn parse<T: std::str::FromStr>(&mut self) -> Result<T, DbError>
    where
        T::Err: std::fmt::Display,
    {
        let text: Arc<str> = self.take()?;
        text.parse().map_err(|error| self.wrong(&error))
    }

    /// The next column, text that must parse if it is there.
    pub fn parse_optional<T: std::str::FromStr>(&mut self) -> Result<Option<T>, DbError>
    where
        T::Err: std::fmt::Display,
    {
        let text: Option<Arc<str>> = self.take()?;
        text.map(|text| text.parse().map_err(|error| self.wrong(&error))).transpose()
    }

    fn wrong(&self, error: &dyn std::fmt::Display) -> DbError {
        DbError::Corrupt(format!("column {} holds text that is wrong: {error}", self.taken - 1))
    }

    /// The next two columns, an amount of money.
    pub fn money(&mut self) -> Result<Money, DbError> {
        let (units, nanos) = (self.take()?, self.take()?);
        Money::from_columns(units, nanos)
            .ok_or_else(|| DbError::Corrupt(format!("{nanos} nanos beside {units} units")))
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// For an error: what the column should have held.
    const EXPECTED: &'static str;
    /// The value, if it is of this type.
    fn from_value(value: Value) -> Option<Self>;
}

/// Conversions from columns, for the type itself and for its `Option`.
macro_rules! from_value {
    ($($to:ty, $expected:literal: $variant:ident, $convert:expr;)*) => {$(
        impl FromValue for $to {
            const EXPECTED: &'static str = $expected;

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(Some(value)) => $convert(value),
                    _ => None,
                }
            }
        }

        impl FromValue for Option<$to> {
            const EXPECTED: &'static str = concat!($expected, " or nothing");

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::$variant(Some(value)) => $convert(value).map(Some),
                    // SQLite does not tell the type of what is absent.
                    Value::I64(None)
                    | Value::Text(None)
                    | Value::Bytes(None)
                    | Value::F64(None) => Some(None),
                    _ => None,
                }
            }
        }
    )*};
}

from_value! {
    i64, "an integer": I64, Some;
    u64, "a count": I64, |n| u64::try_from(n).ok();
    u32, "a small count": I64, |n| u32::try_from(n).ok();
    u16, "a small count": I64, |n| u16::try_from(n).ok();
    bool, "a flag": I64, |n| match n { 0 => Some(false), 1 => Some(true), _ => None };
    Arc<str>, "text": Text, Some;
    String, "text": Text, |text: Arc<str>| Some(String::from(&*text));
    Arc<[u8]>, "bytes": Bytes, Some;
    f64, "a number": F64, Some;
    jiff::Timestamp, "a time": I64, |n| jiff::Timestamp::from_microsecond(n).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_arguments_keep_their_type() {
        let args = args!["x", None::<i64>, None::<&str>, true, u64::MAX];
        assert_eq!(
            args,
            [
                Value::Text(Some("x".into())),
                Value::I64(None),
                Value::Text(None),
                Value::I64(Some(1)),
                Value::I64(Some(i64::MAX)),
            ]
        );
    }

    #[test]
    fn columns_are_taken_in_order_and_checked() {
        let mut row = Row::new(args![7_i64, None::<&str>, 1_i64, 500_000_000_i64, "x"]);
        assert_eq!(row.take::<u64>(), Ok(7));
        assert_eq!(row.take::<Option<i64>>(), Ok(None));
        assert_eq!(row.money().unwrap().to_string(), "1.5");
        let error = row.take::<i64>().unwrap_err();
        assert_eq!(error, DbError::Corrupt("column 4 does not hold an integer".into()));
        assert!(row.take::<i64>().is_err(), "past the end");
    }

    #[test]
    fn damaged_columns_are_errors() {
        assert!(Row::new(args![-1_i64]).take::<u64>().is_err());
        assert!(Row::new(args![2_i64]).take::<bool>().is_err());
        assert!(Row::new(args![i64::MAX]).take::<jiff::Timestamp>().is_err());
        assert!(Row::new(args![0_i64, 1_000_000_000_i64]).money().is_err());
        assert!(Row::new(args!["exch_x"]).parse::<crate::KeyId>().is_err());
    }

    #[test]
    fn a_units_weight_grows_with_its_content() {
        let mut unit = Unit::new("test");
        unit.run("DELETE FROM t WHERE a = $1", args!["x".repeat(1000)]);
        assert!((1000..1400).contains(&unit.weight()), "{}", unit.weight());
    }
}
