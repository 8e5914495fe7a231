//! Whose fault a failed attempt is, and what follows from it. Pure.

use std::time::Duration;

use freehold_types::TransportFault;

/// Whose fault a failed attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request itself: any deployment would say the same.
    Client,
    /// The request is too long for this deployment's context.
    TooLong,
    /// The request has no form in this deployment's dialect, or none that
    /// loses nothing where that is asked for.
    Unfit,
    /// Our credential at the provider: unknown, forbidden or out of money.
    Credential,
    /// This deployment does not exist there, or not by this name.
    Missing,
    /// It has as many requests before it as it bears; this one was not sent.
    Full,
    /// The provider's rate limit.
    RateLimited,
    /// The provider failed or is overloaded.
    Server,
    /// The provider did not answer in time.
    Timeout,
    /// No connection, or a broken one.
    Connection,
    /// An answer that cannot be read.
    Garbage,
}

impl Fault {
    /// By the status of an error response and, for 400s, the error's code.
    pub fn of_status(status: u16, code: Option<&str>) -> Self {
        match status {
            401..=403 => Self::Credential,
            404 => Self::Missing,
            408 => Self::Timeout,
            425 | 429 => Self::RateLimited,
            500.. => Self::Server,
            _ if code == Some("context_length_exceeded") => Self::TooLong,
            _ => Self::Client,
        }
    }

    /// By the phase in which the wire failed.
    pub fn of_transport(fault: TransportFault) -> Self {
        match fault {
            TransportFault::ConnectTimeout | TransportFault::HeadersTimeout => Self::Timeout,
            TransportFault::Connect | TransportFault::Broken | TransportFault::Refused => {
                Self::Connection
            }
        }
    }

    /// What the breaker learns.
    pub fn blame(self) -> Blame {
        match self {
            Self::Client | Self::TooLong | Self::Unfit | Self::Missing | Self::Full => {
                Blame::Nobody
            }
            Self::Credential => Blame::Credential,
            Self::RateLimited => Blame::Rest,
            Self::Server | Self::Timeout | Self::Connection | Self::Garbage => Blame::Deployment,
        }
    }

    /// Whether another deployment may do better.
    pub fn falls_over(self) -> bool {
        self != Self::Client
    }

    /// Whether the same deployment may do better a moment later.
    pub fn retries_same(self) -> bool {
        matches!(self, Self::Server | Self::Connection | Self::RateLimited)
    }

    /// A word for logs and metric labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::TooLong => "too_long",
            Self::Unfit => "unfit",
            Self::Credential => "credential",
            Self::Missing => "missing",
            Self::Full => "full",
            Self::RateLimited => "rate_limited",
            Self::Server => "server",
            Self::Timeout => "timeout",
            Self::Connection => "connection",
            Self::Garbage => "garbage",
        }
    }
}

/// Who is to blame for a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Nobody whom we keep a record of.
    Nobody,
    /// The deployment: its breaker counts it.
    Deployment,
    /// The deployment asked for a rest.
    Rest,
    /// The provider's credential: it is down for all its deployments.
    Credential,
}

/// How often and how soon to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Attempts after the first, over all deployments.
    pub most: u32,
    /// Retries of the same deployment may be this share of its requests, in
    /// percent; a storm beyond it is cut off.
    pub budget_percent: u32,
    /// The first wait before the same deployment is tried again.
    pub base: Duration,
    /// The longest wait. A provider that asks for more is left alone.
    pub longest: Duration,
}

impl Default for RetryRule {
    fn default() -> Self {
        Self {
            most: 2,
            budget_percent: 20,
            base: Duration::from_millis(100),
            longest: Duration::from_secs(5),
        }
    }
}

