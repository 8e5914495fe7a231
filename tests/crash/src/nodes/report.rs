//! The table that a run over many nodes ends in.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::setup::Cast;
use super::stage::Stage;
use crate::judge;
use crate::report::Report;

/// Fail-over: the bar for the median, and for the longest.
const BARS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

/// What was done, and what was found.
#[derive(Debug, Default)]
pub(super) struct Figures {
    slack: u32,
    pub(super) seconds: f64,
    /// How long nodes took to stop in order, and to start.
    pub(super) stops: Vec<Duration>,
    pub(super) starts: Vec<Duration>,
    pub(super) would_not_stop: u64,
    /// The sessions of the killed node.
    pub(super) held: BTreeSet<String>,
    /// From the kill to the first new event of those of them that were at work.
    fail_over: Vec<Duration>,
    /// Calls about the others of them, sent within seconds of the kill.
    posts: Vec<Duration>,
    calls: Vec<Duration>,
    turns: Vec<Duration>,
    requests: u64,
    streams: u64,
    refused: u64,
    reset: u64,
    failed: u64,
    found: Report,
}

impl Figures {
    pub(super) fn new(slack: u32) -> Self {
        Self { slack, ..Self::default() }
    }

    /// Looks at everything that is left.
    pub(super) fn judge(&mut self, cast: &Cast, stage: &Stage) {
        let count = |of: &std::sync::atomic::AtomicU64| of.load(Ordering::Relaxed);
        let counts = &stage.counts;
        self.requests = count(&counts.requests);
        self.streams = count(&counts.streams);
        self.refused = count(&counts.refused);
        self.reset = count(&counts.reset);
        self.failed = count(&counts.failed);
        (self.calls, self.turns) = stage.times();
        let (first, posts) = stage.after_kill();
        let of_held = |all: Vec<(String, Duration)>| {
            let own = all.into_iter().filter(|(session, _)| self.held.contains(session));
            own.map(|(_, took)| took).collect::<Vec<_>>()
        };
        (self.fail_over, self.posts) = (of_held(first), of_held(posts));
        let wrong = stage.wrongs();
        self.found.gaps = wrong.gaps;
        self.found.doubles = wrong.doubles;
        self.found.differs = wrong.differs;
        self.found.refused = wrong.refused;
        self.found.notes = wrong.notes;
        judge::judge(&cast.cluster, &stage.seen(), &cast.payments.all(), &mut self.found);
    }

    /// The longest time below which half of these are, and the longest.
    fn fail_over(&self) -> (Duration, Duration) {
        let mut sorted = self.fail_over.clone();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
        (median, sorted.last().copied().unwrap_or_default())
    }

    /// What must be so, in words, and whether it is.
    fn bars(&self) -> [(String, bool); 4] {
        let (median, longest) = self.fail_over();
        let (most, most_of_all) = (BARS.0 * self.slack, BARS.1 * self.slack);
        let posts = self.posts.iter().max().copied().unwrap_or_default();
        [
            (
                format!("nodes that would not stop: {}", self.would_not_stop),
                self.would_not_stop == 0,
            ),
            (format!("failed calls: {}", self.failed), self.failed == 0),
            (
                format!(
                    "fail-over of sessions at work: median {} ms (< {}), max {} ms (< {}), of {}",
                    median.as_millis(),
                    most.as_millis(),
                    longest.as_millis(),
                    most_of_all.as_millis(),
                    self.fail_over.len()
                ),
                !self.fail_over.is_empty() && median < most && longest < most_of_all,
            ),
            (
                format!(
                    "calls about other sessions of the killed node: max {} ms (< {}), of {}",
                    posts.as_millis(),
                    most_of_all.as_millis(),
                    self.posts.len()
                ),
                posts < most_of_all,
            ),
        ]
    }

    /// Whether all is as it must be.
    pub(super) fn is_good(&self) -> bool {
        self.found.is_good() && self.bars().iter().all(|(_, good)| *good)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a_second = |count: u64| {
            #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
            let count = count as f64;
            count / self.seconds.max(1.0)
        };
        writeln!(f, "{:<48} {:.0}", "seconds", self.seconds)?;
        writeln!(f, "{:<48} {} ({:.1}/s)", "requests", self.requests, a_second(self.requests))?;
        writeln!(f, "{:<48} {}", "  of them streams", self.streams)?;
        writeln!(f, "{:<48} {}", "connections refused, and tried again", self.refused)?;
        writeln!(f, "{:<48} {}", "connections reset, and made again", self.reset)?;
        let turns = self.turns.len() as u64;
        writeln!(f, "{:<48} {turns} ({:.1}/s)", "turns done", a_second(turns))?;
        spread(f, "a call", &self.calls)?;
        spread(f, "a turn", &self.turns)?;
        spread(f, "a node to stop in order", &self.stops)?;
        spread(f, "a node to start", &self.starts)?;
        writeln!(f, "{:<48} {}", "sessions of the killed node", self.held.len())?;
        for (what, good) in self.bars() {
            writeln!(f, "{what}{}", if good { "" } else { "  MISSED" })?;
        }
        write!(f, "{}", self.found)
    }
}

fn spread(f: &mut fmt::Formatter<'_>, what: &str, times: &[Duration]) -> fmt::Result {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).copied().unwrap_or_default().as_millis()
    };
    writeln!(f, "{what:<48} p50 {} ms, p99 {} ms, max {} ms", at(50), at(99), at(100))
}
