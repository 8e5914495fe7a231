//! From arguments to a request. What a model wrote goes into values only: it
//! adds no path segment, no parameter and no header.

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde_json::{Map, Value};

use super::operation::{Media, Operation, Place};

/// What is sent.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<(&'static str, Vec<u8>)>,
}

/// Prepares a request. `base` is without a slash at its end; `query` is added
/// as it is given. The message of an error is the model's to read.
pub(super) fn prepare(
    operation: &Operation,
    base: &str,
    arguments: &Map<String, Value>,
    query: Option<&(String, String)>,
) -> Result<Prepared, String> {
    let known = |field: &String| {
        operation.parameters.iter().any(|parameter| parameter.field == *field)
            || operation.body.as_ref().is_some_and(|body| body.field == *field)
    };
    if let Some(field) = arguments.keys().find(|field| !known(field)) {
        return Err(format!("there is no argument `{field}`"));
    }
    let mut path = operation.path.clone();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut headers = HeaderMap::new();
    for parameter in &operation.parameters {
        let value = arguments.get(&parameter.field).filter(|value| !value.is_null());
        let Some(value) = value else {
            if parameter.required {
                return Err(format!("the argument `{}` is missing", parameter.field));
            }
            continue;
        };
        let name = &parameter.name;
        match parameter.place {
            Place::Path => {
                let text = joined(value);
                if text.is_empty() || text == "." || text == ".." {
                    return Err(format!("`{}` cannot be `{text}`", parameter.field));
                }
                path = path.replace(&format!("{{{name}}}"), &escaped(&text));
            }
            Place::Query => add_query(&mut pairs, name, value, parameter.explode),
            Place::Header => {
                let value = HeaderValue::try_from(joined(value))
                    .map_err(|_| format!("`{}` cannot be sent in a header", parameter.field))?;
                let name = HeaderName::try_from(name.as_str())
                    .map_err(|_| format!("`{name}` cannot be the name of a header"))?;
                headers.insert(name, value);
            }
        }
    }
    pairs.extend(query.cloned());
    let mut uri = format!("{base}{path}");
    if !pairs.is_empty() {
        uri.push(if base.contains('?') { '&' } else { '?' });
        uri.push_str(&form(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))));
    }
    let uri = uri.parse().map_err(|_| "the arguments make no address".to_owned())?;
    Ok(Prepared { uri, headers, body: body(operation, arguments)? })
}

fn body(
    operation: &Operation,
    arguments: &Map<String, Value>,
) -> Result<Option<(&'static str, Vec<u8>)>, String> {
    let Some(body) = &operation.body else { return Ok(None) };
    let Some(value) = arguments.get(&body.field) else {
        let missing = format!("the argument `{}` is missing", body.field);
        return if body.required { Err(missing) } else { Ok(None) };
    };
    Ok(Some(match body.media {
        Media::Json => ("application/json", value.to_string().into_bytes()),
        Media::Text => ("text/plain; charset=utf-8", plain(value).into_bytes()),
        Media::Form => {
            let fields = value.as_object();
            let fields = fields.ok_or_else(|| format!("`{}` is an object", body.field))?;
            let mut pairs = Vec::new();
            for (name, value) in fields {
                add_query(&mut pairs, name, value, true);
            }
            let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            ("application/x-www-form-urlencoded", form(pairs).into_bytes())
        }
    }))
}

fn add_query(pairs: &mut Vec<(String, String)>, name: &str, value: &Value, explode: bool) {
    match value {
        Value::Array(items) if explode => {
            pairs.extend(items.iter().map(|item| (name.to_owned(), plain(item))));
        }
        Value::Object(fields) if explode => {
            pairs.extend(fields.iter().map(|(key, item)| (format!("{name}[{key}]"), plain(item))));
        }
        _ => pairs.push((name.to_owned(), joined(value))),
    }
}

/// A list as its items with commas, anything else as it is.
fn joined(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => plain(other),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Pairs as a form or a query has them.
pub(in crate::tools) fn form<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let escaped = |(name, value)| format!("{}={}", escaped(name), escaped(value));
    pairs.into_iter().map(escaped).collect::<Vec<_>>().join("&")
}

/// Everything but RFC 3986's unreserved characters is escaped.
fn escaped(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else if write!(out, "%{byte:02X}").is_err() {
            break; // Writing into a string does not fail.
        }
    }
    out
}
