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
    #[serde(default)]
    pub auth: AuthRow,
    /// The `api-version` to send where none is configured.
    pub api_version: Option<String>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Spoken, best first, by [`Dialect::word`].
    #[serde(default = "only_chat")]
    pub dialects: Vec<String>,
    /// Where its endpoints are.
    #[serde(default = "PathsRow::usual")]
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

impl Default for AuthRow {
    fn default() -> Self {
        Self { scheme: "bearer".to_owned(), name: None }
    }
}

fn only_chat() -> Vec<String> {
    vec![Dialect::Chat.word().to_owned()]
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

impl PathsRow {
    /// Where most compatible servers have them.
    fn usual() -> Self {
        let path = |path: &str| Some(path.to_owned());
        Self {
            chat: path("/chat/completions"),
            responses: path("/responses"),
            messages: path("/messages"),
            count_tokens: None,
            completions: path("/completions"),
            embeddings: path("/embeddings"),
            query: None,
        }
    }
}

impl ProviderRow {
    /// The dialects it speaks, best first.
    pub fn spoken(&self) -> Vec<Dialect> {
        self.dialects.iter().filter_map(|word| Dialect::from_word(word)).collect()
    }
}

/// What a model, or a family of them, can do.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRow {
    /// On the last segment of the name, in small letters; `*` stands for
    /// anything.
    pub pattern: String,
    /// Tokens of input and output together.
    pub context: Option<u64>,
    /// Tokens of output.
    pub max_output: Option<u64>,
    /// All that it can do; `None` where that depends on the server.
    pub capabilities: Option<Vec<Capability>>,
    /// What it does oddly, beside what its provider does.
    #[serde(default)]
    pub quirks: Vec<Quirk>,
}

/// Something that not every model can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Call tools.
    Tools,
    /// See images.
    Images,
    /// Read files.
    Files,
    /// Hear audio.
    Audio,
    /// Answer by a JSON schema.
    JsonSchema,
    /// Reason before it answers.
    Reasoning,
    /// Tell log probabilities.
    Logprobs,
    /// Make embeddings.
    Embeddings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    providers: BTreeMap<String, ProviderRow>,
    models: Vec<ModelRow>,
}

static CATALOGUE: LazyLock<File> = LazyLock::new(|| {
    // A test reads the embedded file, so it parses.
    toml::from_str(include_str!("catalogue.toml"))
        .unwrap_or_else(|_| File { providers: BTreeMap::new(), models: Vec::new() })
});

/// The provider of a kind.
pub fn provider(kind: &str) -> Option<&'static ProviderRow> {
    CATALOGUE.providers.get(kind)
}

/// All kinds, by name.
pub fn providers() -> impl Iterator<Item = (&'static str, &'static ProviderRow)> {
    CATALOGUE.providers.iter().map(|(kind, row)| (kind.as_str(), row))
}

/// The profile of a model by the name its provider has for it:
/// `gpt-4o-2024-08-06`, `meta-llama/Llama-3.3-70B-Instruct`.
pub fn model(name: &str) -> Option<&'static ModelRow> {
    let last = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    CATALOGUE.models.iter().find(|row| fits(&row.pattern, &last))
}

/// Whether `name` fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        // The earliest place leaves the most for the pieces after it.
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_globs() {
        assert!(fits("gpt-4o*", "gpt-4o-2024-08-06"));
        assert!(fits("*claude-opus-4", "us.anthropic.claude-opus-4"));
        assert!(!fits("*claude-opus-4", "claude-opus-4-7"));
        assert!(fits("gpt-5*-chat*", "gpt-5.1-chat-latest"));
        assert!(fits("a*b*b", "ab-b"));
        assert!(!fits("a*b*b", "ab"));
        assert!(!fits("sonar", "sonar-pro"));
    }

    #[test]
    fn the_narrower_profile_stands_first() {
        let context = |name| model(name).and_then(|row| row.context);
        assert_eq!(context("gpt-4o-mini"), Some(128_000));
        assert_eq!(context("gpt-4"), Some(8_192));
        assert_eq!(context("meta-llama/Llama-3.3-70B-Instruct"), Some(131_072));
        assert_eq!(context("anthropic/claude-sonnet-4-5"), Some(200_000));
        assert_eq!(context("claude-opus-5-5"), Some(1_000_000));
        assert_eq!(context("no-such-model"), None);
        let hears = model("gpt-4o-audio-preview").and_then(|row| row.capabilities.as_ref());
        assert!(hears.is_some_and(|list| list.contains(&Capability::Audio)));
    }

    /// A row behind one that takes all its names would never count.
    #[test]
    fn no_profile_hides_another() {
        let rows = &CATALOGUE.models;
        assert!(rows.len() > 100, "the embedded file does not parse");
        for (n, row) in rows.iter().enumerate() {
            let sample = row.pattern.replace('*', "");
            if fits(&row.pattern, &sample) {
                let first = rows.iter().position(|r| fits(&r.pattern, &sample));
                assert_eq!(first, Some(n), "{} is hidden", row.pattern);
            }
        }
    }

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
