//! What the runtime of a node is set up with.

use std::time::Duration;

use crate::decide::{ApprovalRule, Rules};
use crate::event::{Deciders, Limits};

/// Settings of the runtime.
#[derive(Clone, Debug)]
pub struct Options {
    /// The rules that hold where a turn's settings say nothing; tools come
    /// with the settings.
    pub rules: Rules,
    /// How often sessions that are due are looked for.
    pub look: Duration,
    /// How often sessions of other nodes are read for those who listen here.
    pub listen: Duration,
    /// A session that has had nothing to do for so long is let go of.
    pub idle: Duration,
    /// The most sessions that a node has in its hands.
    pub live_max: usize,
    /// A snapshot is kept after so many events.
    pub snapshot_every: u64,
    /// How long attempts may go on while the node stops.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            rules: Rules {
                turn_limits: Limits { steps: Some(200), ..Limits::default() },
                failures_max: 5,
                backoff_ms: 500,
                backoff_max_ms: 60_000,
                stuck_ms: 15 * 60 * 1000,
                grace_ms: 10_000,
                compact_at_tokens: None,
                calls_max: None,
                one_by_one: false,
                doubt: ApprovalRule {
                    deciders: Deciders::Anyone,
                    expires_ms: 30 * 24 * 3600 * 1000,
                },
                tools: std::collections::BTreeMap::new(),
            },
            look: Duration::from_millis(200),
            listen: Duration::from_millis(100),
            idle: Duration::from_secs(10),
            live_max: 20_000,
            snapshot_every: 128,
            drain: Duration::from_secs(5),
        }
    }
}
