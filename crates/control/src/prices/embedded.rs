//! The price sheet in the binary: a file for each provider, made by
//! `scripts/prices.py`.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::band::Band;
use super::pattern;

/// The sheet's files by provider, as `build.rs` lists them. Each is JSON lines:
/// a [`Head`], then a [`Line`] for each model.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sheet.rs"));

/// The first line of a file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Head<'a> {
    /// Where the prices are from, and of when.
    #[serde(borrow)]
    source: Cow<'a, str>,
    /// Whose prices stand where this file has none.
    #[serde(borrow, default)]
    fallback: Vec<Cow<'a, str>>,
}

/// A model. Its prices are read only if it is the one that is looked for; its
/// `model` is for people.
#[derive(Debug, serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "match")]
    patterns: Vec<Cow<'a, str>>,
    #[serde(borrow)]
    prices: &'a RawValue,
}

fn file(provider: &str) -> Option<&'static str> {
    let index = FILES.binary_search_by_key(&provider, |&(name, _)| name).ok()?;
    FILES.get(index).map(|&(_, text)| text)
}

fn head(text: &'static str) -> Option<Head<'static>> {
    text.lines().next().and_then(|line| serde_json::from_str(line).ok())
}

/// Where a provider's prices are from, and of when.
pub(super) fn source(provider: &str) -> Option<String> {
    Some(head(file(provider)?)?.source.into_owned())
}

/// The prices of the first model of that name, with the provider or the ones
/// that it falls back to; empty if there is none.
pub(super) fn find(provider: &str, model: &str) -> Vec<Band> {
    let Some(text) = file(provider) else { return Vec::new() };
    let fallback = || {
        let head: Head<'_> =
            text.lines().next().and_then(|head| serde_json::from_str(head).ok())?;
        head.fallback.iter().find_map(|other| find_in(file(other)?, model))
    };
    find_in(text, model).or_else(fallback).unwrap_or_default()
}

/// A line that cannot be read is passed over; a test sees to it that all can.
fn find_in(text: &str, model: &str) -> Option<Vec<Band>> {
    let line = text
        .lines()
        .skip(1)
        .filter_map(|line| serde_json::from_str::<Line<'_>>(line).ok())
        .find(|line| pattern::names(&line.patterns, model))?;
    serde_json::from_str(line.prices.get()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_every_file_can_be_read() {
        let mut models = 0;
        for &(name, text) in FILES {
            let mut lines = text.lines();
            let head: Head<'_> = serde_json::from_str(lines.next().unwrap()).unwrap();
            assert!(head.fallback.iter().all(|other| file(other).is_some()), "{name}");
            for text in lines {
                let line: Line<'_> = serde_json::from_str(text).unwrap();
                let bands: Vec<Band> = serde_json::from_str(line.prices.get()).unwrap();
                assert!(bands.iter().any(Band::is_standard), "{text}");
                models += 1;
            }
        }
        assert!(models > 1500, "{models}");
    }

    #[test]
    fn every_file_can_be_found_and_says_where_it_is_from() {
        for &(name, text) in FILES {
            assert_eq!(file(name), Some(text));
            assert!(!source(name).unwrap().is_empty(), "{name}");
        }
        assert_eq!(source("nobody"), None);
    }
}
