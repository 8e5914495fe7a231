//! Listening to a session: committed events in their order, each once, from
//! any offset on, for as long as one likes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use freehold_store::sessions;
use freehold_types::{Offset, SessionId, TenantId};

use super::bell::Ear;
use super::live::Head;
use super::{Error, Inner, Live, Sessions};
use crate::archive::{Id, Reader};
use crate::decide::Refused;
use crate::event::{Event, Fact, Name};

/// While the node stops.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The most events that are given at once.
const BATCH: usize = 128;

/// One who listens. Costs nothing while nothing happens.
pub struct Tail {
    inner: Arc<Inner>,
    id: Id,
    reader: Option<Arc<Reader>>,
    after: Offset,
    live: Arc<Live>,
    /// Whether the session's row was looked at.
    known: bool,
    /// The cell that the last events say it was moved to.
    sealed: Option<Name>,
    bell: Ear<Head>,
    stop: Ear<bool>,
}

impl Sessions {
    /// Listens to what comes after an offset. A session that does not exist
    /// is told by the first [`Tail::next`].
    pub fn tail(&self, tenant: &TenantId, session: SessionId, after: Offset) -> Tail {
        let id = Id { tenant: tenant.clone(), session };
        // From the start: the bell then rings at whatever is there.
        let live = self.inner.live(&id, Offset::START);
        let (bell, stop) = (live.listen(), self.inner.stop.listen());
        Tail {
            inner: Arc::clone(&self.inner),
            id,
            reader: None,
            after,
            live,
            known: false,
            sealed: None,
            bell,
            stop,
        }
    }
}

impl Tail {
    /// The next events, at least one; waits for them. May be dropped while it
    /// waits: nothing is lost.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        loop {
            // What is told after this look rings.
            let head = self.bell.get();
            if head.gone {
                return Err(Error::NotFound);
            }
            let mut events = self.live.after(self.after, BATCH);
            if events.is_empty() && (head.offset > self.after || head.offset == Offset::START) {
                events = self.read().await?;
            }
            if let Some(last) = events.last() {
                self.after = last.offset;
                self.moved(&events);
                return Ok(events);
            }
            self.known(head).await?;
            if let Some(cell) = &self.sealed {
                return Err(Refused::Sealed(cell.clone()).into());
            }
            // Alone, nobody goes on with it; else it is heard from another node.
            let alone = self.inner.parts.members.is_none();
            let stopping = self.stop.get();
            if alone && stopping && !self.inner.workers().contains_key(&self.id) {
                return Err(Error::Stopping);
            }
            // A worker that lets go of the session here does not ring.
            let nap = self.inner.parts.archive.env.sleep(LOOK_AGAIN);
            tokio::select! {
                biased;
                () = self.bell.changed() => {}
                () = self.stop.changed(), if !stopping => {}
                () = nap, if alone && stopping => {}
            }
        }
    }

    /// The last event that was given.
    pub fn at(&self) -> Offset {
        self.after
    }

    /// How an event that this gave is shown. `show` is called for the first of
    /// all who listen here, and its bytes are shared; so it must depend on the
    /// event alone, and all must show alike.
    pub fn shown(&self, event: &Arc<Event>, show: impl FnOnce(&Event) -> Bytes) -> Bytes {
        self.live.shown(event, show)
    }

    /// Goes on after another offset.
    pub fn seek(&mut self, after: Offset) {
        self.after = after;
    }

    async fn read(&mut self) -> Result<Vec<Arc<Event>>, Error> {
        let reader = match &self.reader {
            Some(reader) => Arc::clone(reader),
            None => Reader::open(&self.inner.parts.archive, &self.id).await?,
        };
        let end = Offset(u64::MAX >> 1);
        let read = reader.events(self.after, end, BATCH).await?;
        self.reader = Some(reader);
        Ok(read.into_iter().map(Arc::new).collect())
    }

    /// What events say of where the session is.
    fn moved(&mut self, events: &[Arc<Event>]) {
        for event in events {
            match &event.fact {
                Fact::Sealed(sealed) => self.sealed = Some(sealed.cell.clone()),
                Fact::Unsealed(_) | Fact::Arrived(_) | Fact::Imported(_) => self.sealed = None,
                _ => {}
            }
        }
    }

    /// Before waiting for what nobody told of yet: whether it can come at all.
    async fn known(&mut self, head: Head) -> Result<(), Error> {
        if self.known && head.offset > Offset::START {
            return Ok(());
        }
        let Id { tenant, session } = &self.id;
        let row = sessions::get(self.inner.db(), tenant, *session).await?;
        let row = row.ok_or(Error::NotFound)?;
        // What came since that look is told by its events.
        if !self.known && row.head <= self.after.0 {
            self.sealed = row.sealed_for.map(|cell| Name::cut(&cell));
        }
        self.known = true;
        Ok(())
    }
}
