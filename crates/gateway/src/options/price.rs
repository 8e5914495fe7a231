//! A price that the operator sets for a deployment.

use serde::de::{Deserialize, Deserializer, Error};

/// What a deployment costs, in US dollars per million tokens, in place of the
/// price sheet. An amount is written as a string (`"2.50"`), because a float
/// would not be exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceOptions {
    /// Input that no cache held.
    pub input: PerMillion,
    /// Output, reasoning included.
    pub output: PerMillion,
    /// Input read from a prompt cache; `input` where unset.
    #[serde(default)]
    pub cache_read: Option<PerMillion>,
    /// Input written to a prompt cache; `input` where unset.
    #[serde(default)]
    pub cache_write: Option<PerMillion>,
}

/// Nano-dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMillion(pub u64);

/// Dollars per million tokens beyond which a price is a slip of the hand.
const DOLLARS_MAX: u64 = 1_000_000;

impl PerMillion {
    /// Reads a decimal number of dollars with up to nine digits after the
    /// point.
    fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 9 {
            return None;
        }
        let whole: u64 = whole.parse().ok().filter(|&dollars| dollars <= DOLLARS_MAX)?;
        let nanos: u64 = format!("{fraction:0<9}").parse().ok()?;
        Some(Self(whole * 1_000_000_000 + nanos))
    }
}

impl<'de> Deserialize<'de> for PerMillion {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "`{text}` is no price: write dollars per million tokens as a string, for example \"2.50\""
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::PerMillion;

    #[test]
    fn dollars_become_nanos_exactly() {
        assert_eq!(PerMillion::parse("2.50"), Some(PerMillion(2_500_000_000)));
        assert_eq!(PerMillion::parse("0.000000001"), Some(PerMillion(1)));
        assert_eq!(PerMillion::parse("75"), Some(PerMillion(75_000_000_000)));
        for wrong in
            ["", ".", "1.", ".5", "-1", "1e3", "0.0000000001", "99999999999999999999", "1,5"]
        {
            assert_eq!(PerMillion::parse(wrong), None, "{wrong}");
        }
    }
}
