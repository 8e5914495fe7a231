//! What the rows of a batch of exchanges share: their days' sums and their
//! texts.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_types::{GroupId, KeyId};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Closed, Opened, State};
use crate::usage::{Dimensions, Sums};

/// Sums by day. Most exchanges of a batch fall into the same as the one before.
#[derive(Default)]
pub(super) struct Days {
    last: Option<(Dimensions, Sums)>,
    others: BTreeMap<Dimensions, Sums>,
}

impl Days {
    pub(super) fn of(&mut self, dimensions: Dimensions) -> &mut Sums {
        let last = match self.last.take() {
            Some(last) if last.0 == dimensions => last,
            other => {
                self.others.extend(other);
                let sums = self.others.remove(&dimensions).unwrap_or_default();
                (dimensions, sums)
            }
        };
        &mut self.last.insert(last).1
    }

    pub(super) fn all(mut self) -> BTreeMap<Dimensions, Sums> {
        self.others.extend(self.last);
        self.others
    }
}

/// Texts of rows, made anew only where they differ from those of the row
/// before: making them was a third of what a row cost, and a store need not
/// take in again what it has just been given.
#[derive(Default)]
pub(super) struct Texts {
    empty: Option<Arc<str>>,
    state: Option<(State, Arc<str>)>,
    key: Option<(KeyId, Arc<str>)>,
    /// A day, by its number since 1970.
    day: Option<(i64, Arc<str>)>,
}

impl Texts {
    fn empty(&mut self) -> Arc<str> {
        Arc::clone(self.empty.get_or_insert_with(|| Arc::from("")))
    }

    pub(super) fn state(&mut self, state: State) -> Arc<str> {
        again(&mut self.state, state, || state.word().into())
    }

    pub(super) fn key(&mut self, opened: &Opened) -> Arc<str> {
        again(&mut self.key, opened.key, || opened.key.shared())
    }

    pub(super) fn group(&mut self, opened: &Opened) -> Arc<str> {
        opened.group.as_ref().map_or_else(|| self.empty(), GroupId::shared)
    }

    /// In UTC, where every day is as long as the others.
    fn day(&mut self, at: Timestamp) -> Arc<str> {
        let day = at.as_second().div_euclid(24 * 60 * 60);
        again(&mut self.day, day, || at.to_zoned(TimeZone::UTC).date().to_string().into())
    }

    /// An exchange belongs to the day in which it ended.
    pub(super) fn dimensions(
        &mut self,
        opened: &Opened,
        closed: &Closed,
        (provider, model): (Option<Arc<str>>, Option<Arc<str>>),
    ) -> Dimensions {
        Dimensions {
            tenant: opened.tenant.shared(),
            day: self.day(closed.closed_at),
            group: self.group(opened),
            key: self.key(opened),
            route: Arc::clone(&opened.route),
            provider: provider.unwrap_or_else(|| self.empty()),
            model: model.unwrap_or_else(|| self.empty()),
        }
    }
}

/// The text of a value, the last one if it is the same value's.
fn again<T: PartialEq>(
    last: &mut Option<(T, Arc<str>)>,
    value: T,
    make: impl FnOnce() -> Arc<str>,
) -> Arc<str> {
    let text = match last.take() {
        Some((known, text)) if known == value => text,
        _ => make(),
    };
    Arc::clone(&last.insert((value, text)).1)
}
