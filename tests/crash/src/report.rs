//! The table that a run ends in.

use std::fmt;
use std::time::Duration;

/// The most notes that are shown.
const NOTES: usize = 30;

/// What was done, and what was found.
#[derive(Debug, Default)]
pub struct Report {
    pub(crate) faults: Vec<(&'static str, u64)>,
    /// The records of the journal, by their offsets, that a server was killed
    /// at.
    pub(crate) records: std::collections::BTreeSet<u64>,
    pub(crate) sessions: u64,
    pub(crate) inputs: u64,
    pub(crate) turns: u64,
    pub(crate) calls: u64,
    pub(crate) unknown: u64,
    pub(crate) effects: u64,
    pub(crate) lost: u64,
    pub(crate) inputs_doubled: u64,
    pub(crate) doubled_idempotent: u64,
    pub(crate) doubled_by_key: u64,
    pub(crate) doubled_plain: u64,
    pub(crate) unaccounted: u64,
    pub(crate) invented: u64,
    pub(crate) stuck: u64,
    pub(crate) ended_badly: u64,
    pub(crate) gaps: u64,
    pub(crate) doubles: u64,
    pub(crate) differs: u64,
    pub(crate) refused: u64,
    pub(crate) damages: u64,
    pub(crate) waits: Vec<Duration>,
    pub(crate) starts: Vec<Duration>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    /// Counts something that must not be, with what there is to say of it.
    pub(crate) fn note(&mut self, count: impl FnOnce(&mut Self) -> &mut u64, note: String) {
        *count(self) += 1;
        self.notes.push(note);
    }

    /// A fault was made.
    pub(crate) fn fault(&mut self, kind: &'static str) {
        match self.faults.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.faults.push((kind, 1)),
        }
    }

    fn zeros(&self) -> [(&'static str, u64); 14] {
        [
            ("acknowledged inputs lost", self.lost),
            ("inputs accepted twice", self.inputs_doubled),
            ("duplicate effects, idempotent tool", self.doubled_idempotent),
            ("duplicate effects, tool asked by key", self.doubled_by_key),
            ("duplicate effects, plain tool", self.doubled_plain),
            ("effects neither observed nor reported unknown", self.unaccounted),
            ("results without an effect", self.invented),
            ("turns stuck", self.stuck),
            ("turns that failed", self.ended_badly),
            ("stream gaps", self.gaps),
            ("stream duplicates", self.doubles),
            ("streams that differ from the journal", self.differs),
            ("requests refused", self.refused),
            ("damages that fsck finds", self.damages),
        ]
    }

    /// Whether all is as it must be.
    pub fn is_good(&self) -> bool {
        self.zeros().iter().all(|(_, count)| *count == 0)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.faults.iter().map(|(_, count)| count).sum();
        writeln!(f, "{:<48} {total}", "faults")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {kind:<46} {count}")?;
        }
        if let Some(last) = self.records.last() {
            let count = self.records.len();
            writeln!(f, "  {:<46} {count} of the first {last}", "records that were killed at")?;
        }
        for (what, count) in [
            ("sessions", self.sessions),
            ("acknowledged inputs", self.inputs),
            ("turns", self.turns),
            ("calls of tools", self.calls),
            ("  reported unknown", self.unknown),
            ("effects", self.effects),
        ] {
            writeln!(f, "{what:<48} {count}")?;
        }
        for (what, count) in self.zeros() {
            let word = if count == 0 { "" } else { "  MUST BE 0" };
            writeln!(f, "{what:<48} {count}{word}")?;
        }
        times(f, "start to ready", &self.starts)?;
        times(f, "fault to first new event", &self.waits)?;
        for note in self.notes.iter().take(NOTES) {
            let short: String = note.chars().take(600).collect();
            writeln!(f, "- {short}")?;
        }
        if self.notes.len() > NOTES {
            writeln!(f, "- and {} more", self.notes.len() - NOTES)?;
        }
        Ok(())
    }
}

fn times(f: &mut fmt::Formatter<'_>, what: &str, times: &[Duration]) -> fmt::Result {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default().as_millis();
    let most = sorted.last().copied().unwrap_or_default().as_millis();
    let count = sorted.len();
    writeln!(f, "{what:<48} median {median} ms, max {most} ms, of {count}")
}
