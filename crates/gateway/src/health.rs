//! What is known of a deployment's health: breaker, latency, back-off.
//!
//! Pure: time comes in as a duration since an arbitrary start. A client's own
//! fault never reaches this module (see [`crate::retry::Fault`]).

use std::time::Duration;

/// When a breaker opens and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerRule {
    /// Failures in a row that open it.
    pub consecutive: u32,
    /// Or this share of failures, in percent, ...
    pub failure_percent: u32,
    /// ... of at least this many requests within the window.
    pub least_requests: u32,
    /// The window.
    pub window: Duration,
    /// How long it stays open at first; doubles with each trip in a row.
    pub open: Duration,
    /// The most it stays open.
    pub open_most: Duration,
}

impl Default for BreakerRule {
    fn default() -> Self {
        Self {
            consecutive: 5,
            failure_percent: 50,
            least_requests: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(2),
            open_most: Duration::from_secs(60),
        }
    }
}

/// Whether a deployment may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Yes,
    /// It may, and the result decides whether the breaker closes. Exactly one
    /// caller gets this at a time; it must report an outcome or give it up.
    Probe,
    /// Not before this much time has passed.
    No(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration },
    HalfOpen { probing_since: Option<Duration> },
}

/// How long everything must have failed before a last resort is held back.
const SUSTAINED: Duration = Duration::from_secs(2);

/// How often a last resort that is held back is tried. It does not grow: one
/// request a second is no load to any provider, and whoever has no other one
/// should hear of its recovery at once.
const LAST_RESORT_EVERY: Duration = Duration::from_secs(1);

/// A probe that reports nothing for this long is taken for lost.
const PROBE_LOST: Duration = Duration::from_secs(60);

/// The health of one deployment.
#[derive(Clone, Debug)]
pub struct Health {
    rule: BreakerRule,
    state: State,
    trips: u32,
    in_a_row: u32,
    /// Failures since the last success, and when the first of them was.
    failing: Option<(u32, Duration)>,
    /// When a held-back last resort may be tried again.
    last_resort_at: Duration,
    window_start: Duration,
    requests: u32,
    failures: u32,
    /// Told to wait by the provider (429).
    rest_until: Duration,
    latency: PeakEwma,
}

impl Health {
    /// A deployment of which nothing is known.
    pub fn new(rule: BreakerRule) -> Self {
        Self {
            rule,
            state: State::Closed,
            trips: 0,
            in_a_row: 0,
            failing: None,
            last_resort_at: Duration::ZERO,
            window_start: Duration::ZERO,
            requests: 0,
            failures: 0,
            rest_until: Duration::ZERO,
            latency: PeakEwma::default(),
        }
    }

    /// A rule that holds from now on; what is open stays so for its time.
    pub fn follow(&mut self, rule: BreakerRule) {
        self.rule = rule;
    }

    /// Whether it may be tried now. A `Probe` is given out by asking.
    pub fn ask(&mut self, now: Duration) -> Verdict {
        match self.peek(now) {
            Verdict::Probe => {
                self.state = State::HalfOpen { probing_since: Some(now) };
                Verdict::Probe
            }
            other => other,
        }
    }

    /// Whether it could be tried now, without taking the probe.
    pub fn peek(&self, now: Duration) -> Verdict {
        if now < self.rest_until {
            return Verdict::No(self.rest_until.saturating_sub(now));
        }
        match self.state {
            State::Closed => Verdict::Yes,
            State::Open { until } if now < until => Verdict::No(until.saturating_sub(now)),
            State::HalfOpen { probing_since: Some(since) }
                if now.saturating_sub(since) < PROBE_LOST =>
            {
                Verdict::No(Duration::from_millis(250))
            }
            State::Open { .. } | State::HalfOpen { .. } => Verdict::Probe,
        }
    }

    /// Whether it may be tried now by a request that nobody else takes. Where
    /// another deployment stands in, a breaker may be wrong at no cost; here
    /// it would keep from a client what the provider would still have served.
    /// So a last resort is tried whatever [`Health::ask`] says, unless nothing
    /// but failures came of it for `SUSTAINED` and
    /// [`BreakerRule::least_requests`]; and then one request a second still
    /// is, of which the first that succeeds closes the breaker.
    pub fn ask_last(&mut self, now: Duration) -> Verdict {
        if !self.is_down(now) {
            return Verdict::Yes;
        }
        if now < self.last_resort_at {
            return Verdict::No(self.last_resort_at.saturating_sub(now));
        }
        self.last_resort_at = now + LAST_RESORT_EVERY;
        Verdict::Probe
    }

