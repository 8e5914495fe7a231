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
    /// provider = "openai"             # the sheet's word for the provider
    /// match = ["gpt-5", "gpt-5-*"]    # * is any text, # a digit, ! excludes
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::Tokens;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn now() -> Timestamp {
        at("2026-11-22T12:00:00Z")
    }

    fn dollars(text: &str) -> Money {
        text.parse().unwrap()
    }

    fn million(input: u64, output: u64) -> Tokens {
        Tokens { input: input * 1_000_000, output: output * 1_000_000, ..Tokens::default() }
    }

    fn cost(sheet: &Sheet, model: &str, tier: Option<&str>, tokens: &Tokens) -> Money {
        sheet.rate_for("openai", model, now(), tier, tokens.input).unwrap().cost(tokens).0
    }

    #[test]
    fn the_sheet_knows_dates_tiers_and_sizes() {
        let sheet = Sheet::embedded();
        let small = Tokens { input: 100_000, output: 0, ..Tokens::default() };
        assert_eq!(cost(&sheet, "gpt-5.4", None, &small), dollars("0.25"));
        assert_eq!(cost(&sheet, "gpt-5.4", Some("flex"), &small), dollars("0.125"));
        assert_eq!(cost(&sheet, "gpt-5.4", Some("unheard"), &small), dollars("0.25"));
        assert_eq!(cost(&sheet, "GPT-5.4-2026-03-05", None, &million(1, 1)), dollars("27.5"));
        // Flex was not priced before that date.
        let before = at("2026-10-11T23:59:59Z");
        let rates = sheet.rate_for("openai", "gpt-5.4", before, Some("flex"), 10).unwrap();
        assert_eq!(rates.cost(&small).0, dollars("0.25"));
    }

    #[test]
    fn the_hour_counts_where_the_sheet_says_so() {
        let rate = |time| {
            let rates = Sheet::embedded().rate_for("deepseek", "deepseek-chat", at(time), None, 1);
            rates.unwrap().cost(&million(1, 0)).0
        };
        assert_eq!(rate("2026-11-22T00:29:59Z"), dollars("0.135"));
        assert_eq!(rate("2026-11-22T00:30:00Z"), dollars("0.27"));
        assert_eq!(rate("2026-11-22T16:30:00Z"), dollars("0.135"));
    }

    #[test]
    fn a_dated_name_is_the_model_and_a_longer_name_is_not() {
        let sheet = Sheet::embedded();
        let found = |model| sheet.model("anthropic", model);
        assert!(found("claude-opus-5").is_some());
        assert_eq!(found("claude-opus-5-20260501"), found("claude-opus-5"));
        assert_ne!(found("claude-opus-5-5"), found("claude-opus-5"));
        assert_eq!(found("nonsense"), None);
        assert_eq!(sheet.model("nobody", "gpt-5"), None);
        assert!(sheet.source("anthropic").unwrap().starts_with("genai-prices "));
    }

    #[test]
    fn a_cloud_falls_back_to_the_makers_price() {
        let sheet = Sheet::embedded();
        assert_eq!(sheet.model("azure", "gpt-5.4"), sheet.model("openai", "gpt-5.4"));
    }

    #[test]
    fn what_runs_here_is_free() {
        let rates = Sheet::embedded().rate_for("local", "any", now(), None, 9).unwrap();
        assert_eq!(rates.cost(&million(9, 9)).0, Money::ZERO);
    }

    const OVERLAY: &str = r#"
        [[model]]
        provider = "openai"
        match = ["GPT-5.4*", "!*-mini"]
        prices = [
            { input = "1 >10:3", output = "8" },
            { from = "2027-01-01", input = "0.5", output = "4" },
            { tier = "batch", input = "0.25" },
        ]
        [[model]]
        provider = "openai"
        match = ["gpt-5"]
        prices = [{ tier = "priority", input = "99" }]
        [[model]]
        provider = "mine"
        match = ["*"]
        prices = [{ from = "2027-01-01", input = "1" }]
    "#;

    #[test]
    fn an_overlay_takes_the_place_of_the_sheets_prices_and_tiers() {
        let sheet = Sheet::with_overlay(OVERLAY).unwrap();
        let ten = Tokens { input: 10, output: 0, ..Tokens::default() };
        assert_eq!(cost(&sheet, "gpt-5.4", None, &ten), dollars("0.00001"));
        assert_eq!(cost(&sheet, "gpt-5.4", Some("batch"), &ten), dollars("0.0000025"));
        assert_eq!(cost(&sheet, "gpt-5.4", Some("flex"), &ten), dollars("0.00001"));
        assert_eq!(cost(&sheet, "gpt-5.4", None, &million(1, 0)), dollars("3"));
        let mini = sheet.model("openai", "gpt-5.4-mini");
        assert_eq!(mini, Sheet::embedded().model("openai", "gpt-5.4-mini"));
        let later = at("2027-01-01T00:00:00Z");
        let rates = sheet.rate_for("openai", "gpt-5.4", later, None, 1_000_000).unwrap();
        assert_eq!(rates.cost(&million(1, 1)).0, dollars("4.5"));
    }

    #[test]
    fn a_tier_alone_goes_over_the_sheet() {
        let sheet = Sheet::with_overlay(OVERLAY).unwrap();
        assert_eq!(cost(&sheet, "gpt-5", None, &million(1, 1)), dollars("11.25"));
        assert_eq!(cost(&sheet, "gpt-5", Some("priority"), &million(1, 1)), dollars("119"));
        assert_eq!(cost(&sheet, "gpt-5", Some("flex"), &million(1, 1)), dollars("5.625"));
    }

    #[test]
    fn a_price_of_tomorrow_is_no_price() {
        let sheet = Sheet::with_overlay(OVERLAY).unwrap();
        assert_eq!(sheet.rate_for("mine", "m", now(), None, 1), None);
        assert_eq!(sheet.model("mine", "m").unwrap().upper_bound(now(), None, 1, 1), None);
    }

    #[test]
    fn a_wrong_overlay_says_where() {
        for (toml, word) in [
            ("[[model]]\nprovider = \"x\"", "match"),
            ("[[models]]", "models"),
            ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{input=1.5}]", "line 4"),
            ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{input='cheap'}]", "line 4"),
            ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[{hours='1-2'}]", "hours"),
            ("[[model]]\nprovider='x'\nmatch=['m']\nprices=[]", "no prices"),
        ] {
            let error = Sheet::with_overlay(toml).unwrap_err();
            let text = format!("{error} {}", error.detail());
            assert!(text.contains(word), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_within_the_bounds_costs_more_than_the_upper_bound(
            which in 0_usize..4,
            input in 0_u64..2_000_000,
            spare in 0_u64..1_000_000,
            parts in prop::array::uniform3(0_u64..2_000_000),
            output in 0_u64..1_000_000,
        ) {
            let (provider, model, tier) = [
                ("openai", "gpt-5.4", None),
                ("openai", "gpt-5.4", Some("flex")),
                ("anthropic", "claude-haiku-5-5", Some("batch")),
                ("google", "gemini-2.5-pro", None),
            ][which];
            let prices = Sheet::embedded().model(provider, model).unwrap();
            let [cache_read, cache_write, cache_write_long] = parts;
            let reasoning = output / 2;
            let tokens =
                Tokens { input, cache_read, cache_write, cache_write_long, output, reasoning };
            let (cost, _) = prices.rates(now(), tier, input).unwrap().cost(&tokens);
            let bound = prices.upper_bound(now(), tier, input + spare, output + spare).unwrap();
            prop_assert!(cost <= bound, "{} > {}", cost, bound);
        }
    }
}