impl RetryRule {
    /// The wait before the `nth` retry (from 0) of one deployment: doubling,
    /// with full jitter by `chance` (uniform), never below what the provider
    /// asked for. `None` if that is longer than the rule allows.
    pub fn wait(&self, nth: u32, asked: Option<Duration>, chance: u64) -> Option<Duration> {
        let factor = 1_u32.checked_shl(nth.min(16)).unwrap_or(u32::MAX);
        let most = self.base.saturating_mul(factor).min(self.longest);
        let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let jittered = Duration::from_micros(chance % micros.saturating_add(1));
        let wait = jittered.max(asked.unwrap_or_default());
        (wait <= self.longest).then_some(wait)
    }
}

/// Keeps retries a bounded share of requests (a token bucket in hundredths).
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    cents: u32,
    most: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        // Ten retries in hand, so that a quiet route may retry at all.
        Self { cents: 1_000, most: 10_000 }
    }
}

impl RetryBudget {
    /// A first attempt was made.
    pub fn deposit(&mut self, rule: &RetryRule) {
        self.cents = self.cents.saturating_add(rule.budget_percent).min(self.most);
    }

    /// Takes the price of one retry, if there is enough.
    pub fn withdraw(&mut self) -> bool {
        match self.cents.checked_sub(100) {
            Some(left) => {
                self.cents = left;
                true
            }
            None => false,
        }
    }
}

/// What `Retry-After` (seconds or an HTTP date, RFC 9110 section 10.2.3) or
/// `retry-after-ms` says, from `now`.
pub fn retry_after(headers: &http::HeaderMap, now: jiff::Timestamp) -> Option<Duration> {
    if let Some(ms) = headers.get("retry-after-ms").and_then(|v| v.to_str().ok())
        && let Ok(ms) = ms.trim().parse::<f64>()
        && let Ok(wait) = Duration::try_from_secs_f64(ms / 1000.0)
    {
        return Some(wait);
    }
    let value = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_by_status() {
        for (status, code, fault) in [
            (400, None, Fault::Client),
            (400, Some("context_length_exceeded"), Fault::TooLong),
            (401, None, Fault::Credential),
            (402, None, Fault::Credential),
            (403, None, Fault::Credential),
            (404, None, Fault::Missing),
            (408, None, Fault::Timeout),
            (413, None, Fault::Client),
            (422, None, Fault::Client),
            (429, None, Fault::RateLimited),
            (500, None, Fault::Server),
            (529, None, Fault::Server),
        ] {
            assert_eq!(Fault::of_status(status, code), fault, "{status} {code:?}");
        }
    }

    #[test]
    fn waits_double_with_jitter_and_heed_the_provider() {
        let rule = RetryRule::default();
        assert_eq!(rule.wait(0, None, 0), Some(Duration::ZERO));
        assert!(rule.wait(3, None, u64::MAX).unwrap() <= Duration::from_millis(800));
        let asked = Some(Duration::from_secs(2));
        assert!(rule.wait(0, asked, 7).unwrap() >= Duration::from_secs(2));
        assert_eq!(rule.wait(0, Some(Duration::from_secs(6)), 7), None);
    }

    #[test]
    fn the_budget_bounds_a_storm() {
        let rule = RetryRule::default();
        let mut budget = RetryBudget::default();
        let mut retries = 0;
        for _ in 0..1_000 {
            budget.deposit(&rule);
            if budget.withdraw() {
                retries += 1;
            }
        }
        assert!((200..=215).contains(&retries), "{retries}");
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now: jiff::Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let after = |name: &'static str, value: &str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            retry_after(&headers, now)
        };
        assert_eq!(after("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(after("retry-after-ms", "250"), Some(Duration::from_millis(250)));
        assert_eq!(
            after("retry-after", "Fri, 02 Jan 2026 03:05:05 GMT"),
            Some(Duration::from_secs(60))
        );
        assert_eq!(after("retry-after", "Fri, 02 Jan 2026 03:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(after("retry-after", "soon"), None);
        assert_eq!(after("retry-after", "-1"), None);
    }
}
