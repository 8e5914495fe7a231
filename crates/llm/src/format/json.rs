//! Reading JSON objects field by field, with errors that name the place.
//!
//! A codec takes the fields it knows out of an object; what is left is the
//! object's [`crate::model::Extra`].

use serde_json::{Map, Number, Value};

use super::{json_read, json_write};
use crate::DecodeError;

/// An object being taken apart, and its path for errors.
#[derive(Debug)]
pub struct Fields {
    map: Map<String, Value>,
    path: String,
}

/// The path of a field or element below `path`.
pub fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What a value is, for errors.
pub fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn wrong(path: &str, name: &str, expected: &str, found: &Value) -> DecodeError {
    DecodeError::shape(join(path, name), format!("expected {expected}, found {}", kind_of(found)))
}

impl Fields {
    /// Takes an object apart.
    pub fn new(value: Value, path: impl Into<String>) -> Result<Self, DecodeError> {
        let path = path.into();
        match value {
            Value::Object(map) => Ok(Self { map, path }),
            other => {
                let shown = if path.is_empty() { "body" } else { &path };
                Err(DecodeError::shape(
                    shown,
                    format!("expected an object, found {}", kind_of(&other)),
                ))
            }
        }
    }

    /// Where the object stands.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of one of its fields.
    pub fn at(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Takes a field as it is; null counts as present.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name)
    }

    /// Looks at a field.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.map.get(name)
    }

    /// Takes a field unless it is absent or null; a null field is removed.
    pub fn take_some(&mut self, name: &str) -> Option<Value> {
        self.map.shift_remove(name).filter(|v| !v.is_null())
    }

    /// An optional string.
    pub fn string(&mut self, name: &str) -> Result<Option<String>, DecodeError> {
        match self.take_some(name) {
            None => Ok(None),
            Some(Value::String(s)) => Ok(Some(s)),
            Some(other) => Err(wrong(&self.path, name, "a string", &other)),
        }
    }

    /// A string that must be there.
    pub fn required_string(&mut self, name: &str) -> Result<String, DecodeError> {
        self.string(name)?.ok_or_else(|| DecodeError::shape(self.at(name), "is required"))
    }

    /// An optional boolean.
    pub fn boolean(&mut self, name: &str) -> Result<Option<bool>, DecodeError> {
        match self.take_some(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(other) => Err(wrong(&self.path, name, "a boolean", &other)),
        }
    }

    /// An optional number, as written.
    pub fn number(&mut self, name: &str) -> Result<Option<Number>, DecodeError> {
        match self.take_some(name) {
            None => Ok(None),
            Some(Value::Number(n)) => Ok(Some(n)),
            Some(other) => Err(wrong(&self.path, name, "a number", &other)),
        }
    }

    /// An optional whole number from 0.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>, DecodeError> {
        match self.take_some(name) {
            None => Ok(None),
            Some(v) => v
                .as_u64()
                .map(Some)
                .ok_or_else(|| wrong(&self.path, name, "a whole number not below 0", &v)),
        }
    }

    /// An optional array; absent and null are empty.
    pub fn array(&mut self, name: &str) -> Result<Vec<Value>, DecodeError> {
        match self.take_some(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(a)) => Ok(a),
            Some(other) => Err(wrong(&self.path, name, "an array", &other)),
        }
    }

    /// An optional object.
    pub fn object(&mut self, name: &str) -> Result<Option<Map<String, Value>>, DecodeError> {
        match self.take_some(name) {
            None => Ok(None),
            Some(Value::Object(o)) => Ok(Some(o)),
            Some(other) => Err(wrong(&self.path, name, "an object", &other)),
        }
    }

    /// What was not taken.
    pub fn rest(self) -> Map<String, Value> {
        self.map
    }
}

/// Parses a body, with the position of an error.
pub fn parse(what: &'static str, body: &[u8]) -> Result<Value, DecodeError> {
    if let Some(value) = json_read::read(body) {
        return Ok(value);
    }
    serde_json::from_slice(body).map_err(|e| DecodeError::json(what, body, &e))
}

/// A value as bytes.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(json_write::size(value));
    json_write::write(value, &mut out);
    out
}
