//! The operator's own prices.

use std::borrow::Cow;

use super::band::Band;
use super::pattern;

/// An overlay that cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OverlayError {
    /// Not TOML, or not of the overlay's shape.
    #[error("the price overlay cannot be read")]
    Malformed(#[source] Box<toml::de::Error>),
    /// A model with an empty list of prices.
    #[error("the price overlay has no prices for the model {index} (of {provider})")]
    NoPrices {
        /// Its place in the file, from 1.
        index: usize,
        /// Its provider.
        provider: String,
    },
}

impl OverlayError {
    /// Where in the text and what is wrong there; empty if the error says all.
    pub fn detail(&self) -> String {
        match self {
            Self::Malformed(source) => source.to_string(),
            Self::NoPrices { .. } => String::new(),
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlay {
    #[serde(default, rename = "model")]
    models: Vec<Model>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    provider: String,
    #[serde(rename = "match")]
    /// In lower case, as names are compared.
    patterns: Vec<Cow<'static, str>>,
    prices: Vec<Band>,
}

impl Overlay {
    pub(super) fn parse(text: &str) -> Result<Self, OverlayError> {
        let mut overlay: Self =
            toml::from_str(text).map_err(|error| OverlayError::Malformed(Box::new(error)))?;
        for (index, model) in (1..).zip(&overlay.models) {
            if model.prices.is_empty() {
                return Err(OverlayError::NoPrices { index, provider: model.provider.clone() });
            }
        }
        for pattern in overlay.models.iter_mut().flat_map(|model| &mut model.patterns) {
            pattern.to_mut().make_ascii_lowercase();
        }
        Ok(overlay)
    }

    /// The prices of the first entry that names the model; empty if none does.
    pub(super) fn find(&self, provider: &str, model: &str) -> Vec<Band> {
        let named =
            |entry: &&Model| entry.provider == provider && pattern::names(&entry.patterns, model);
        self.models.iter().find(named).map_or_else(Vec::new, |entry| entry.prices.clone())
    }
}
