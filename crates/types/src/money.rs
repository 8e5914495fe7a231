//! Money without floats: an exact amount, a price per token, and their sum.

use std::fmt;
use std::str::FromStr;

/// Nano-units in one whole unit of the currency.
const NANOS_PER_UNIT: i128 = 1_000_000_000;
/// Digits after the point.
const DECIMALS: usize = 9;
/// Digits before it of the largest amount that there could be.
const UNIT_DIGITS_MAX: usize = 20;
/// The tokens that a [`Rate`] is a price of.
const TOKENS_PER_RATE: i128 = 1_000_000;

/// An amount of money in nano-units (10⁻⁹) of the cell's currency.
///
/// It holds every amount that its two columns hold, a whole number of units in
/// an `i64` and nanos beside it, and no other: what is larger is `None` from a
/// checked operation and the bound from a saturating one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(i128);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount: 9.2 × 10¹⁸ units and 999,999,999 nanos.
    pub const MAX: Self = Self(i64::MAX as i128 * NANOS_PER_UNIT + NANOS_PER_UNIT - 1);
    /// The smallest amount: -9.2 × 10¹⁸ units.
    pub const MIN: Self = Self(i64::MIN as i128 * NANOS_PER_UNIT);

    /// An amount in nano-units, if it is within the bounds.
    pub fn from_nanos(nanos: i128) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0).contains(&nanos).then_some(Self(nanos))
    }

    /// An amount of whole units.
    pub const fn from_units(units: i64) -> Self {
        Self(units as i128 * NANOS_PER_UNIT)
    }

    /// The amount that two columns hold. `None` if `nanos` is not in
    /// `0..1_000_000_000`.
    pub fn from_columns(units: i64, nanos: i64) -> Option<Self> {
        let nanos = i128::from(nanos);
        (0..NANOS_PER_UNIT)
            .contains(&nanos)
            .then(|| Self(i128::from(units) * NANOS_PER_UNIT + nanos))
    }

    /// The amount as two columns: units rounded down, and the nanos above them
    /// in `0..1_000_000_000`. So half a unit owed is `(-1, 500_000_000)`, and
    /// columns may be summed one by one, whatever the signs.
    pub fn to_columns(self) -> (i64, i64) {
        // Both fit: the type's bounds are those of the columns.
        let units = self.0.div_euclid(NANOS_PER_UNIT);
        let nanos = self.0.rem_euclid(NANOS_PER_UNIT);
        (i64::try_from(units).unwrap_or(i64::MAX), i64::try_from(nanos).unwrap_or(0))
    }

    /// The amount in nano-units.
    pub const fn nanos(self) -> i128 {
        self.0
    }

    /// Whether this is less than nothing.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The sum, if it is within the bounds.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        // Two amounts within the bounds are far from the ends of an i128.
        Self::from_nanos(self.0 + other.0)
    }

    /// The difference, if it is within the bounds.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::from_nanos(self.0 - other.0)
    }

    /// The sum, or the bound that it passes.
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self::clamped(self.0 + other.0)
    }

    /// The difference, or the bound that it passes.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self::clamped(self.0 - other.0)
    }

    fn clamped(nanos: i128) -> Self {
        Self(nanos.clamp(Self::MIN.0, Self::MAX.0))
    }
}

/// Whole units, and as many decimals as it takes: `12.000000034`, `-0.5`, `7`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every exchange logs what it cost: put together here it takes a fifth
        // of the time that formatting its parts would.
        let (digits, unit) = (self.0.unsigned_abs(), NANOS_PER_UNIT.unsigned_abs());
        let part = |digits| u64::try_from(digits).unwrap_or(u64::MAX);
        let (mut units, mut nanos) = (part(digits / unit), part(digits % unit));
        let mut text = [0; UNIT_DIGITS_MAX + 1 + DECIMALS];
        let mut from = text.len();
        let mut put = |byte: u8| {
            from -= 1;
            text[from] = byte;
        };
        // From the back. Below ten.
        let digit = |number: u64| b'0' + u8::try_from(number % 10).unwrap_or(0);
        if nanos != 0 {
            let mut left = DECIMALS;
            while nanos % 10 == 0 {
                nanos /= 10;
                left -= 1;
            }
            for _ in 0..left {
                put(digit(nanos));
                nanos /= 10;
            }
            put(b'.');
        }
        loop {
            put(digit(units));
            units /= 10;
            if units == 0 {
                break;
            }
        }
        let text = text.get(from..).and_then(|text| std::str::from_utf8(text).ok());
        f.pad_integral(self.0 >= 0, "", text.unwrap_or_default())
    }
}

