//! What a world is like: all of it drawn from one seed, or said by a test.

use std::time::Duration;

use freehold_runtime::decide::{ApprovalRule, Rules};
use freehold_runtime::event::{Deciders, Limits};
use freehold_runtime::sessions::Options;
use freehold_store::membership::MembershipOptions;

use crate::clock::SECOND;
use crate::faults::{Cut, Rates};
use crate::mutation::Mutation;
use crate::random::Random;

/// A world that is to be.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many nodes share the store.
    pub nodes: usize,
    /// How many clients there are.
    pub clients: usize,
    /// How many listen.
    pub listeners: usize,
    /// The most sessions that clients make.
    pub sessions: usize,
    /// How long clients do what comes to their minds and things break, in
    /// microseconds; after that all is mended and brought to its end.
    pub busy_us: u64,
    /// A snapshot is kept after so many events.
    pub snapshot_every: u64,
    /// How often what breaks.
    pub(crate) rates: Rates,
    /// One commit that is broken, in place of chance.
    pub(crate) cut: Option<Cut>,
    /// A bug that is planted.
    pub mutation: Option<Mutation>,
    /// Whether somebody reads the story.
    pub trace: bool,
}

impl Setup {
    /// The world of a seed: some kinds of faults are in it, others not.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::derive(seed, &[7]);
        Self {
            seed,
            nodes: usize::try_from(random.between(1, 3)).unwrap_or(1),
            clients: usize::try_from(random.between(1, 3)).unwrap_or(1),
            listeners: usize::try_from(random.between(1, 2)).unwrap_or(1),
            sessions: usize::try_from(random.between(1, 3)).unwrap_or(1),
            busy_us: random.between(4, 14) * SECOND,
            snapshot_every: random.between(4, 40),
            rates: Rates::draw(&mut random),
            cut: None,
            mutation: None,
            trace: false,
        }
    }

    /// A world of two nodes in which nothing is drawn and nothing breaks by
    /// itself.
    pub(crate) fn quiet() -> Self {
        Self {
            seed: 1,
            nodes: 2,
            clients: 0,
            listeners: 1,
            sessions: 4,
            busy_us: 0,
            snapshot_every: 7,
            rates: Rates::default(),
            cut: None,
            mutation: None,
            trace: false,
        }
    }

    /// The same world with a bug in it.
    #[must_use]
    pub fn with(mut self, mutation: Mutation) -> Self {
        self.mutation = Some(mutation);
        self
    }

    /// The same world, told line by line.
    #[must_use]
    pub fn told(mut self) -> Self {
        self.trace = true;
        self
    }

    /// What a node of it is set up with.
    pub(crate) fn options(&self) -> Options {
        Options {
            rules: rules(),
            look: Duration::from_millis(500),
            listen: Duration::from_millis(500),
            idle: Duration::from_millis(1500),
            live_max: 64,
            snapshot_every: self.snapshot_every,
            drain: Duration::from_secs(1),
        }
    }

    /// How its nodes watch each other.
    pub(crate) fn membership(&self) -> MembershipOptions {
        let dead_after = match self.mutation {
            Some(Mutation::TakesFromTheLiving) => Duration::from_millis(1),
            _ => DEAD_AFTER,
        };
        MembershipOptions { beat_every: BEAT_EVERY, dead_after }
    }
}

/// A heart that stands still for so long is dead.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(4);
/// Between two beats.
pub(crate) const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Where clients reach a node.
pub(crate) fn address(node: usize) -> String {
    format!("http://n{node}")
}

/// Which node that is.
pub(crate) fn node_at(address: &str) -> Option<usize> {
    address.strip_prefix("http://n")?.parse().ok()
}

fn rules() -> Rules {
    Rules {
        turn_limits: Limits { steps: Some(12), ..Limits::default() },
        failures_max: 6,
        backoff_ms: 20,
        backoff_max_ms: 400,
        stuck_ms: 20_000,
        grace_ms: 800,
        compact_at_tokens: Some(2_000),
        calls_max: None,
        one_by_one: false,
        doubt: ApprovalRule { deciders: Deciders::Anyone, expires_ms: 30_000 },
        tools: std::collections::BTreeMap::new(),
    }
}