    /// True while the breaker is open and nothing succeeds.
    fn is_down(&self, now: Duration) -> bool {
        self.state != State::Closed
            && self.failing.is_some_and(|(count, since)| {
                count >= self.rule.least_requests && now.saturating_sub(since) >= SUSTAINED
            })
    }

    /// An attempt was answered; `head` is the time to the answer's head.
    pub fn succeeded(&mut self, now: Duration, head: Duration) {
        self.count(now);
        self.in_a_row = 0;
        self.failing = None;
        self.latency.observe(now, head);
        if self.state != State::Closed {
            self.state = State::Closed;
            self.trips = 0;
            self.requests = 0;
            self.failures = 0;
        }
    }

    /// An attempt failed by the provider's fault.
    pub fn failed(&mut self, now: Duration) {
        self.count(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.failures = self.failures.saturating_add(1);
        let (count, since) = self.failing.unwrap_or((0, now));
        self.failing = Some((count.saturating_add(1), since));
        let share = self.failures.saturating_mul(100)
            >= self.requests.saturating_mul(self.rule.failure_percent);
        let many = self.requests >= self.rule.least_requests && share;
        let probing = matches!(self.state, State::HalfOpen { .. });
        if probing
            || (self.state == State::Closed && (many || self.in_a_row >= self.rule.consecutive))
        {
            let factor = 1_u32.checked_shl(self.trips.min(16)).unwrap_or(u32::MAX);
            let open = self.rule.open.saturating_mul(factor).min(self.rule.open_most);
            self.trips = self.trips.saturating_add(1);
            self.state = State::Open { until: now + open };
            self.in_a_row = 0;
            self.requests = 0;
            self.failures = 0;
        }
    }

    /// An attempt ended without saying anything of the provider: the client's
    /// fault, or it went away. A probe is given back.
    pub fn abstained(&mut self) {
        if let State::HalfOpen { probing_since } = &mut self.state {
            *probing_since = None;
        }
    }

    /// The provider asked for a rest.
    pub fn rest(&mut self, now: Duration, how_long: Duration) {
        self.abstained();
        self.rest_until = self.rest_until.max(now + how_long.min(Duration::from_secs(300)));
    }

    /// True while the breaker keeps requests away.
    pub fn is_open(&self, now: Duration) -> bool {
        matches!(self.state, State::Open { until } if now < until)
    }

    /// The peak-sensitive mean of the time to an answer's head.
    pub fn latency(&self, now: Duration) -> Duration {
        self.latency.at(now)
    }

    fn count(&mut self, now: Duration) {
        if now.saturating_sub(self.window_start) > self.rule.window {
            self.window_start = now;
            self.requests = 0;
            self.failures = 0;
        }
        self.requests = self.requests.saturating_add(1);
    }
}

/// A moving mean that rises at once to a peak and decays slowly, so that a
/// deployment that turned slow is left quickly and retried gently (as in
/// Finagle's load balancer).
#[derive(Clone, Copy, Debug, Default)]
struct PeakEwma {
    mean_s: f64,
    at: Duration,
}

const DECAY_S: f64 = 10.0;

impl PeakEwma {
    fn observe(&mut self, now: Duration, sample: Duration) {
        let sample = sample.as_secs_f64();
        let decayed = self.decayed(now);
        self.mean_s = if sample > decayed {
            sample
        } else {
            let weight = (-(now.saturating_sub(self.at).as_secs_f64()) / DECAY_S).exp();
            self.mean_s * weight + sample * (1.0 - weight)
        };
        self.at = now;
    }

    fn decayed(&self, now: Duration) -> f64 {
        self.mean_s * (-(now.saturating_sub(self.at).as_secs_f64()) / DECAY_S).exp()
    }

