//! So many at once.

use std::sync::atomic::{AtomicU32, Ordering};

/// A count of exchanges in flight.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    taken: AtomicU32,
}

impl Slots {
    /// Takes a slot unless `max` are taken. Every take that succeeded must be
    /// followed by one [`Slots::release`].
    pub(crate) fn take(&self, max: u32) -> bool {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < max).then(|| taken.saturating_add(1))
            })
            .is_ok()
    }

    /// Gives a slot back.
    pub(crate) fn release(&self) {
        let before = self.taken.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a slot was released twice");
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_max_and_a_released_slot_is_free_again() {
        let slots = Slots::default();
        assert!(slots.take(2) && slots.take(2) && !slots.take(2));
        slots.release();
        assert!(slots.take(2));
        assert_eq!(slots.taken(), 2);
        assert!(!slots.take(1), "a lowered limit holds at once");
        assert!(!Slots::default().take(0));
    }
}
