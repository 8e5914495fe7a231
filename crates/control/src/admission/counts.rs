//! What has happened at the desk, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use freehold_types::Code;

/// Counters since the start; they only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdmissionCounts {
    /// Exchanges that were let in.
    pub admitted: u64,
    /// Exchanges that were refused, for each code that has occurred.
    pub refused: Vec<(Code, u64)>,
    /// Tickets that were settled.
    pub settled: u64,
    /// Tickets that were given up before an attempt.
    pub abandoned: u64,
    /// Tickets that were lost after an attempt had begun, and were settled at
    /// their reservation.
    pub interrupted: u64,
    /// Exchanges that cost more than they had reserved.
    pub overspent: u64,
}

/// The live side of [`AdmissionCounts`].
#[derive(Debug)]
pub(crate) struct Counts {
    admitted: AtomicU64,
    refused: [AtomicU64; Code::ALL.len()],
    settled: AtomicU64,
    abandoned: AtomicU64,
    interrupted: AtomicU64,
    overspent: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            admitted: AtomicU64::default(),
            refused: [const { AtomicU64::new(0) }; Code::ALL.len()],
            settled: AtomicU64::default(),
            abandoned: AtomicU64::default(),
            interrupted: AtomicU64::default(),
            overspent: AtomicU64::default(),
        }
    }
}

impl Counts {
    pub(crate) fn admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused(&self, code: Code) {
        // `Code::ALL` has every code in the order of its discriminants.
        if let Some(count) = self.refused.get(code as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn settled(&self) {
        self.settled.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn abandoned(&self) {
        self.abandoned.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn interrupted(&self) {
        self.interrupted.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn overspent(&self) {
        self.overspent.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> AdmissionCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let refused = Code::ALL.iter().copied().zip(self.refused.iter().map(read));
        AdmissionCounts {
            admitted: read(&self.admitted),
            refused: refused.filter(|&(_, count)| count > 0).collect(),
            settled: read(&self.settled),
            abandoned: read(&self.abandoned),
            interrupted: read(&self.interrupted),
            overspent: read(&self.overspent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_counter_of_its_own() {
        let counts = Counts::default();
        for code in Code::ALL {
            counts.refused(*code);
        }
        let expected: Vec<_> = Code::ALL.iter().map(|code| (*code, 1)).collect();
        assert_eq!(counts.read().refused, expected);
    }
}
