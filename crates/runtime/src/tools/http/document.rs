//! An OpenAPI 3 description: its operations, with references followed.
//!
//! The owner chose the document, but may not have written it: references are
//! followed to a depth and within a number of nodes, cycles included.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value};

/// The methods that a path may have.
const METHODS: [(&str, Method); 5] = [
    ("get", Method::GET),
    ("put", Method::PUT),
    ("post", Method::POST),
    ("delete", Method::DELETE),
    ("patch", Method::PATCH),
];

/// How deep references and schemas are followed; what lies deeper may be
/// anything.
const DEPTH_MAX: usize = 16;

/// The most nodes of one operation's schema.
const NODES_MAX: usize = 4_096;

/// A description that was read.
pub(super) struct Document {
    root: Value,
}

/// An operation as it stands in the document.
pub(super) struct Found<'a> {
    pub(super) method: Method,
    pub(super) path: &'a str,
    /// What the path item says for all its operations.
    pub(super) shared: Option<&'a Value>,
    pub(super) body: &'a Map<String, Value>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let root: Value = serde_json::from_str(text)
            .map_err(|error| format!("the description is no JSON: {error}"))?;
        match root.get("openapi").and_then(Value::as_str) {
            Some(version) if version.starts_with("3.") => Ok(Self { root }),
            Some(version) => Err(format!("OpenAPI {version} is not read, only 3.x")),
            None => Err("it is no OpenAPI description: `openapi` is missing".to_owned()),
        }
    }

    /// The address of its first server.
    pub(super) fn server(&self) -> Option<&str> {
        self.root.get("servers")?.get(0)?.get("url")?.as_str()
    }

    /// All operations, by `operationId` and by `METHOD /path`.
    pub(super) fn operations(&self) -> BTreeMap<String, Found<'_>> {
        let mut all = BTreeMap::new();
        let paths = self.root.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten() {
            for (word, method) in &METHODS {
                let Some(body) = item.get(word).and_then(Value::as_object) else { continue };
                let found =
                    || Found { method: method.clone(), path, shared: item.get("parameters"), body };
                if let Some(id) = body.get("operationId").and_then(Value::as_str) {
                    all.insert(id.to_owned(), found());
                }
                all.insert(format!("{method} {path}"), found());
            }
        }
        all
    }

    /// What a value refers to, if it is a reference into this document.
    pub(super) fn target<'a>(&'a self, value: &'a Value) -> &'a Value {
        let mut value = value;
        for _ in 0..DEPTH_MAX {
            let to = value.get("$ref").and_then(Value::as_str).and_then(|to| to.strip_prefix('#'));
            match to.and_then(|pointer| self.root.pointer(pointer)) {
                Some(target) => value = target,
                None => break,
            }
        }
        value
    }

    /// A schema that stands alone: every reference replaced by its target, as
    /// far as depth and number allow.
    pub(super) fn schema(&self, schema: &Value) -> Value {
        let mut left = NODES_MAX;
        self.inlined(schema, DEPTH_MAX, &mut left)
    }

    fn inlined(&self, value: &Value, depth: usize, left: &mut usize) -> Value {
        let (Some(depth), Some(rest)) = (depth.checked_sub(1), left.checked_sub(1)) else {
            return Value::Object(Map::new());
        };
        *left = rest;
        match self.target(value) {
            Value::Object(fields) => {
                let kept = fields.iter().filter(|(key, _)| !is_noise(key));
                let inlined = kept.map(|(key, value)| {
                    // Examples and defaults are values and not schemas.
                    let plain = matches!(key.as_str(), "default" | "enum" | "const");
                    let value =
                        if plain { value.clone() } else { self.inlined(value, depth, left) };
                    (key.clone(), value)
                });
                Value::Object(inlined.collect())
            }
            Value::Array(items) => {
                Value::Array(items.iter().map(|item| self.inlined(item, depth, left)).collect())
            }
            other => other.clone(),
        }
    }
}

/// Words of OpenAPI's own in a schema, of no use to a model.
fn is_noise(key: &str) -> bool {
    matches!(key, "example" | "examples" | "xml" | "externalDocs" | "discriminator" | "$ref")
        || key.starts_with("x-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let text = json!({
            "openapi": "3.1.0",
            "components": { "schemas": {
                "Tree": { "type": "object", "properties": {
                    "left": { "$ref": "#/components/schemas/Tree" },
                    "right": { "$ref": "#/components/schemas/Tree" }
                } },
                "Loop": { "$ref": "#/components/schemas/Loop" }
            } }
        });
        let document = Document::parse(&text.to_string()).unwrap();
        let tree = document.schema(&json!({ "$ref": "#/components/schemas/Tree" }));
        assert!(tree.to_string().len() < 400_000, "{}", tree.to_string().len());
        assert!(tree.pointer("/properties/left/properties/right").is_some());
        document.schema(&json!({ "$ref": "#/components/schemas/Loop" }));
    }

    #[test]
    fn only_openapi_3_is_read() {
        for wrong in ["", "[]", "{}", r#"{"openapi":"2.0"}"#, r#"{"swagger":"2.0"}"#] {
            assert!(Document::parse(wrong).is_err(), "{wrong}");
        }
    }
}
