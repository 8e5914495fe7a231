//! Where an event stands in its session's journal.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An event's place in its session's journal: the first is 1, and there are
/// no gaps. [`Offset::START`] is before the first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Offset(pub u64);

impl Offset {
    /// Before the first event: the head of an empty journal.
    pub const START: Self = Self(0);

    /// The next place. A journal of 2⁶⁴ events does not exist.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place before; that of the start is the start.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
