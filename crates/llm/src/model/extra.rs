//! Fields that only one dialect knows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Dialect;
use crate::Losses;

/// What a decoder met and the hub has no place for. It is written back by the
/// same dialect's encoder and reported as lost by every other.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Extra {
    /// The dialect whose fields these are. `None` only while empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Dialect>,
    /// The fields as they came, in their order.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// How the origin wrote what the hub holds, where it has several ways
    /// (`max_tokens` or `max_completion_tokens`, a string or a list of one).
    /// Read only by the origin's encoder; crossing loses nothing with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub spelling: Map<String, Value>,
}

impl Extra {
    /// The rest of an object from which the known fields were taken.
    pub fn new(origin: Dialect, fields: Map<String, Value>) -> Self {
        if fields.is_empty() {
            Self::default()
        } else {
            Self { origin: Some(origin), fields, spelling: Map::new() }
        }
    }

    /// Adds one field.
    pub fn insert(&mut self, origin: Dialect, name: &str, value: Value) {
        self.origin = Some(origin);
        self.fields.insert(name.to_owned(), value);
    }

    /// Remembers how the origin wrote something, under a name of its
    /// decoder's choice.
    pub fn spell(&mut self, origin: Dialect, name: &str, value: impl Into<Value>) {
        self.origin = Some(origin);
        self.spelling.insert(name.to_owned(), value.into());
    }

    /// How `dialect` wrote it, if it came from there.
    pub fn spelt(&self, dialect: Dialect, name: &str) -> Option<&Value> {
        if self.origin == Some(dialect) { self.spelling.get(name) } else { None }
    }

    /// The field `name`, if it came from `dialect`.
    pub fn get(&self, dialect: Dialect, name: &str) -> Option<&Value> {
        if self.origin == Some(dialect) { self.fields.get(name) } else { None }
    }

    /// True where there is nothing to carry.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// True where it is as if it were not there: no spelling either.
    pub fn is_bare(&self) -> bool {
        self.fields.is_empty() && self.spelling.is_empty()
    }

    /// Writes the fields into `object` if they belong to `dialect`, without
    /// overwriting what is there; else reports each as lost at `path`.
    /// Fields whose value is null are dropped silently: null says nothing.
    pub fn write(
        &self,
        dialect: Dialect,
        object: &mut Map<String, Value>,
        path: &str,
        losses: &mut Losses,
    ) {
        if self.origin == Some(dialect) {
            for (name, value) in &self.fields {
                object.entry(name.clone()).or_insert_with(|| value.clone());
            }
        } else {
            for (name, value) in &self.fields {
                if !value.is_null() {
                    losses.add_extra(path, name);
                }
            }
        }
    }
}
