//! Events of timers.

use freehold_types::{CallId, Offset, TimerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Content, Text};

/// A timer is set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimerSet {
    /// Which.
    pub timer: TimerId,
    /// When it fires first.
    pub due: Timestamp,
    /// When it fires again.
    pub repeat: Repeat,
    /// What it does.
    pub purpose: TimerPurpose,
}

/// When a timer fires again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Repeat {
    /// Never.
    Once,
    /// After so many milliseconds, counted from when it was due.
    EveryMs(u64),
    /// By a crontab expression with the name of its time zone:
    /// `0 9 * * MON-FRI Europe/Berlin`.
    Cron(Text<64>),
}

impl Repeat {
    /// A schedule by a crontab expression; the error says what is wrong with
    /// it.
    pub fn cron(text: &str) -> Result<Self, String> {
        cronexpr::parse_crontab(text).map_err(|error| error.to_string())?;
        Text::new(text).map(Self::Cron).map_err(|error| error.to_string())
    }

    /// When a timer that was due fires again: the first time after now that
    /// is a whole number of periods later, so that what was missed is fired
    /// once and not caught up with.
    ///
    /// A schedule counts from now alone. One that cannot be read, or that has
    /// no next time, fires no more.
    pub fn next(&self, due: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let period = match self {
            Self::Once => return None,
            Self::EveryMs(period) => *period,
            Self::Cron(text) => {
                let schedule = cronexpr::parse_crontab(text.as_str()).ok()?;
                return Some(schedule.find_next(now.max(due)).ok()?.timestamp());
            }
        };
        let period = i64::try_from(period).ok()?.max(1);
        let late = now.as_millisecond().saturating_sub(due.as_millisecond()).max(0);
        let periods = (late / period).checked_add(1)?;
        let next = due.as_millisecond().checked_add(periods.checked_mul(period)?)?;
        Timestamp::from_millisecond(next).ok()
    }
}

/// What a timer does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum TimerPurpose {
    /// It is an input, queued when it fires.
    Input(Content),
    /// It ends a call that waits until then.
    Call(CallId),
}

/// A timer fired. An event for each firing, and no firing without.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimerFired {
    /// Which.
    pub timer: TimerId,
    /// The event that set it, which holds its content.
    pub set: Offset,
    /// When it was due.
    pub due: Timestamp,
    /// When it fires again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Timestamp>,
}

/// A timer will not fire any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimerCancelled {
    /// Which.
    pub timer: TimerId,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    #[test]
    fn what_was_missed_is_not_caught_up_with() {
        let every = Repeat::EveryMs(10);
        assert_eq!(every.next(at(100), at(100)), Some(at(110)));
        assert_eq!(every.next(at(100), at(109)), Some(at(110)));
        assert_eq!(every.next(at(100), at(155)), Some(at(160)));
        assert_eq!(every.next(at(100), at(50)), Some(at(110)), "a clock that went back");
        assert_eq!(Repeat::Once.next(at(100), at(100)), None);
        assert_eq!(Repeat::EveryMs(u64::MAX).next(at(100), at(100)), None);
        let nine = Repeat::cron("0 9 * * MON-FRI Europe/Berlin").unwrap();
        let friday: Timestamp = "2026-10-23T07:00:00Z".parse().unwrap();
        // The clocks go back on the Sunday between.
        let monday: Timestamp = "2026-10-26T08:00:00Z".parse().unwrap();
        assert_eq!(nine.next(friday, friday), Some(monday));
        assert!(Repeat::cron("0 9 * * *").is_err(), "a time zone must be named");
        assert_eq!(Repeat::EveryMs(0).next(at(100), at(100)), Some(at(101)));
    }
}
