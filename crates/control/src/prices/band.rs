//! A model's prices under one condition, as the sheet and the overlay write
//! them.

use std::fmt;
use std::str::FromStr;

use freehold_types::{Money, Rate};
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A kind of token that has a price.
#[derive(Clone, Copy)]
pub(super) enum Field {
    Input,
    CacheRead,
    CacheWrite,
    CacheWriteLong,
    Output,
    Reasoning,
}

/// Prices, and when and for whom they hold. A standard band holds for all; a
/// tier's band goes over it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Band {
    /// The first day, in UTC.
    from: Option<Date>,
    /// The hours of the day, in UTC.
    hours: Option<Hours>,
    /// The tier of service.
    tier: Option<Box<str>>,
    input: Option<Price>,
    cache_read: Option<Price>,
    cache_write: Option<Price>,
    cache_write_long: Option<Price>,
    output: Option<Price>,
    reasoning: Option<Price>,
}

impl Band {
    pub(super) fn is_standard(&self) -> bool {
        self.tier.is_none()
    }

    /// Whether it is this tier's and in force.
    pub(super) fn is_tier(&self, tier: &str, at: Timestamp) -> bool {
        self.tier.as_deref() == Some(tier) && self.in_force(at)
    }

    fn in_force(&self, at: Timestamp) -> bool {
        let at = at.to_zoned(TimeZone::UTC);
        self.from.is_none_or(|from| at.date() >= from)
            && self.hours.is_none_or(|hours| hours.contain(at.time()))
    }

    pub(super) fn rate(&self, field: Field, context: u64) -> Option<Rate> {
        let price = match field {
            Field::Input => &self.input,
            Field::CacheRead => &self.cache_read,
            Field::CacheWrite => &self.cache_write,
            Field::CacheWriteLong => &self.cache_write_long,
            Field::Output => &self.output,
            Field::Reasoning => &self.reasoning,
        };
        price.as_ref().map(|price| price.at(context))
    }

    /// The sizes of context above which a rate changes.
    pub(super) fn steps(&self) -> impl Iterator<Item = u64> {
        let prices = [
            &self.input,
            &self.cache_read,
            &self.cache_write,
            &self.cache_write_long,
            &self.output,
            &self.reasoning,
        ];
        prices.into_iter().flatten().flat_map(|price| price.steps.iter().map(|&(above, _)| above))
    }
}

/// The last standard band that is in force.
pub(super) fn standard(bands: &[Band], at: Timestamp) -> Option<&Band> {
    bands.iter().rev().find(|band| band.is_standard() && band.in_force(at))
}

/// A part of each day: `16:30-00:30`, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hours {
    start: Time,
    end: Time,
}

impl Hours {
    fn contain(self, time: Time) -> bool {
        if self.start <= self.end {
            self.start <= time && time < self.end
        } else {
            self.start <= time || time < self.end
        }
    }
}

impl FromStr for Hours {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "hours are written like \"16:30-00:30\"";
        let (start, end) = text.split_once('-').ok_or(wrong)?;
        let time = |text: &str| text.parse::<Time>().map_err(|_| wrong);
        Ok(Self { start: time(start)?, end: time(end)? })
    }
}

/// A rate, and others for all tokens of a request whose context is above a
/// size: `2.5 >272000:5`, in dollars for a million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Price {
    base: Rate,
    /// By size, rising.
    steps: Box<[(u64, Rate)]>,
}

impl Price {
    fn at(&self, context: u64) -> Rate {
        let reached = self.steps.iter().rev().find(|&&(above, _)| context > above);
        reached.map_or(self.base, |&(_, rate)| rate)
    }
}

impl FromStr for Price {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a price is dollars for a million tokens as a string, \"2.5\", with other \
                     rates above a size of context like \"2.5 >272000:5\"";
        let mut words = text.split_ascii_whitespace();
        let base = words.next().and_then(rate).ok_or(wrong)?;
        let step = |word: &str| {
            let (above, text) = word.strip_prefix('>')?.split_once(':')?;
            Some((above.parse().ok()?, rate(text)?))
        };
        let steps: Vec<(u64, Rate)> = words.map(step).collect::<Option<_>>().ok_or(wrong)?;
        if !steps.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err("the sizes of context must rise from left to right");
        }
        Ok(Self { base, steps: steps.into() })
    }
}

fn rate(text: &str) -> Option<Rate> {
    let nanos = text.parse::<Money>().ok()?.nanos();
    Rate::from_nanos_per_million(u64::try_from(nanos).ok()?)
}

/// Reads a type from text, with its own words about what is wrong.
fn from_text<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err = &'static str>,
    D: Deserializer<'de>,
{
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err = &'static str>> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text in quotes")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}

impl<'de> Deserialize<'de> for Price {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_reached_above_its_size() {
        let price: Price = "1 >200:2 >400:3".parse().unwrap();
        let rates = [0, 200, 201, 400, 401, u64::MAX].map(|context| price.at(context));
        let dollars = rates.map(|rate| rate.nanos_per_million() / 1_000_000_000);
        assert_eq!(dollars, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in
            ["", "x", "-1", "1e3", ">5:1", "1 2", "1 >5", "1 >x:2", "1 >5:2 >5:3", "1 >5:2 >4:3"]
        {
            assert!(text.parse::<Price>().is_err(), "{text}");
        }
    }

    #[test]
    fn hours_may_pass_midnight() {
        let hours: Hours = "16:30-00:30".parse().unwrap();
        let contain = |text: &str| hours.contain(text.parse().unwrap());
        assert!(contain("16:30") && contain("23:59:59") && contain("00:29"));
        assert!(!contain("00:30") && !contain("12:00"));
    }
}
