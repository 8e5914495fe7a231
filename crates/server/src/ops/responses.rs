//! Counts answers by their status.

use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

/// The first status there is, and how many there are.
const FIRST: u16 = 100;
const COUNT: usize = 500;

/// A counter for each status.
#[derive(Debug)]
pub struct Responses([AtomicU64; COUNT]);

impl Default for Responses {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; COUNT])
    }
}

impl Responses {
    /// Counts one answer.
    pub fn count(&self, status: StatusCode) {
        let at = usize::from(status.as_u16().saturating_sub(FIRST));
        if let Some(count) = self.0.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that there were, by status.
    pub fn read(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        (FIRST..).zip(counts).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_counted_apart() {
        let responses = Responses::default();
        for status in [200, 200, 599, 100] {
            responses.count(StatusCode::from_u16(status).unwrap());
        }
        responses.count(StatusCode::from_u16(999).unwrap());
        assert_eq!(responses.read().collect::<Vec<_>>(), [(100, 1), (200, 2), (599, 1)]);
    }
}
