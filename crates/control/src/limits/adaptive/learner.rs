//! What to make of the cohorts: the limit.

use std::time::Duration;

use crate::limits::adaptive::cohort::{Cohort, CohortId, Finding};
use crate::limits::adaptive::{AdaptiveSettings, Head};

/// Late cohorts in a row before the limit is touched.
const STRIKES: u32 = 2;
/// The share of overloaded answers that is taken as a word.
const OVERLOADED: f64 = 0.1;
/// How far a proven rate falls in a minute in which it is not reached.
const RATE_DECAY_PER_MINUTE: f64 = 0.9;
/// How much of what fits within the tolerable time is used when congested.
const HEADROOM: f64 = 0.75;
/// Good cohorts with room to spare before congestion is over; and good ones
/// before a load is tried again at which the upstream said no.
const CALM: u32 = 10;
/// Good cohorts in which somebody was turned away, before less is tried: what
/// seems usual may have been learned under load.
const DOUBT: u32 = 16;

#[derive(Debug)]
pub(super) struct Learner {
    settings: AdaptiveSettings,
    limit: f64,
    stage: Stage,
    cohort: Cohort,
    normal: Option<Normal>,
    /// The highest rate of heads that was seen, per second.
    rate: f64,
    heads: u32,
    turned_away: bool,
    /// Cohorts in a row in which somebody was turned away.
    turned_away_cohorts: u32,
    /// Where the upstream last said that it was too much.
    ceiling: Option<f64>,
    /// Whether it said so since all was last well.
    said_no: bool,
    judged_at: Option<Duration>,
}

/// The usual time to the head, in seconds.
#[derive(Clone, Copy, Debug)]
struct Normal {
    typical: f64,
    mean: f64,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Nothing speaks against the load, or not often enough.
    Open { strikes: u32 },
    /// The limit was lowered to see whether that helps.
    Trial { before: Finding, limit_before: f64 },
    /// It did. The limit is near what the upstream serves in tolerable time.
    Congested { calm: u32 },
}

impl Learner {
    pub(super) fn new(settings: AdaptiveSettings) -> Self {
        Self {
            settings,
            limit: f64::from(settings.initial),
            stage: Stage::Open { strikes: 0 },
            cohort: Cohort::first(),
            normal: None,
            rate: 0.0,
            heads: 0,
            turned_away: false,
            turned_away_cohorts: 0,
            ceiling: None,
            said_no: false,
            judged_at: None,
        }
    }

    pub(super) fn limit(&self) -> u32 {
        let limit = self.limit.floor().clamp(0.0, f64::from(u32::MAX));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let limit = limit as u32;
        limit.clamp(self.settings.min, self.settings.max.max(self.settings.min))
    }

    /// Never fewer than this. Where nothing but time speaks against the load, those
    /// few are better served late than refused: their time may be that of a
    /// machine which does other things too, and an upstream with few slots has a
    /// queue of its own.
    fn floor(&self) -> f64 {
        let min = self.settings.min;
        f64::from(if self.said_no { min } else { min.max(self.settings.unproven) })
    }

    fn most(&self) -> f64 {
        f64::from(self.settings.max.max(self.settings.min))
    }

    pub(super) fn enter(&mut self, now: Duration, waiting: u32) -> CohortId {
        self.judged_at.get_or_insert(now);
        self.cohort.enter(now, waiting)
    }

    pub(super) fn turned_away(&mut self) {
        self.turned_away = true;
    }

    pub(super) fn gone(&mut self, of: CohortId) {
        self.cohort.gone(of);
    }

    pub(super) fn head(&mut self, now: Duration, of: CohortId, took: Duration, head: Head) {
        if head == Head::Answered {
            self.heads = self.heads.saturating_add(1);
        }
        self.cohort.head(of, took, head);
        let Some(finding) = self.cohort.finding() else { return };
        let seconds = now.saturating_sub(self.judged_at.unwrap_or(now)).as_secs_f64().max(1e-3);
        let rate = f64::from(self.heads) / seconds;
        self.turned_away_cohorts = if self.turned_away { self.turned_away_cohorts + 1 } else { 0 };
        self.judge(finding, rate, seconds);
        self.limit = self.limit.clamp(f64::from(self.settings.min), self.most());
        self.cohort = self.cohort.next();
        self.heads = 0;
        self.turned_away = false;
        self.judged_at = Some(now);
    }

    fn judge(&mut self, finding: Finding, rate: f64, seconds: f64) {
        self.rate = rate.max(self.rate * RATE_DECAY_PER_MINUTE.powf(seconds / 60.0));
        if finding.overloaded >= OVERLOADED {
            // Its own word needs no trial.
            let too_much = self.limit.min(finding.waiting);
            self.ceiling = Some(too_much * 0.95);
            self.said_no = true;
            self.limit = too_much * 0.8;
            self.stage = Stage::Congested { calm: 0 };
            return;
        }
        let normal =
            *self.normal.get_or_insert(Normal { typical: finding.typical, mean: finding.mean });
        let late = finding.typical > self.tolerable(normal.typical);
        match self.stage {
            Stage::Open { .. } | Stage::Congested { .. } if !late && self.doubts(finding) => {
                self.try_less(finding, finding.waiting / 2.0);
            }
            Stage::Open { .. } if !late => self.go_on(finding),
            Stage::Open { strikes } if strikes + 1 < STRIKES => {
                self.stage = Stage::Open { strikes: strikes + 1 };
            }
            Stage::Open { .. } => self.try_less(finding, finding.waiting / 2.0),
            Stage::Trial { before, limit_before } => {
                self.conclude(before, limit_before, finding, rate);
            }
            Stage::Congested { calm } if !late => self.grow(finding, calm),
            Stage::Congested { .. } => self.try_less(finding, self.fits(rate, normal.typical)),
        }
    }

