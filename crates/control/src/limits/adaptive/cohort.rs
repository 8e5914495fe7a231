//! A sample of exchanges that is fair to the slow ones.

use std::time::Duration;

use crate::limits::adaptive::Head;

/// Which cohort an exchange belongs to; 0 is none.
pub(super) type CohortId = u64;

/// The least that makes a sample.
const SIZE_MIN: u32 = 16;
/// Enough for any noise.
const SIZE_MAX: u32 = 128;
/// A cohort takes at least this long to gather, to see more than one burst.
const GATHER_MIN: Duration = Duration::from_millis(50);
/// The standard error that the mean of logarithms should have.
const ERROR: f64 = 0.15;

/// Exchanges that began one after the other. They are judged when nine in ten
/// have their heads: whoever judged by what comes back first would see the
/// short ones only.
#[derive(Debug)]
pub(super) struct Cohort {
    id: CohortId,
    began_at: Option<Duration>,
    size: u32,
    sealed: bool,
    began: u32,
    waiting_sum: u64,
    answered: u32,
    overloaded: u32,
    log_sum: f64,
    log_squares: f64,
    seconds_sum: f64,
}

/// What a cohort has shown.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finding {
    /// The share that the upstream was too loaded for.
    pub(super) overloaded: f64,
    /// The geometric mean of the time to the head, in seconds.
    pub(super) typical: f64,
    /// The mean of it.
    pub(super) mean: f64,
    /// How many waited when one began, on average.
    pub(super) waiting: f64,
}

impl Cohort {
    pub(super) fn first() -> Self {
        Self::new(1, SIZE_MIN)
    }

    fn new(id: CohortId, size: u32) -> Self {
        Self {
            id,
            began_at: None,
            size,
            sealed: false,
            began: 0,
            waiting_sum: 0,
            answered: 0,
            overloaded: 0,
            log_sum: 0.0,
            log_squares: 0.0,
            seconds_sum: 0.0,
        }
    }

    /// The one after this, as large as the noise in this one asks for.
    pub(super) fn next(&self) -> Self {
        let n = f64::from(self.answered.max(1));
        let mean = self.log_sum / n;
        let variance = (self.log_squares / n - mean * mean).max(0.0);
        let wanted = (variance / (ERROR * ERROR)).ceil();
        let size = if wanted >= f64::from(SIZE_MAX) {
            SIZE_MAX
        } else {
            // Between 0 and SIZE_MAX, so it fits.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded")]
            let wanted = wanted as u32;
            wanted.max(SIZE_MIN)
        };
        Self::new(self.id + 1, size)
    }

    /// Takes an exchange in, unless the cohort is complete.
    pub(super) fn enter(&mut self, now: Duration, waiting: u32) -> CohortId {
        if self.sealed {
            return 0;
        }
        let began_at = *self.began_at.get_or_insert(now);
        self.began += 1;
        self.waiting_sum += u64::from(waiting);
        self.sealed = self.began >= self.size && now.saturating_sub(began_at) >= GATHER_MIN;
        self.id
    }

    pub(super) fn head(&mut self, of: CohortId, took: Duration, head: Head) {
        if of != self.id {
            return;
        }
        match head {
            Head::Overloaded => self.overloaded += 1,
            Head::Answered => {
                let seconds = took.as_secs_f64().max(1e-6);
                let log = seconds.ln();
                self.answered += 1;
                self.log_sum += log;
                self.log_squares += log * log;
                self.seconds_sum += seconds;
            }
        }
    }

    /// One leaves without a head. A cohort of too few takes in others again:
    /// nothing is to be learned from none.
    pub(super) fn gone(&mut self, of: CohortId) {
        if of != self.id || self.began == 0 {
            return;
        }
        // What it saw waiting leaves with it, as far as that is known.
        self.waiting_sum -= self.waiting_sum / u64::from(self.began);
        self.began -= 1;
        self.sealed = self.sealed && self.began >= SIZE_MIN;
    }

    /// What it shows, once nine in ten have their heads.
    pub(super) fn finding(&self) -> Option<Finding> {
        let known = self.answered + self.overloaded;
        if !self.sealed || u64::from(known) * 10 < u64::from(self.began) * 9 {
            return None;
        }
        let (began, answered) = (f64::from(self.began.max(1)), f64::from(self.answered.max(1)));
        #[expect(clippy::cast_precision_loss, reason = "a sum of small numbers")]
        let waiting_sum = self.waiting_sum as f64;
        Some(Finding {
            overloaded: f64::from(self.overloaded) / f64::from(known.max(1)),
            typical: (self.log_sum / answered).exp(),
            mean: self.seconds_sum / answered,
            waiting: waiting_sum / began,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many enter, from a time on, far enough from each other.
    fn enter(cohort: &mut Cohort, from: u32, count: u32, waiting: u32) {
        for n in from..from + count {
            assert_eq!(cohort.enter(GATHER_MIN * n, waiting), 1);
        }
    }

    #[test]
    fn a_cohort_that_has_gone_away_shows_nothing_and_makes_room() {
        let mut cohort = Cohort::first();
        enter(&mut cohort, 1, SIZE_MIN, 1_000);
        assert_eq!(cohort.enter(GATHER_MIN * 100, 1), 0, "it is complete");
        (0..SIZE_MIN).for_each(|_| cohort.gone(1));
        cohort.head(0, Duration::from_secs(9), Head::Answered);
        assert_eq!(cohort.finding(), None);

        enter(&mut cohort, 100, SIZE_MIN, 4);
        let took = Duration::from_millis(200);
        (0..SIZE_MIN).for_each(|_| cohort.head(1, took, Head::Answered));
        let finding = cohort.finding().unwrap();
        assert!((finding.typical - 0.2).abs() < 1e-9, "{finding:?}");
        assert!((finding.waiting - 4.0).abs() < 0.5, "{finding:?}");
    }

    #[test]
    fn the_place_of_one_that_has_gone_is_another_ones() {
        let mut cohort = Cohort::first();
        enter(&mut cohort, 1, SIZE_MIN, 10);
        cohort.gone(1);
        enter(&mut cohort, 100, 1, 10);
        (1..SIZE_MIN).for_each(|_| cohort.head(1, Duration::from_millis(1), Head::Answered));
        assert!(cohort.finding().is_some_and(|finding| (finding.waiting - 10.0).abs() < 1.0));
    }
}
