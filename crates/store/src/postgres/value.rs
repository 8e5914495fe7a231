//! Between the door's values and PostgreSQL's, in its binary format.

use std::error::Error;
use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use freehold_types::Value;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// A value that has no place in the door's types, or in its column.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unfit(String);

/// The type that an argument is declared with, even if it is absent: left to
/// itself, PostgreSQL would guess.
pub(super) fn type_of(value: &Value) -> Type {
    match value {
        Value::I64(_) => Type::INT8,
        Value::Text(_) => Type::TEXT,
        Value::Bytes(_) => Type::BYTEA,
        Value::F64(_) => Type::FLOAT8,
    }
}

/// An argument on its way into a statement.
#[derive(Debug)]
pub(super) struct Argument<'a>(pub(super) &'a Value);

impl ToSql for Argument<'_> {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        if type_of(self.0) != *wanted {
            return Err(Box::new(Unfit(format!("{:?} for a {wanted}", type_of(self.0)))));
        }
        match self.0 {
            Value::I64(Some(n)) => out.put_i64(*n),
            Value::Text(Some(text)) => out.put_slice(text.as_bytes()),
            Value::Bytes(Some(bytes)) => out.put_slice(bytes),
            Value::F64(Some(x)) => out.put_f64(*x),
            Value::I64(None) | Value::Text(None) | Value::Bytes(None) | Value::F64(None) => {
                return Ok(IsNull::Yes);
            }
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A column on its way out.
pub(super) struct Column(pub(super) Value);

impl<'a> FromSql<'a> for Column {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *kind {
            Type::INT8 => Value::I64(Some(i64::from_sql(kind, raw)?)),
            Type::INT4 => Value::I64(Some(i32::from_sql(kind, raw)?.into())),
            Type::INT2 => Value::I64(Some(i16::from_sql(kind, raw)?.into())),
            Type::BOOL => Value::I64(Some(bool::from_sql(kind, raw)?.into())),
            Type::FLOAT8 => Value::F64(Some(f64::from_sql(kind, raw)?)),
            Type::BYTEA => Value::Bytes(Some(Arc::from(raw))),
            Type::TEXT | Type::VARCHAR | Type::NAME | Type::BPCHAR | Type::UNKNOWN => {
                Value::Text(Some(Arc::from(std::str::from_utf8(raw)?)))
            }
            _ => return Err(unfit(kind)),
        }))
    }

    fn from_sql_null(kind: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(match *kind {
            Type::INT8 | Type::INT4 | Type::INT2 | Type::BOOL => Value::I64(None),
            Type::FLOAT8 => Value::F64(None),
            Type::BYTEA => Value::Bytes(None),
            _ => Value::Text(None),
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A sum of BIGINTs is NUMERIC to PostgreSQL: such queries cast it back.
fn unfit(kind: &Type) -> Box<dyn Error + Sync + Send> {
    Box::new(Unfit(format!("a column is a {kind}, which is no type of the store; cast it")))
}

#[cfg(test)]
mod tests {
    use freehold_types::args;

    use super::*;

    #[test]
    fn every_value_comes_back_as_it_went_in() {
        let values = args![i64::MIN, "é", vec![0_u8, 255], 0.1_f64];
        for value in values {
            let mut raw = BytesMut::new();
            let kind = type_of(&value);
            assert!(matches!(Argument(&value).to_sql(&kind, &mut raw), Ok(IsNull::No)));
            assert_eq!(Column::from_sql(&kind, &raw).unwrap().0, value);
        }
    }

    #[test]
    fn what_is_absent_keeps_its_type() {
        for value in args![None::<i64>, None::<&str>, None::<Vec<u8>>, None::<f64>] {
            let kind = type_of(&value);
            let mut raw = BytesMut::new();
            assert!(matches!(Argument(&value).to_sql(&kind, &mut raw), Ok(IsNull::Yes)));
            assert_eq!(Column::from_sql_null(&kind).unwrap().0, value);
        }
    }

    #[test]
    fn what_the_store_has_no_type_for_is_refused() {
        assert!(Column::from_sql(&Type::NUMERIC, &[0; 8]).is_err());
        let mut raw = BytesMut::new();
        assert!(Argument(&args!["x"][0]).to_sql(&Type::INT8, &mut raw).is_err());
    }
}