    /// Whether somebody was turned away for so long that it should be for a
    /// good reason, and there is room to find out.
    fn doubts(&self, finding: Finding) -> bool {
        self.turned_away_cohorts >= DOUBT && finding.waiting / 2.0 >= f64::from(self.settings.min)
    }

    /// All is well: as many as the upstream has shown to serve in time.
    fn go_on(&mut self, finding: Finding) {
        self.learn(finding, 0.1);
        let mean = self.normal.map_or(finding.mean, |normal| normal.mean);
        let proven = self.rate * self.tolerable(mean);
        self.limit = proven.max(f64::from(self.settings.unproven));
        self.said_no = false;
        self.stage = Stage::Open { strikes: 0 };
    }

    fn try_less(&mut self, before: Finding, limit: f64) {
        let limit_before = self.limit;
        let less = limit.min(before.waiting / 1.25);
        if less < f64::from(self.settings.min) {
            // So few cannot be the reason for anything.
            self.accept(before, limit_before.max(f64::from(self.settings.min)));
        } else if before.waiting / 1.25 < self.floor() && self.turned_away_cohorts < DOUBT {
            // Fewer would be too few, and nobody asks for more, or not for long.
            self.limit = self.floor();
            self.stage = Stage::Congested { calm: 0 };
        } else {
            self.turned_away_cohorts = 0;
            self.limit = less;
            self.stage = Stage::Trial { before, limit_before };
        }
    }

    /// With all load from us and a queue before the upstream, the time falls
    /// with the load; with none it stays. The middle tells one from the other.
    fn conclude(&mut self, before: Finding, limit_before: f64, after: Finding, rate: f64) {
        let load = (after.waiting / before.waiting).min(1.0);
        let helped = after.typical < before.typical * f64::midpoint(1.0, load);
        if helped {
            // Less load was less time, so even this was not without a queue.
            let unloaded = after.typical / 2.0;
            let typical = self.normal.map_or(unloaded, |normal| normal.typical.min(unloaded));
            self.normal = Some(Normal { typical, mean: after.mean });
            self.rate = rate;
            self.limit = self.fits(rate, typical);
            self.stage = Stage::Congested { calm: 0 };
        } else {
            self.accept(after, limit_before);
        }
    }

    /// What takes long now is the new normal.
    fn accept(&mut self, finding: Finding, limit: f64) {
        self.normal = Some(Normal { typical: finding.typical, mean: finding.mean });
        self.limit = limit;
        self.stage = Stage::Open { strikes: 0 };
    }

    /// Congested, but in time: somewhat more, if somebody would use it.
    fn grow(&mut self, finding: Finding, calm: u32) {
        self.learn(finding, 0.0);
        let full = self.turned_away || finding.waiting > self.limit * 0.8;
        if full {
            let more = self.limit + (self.limit.sqrt() / 2.0).max(self.limit / 8.0);
            let too_much = self.ceiling.is_some_and(|ceiling| more > ceiling);
            if too_much && calm + 1 < CALM {
                self.stage = Stage::Congested { calm: calm + 1 };
            } else {
                // What it said a while ago may not be true any more.
                self.ceiling = self.ceiling.filter(|_| !too_much);
                self.limit = more;
                self.stage = Stage::Congested { calm: 0 };
            }
        } else if calm + 1 < CALM {
            self.stage = Stage::Congested { calm: calm + 1 };
        } else {
            self.go_on(finding);
        }
    }

    /// Follows what is seen: down soon, up slowly, if at all.
    fn learn(&mut self, finding: Finding, up: f64) {
        let Some(normal) = &mut self.normal else { return };
        let follow = |usual: &mut f64, seen: f64, up: f64| {
            *usual += (seen - *usual) * if seen < *usual { 0.5 } else { up };
        };
        // Only what is seen under little load says what is usual.
        let little = finding.waiting * 2.0 < f64::from(self.settings.unproven);
        let up = if little { up } else { 0.0 };
        follow(&mut normal.typical, finding.typical, up);
        follow(&mut normal.mean, finding.mean, 0.1);
    }

    /// The time that a head may take where it usually takes `usual`.
    fn tolerable(&self, usual: f64) -> f64 {
        (usual * self.settings.tolerance).max(self.settings.calm.as_secs_f64())
    }

    /// How many may wait so that at this rate each is served in time.
    fn fits(&self, rate: f64, usual: f64) -> f64 {
        (rate * self.tolerable(usual) * HEADROOM).max(self.floor())
    }
}
