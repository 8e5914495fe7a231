//! What an exchange may cost, and what it did.

use freehold_llm::model::Usage;
use freehold_types::{CostSum, Money, Rate, Rounding};

use crate::Gateway;
use crate::options::PriceOptions;
use crate::plan::Deployment;
use crate::wire::Asked;

fn rate(price: crate::options::PerMillion) -> Rate {
    Rate::from_nanos_per_million(price.0).unwrap_or(Rate::MAX)
}

fn sum(price: &PriceOptions, usage: &Usage) -> CostSum {
    let read = usage.cache_read.unwrap_or(0).min(usage.input);
    let written = usage.cache_write.unwrap_or(0).min(usage.input - read);
    CostSum::new()
        .plus(usage.input - read - written, rate(price.input))
        .plus(read, rate(price.cache_read.unwrap_or(price.input)))
        .plus(written, rate(price.cache_write.unwrap_or(price.input)))
        .plus(usage.output, rate(price.output))
}

impl Gateway {
    /// What usage costs at a deployment, and what rounding did to it; `None`
    /// without a price.
    pub(crate) fn cost(
        &self,
        deployment: &Deployment,
        _model: &str,
        _tier: Option<&str>,
        usage: &Usage,
    ) -> Option<(Money, Rounding)> {
        let price = deployment.price.as_ref()?;
        Some(sum(price, usage).total())
    }

    /// The most a request may cost at any of its deployments; `None` if none
    /// has a price.
    pub(crate) fn reserve(
        &self,
        candidates: &[std::sync::Arc<Deployment>],
        input: u64,
        output: u64,
    ) -> Option<Money> {
        candidates
            .iter()
            .filter_map(|d| {
                let price = d.price.as_ref()?;
                let dearest = price.input.max(price.cache_write.unwrap_or(price.input));
                let sum =
                    CostSum::new().plus(input, rate(dearest)).plus(output, rate(price.output));
                Some(sum.ceiling())
            })
            .max()
    }

    /// What a request would likely cost, for routing by price, in nano-units.
    pub(crate) fn price_of(&self, asked: &Asked<'_>, deployment: &Deployment) -> Option<i128> {
        let price = deployment.price.as_ref()?;
        let usage = Usage {
            input: (asked.scan.text_bytes as u64).div_ceil(4),
            output: asked.scan.output_limit().unwrap_or(500),
            ..Usage::default()
        };
        Some(sum(price, &usage).total().0.nanos())
    }
}
