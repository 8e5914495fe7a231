//! A session as those who listen to it see it: the latest events, and a bell.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use freehold_types::Offset;
use tokio::sync::watch;

use crate::event::Event;

/// The most events that are kept for listeners; who is further behind reads
/// the journal.
const RING: usize = 256;
/// The most that are kept while nobody listens.
const UNHEARD: usize = 16;

/// The latest committed events of a session.
pub(crate) struct Live {
    ring: Mutex<VecDeque<Arc<Event>>>,
    head: watch::Sender<Head>,
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
        let head = watch::Sender::new(Head { offset: head, gone: false });
        Self { ring: Mutex::default(), head }
    }

    /// Tells of committed events. What was told before is not told again, and
    /// a gap empties the ring.
    pub(crate) fn tell(&self, events: impl IntoIterator<Item = Arc<Event>>) {
        let most = if self.listeners() > 0 { RING } else { UNHEARD };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = None;
        for event in events {
            match ring.back() {
                Some(back) if event.offset <= back.offset => continue,
                Some(back) if event.offset != back.offset.next() => ring.clear(),
                _ => {}
            }
            last = Some(event.offset);
            ring.push_back(event);
            while ring.len() > most {
                ring.pop_front();
            }
        }
        drop(ring);
        if let Some(offset) = last {
            self.ring(offset);
        }
    }

    /// Rings for what is in the journal up to there.
    pub(crate) fn ring(&self, offset: Offset) {
        self.head.send_if_modified(|head| {
            let newer = offset > head.offset;
            head.offset = head.offset.max(offset);
            newer
        });
    }

    /// The session is gone.
    pub(crate) fn end(&self) {
        self.head.send_modify(|head| head.gone = true);
    }

    /// Events right after an offset, if they are among the latest.
    pub(crate) fn after(&self, offset: Offset, limit: usize) -> Vec<Arc<Event>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(front) = ring.front() else { return Vec::new() };
        let Some(skip) = offset.next().0.checked_sub(front.offset.0) else { return Vec::new() };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        ring.iter().skip(skip).take(limit).cloned().collect()
    }

    pub(crate) fn head(&self) -> Offset {
        self.head.borrow().offset
    }

    pub(crate) fn listen(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }

    /// How many listen.
    pub(crate) fn listeners(&self) -> usize {
        self.head.receiver_count()
    }
}
