//! Providers and models as data: where they are, what they speak, what they
//! can do. See `catalogue.toml` for the meaning of each field.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::{Dialect, Quirk};

/// One provider that speaks dialects we know.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderRow {
    /// Address up to and including the version; `None` where each customer
    /// has an own one.
    pub base_url: Option<String>,
    /// How it is signed in to.
    pub auth: AuthRow,
    /// The `api-version` to send where none is configured.
    pub api_version: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Spoken, best first, by [`Dialect::word`].
    pub dialects: Vec<String>,
    /// Where its endpoints are.
    pub paths: PathsRow,
    /// What it does oddly.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
    /// The word under which the price sheet has it.
    pub prices: Option<String>,
    /// Prefixes of further endpoints that are passed through.
    #[serde(default)]
    pub other: Vec<String>,
}

/// How a provider is signed in to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthRow {
    /// `bearer`, `header`, `query` or `none`.
    pub scheme: String,
    /// The header's or parameter's name.
    pub name: Option<String>,
}

/// Where a provider's endpoints are, below its base address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathsRow {
    /// Chat Completions.
    pub chat: Option<String>,
    /// Responses.
    pub responses: Option<String>,
    /// Messages.
    pub messages: Option<String>,
    /// Token counting in the shape of Messages.
    pub count_tokens: Option<String>,
    /// Legacy completions.
    pub completions: Option<String>,
    /// Embeddings.
    pub embeddings: Option<String>,
    /// Added to every request.
    pub query: Option<String>,
}

impl ProviderRow {
    /// The dialects it speaks, best first.
    pub fn spoken(&self) -> Vec<Dialect> {
        self.dialects.iter().filter_map(|word| Dialect::from_word(word)).collect()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    providers: BTreeMap<String, ProviderRow>,
}

static CATALOGUE: LazyLock<File> = LazyLock::new(|| {
    // A test reads the embedded file, so it parses.
    toml::from_str(include_str!("catalogue.toml"))
        .unwrap_or_else(|_| File { providers: BTreeMap::new() })
});

/// The provider of a kind.
pub fn provider(kind: &str) -> Option<&'static ProviderRow> {
    CATALOGUE.providers.get(kind)
}

/// All kinds, by name.
pub fn providers() -> impl Iterator<Item = (&'static str, &'static ProviderRow)> {
    CATALOGUE.providers.iter().map(|(kind, row)| (kind.as_str(), row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_whole() {
        let file: File = toml::from_str(include_str!("catalogue.toml")).unwrap();
        for (kind, row) in &file.providers {
            assert_eq!(row.spoken().len(), row.dialects.len(), "{kind}: an unknown dialect");
            for dialect in row.spoken() {
                let path = match dialect {
                    Dialect::Chat => &row.paths.chat,
                    Dialect::Responses => &row.paths.responses,
                    Dialect::Messages => &row.paths.messages,
                };
                assert!(kind == "local" || path.is_some(), "{kind}: no path for {dialect:?}");
            }
            let named = matches!(row.auth.scheme.as_str(), "header" | "query");
            assert_eq!(named, row.auth.name.is_some(), "{kind}: auth");
            assert!(["bearer", "header", "query", "none"].contains(&row.auth.scheme.as_str()));
            if let Some(base) = &row.base_url {
                assert!(base.starts_with("http") && !base.ends_with('/'), "{kind}: {base}");
            }
        }
    }
}
