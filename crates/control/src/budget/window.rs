//! When a budget begins anew.

use freehold_store::budgets::Period;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// One run of a budget's period: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment, which names it in the store.
    pub start: Timestamp,
    /// The first moment after it, if it ends.
    pub end: Option<Timestamp>,
}

impl Window {
    /// For [`Period::Total`], and for days at the ends of what a timestamp can
    /// say.
    const ENDLESS: Self = Self { start: Timestamp::UNIX_EPOCH, end: None };

    /// The run of the period that holds `at`, in UTC.
    pub fn of(period: Period, at: Timestamp) -> Self {
        Self::checked(period, at).unwrap_or(Self::ENDLESS)
    }

    fn checked(period: Period, at: Timestamp) -> Result<Self, jiff::Error> {
        let day = at.to_zoned(TimeZone::UTC).start_of_day()?;
        let (start, length) = match period {
            Period::Total => return Ok(Self::ENDLESS),
            Period::Day => (day, 1.day()),
            Period::Week => {
                let since_monday = day.weekday().to_monday_zero_offset();
                (day.checked_sub(i64::from(since_monday).days())?, 1.week())
            }
            Period::Month => (day.first_of_month()?, 1.month()),
            Period::Year => (day.first_of_year()?, 1.year()),
        };
        // The last run that there is does not end.
        let end = start.checked_add(length).ok();
        Ok(Self { start: start.timestamp(), end: end.as_ref().map(Zoned::timestamp) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIODS: [Period; 5] =
        [Period::Total, Period::Day, Period::Week, Period::Month, Period::Year];

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_begin_at_the_instant_and_meet_without_a_gap() {
        let cases = [
            (Period::Day, "2026-02-28T23:59:59.999999999Z", "2026-02-28", "2026-03-01"),
            (Period::Day, "2026-03-01T00:00:00Z", "2026-03-01", "2026-03-02"),
            (Period::Week, "2026-11-22T23:59:59.999999999Z", "2026-11-16", "2026-11-23"),
            (Period::Week, "2026-11-23T00:00:00Z", "2026-11-23", "2026-11-30"),
            (Period::Month, "2026-12-31T23:59:59.999999999Z", "2026-12-01", "2027-01-01"),
            (Period::Month, "2024-02-29T12:00:00Z", "2024-02-01", "2024-03-01"),
            (Period::Year, "2026-01-01T00:00:00Z", "2026-01-01", "2027-01-01"),
            (Period::Year, "2024-12-31T23:59:59.999999999Z", "2024-01-01", "2025-01-01"),
        ];
        for (period, moment, start, end) in cases {
            let window = Window::of(period, at(moment));
            assert_eq!(window.start, at(&format!("{start}T00:00:00Z")), "{period} {moment}");
            assert_eq!(window.end, Some(at(&format!("{end}T00:00:00Z"))), "{period} {moment}");
        }
        assert_eq!(Window::of(Period::Total, at("2026-01-01T00:00:00Z")), Window::ENDLESS);
    }

    #[test]
    fn no_moment_is_outside_of_time() {
        for period in PERIODS {
            for moment in [Timestamp::MIN, Timestamp::MAX] {
                assert!(Window::of(period, moment).end.is_none_or(|end| end > moment));
            }
        }
    }
}