    fn at(&self, now: Duration) -> Duration {
        Duration::try_from_secs_f64(self.decayed(now)).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn opened() -> Health {
        let mut health = Health::new(BreakerRule::default());
        for _ in 0..5 {
            assert_eq!(health.ask(S), Verdict::Yes);
            health.failed(S);
        }
        health
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_probe_closes_it() {
        let mut health = opened();
        assert_eq!(health.ask(S), Verdict::No(2 * S));
        assert!(health.is_open(2 * S));
        assert_eq!(health.ask(3 * S), Verdict::Probe);
        assert!(matches!(health.ask(3 * S), Verdict::No(_)), "one probe at a time");
        health.succeeded(3 * S, S);
        assert_eq!(health.ask(3 * S), Verdict::Yes);
    }

    #[test]
    fn a_failed_probe_doubles_the_wait() {
        let mut health = opened();
        assert_eq!(health.ask(3 * S), Verdict::Probe);
        health.failed(3 * S);
        assert_eq!(health.ask(3 * S), Verdict::No(4 * S));
        assert_eq!(health.ask(7 * S), Verdict::Probe);
    }

    #[test]
    fn a_probe_that_says_nothing_is_given_out_again() {
        let mut health = opened();
        assert_eq!(health.ask(3 * S), Verdict::Probe);
        health.abstained();
        assert_eq!(health.ask(3 * S), Verdict::Probe);
        assert_eq!(health.ask(3 * S + PROBE_LOST), Verdict::Probe);
    }

    #[test]
    fn a_share_of_failures_opens_it() {
        let mut health = Health::new(BreakerRule::default());
        for n in 0..20 {
            if n % 2 == 0 { health.failed(S) } else { health.succeeded(S, S) }
        }
        // The 20th request was a success; the next failure finds half failed.
        assert_eq!(health.ask(S), Verdict::Yes);
        health.failed(S);
        assert!(health.is_open(S));
    }

    #[test]
    fn a_last_resort_is_held_back_only_when_nothing_succeeds_for_some_time() {
        let mut health = opened();
        assert_eq!(health.ask_last(S), Verdict::Yes, "five failures are no proof");
        for _ in 5..20 {
            health.failed(2 * S);
        }
        assert_eq!(health.ask_last(2 * S), Verdict::Yes, "nor is a moment");
        assert_eq!(health.ask_last(3 * S), Verdict::Probe);
        assert_eq!(health.ask_last(3 * S), Verdict::No(S));
        assert_eq!(health.ask_last(3 * S + S / 4), Verdict::No(S * 3 / 4));
        health.failed(3 * S);
        assert_eq!(
            health.ask_last(4 * S),
            Verdict::Probe,
            "a second later, however often it fails"
        );
        health.succeeded(4 * S, S);
        assert_eq!((health.ask_last(4 * S), health.ask(4 * S)), (Verdict::Yes, Verdict::Yes));
    }

    #[test]
    fn a_last_resort_that_serves_some_is_never_held_back() {
        let mut health = Health::new(BreakerRule::default());
        for n in 0..2_000 {
            let now = S + Duration::from_millis(10) * n;
            assert_eq!(health.ask_last(now), Verdict::Yes, "{n}");
            if n % 10 == 9 { health.succeeded(now, S) } else { health.failed(now) }
        }
    }

    #[test]
    fn a_last_resort_with_few_requests_is_never_held_back() {
        let mut health = Health::new(BreakerRule::default());
        for n in 1..500 {
            assert!(!matches!(health.ask_last(S * n), Verdict::No(_)), "{n}");
            health.failed(S * n);
        }
    }

    #[test]
    fn a_rest_is_kept_and_bounded() {
        let mut health = Health::new(BreakerRule::default());
        health.rest(S, 7 * S);
        assert_eq!(health.ask(2 * S), Verdict::No(6 * S));
        assert_eq!(health.ask(8 * S), Verdict::Yes);
        health.rest(8 * S, Duration::MAX);
        assert_eq!(health.ask(8 * S), Verdict::No(300 * S));
    }

    #[test]
    fn latency_jumps_up_and_sinks_slowly() {
        let mut health = Health::new(BreakerRule::default());
        health.succeeded(S, S);
        health.succeeded(2 * S, 4 * S);
        assert_eq!(health.latency(2 * S), 4 * S);
        health.succeeded(3 * S, S);
        assert!(health.latency(3 * S) > 3 * S);
        assert!(health.latency(60 * S) < S);
    }
}
