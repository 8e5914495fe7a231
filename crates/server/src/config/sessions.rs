//! `[sessions]`: agents' sessions, and this node among the nodes.

use std::time::Duration;

use freehold_gateway::options::At;
use freehold_runtime::decide::{ApprovalRule, Rules};
use freehold_runtime::event::{Deciders, Limits};
use freehold_runtime::sessions::Options;
use freehold_store::membership::MembershipOptions;
use freehold_types::Money;
use serde::Deserialize;

/// The `[sessions]` table. All of it needs a restart.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionOptions {
    /// What operators call this node. Default: the host's name.
    pub node: Option<String>,
    /// Where other nodes reach this one, with its scheme. Default: where it
    /// listens.
    pub advertise: Option<String>,
    /// How often the node's heart beats, in milliseconds. Default: 300.
    pub beat_ms: u64,
    /// A node whose heart has not beaten for so long is dead, in milliseconds.
    /// Default: 1,500.
    pub dead_after_ms: u64,
    /// A session that has nothing to do is let go of after so long, in
    /// milliseconds. Default: 10,000.
    pub idle_ms: u64,
    /// The most sessions that a node works on at one time. Default: 20,000.
    pub live_max: usize,
    /// Times that a model is asked in a turn, unless its settings say so. At a
    /// limit a turn pauses and asks. Default: 200.
    pub turn_steps_max: Option<u64>,
    /// Tokens of a turn, in and out. Default: no limit.
    pub turn_tokens_max: Option<u64>,
    /// What a turn may cost, in the budgets' unit (`"0.50"`). Default: no
    /// limit but the key's budgets.
    pub turn_cost_max: Option<String>,
    /// Seconds that a turn may be at work. Default: no limit.
    pub turn_seconds_max: Option<u64>,
    /// How often in a row a model may fail before the turn does. Default: 5.
    pub failures_max: u32,
    /// A turn in which nothing happens for so long, and that waits for nobody,
    /// is freed, in seconds. Default: 900.
    pub stuck_seconds: u64,
    /// The context is compacted when it has so many tokens. Default: never by
    /// itself.
    pub compact_at_tokens: Option<u64>,
    /// How long a person has to decide about a call in doubt, in hours.
    /// Default: 720.
    pub doubt_hours: u64,
    /// How many days a session is kept after its last event, if it waits for
    /// nothing; 0 is for ever. Default: 0.
    pub retention_days: u32,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            node: None,
            advertise: None,
            beat_ms: 300,
            dead_after_ms: 1_500,
            idle_ms: 10_000,
            live_max: 20_000,
            turn_steps_max: Some(200),
            turn_tokens_max: None,
            turn_cost_max: None,
            turn_seconds_max: None,
            failures_max: 5,
            stuck_seconds: 900,
            compact_at_tokens: None,
            doubt_hours: 720,
            retention_days: 0,
        }
    }
}

/// The longest retention that can be asked for, in days: ten years.
const RETENTION_DAYS_MAX: u32 = 3_653;
const DAY: Duration = Duration::from_secs(24 * 3_600);

impl SessionOptions {
    pub(super) fn validate(&self, at: &mut At<'_>) {
        if !(50..=60_000).contains(&self.beat_ms) {
            at.add("beat_ms", format!("{} is not between 50 and 60000", self.beat_ms));
        }
        if self.dead_after_ms < self.beat_ms.saturating_mul(3) {
            at.add(
                "dead_after_ms",
                "it must be three beats at least, or a busy node is taken for dead",
            );
        }
        if let Some(advertise) = &self.advertise {
            let good = advertise.starts_with("http://") || advertise.starts_with("https://");
            if !good || advertise.parse::<http::Uri>().is_err() {
                at.add("advertise", "write an address with its scheme: `http://10.0.0.5:8484`");
            }
        }
        if self.retention_days > RETENTION_DAYS_MAX {
            let days = self.retention_days;
            at.add(
                "retention_days",
                format!("{days} is more than {RETENTION_DAYS_MAX}; write 0 to keep for ever"),
            );
        }
        if self.live_max == 0 {
            at.add("live_max", "0 would let no session work");
        }
        if self.turn_cost_max.as_ref().is_some_and(|cost| cost.parse::<Money>().is_err()) {
            at.add("turn_cost_max", "write an amount as text: `\"0.50\"`");
        }
        for (key, value) in [
            ("stuck_seconds", self.stuck_seconds),
            ("doubt_hours", self.doubt_hours),
            ("idle_ms", self.idle_ms),
        ] {
            if value == 0 || value > 10_000_000 {
                at.add(key, format!("{value} is not between 1 and 10000000"));
            }
        }
    }

    /// How long sessions are kept; `None` is for ever.
    pub fn retention(&self) -> Option<Duration> {
        (self.retention_days > 0).then(|| DAY * self.retention_days)
    }

    /// What operators call this node.
    pub fn node_name(&self) -> String {
        self.node.clone().unwrap_or_else(host_name)
    }

    /// Where other nodes reach this one; `url` is where it listens.
    pub fn address<'a>(&'a self, url: &'a str) -> &'a str {
        self.advertise.as_deref().unwrap_or(url).trim_end_matches('/')
    }

    /// How nodes watch each other.
    pub fn membership(&self) -> MembershipOptions {
        MembershipOptions {
            beat_every: Duration::from_millis(self.beat_ms),
            dead_after: Duration::from_millis(self.dead_after_ms),
        }
    }

    /// What the runtime is set up with.
    pub fn options(&self) -> Options {
        let usual = Options::default();
        Options {
            rules: self.rules(usual.rules),
            idle: Duration::from_millis(self.idle_ms),
            live_max: self.live_max,
            ..usual
        }
    }

    fn rules(&self, usual: Rules) -> Rules {
        Rules {
            turn_limits: Limits {
                steps: self.turn_steps_max,
                tokens: self.turn_tokens_max,
                cost: self.turn_cost_max.as_ref().and_then(|cost| cost.parse().ok()),
                active_ms: self.turn_seconds_max.map(|seconds| seconds.saturating_mul(1000)),
            },
            failures_max: self.failures_max,
            stuck_ms: self.stuck_seconds.saturating_mul(1000),
            compact_at_tokens: self.compact_at_tokens,
            doubt: ApprovalRule {
                deciders: Deciders::Anyone,
                expires_ms: self.doubt_hours.saturating_mul(3_600_000),
            },
            ..usual
        }
    }
}

/// The machine's name, as it calls itself.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "freehold".to_owned() } else { name.to_owned() }
}
