//! A session as those who listen to it see it: the latest events, and a bell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use freehold_types::Offset;

use super::bell::{Bell, Ear};
use crate::event::Event;

/// The most events that are kept for listeners; who is further behind reads
/// the journal.
const RING: usize = 256;
/// The most that are kept while nobody listens.
const UNHEARD: usize = 16;

/// The latest committed events of a session.
pub(crate) struct Live {
    ring: Mutex<VecDeque<Told>>,
    head: Arc<Bell<Head>>,
}

/// An event, and how it is shown, once somebody was shown it.
struct Told {
    event: Arc<Event>,
    shown: Option<Bytes>,
}

/// What the bell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last event that was told of.
    pub(crate) offset: Offset,
    /// Nothing more will come: the session is gone.
    pub(crate) gone: bool,
}

impl Live {
    pub(crate) fn new(head: Offset) -> Self {
        let head = Bell::new(Head { offset: head, gone: false });
        Self { ring: Mutex::default(), head }
    }

    /// Tells of committed events. What was told before is not told again, and
    /// a gap empties the ring.
    pub(crate) fn tell(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let most = if self.listeners() > 0 { RING } else { UNHEARD };
        let mut ring = self.ring();
        let mut last = None;
        for event in events {
            match ring.back().map(|back| back.event.offset) {
                Some(back) if event.offset <= back => continue,
                Some(back) if event.offset != back.next() => ring.clear(),
                _ => {}
            }
            last = Some(event.offset);
            ring.push_back(Told { event, shown: None });
            while ring.len() > most {
                ring.pop_front();
            }
        }
        drop(ring);
        if let Some(offset) = last {
            self.announce(offset);
        }
    }

    /// Rings for what is in the journal up to there.
    pub(crate) fn announce(&self, offset: Offset) {
        self.head.change(|head| {
            let newer = offset > head.offset;
            head.offset = head.offset.max(offset);
            newer
        });
    }

    /// The session is gone.
    pub(crate) fn end(&self) {
        self.head.change(|head| {
            head.gone = true;
            true
        });
    }

    /// Events right after an offset, if they are among the latest.
    pub(crate) fn after(&self, offset: Offset, limit: usize) -> Vec<Arc<Event>> {
        let ring = self.ring();
        let Some(skip) = place(&ring, offset.next()) else { return Vec::new() };
        ring.iter().skip(skip).take(limit).map(|told| Arc::clone(&told.event)).collect()
    }

    /// How an event is shown: made by the first who asks, for all who listen.
    pub(crate) fn shown(&self, event: &Arc<Event>, show: impl FnOnce(&Event) -> Bytes) -> Bytes {
        let mut ring = self.ring();
        let told = place(&ring, event.offset).and_then(|place| ring.get_mut(place));
        match told.filter(|told| Arc::ptr_eq(&told.event, event)) {
            Some(told) => told.shown.get_or_insert_with(|| show(event)).clone(),
            // Somebody is behind, and reads the journal.
            None => {
                drop(ring);
                show(event)
            }
        }
    }

    fn ring(&self) -> MutexGuard<'_, VecDeque<Told>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn head(&self) -> Offset {
        self.head.get().offset
    }

    pub(crate) fn listen(&self) -> Ear<Head> {
        self.head.listen()
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.head.ears()
    }
}

/// Where the event at an offset is in a ring; `None` if it is no longer there.
fn place(ring: &VecDeque<Told>, offset: Offset) -> Option<usize> {
    let place = offset.0.checked_sub(ring.front()?.event.offset.0)?;
    usize::try_from(place).ok()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use freehold_types::UnitId;
    use jiff::Timestamp;

    use super::*;
    use crate::event::{Actor, Fact, Labels, Pinned, Source};

    fn event(offset: u64) -> Arc<Event> {
        Arc::new(Event {
            offset: Offset(offset),
            at: Timestamp::UNIX_EPOCH,
            unit: UnitId::from_parts(Timestamp::UNIX_EPOCH, &[0; 10]),
            turn: None,
            actor: Actor::Runtime,
            on_behalf_of: None,
            source: Source::Runtime,
            labels: Labels::default(),
            request: None,
            fact: Fact::Pinned(Pinned { at: Offset(1) }),
        })
    }

    #[test]
    fn an_event_is_shown_once_for_all_who_listen() {
        let live = Live::new(Offset(4));
        let _listener = live.listen();
        live.tell([event(5), event(6)]);
        let shows = Cell::new(0);
        let show = |event: &Event| {
            shows.set(shows.get() + 1);
            Bytes::from(event.offset.to_string())
        };
        let told = live.after(Offset(4), 9);
        for _ in 0..3 {
            let shown: Vec<_> = told.iter().map(|event| live.shown(event, show)).collect();
            assert_eq!(shown, ["5", "6"]);
        }
        assert_eq!(shows.get(), 2);
        // Read from the journal, or told no more: shown all the same.
        assert_eq!(live.shown(&event(6), show), "6");
        assert_eq!(live.shown(&event(2), show), "2");
        assert_eq!(live.shown(&event(9), show), "9");
        assert_eq!(shows.get(), 5);
    }
}
