//! One operation as a tool: its arguments in one object, and where each goes.

use http::Method;
use serde_json::{Map, Value, json};

use super::document::{Document, Found};
use crate::tools::bound;
use crate::tools::rules::Hints;

/// The most parameters of an operation.
const PARAMETERS_MAX: usize = 128;

/// The field of the arguments that holds the request's body.
const BODY: &str = "body";

/// An operation that may be called.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// What the configuration calls it.
    pub(super) id: String,
    pub(super) method: Method,
    /// As in the document, with `{name}` for parameters.
    pub(super) path: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) description: String,
    pub(super) schema: Value,
    pub(super) hints: Hints,
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    /// The field of the arguments.
    pub(super) field: String,
    /// Its name on the wire.
    pub(super) name: String,
    pub(super) place: Place,
    /// Whether a list is written as `a=1&a=2` and not as `a=1,2`.
    pub(super) explode: bool,
    pub(super) required: bool,
}

/// Where a parameter goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
}

/// The body of a request.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) field: String,
    pub(super) media: Media,
    pub(super) required: bool,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Form,
    Text,
}

impl Operation {
    /// Reads an operation. Headers that Freehold sends itself are no
    /// arguments: `key_header`, and those of credentials.
    pub(super) fn read(
        document: &Document,
        id: &str,
        found: &Found<'_>,
        key_header: Option<&str>,
    ) -> Result<Self, String> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        let mut parameters: Vec<Parameter> = Vec::new();
        let mut takes_key = false;
        for (parameter, raw) in all_parameters(document, found)? {
            let is_header = |name: &str| {
                parameter.place == Place::Header && parameter.name.eq_ignore_ascii_case(name)
            };
            if key_header.is_some_and(is_header) {
                takes_key = true;
                continue;
            }
            if ["authorization", "accept", "content-type"].iter().any(|name| is_header(name)) {
                continue;
            }
            if parameters.iter().any(|p| p.name == parameter.name && p.place == parameter.place) {
                continue;
            }
            let field = free(&properties, &parameter.name, parameter.place);
            properties.insert(field.clone(), described(document, raw));
            if parameter.required {
                required.push(Value::from(field.as_str()));
            }
            parameters.push(Parameter { field, ..parameter });
        }
        let body = match found.body.get("requestBody") {
            None => None,
            Some(body) => Some(read_body(document, body, &mut properties, &mut required)?),
        };
        let schema = json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false
        });
        // Also bounds it.
        let schema = bound::schema(schema.as_object().unwrap_or(&Map::new()))?;
        let text = |name: &str| found.body.get(name).and_then(Value::as_str);
        let description = [text("summary"), text("description")];
        let description: Vec<&str> = description.into_iter().flatten().collect();
        let method = found.method.clone();
        let operation = Self {
            id: id.to_owned(),
            path: found.path.to_owned(),
            parameters,
            body,
            description: bound::description(&description.join("\n")),
            schema,
            // A key that the API declares is one that it honours.
            hints: Hints {
                read_only: method == Method::GET,
                idempotent: takes_key || matches!(method, Method::PUT | Method::DELETE),
                destructive: method == Method::DELETE,
            },
            method,
        };
        operation.check_path()?;
        Ok(operation)
    }

    /// Every part of the path in braces is a parameter.
    fn check_path(&self) -> Result<(), String> {
        if !self.path.starts_with('/') {
            return Err(format!("the path `{}` does not begin with a slash", self.path));
        }
        for part in self.path.split('{').skip(1) {
            let name = part.split('}').next().unwrap_or_default();
            let known = |p: &Parameter| p.place == Place::Path && p.name == name;
            if !self.parameters.iter().any(known) {
                return Err(format!("nothing describes `{{{name}}}` in the path `{}`", self.path));
            }
        }
        Ok(())
    }
}

/// The operation's parameters, then those of its path.
fn all_parameters<'a>(
    document: &'a Document,
    found: &Found<'a>,
) -> Result<Vec<(Parameter, &'a Value)>, String> {
    let own = found.body.get("parameters").and_then(Value::as_array);
    let shared = found.shared.and_then(Value::as_array);
    let mut all = Vec::new();
    for raw in own.into_iter().chain(shared).flatten().take(PARAMETERS_MAX) {
        let raw = document.target(raw);
        let name = raw.get("name").and_then(Value::as_str).ok_or("a parameter has no name")?;
        let place = match raw.get("in").and_then(Value::as_str) {
            Some("path") => Place::Path,
            Some("query") => Place::Query,
            Some("header") => Place::Header,
            // Cookies are credentials by another name.
            _ => continue,
        };
        if place == Place::Header && http::HeaderName::try_from(name).is_err() {
            return Err(format!("`{name}` cannot be the name of a header"));
        }
        let said = |key: &str| raw.get(key).and_then(Value::as_bool);
        let parameter = Parameter {
            field: String::new(),
            name: name.to_owned(),
            place,
            explode: said("explode").unwrap_or(place == Place::Query),
            required: place == Place::Path || said("required").unwrap_or(false),
        };
        all.push((parameter, raw));
    }
    Ok(all)
}

/// The schema of a parameter, with what is said of it.
fn described(document: &Document, raw: &Value) -> Value {
    let media = || raw.get("content")?.as_object()?.values().next()?.get("schema");
    let schema = raw.get("schema").or_else(media);
    let mut schema = schema.map_or_else(|| json!({}), |schema| document.schema(schema));
    if let (Some(fields), Some(text)) =
        (schema.as_object_mut(), raw.get("description").and_then(Value::as_str))
    {
        fields.entry("description").or_insert_with(|| Value::from(bound::description(text)));
    }
    schema
}

fn read_body(
    document: &Document,
    body: &Value,
    properties: &mut Map<String, Value>,
    required: &mut Vec<Value>,
) -> Result<Body, String> {
    let body = document.target(body);
    let content = body.get("content").and_then(Value::as_object);
    let content = content.ok_or("its body has no content type")?;
    let kinds = [
        ("application/json", Media::Json),
        ("+json", Media::Json),
        ("application/x-www-form-urlencoded", Media::Form),
        ("text/plain", Media::Text),
    ];
    let known = kinds.iter().find_map(|(word, media)| {
        let found = content.iter().find(|(name, _)| {
            let name = name.split(';').next().unwrap_or_default().trim();
            name == *word || word.starts_with('+') && name.ends_with(word)
        });
        found.map(|(_, described)| (*media, described))
    });
    let Some((media, described)) = known else {
        let names: Vec<&str> = content.keys().map(String::as_str).collect();
        return Err(format!(
            "its body is {}; only JSON, forms and plain text are sent",
            names.join(" or ")
        ));
    };
    let field = free(properties, BODY, Place::Query);
    let schema = described.get("schema");
    let schema = schema.map_or_else(|| json!({}), |schema| document.schema(schema));
    properties.insert(field.clone(), schema);
    let is_required = body.get("required").and_then(Value::as_bool).unwrap_or(false);
    if is_required {
        required.push(Value::from(field.as_str()));
    }
    Ok(Body { field, media, required: is_required })
}

/// A field for a name: the name, unless another has it.
fn free(taken: &Map<String, Value>, name: &str, place: Place) -> String {
    let word = match place {
        Place::Path => "path",
        Place::Query => "query",
        Place::Header => "header",
    };
    let mut field = name.to_owned();
    while taken.contains_key(&field) {
        field = format!("{field}_{word}");
    }
    field
}
