//! What an exchange may cost, and what it did.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use freehold_control::Tokens;
use freehold_control::prices::{ModelPrices, Rates, Sheet};
use freehold_llm::model::Usage;
use freehold_types::{Env, Money, Rate, Rounding};

use crate::Gateway;
use crate::options::{PerMillion, PriceOptions};
use crate::plan::Deployment;
use crate::wire::Asked;

/// Where a deployment's prices come from.
#[derive(Debug)]
pub enum Prices {
    /// From its own configuration.
    Own(Rates),
    /// From the sheet, for its one model; `None` if the sheet lacks it.
    Sheet(Option<ModelPrices>),
    /// From the sheet, for whatever model its `*` stands for.
    ByModel(ByModel),
}

/// Prices of models looked up as they are asked for.
#[derive(Debug)]
pub struct ByModel {
    sheet: Sheet,
    provider: Arc<str>,
    known: RwLock<HashMap<Box<str>, Option<ModelPrices>>>,
}

/// Names beyond this are looked up each time: they come from clients.
const MOST_KNOWN: usize = 1_024;

impl Prices {
    /// The prices of a deployment: its own, else the sheet's.
    pub fn new(
        own: Option<&PriceOptions>,
        sheet: &Sheet,
        provider: &Arc<str>,
        model: &str,
    ) -> Self {
        if let Some(own) = own {
            return Self::Own(own_rates(own));
        }
        if model.contains('*') {
            let known = RwLock::default();
            let provider = Arc::clone(provider);
            return Self::ByModel(ByModel { sheet: sheet.clone(), provider, known });
        }
        Self::Sheet(sheet.model(provider, model))
    }

    fn of_model(&self, model: &str) -> Option<ModelPrices> {
        match self {
            Self::Own(_) => None,
            Self::Sheet(prices) => prices.clone(),
            Self::ByModel(by) => by.get(model),
        }
    }

    /// The rates now, which is only asked for where they change.
    fn rates(&self, model: &str, env: &dyn Env, tier: Option<&str>, context: u64) -> Option<Rates> {
        match self {
            Self::Own(rates) => Some(*rates),
            _ => self.of_model(model)?.rates(env.now(), tier, context),
        }
    }

    fn upper_bound(
        &self,
        model: &str,
        env: &dyn Env,
        tier: Option<&str>,
        (input, output): (u64, u64),
    ) -> Option<Money> {
        match self {
            Self::Own(rates) => Some(rates.upper_bound(input, output)),
            _ => self.of_model(model)?.upper_bound(env.now(), tier, input, output),
        }
    }
}

impl ByModel {
    fn get(&self, model: &str) -> Option<ModelPrices> {
        if let Some(found) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(model) {
            return found.clone();
        }
        let found = self.sheet.model(&self.provider, model);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_KNOWN {
            known.insert(model.into(), found.clone());
        }
        found
    }
}

fn own_rates(own: &PriceOptions) -> Rates {
    let rate = |p: PerMillion| Rate::from_nanos_per_million(p.0).unwrap_or(Rate::MAX);
    let cache_write = rate(own.cache_write.unwrap_or(own.input));
    Rates {
        input: rate(own.input),
        cache_read: rate(own.cache_read.unwrap_or(own.input)),
        cache_write,
        cache_write_long: cache_write,
        output: rate(own.output),
        reasoning: rate(own.output),
    }
}

/// The hub's usage as the books count it.
pub(crate) fn tokens(usage: &Usage) -> Tokens {
    Tokens {
        input: usage.input,
        cache_read: usage.cache_read.unwrap_or(0),
        cache_write: usage.cache_write.unwrap_or(0),
        cache_write_long: usage.cache_write_long.unwrap_or(0),
        output: usage.output,
        reasoning: usage.reasoning.unwrap_or(0),
    }
}

impl Gateway {
    /// What usage costs at a deployment, and what rounding did to it; `None`
    /// without a price.
    pub(crate) fn cost(
        &self,
        deployment: &Deployment,
        model: &str,
        tier: Option<&str>,
        usage: &Usage,
    ) -> Option<(Money, Rounding)> {
        let rates = deployment.prices.rates(model, &*self.env, tier, usage.input)?;
        Some(rates.cost(&tokens(usage)))
    }

    /// The most a request may cost at any of the deployments that may answer
    /// it; `None` if none of them has a price.
    pub(crate) fn reserve<'d>(
        &self,
        candidates: impl Iterator<Item = (&'d Deployment, std::borrow::Cow<'d, str>)>,
        tier: Option<&str>,
        tokens: (u64, u64),
    ) -> Option<Money> {
        let env = &*self.env;
        candidates.filter_map(|(d, model)| d.prices.upper_bound(&model, env, tier, tokens)).max()
    }

    /// What a request would likely cost, for routing by price, in nano-units.
    pub(crate) fn price_of(&self, asked: &Asked<'_>, deployment: &Deployment) -> Option<i128> {
        let usage = Usage {
            input: (asked.scan.text_bytes as u64).div_ceil(4),
            output: asked.output_limit().unwrap_or(500),
            ..Usage::default()
        };
        let model = asked.model_at(deployment);
        let tier = asked.scan.service_tier.as_ref().and_then(|f| f.value.as_deref());
        self.cost(deployment, &model, tier, &usage).map(|(cost, _)| cost.nanos())
    }
}
