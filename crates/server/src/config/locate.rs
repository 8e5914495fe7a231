//! Turns what the parser and validation say into sentences with a place.

use std::ops::Range;

use freehold_gateway::options::{Problem, nearest};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Fault;

/// A fault for what the parser says.
pub(super) fn parse_fault(text: &str, error: &toml::de::Error) -> Fault {
    Fault {
        place: error.span().map(|span| line_and_column(text, span.start)),
        message: unknown_key(error.message()).unwrap_or_else(|| error.message().to_owned()),
    }
}

/// A fault for each problem, at the deepest key of its path that stands in
/// the file.
pub(super) fn problem_faults<'a>(
    text: &str,
    problems: impl Iterator<Item = &'a Problem>,
) -> Vec<Fault> {
    let root = DeTable::parse(text).ok();
    problems
        .map(|problem| Fault {
            place: root
                .as_ref()
                .and_then(|root| deepest(root.get_ref(), &problem.path))
                .map(|span| line_and_column(text, span.start)),
            message: problem.to_string(),
        })
        .collect()
}

/// The place of the deepest part of `path` that the file has.
fn deepest(root: &DeTable<'_>, path: &[String]) -> Option<Range<usize>> {
    let mut found = None;
    let mut table = Some(root);
    let mut array: Option<&[Spanned<DeValue<'_>>]> = None;
    for key in path {
        let (span, value) = if let Some((name, value)) =
            table.and_then(|t| t.iter().find(|(name, _)| name.get_ref().as_ref() == key.as_str()))
        {
            (name.span(), value)
        } else if let Some(value) = array.and_then(|a| a.get(key.parse::<usize>().ok()?)) {
            (value.span(), value)
        } else {
            break;
        };
        found = Some(span);
        table = value.get_ref().as_table();
        array = value.get_ref().as_array().map(|array| &**array);
    }
    found
}

/// Line and column of a byte, both from 1; columns count characters.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.get(line_start..).unwrap_or("").chars().count() + 1;
    (line, column)
}

/// serde's "unknown field" in the words of a person, with the key that was
/// probably meant.
fn unknown_key(message: &str) -> Option<String> {
    let rest = message.strip_prefix("unknown field `")?;
    let (name, rest) = rest.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let secret = ["key", "secret", "token", "password"].iter().any(|word| name.contains(word));
    let hint = if secret && known.contains(&"key") {
        "a credential is given by reference, key = { env = \"NAME\" } or { file = \"/path\" }"
            .to_owned()
    } else if let Some(near) = nearest(name, known.iter().copied()) {
        format!("did you mean `{near}`?")
    } else {
        format!("known here are {}", known.join(", "))
    };
    Some(format!("unknown key `{name}`: {hint}"))
}
