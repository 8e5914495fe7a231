//! The rates of one request, and its cost.

use freehold_types::{CostSum, Money, Rate, Rounding};

use super::band::{Band, Field};
use crate::usage::Tokens;

/// What each kind of token costs in one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input that no cache held.
    pub input: Rate,
    /// Input read from a prompt cache.
    pub cache_read: Rate,
    /// Input written to a prompt cache.
    pub cache_write: Rate,
    /// Input written to a prompt cache for long.
    pub cache_write_long: Rate,
    /// Output that was said.
    pub output: Rate,
    /// Output that was reasoning.
    pub reasoning: Rate,
}

impl Rates {
    /// Each rate from the first layer that has it. What none has is the rate
    /// of what it is a part of; input or output without a rate is free.
    pub(super) fn of(layers: &[&Band], context: u64) -> Self {
        let named = |field| layers.iter().find_map(|band| band.rate(field, context));
        let input = named(Field::Input).unwrap_or_default();
        let cache_write = named(Field::CacheWrite).unwrap_or(input);
        let output = named(Field::Output).unwrap_or_default();
        Self {
            input,
            cache_read: named(Field::CacheRead).unwrap_or(input),
            cache_write,
            cache_write_long: named(Field::CacheWriteLong).unwrap_or(cache_write),
            output,
            reasoning: named(Field::Reasoning).unwrap_or(output),
        }
    }

    /// What the tokens cost, rounded once, and what rounding did. A part that
    /// is larger than its whole counts as all of it.
    pub fn cost(&self, tokens: &Tokens) -> (Money, Rounding) {
        let read = tokens.cache_read.min(tokens.input);
        let written = tokens.cache_write.min(tokens.input - read);
        let long = tokens.cache_write_long.min(written);
        let reasoning = tokens.reasoning.min(tokens.output);
        CostSum::new()
            .plus(tokens.input - read - written, self.input)
            .plus(read, self.cache_read)
            .plus(written - long, self.cache_write)
            .plus(long, self.cache_write_long)
            .plus(tokens.output - reasoning, self.output)
            .plus(reasoning, self.reasoning)
            .total()
    }

    /// The most that so many tokens can cost, whatever kinds they are of.
    pub fn upper_bound(&self, input_upper: u64, output_upper: u64) -> Money {
        let input = [self.input, self.cache_read, self.cache_write, self.cache_write_long];
        let input = input.into_iter().fold(Rate::ZERO, Rate::max);
        CostSum::new()
            .plus(input_upper, input)
            .plus(output_upper, self.output.max(self.reasoning))
            .ceiling()
    }

    /// The dearer of each.
    pub(super) fn dearest(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write: self.cache_write.max(other.cache_write),
            cache_write_long: self.cache_write_long.max(other.cache_write_long),
            output: self.output.max(other.output),
            reasoning: self.reasoning.max(other.reasoning),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(nanos: u64) -> Rate {
        Rate::from_nanos_per_million(nanos).unwrap()
    }

    /// Cents up to $100 for a million, and odd nanos.
    fn any_rates() -> impl Strategy<Value = Rates> {
        prop::array::uniform6(0_u64..100_000_000_000).prop_map(|nanos| {
            let [input, cache_read, cache_write, cache_write_long, output, reasoning] =
                nanos.map(rate);
            Rates { input, cache_read, cache_write, cache_write_long, output, reasoning }
        })
    }

    fn any_tokens() -> impl Strategy<Value = Tokens> {
        prop::array::uniform6(0_u64..3_000_000).prop_map(|counts| {
            let [input, cache_read, cache_write, cache_write_long, output, reasoning] = counts;
            Tokens { input, cache_read, cache_write, cache_write_long, output, reasoning }
        })
    }

    #[test]
    fn each_kind_of_token_has_its_rate() {
        let rates = Rates {
            input: rate(5_000_000_000),
            cache_read: rate(500_000_000),
            cache_write: rate(6_250_000_000),
            cache_write_long: rate(10_000_000_000),
            output: rate(25_000_000_000),
            reasoning: rate(30_000_000_000),
        };
        let tokens = Tokens {
            input: 1000,
            cache_read: 400,
            cache_write: 300,
            cache_write_long: 100,
            output: 50,
            reasoning: 20,
        };
        // 300 × 5 + 400 × 0.5 + 200 × 6.25 + 100 × 10 + 30 × 25 + 20 × 30
        assert_eq!(rates.cost(&tokens), ("0.0053".parse().unwrap(), Rounding(0)));
    }

    #[test]
    fn parts_larger_than_the_whole_are_the_whole() {
        let rates = Rates { input: rate(1_000_000_000), ..Rates::default() };
        let tokens = Tokens { input: 10, cache_read: u64::MAX, ..Tokens::default() };
        assert_eq!(rates.cost(&tokens).0, Money::ZERO);
    }

    proptest! {
        #[test]
        fn a_cost_is_the_sum_of_its_parts(rates in any_rates(), tokens in any_tokens()) {
            let whole = rates.cost(&tokens);
            let input = rates.cost(&Tokens { output: 0, ..tokens });
            let output = rates.cost(&Tokens { input: 0, ..tokens });
            let exact = |(cost, rounding): (Money, Rounding)| {
                cost.nanos() * 1_000_000 + i128::from(rounding.0)
            };
            prop_assert_eq!(exact(whole), exact(input) + exact(output));
        }

        #[test]
        fn more_tokens_never_cost_less(
            rates in any_rates(), tokens in any_tokens(), more in 0_u64..1000,
        ) {
            let (cost, _) = rates.cost(&tokens);
            let input = Tokens {
                // No part may grow at the cost of a dearer one.
                cache_read: 0, cache_write: 0, input: tokens.input, ..tokens
            };
            let longer = Tokens { input: tokens.input + more, ..input };
            prop_assert!(rates.cost(&longer).0 >= rates.cost(&input).0);
            let said = Tokens { output: tokens.output.max(tokens.reasoning) + more, ..tokens };
            let equal = Tokens { output: tokens.output.max(tokens.reasoning), ..tokens };
            prop_assert!(rates.cost(&said).0 >= rates.cost(&equal).0);
            prop_assert!(!cost.is_negative());
        }

        #[test]
        fn no_cost_within_the_bounds_is_above_the_upper_bound(
            rates in any_rates(), tokens in any_tokens(), more in 0_u64..1000,
        ) {
            let bound = rates.upper_bound(tokens.input + more, tokens.output + more);
            prop_assert!(rates.cost(&tokens).0 <= bound);
        }
    }
}
