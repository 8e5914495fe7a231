//! YAML as HTTP recorders write it, read into a plain tree.
//!
//! The recorders dump with PyYAML, whose plain scalars follow YAML 1.1: `1e3`
//! is a string there and a number by YAML 1.2. So the scalars are resolved
//! here, by PyYAML's own rules, over a port of the parser that PyYAML uses
//! (which also takes less indentation in quotes than YAML asks for).

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use libyaml_safer::{EventData, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// How deep a document may nest.
const DEPTH_LIMIT: usize = 200;

/// A YAML node. Maps keep their order; keys that are not scalars are refused.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    /// A `!!binary` scalar, decoded.
    Bytes(Vec<u8>),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    /// A field of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(fields) => fields.iter().find(|(key, _)| key == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The elements of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a string.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The tree as JSON; bytes become their base64 text.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(*b),
            Self::Number(n) => Value::Number(n.clone()),
            Self::Text(text) => Value::String(text.clone()),
            Self::Bytes(bytes) => {
                Value::String(base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Self::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(fields) => Value::Object(
                fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect::<Map<_, _>>(),
            ),
        }
    }
}

/// A list or map that is not closed yet; a map's next key waits in `key`.
enum Open {
    List(Vec<Tree>),
    Map { fields: Vec<(String, Tree)>, key: Option<String> },
}

/// Reads the first document of `text`.
pub(crate) fn read(text: &str) -> Result<Tree> {
    let mut open: Vec<Open> = Vec::new();
    let mut bytes = text.as_bytes();
    let mut parser = Parser::new();
    parser.set_input(&mut bytes);
    for event in parser {
        let done = match event.context("not YAML")?.data {
            EventData::Scalar { value, style, tag, .. } => {
                let binary = tag.is_some_and(|tag| tag.ends_with("binary"));
                scalar(value, style, binary)?
            }
            EventData::SequenceStart { .. } => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            EventData::MappingStart { .. } => {
                open.push(Open::Map { fields: Vec::new(), key: None });
                continue;
            }
            EventData::SequenceEnd | EventData::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Tree::List(items),
                Some(Open::Map { fields, .. }) => Tree::Map(fields),
                None => bail!("not YAML: a list or map ends that did not begin"),
            },
            EventData::Alias { .. } => bail!("YAML aliases are not read"),
            _ => continue,
        };
        if open.len() > DEPTH_LIMIT {
            bail!("YAML nests deeper than {DEPTH_LIMIT}");
        }
        match open.last_mut() {
            None => return Ok(done),
            Some(Open::List(items)) => items.push(done),
            Some(Open::Map { fields, key }) => match key.take() {
                Some(name) => fields.push((name, done)),
                None => *key = Some(key_text(done)?),
            },
        }
    }
    Ok(Tree::Null)
}

fn key_text(key: Tree) -> Result<String> {
    match key {
        Tree::Text(text) => Ok(text),
        Tree::Number(n) => Ok(n.to_string()),
        Tree::Bool(b) => Ok(b.to_string()),
        Tree::Null => Ok("null".to_owned()),
        _ => bail!("a YAML map has a key that is no scalar"),
    }
}

fn scalar(text: String, style: ScalarStyle, binary: bool) -> Result<Tree> {
    if binary {
        let packed: String = text.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(packed)
            .context("a !!binary scalar is not base64")?;
        return Ok(Tree::Bytes(bytes));
    }
    if style != ScalarStyle::Plain {
        return Ok(Tree::Text(text));
    }
    Ok(match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Tree::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            Tree::Bool(false)
        }
        plain => match number(plain) {
            Some(n) => Tree::Number(n),
            None => Tree::Text(text),
        },
    })
}

/// The number that PyYAML would read, of those forms that JSON values dump to.
fn number(plain: &str) -> Option<Number> {
    let unsigned = plain.strip_prefix(['-', '+']).unwrap_or(plain);
    let plain = plain.strip_prefix('+').unwrap_or(plain);
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if digits(unsigned) {
        if unsigned.len() > 1 && unsigned.starts_with('0') {
            return None;
        }
        return serde_json::from_str(plain).ok();
    }
    // A float has a dot, and its exponent a sign, else it is text.
    let (whole, rest) = unsigned.split_once('.')?;
    let (fraction, exponent) = match rest.split_once(['e', 'E']) {
        Some((fraction, exponent)) => (fraction, Some(exponent)),
        None => (rest, None),
    };
    let exponent_fits = exponent.is_none_or(|e| e.strip_prefix(['-', '+']).is_some_and(digits));
    let fraction_fits = fraction.is_empty() || digits(fraction);
    if !digits(whole) || !fraction_fits || !exponent_fits {
        return None;
    }
    plain.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn plain_scalars_follow_yaml_1_1() {
        let tree = read(
            "a: 1e3\nb: 1.0e-05\nc: 12\nd: 007\ne: 'no'\nf: no\ng: ~\nh: 12e45\ni: -1.5\nj:\nk: .\n",
        )
        .unwrap();
        assert_eq!(
            tree.to_json(),
            json!({"a": "1e3", "b": 1.0e-5, "c": 12, "d": "007", "e": "no", "f": false,
                   "g": null, "h": "12e45", "i": -1.5, "j": null, "k": "."})
        );
    }

    #[test]
    fn folded_quotes_and_binary() {
        let tree = read("s: 'event: a\n\n    data: 1\n\n\n    '\nb: !!binary |\n  aGV5\n  bw==\n")
            .unwrap();
        assert_eq!(tree.get("s").unwrap().as_text(), Some("event: a\ndata: 1\n\n"));
        assert_eq!(tree.get("b"), Some(&Tree::Bytes(b"heyo".to_vec())));
    }

    #[test]
    fn hostile_documents_are_errors() {
        assert!(read(&"[".repeat(5000)).is_err());
        assert!(read("a: &x 1\nb: *x").is_err());
        assert!(read("b: !!binary '%'").is_err());
        assert!(read("{[1]: 2}").is_err());
        assert_eq!(read("").unwrap(), Tree::Null);
    }
}