/// Text that is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not digits with at most one point among them.
    #[error("not an amount: write it as digits with a point, like 12.5")]
    Malformed,
    /// More than nine decimals.
    #[error("more than nine decimals")]
    TooFine,
    /// Beyond the bounds.
    #[error("larger than an amount can be")]
    TooLarge,
}

impl FromStr for Money {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) {
            return Err(MoneyError::Malformed);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 9 {
            return Err(MoneyError::TooFine);
        }
        let units: i128 = whole.parse().map_err(|_| MoneyError::TooLarge)?;
        let nanos: i128 = format!("{fraction:0<9}").parse().map_err(|_| MoneyError::Malformed)?;
        let amount = units.checked_mul(NANOS_PER_UNIT).and_then(|units| units.checked_add(nanos));
        let amount = amount.ok_or(MoneyError::TooLarge)?;
        Self::from_nanos(if negative { -amount } else { amount }).ok_or(MoneyError::TooLarge)
    }
}

/// A price: nano-units for a million tokens. $0.075 for a million is
/// `75_000_000`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

impl Rate {
    /// Free of charge.
    pub const ZERO: Self = Self(0);
    /// The dearest price there is.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// A price in nano-units for a million tokens, at most [`Rate::MAX`].
    pub const fn from_nanos_per_million(nanos: u64) -> Option<Self> {
        if nanos <= Self::MAX.0 { Some(Self(nanos)) } else { None }
    }

    /// The price in nano-units for a million tokens.
    pub const fn nanos_per_million(self) -> u64 {
        self.0
    }

    /// The price times `thousandths / 1000`, rounded half to even: a batch at
    /// half price is `scaled(500)`.
    #[must_use]
    pub fn scaled(self, thousandths: u32) -> Self {
        let exact = i128::from(self.0) * i128::from(thousandths);
        let rounded = half_even(exact, 1000);
        Self(u64::try_from(rounded).unwrap_or(Self::MAX.0).min(Self::MAX.0))
    }
}

/// Tokens times rates, added up exactly and rounded once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CostSum {
    /// In millionths of a nano-unit.
    exact: i128,
}

impl CostSum {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { exact: 0 }
    }

    /// Adds `tokens` at `rate`. No real sum comes near the end of an `i128`;
    /// one made up to do so stops there.
    #[must_use]
    pub fn plus(self, tokens: u64, rate: Rate) -> Self {
        // Below 2⁶⁴ × 2⁶³, so the product fits.
        let part = i128::from(tokens) * i128::from(rate.0);
        Self { exact: self.exact.saturating_add(part) }
    }

    /// The sum in money, rounded half to even, and what rounding did to it.
    pub fn total(self) -> (Money, Rounding) {
        let nanos = half_even(self.exact, TOKENS_PER_RATE);
        let rounding = self.exact - nanos * TOKENS_PER_RATE;
        // At most half of the divisor, so it always fits.
        (Money::clamped(nanos), Rounding(i64::try_from(rounding).unwrap_or(0)))
    }

    /// The sum in money, rounded up: no less than any part of it costs.
    pub fn ceiling(self) -> Money {
        let up = i128::from(self.exact % TOKENS_PER_RATE != 0);
        Money::clamped(self.exact / TOKENS_PER_RATE + up)
    }
}

/// What rounding took away (above zero) or gave (below), in millionths of a
/// nano-unit (10⁻¹⁵ units): the exact cost less the rounded one. Between
/// -500,000 and 500,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rounding(pub i64);

