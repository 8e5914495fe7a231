//! What tokens cost: a dated price sheet in the binary, the operator's own
//! prices over it, and exact arithmetic.
//!
//! The sheet is text, a file for each provider; only the files of providers in
//! use are ever read, line by line, and nothing of them stays in memory but
//! the prices that [`Sheet::model`] gave out. It is made from a package by
//! `scripts/prices.py`; to correct a price, put it in the overlay, or mend the
//! package. Prices that are not by the token are not in it.

mod band;
mod embedded;
mod overlay;
mod pattern;
mod rates;

use std::sync::Arc;

use freehold_types::Money;
use jiff::Timestamp;

pub use overlay::OverlayError;
pub use rates::Rates;

use band::Band;
use overlay::Overlay;

/// All prices that are known.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    overlay: Arc<Overlay>,
}

impl Sheet {
    /// The prices that came with the binary.
    pub fn embedded() -> Self {
        Self::default()
    }

    /// The prices that came with the binary, under the operator's own:
    ///
    /// ```toml
    /// [[model]]
    /// provider = "example"            # the sheet's word for the provider
    /// match = ["large", "large-*"]    # * is any text, # a digit, ! excludes
    /// prices = [
    ///   # Dollars for a million tokens; here, other ones for all tokens of a
    ///   # request whose input is above 272,000 tokens.
    ///   { input = "1.10 >272000:2.20", cache_read = "0.11", output = "9" },
    ///   { from = "2027-01-01", input = "1", output = "8" },
    ///   { tier = "batch", input = "0.5", output = "4" },
    /// ]
    /// ```
    ///
    /// The last of a model's prices that is in force stands, and a tier's
    /// prices replace those that they name. Where the overlay has a price for
    /// a model, all of the sheet's prices for it are out of force, its tiers
    /// included; where it has only tiers, these go over the sheet's.
    pub fn with_overlay(toml: &str) -> Result<Self, OverlayError> {
        Ok(Self { overlay: Arc::new(Overlay::parse(toml)?) })
    }

    /// The prices of a model, to keep beside a deployment. `provider` is the
    /// sheet's word for it, `model` the provider's name for the model.
    pub fn model(&self, provider: &str, model: &str) -> Option<ModelPrices> {
        let model = model.to_ascii_lowercase();
        let own = self.overlay.find(provider, &model);
        let sheet = embedded::find(provider, &model);
        let known = !own.is_empty() || !sheet.is_empty();
        known.then(|| ModelPrices { own: own.into(), sheet: sheet.into() })
    }

    /// Where the sheet's prices of a provider are from, and of when.
    pub fn source(&self, provider: &str) -> Option<String> {
        embedded::source(provider)
    }

    /// The rates of one request: [`Self::model`], then [`ModelPrices::rates`].
    pub fn rate_for(
        &self,
        provider: &str,
        model: &str,
        at: Timestamp,
        service_tier: Option<&str>,
        context_tokens: u64,
    ) -> Option<Rates> {
        self.model(provider, model)?.rates(at, service_tier, context_tokens)
    }
}

/// The prices of one model at one provider. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPrices {
    /// The operator's; empty if there are none.
    own: Arc<[Band]>,
    sheet: Arc<[Band]>,
}

impl ModelPrices {
    /// The rates in force at a time, for a tier of service (`batch`, `flex`,
    /// `priority`, `fast`; what is not known is the standard one) and a size
    /// of the whole input, cached tokens included. `None` if no price is in
    /// force.
    pub fn rates(
        &self,
        at: Timestamp,
        service_tier: Option<&str>,
        context_tokens: u64,
    ) -> Option<Rates> {
        let (standard, below) = match band::standard(&self.own, at) {
            Some(own) => (own, &[][..]),
            None => (self.standard_of_sheet(at)?, &self.sheet[..]),
        };
        let tiers = service_tier.into_iter().flat_map(|tier| {
            self.own.iter().chain(below).filter(move |band| band.is_tier(tier, at))
        });
        let layers: Vec<&Band> = tiers.chain([standard]).collect();
        Some(Rates::of(&layers, context_tokens))
    }

    /// A sheet whose first date is yet to come is better than none.
    fn standard_of_sheet(&self, at: Timestamp) -> Option<&Band> {
        band::standard(&self.sheet, at)
            .or_else(|| self.sheet.iter().find(|band| band.is_standard()))
    }

    /// No request at that time, with at most so many tokens, costs more:
    /// whatever part of its input is read from a cache or written to it, and
    /// whatever size of context it comes to.
    pub fn upper_bound(
        &self,
        at: Timestamp,
        service_tier: Option<&str>,
        input_upper: u64,
        output_upper: u64,
    ) -> Option<Money> {
        let bands = self.own.iter().chain(&*self.sheet);
        let steps = bands.flat_map(Band::steps).filter(|&above| above < input_upper);
        steps
            .map(|above| above.saturating_add(1))
            .chain([0])
            .filter_map(|context| self.rates(at, service_tier, context))
            .reduce(Rates::dearest)
            .map(|rates| rates.upper_bound(input_upper, output_upper))
    }
}

#[cfg(test)]
mod tests;
