//! When a budget begins anew.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// The time that a budget is for. Days and months are those of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Period {
    /// All time: it never begins anew.
    Total,
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

/// One run of a period: from `start` up to and without `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first moment. For [`Period::Total`] the earliest there is.
    pub start: Timestamp,
    /// The first moment after it, if it ends.
    pub end: Option<Timestamp>,
}

impl Period {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Total, Self::Day, Self::Month];

    /// The word in configuration, store and API.
    pub fn word(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// The run of the period that holds `at`.
    pub fn window(self, at: Timestamp) -> Window {
        let midnight = at.to_zoned(TimeZone::UTC).start_of_day();
        match (self, midnight) {
            (Self::Day, Ok(start)) => run(&start, start.checked_add(1.day())),
            (Self::Month, Ok(midnight)) => match midnight.first_of_month() {
                Ok(start) => run(&start, start.checked_add(1.month())),
                Err(_) => ENDLESS,
            },
            (Self::Total, _) | (_, Err(_)) => ENDLESS,
        }
    }
}

/// Holds every moment. Besides [`Period::Total`] it stands for days and months
/// at the ends of what a timestamp can say.
const ENDLESS: Window = Window { start: Timestamp::MIN, end: None };

fn run(start: &Zoned, end: Result<Zoned, jiff::Error>) -> Window {
    Window { start: start.timestamp(), end: end.ok().map(|end| end.timestamp()) }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Text that is not a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a period: use `total`, `day` or `month`")]
pub struct PeriodError;

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(word: &str) -> Result<Self, PeriodError> {
        Self::ALL.into_iter().find(|period| period.word() == word).ok_or(PeriodError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn windows_begin_at_the_instant_and_meet_without_a_gap() {
        let cases = [
            (Period::Day, "2026-02-28T23:59:59.999999999Z", "2026-02-28", "2026-03-01"),
            (Period::Day, "2026-03-01T00:00:00Z", "2026-03-01", "2026-03-02"),
            (Period::Month, "2026-12-31T23:59:59.999999999Z", "2026-12-01", "2027-01-01"),
            (Period::Month, "2024-02-29T12:00:00Z", "2024-02-01", "2024-03-01"),
            (Period::Month, "2027-01-01T00:00:00Z", "2027-01-01", "2027-02-01"),
        ];
        for (period, moment, start, end) in cases {
            let window = period.window(at(moment));
            assert_eq!(window.start, at(&format!("{start}T00:00:00Z")), "{period} {moment}");
            assert_eq!(window.end, Some(at(&format!("{end}T00:00:00Z"))), "{period} {moment}");
        }
    }

    #[test]
    fn the_whole_and_the_ends_of_time_do_not_end() {
        assert_eq!(Period::Total.window(at("2026-01-01T00:00:00Z")), ENDLESS);
        for period in Period::ALL {
            for moment in [Timestamp::MIN, Timestamp::MAX] {
                let window = period.window(moment);
                assert!(window.start <= moment && window.end.is_none_or(|end| end > moment));
            }
        }
    }

    #[test]
    fn words_come_back() {
        for period in Period::ALL {
            assert_eq!(period.word().parse(), Ok(period));
        }
        assert_eq!("week".parse::<Period>(), Err(PeriodError));
    }
}