/// `exact / divisor` for amounts that are not negative.
fn half_even(exact: i128, divisor: i128) -> i128 {
    let (quotient, rest) = (exact / divisor, exact % divisor);
    match (rest * 2).cmp(&divisor) {
        std::cmp::Ordering::Less => quotient,
        std::cmp::Ordering::Greater => quotient + 1,
        std::cmp::Ordering::Equal => quotient + quotient % 2,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_print_without_spare_zeros() {
        for text in ["0", "7", "-7", "12.000000034", "-0.5", "300000000000.000000001"] {
            assert_eq!(money(text).to_string(), text);
        }
        assert_eq!(money("1.50").to_string(), "1.5");
        assert_eq!(format!("[{:>6}]", money("1.5")), "[   1.5]");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".", "1.", ".5", "+1", "1,5", "1e9", "--1", "1.5.0", " 1", "٣"] {
            assert_eq!(text.parse::<Money>(), Err(MoneyError::Malformed), "{text}");
        }
        assert_eq!("0.1234567891".parse::<Money>(), Err(MoneyError::TooFine));
        for beyond in
            ["9223372036854775808", "-9223372036854775808.1", &"9".repeat(39), &"9".repeat(99)]
        {
            assert_eq!(beyond.parse::<Money>(), Err(MoneyError::TooLarge), "{beyond}");
        }
    }

    #[test]
    fn bounds_are_those_of_the_columns() {
        assert_eq!(Money::MAX.to_columns(), (i64::MAX, 999_999_999));
        assert_eq!(Money::MIN.to_columns(), (i64::MIN, 0));
        assert_eq!(money(&Money::MIN.to_string()), Money::MIN);
        assert_eq!(Money::MAX.checked_add(money("0.000000001")), None);
        assert_eq!(Money::MAX.saturating_add(Money::MAX), Money::MAX);
        assert_eq!(Money::MIN.saturating_sub(Money::MAX), Money::MIN);
        assert_eq!(Money::from_columns(0, 1_000_000_000), None);
        assert_eq!(Money::from_columns(0, -1), None);
    }

    #[test]
    fn rounding_is_half_to_even_and_is_told() {
        let cost = |tokens, rate| CostSum::new().plus(tokens, Rate(rate)).total();
        assert_eq!(cost(1, 500_000), (Money(0), Rounding(500_000)));
        assert_eq!(cost(3, 500_000), (Money(2), Rounding(-500_000)));
        assert_eq!(cost(5, 500_000), (Money(2), Rounding(500_000)));
        assert_eq!(cost(1, 500_001), (Money(1), Rounding(-499_999)));
        // A million tokens at $2.50 is $2.50.
        assert_eq!(cost(1_000_000, 2_500_000_000), (money("2.5"), Rounding(0)));
    }

    #[test]
    fn an_absurd_sum_stops_at_the_bound() {
        let sum = CostSum::new().plus(u64::MAX, Rate::MAX).plus(u64::MAX, Rate::MAX);
        assert_eq!(sum.total().0, Money::MAX);
        assert_eq!(sum.ceiling(), Money::MAX);
        assert_eq!(Rate::MAX.scaled(u32::MAX), Rate::MAX);
    }

    proptest! {
        #[test]
        fn text_and_columns_keep_an_amount(nanos in Money::MIN.0..=Money::MAX.0) {
            let amount = Money(nanos);
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
            let (units, rest) = amount.to_columns();
            prop_assert_eq!(Money::from_columns(units, rest), Some(amount));
        }

        #[test]
        fn a_total_and_its_rounding_are_the_exact_sum(
            parts in prop::collection::vec((0..1_u64 << 40, 0..1_u64 << 40), 0..8),
        ) {
            let sum = parts.iter().fold(CostSum::new(), |sum, &(t, r)| sum.plus(t, Rate(r)));
            let exact: i128 = parts.iter().map(|&(t, r)| i128::from(t) * i128::from(r)).sum();
            let (total, rounding) = sum.total();
            prop_assert_eq!(total.nanos() * TOKENS_PER_RATE + i128::from(rounding.0), exact);
            prop_assert!(rounding.0.abs() <= 500_000);
            prop_assert!(sum.ceiling() >= total);
        }
    }
}
