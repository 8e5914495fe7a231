//! Makes a unit of decisions, and takes it in once it is durable.

use std::sync::Arc;

use freehold_store::blobs::{self, BlobRef};
use freehold_store::journal::{self, Append, Due};
use freehold_store::sessions;
use freehold_types::{ErrorKind, Offset, Unit};

use super::batch::Batch;
use super::project::project;
use super::settle::{Doom, PAUSE_MAX, PAUSE_MIN};
use super::{Over, Worker, phase, projections};
use crate::archive::Id;
use crate::decide::{Cue, Refused};
use crate::event::Event;
use crate::sessions::{By, Error};

impl Worker<'_> {
    /// Adds a batch to a unit: its events, then what is projected from them.
    pub(super) fn append(&self, unit: &mut Unit, batch: &Batch) -> Result<(), Error> {
        let events = batch.events.iter().map(|event| self.reader.sealed(event));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let head = batch.state.head;
        let phase = phase(&batch.state);
        let due = self.is_snapshot_due(head);
        let snapshot = due.then(|| self.reader.sealed_snapshot(&batch.state)).flatten();
        let append = Append {
            tenant: &self.id().tenant,
            session: self.id().session,
            after: self.state.head.0,
            epoch: self.epoch,
            id: batch.unit,
            at: batch.now,
            phase: (phase != self.phase).then_some(phase),
            due: Due::AsBefore,
            events: &events,
            snapshot,
        };
        journal::append(unit, &append)?;
        let rows = projections(&batch.state);
        project(unit, self.id(), &self.rows, &rows, batch.now);
        if let (Some(cell), None) = (&batch.state.sealed, &self.state.sealed) {
            let Id { tenant, session } = self.id();
            sessions::seal(unit, tenant, *session, self.epoch, cell.as_str());
        }
        for blob in &batch.blobs {
            blobs::refer(unit, &self.id().tenant, self.id().session, blob);
        }
        Ok(())
    }

    fn is_snapshot_due(&self, head: Offset) -> bool {
        head.0.saturating_sub(self.snapshot.0) >= self.inner().options.snapshot_every
    }

    /// A batch is durable: it is the state now, and what it owes is noted. Gives
    /// the events that listeners are to hear of.
    pub(super) fn committed(&mut self, batch: Batch) -> Vec<Event> {
        if self.is_snapshot_due(batch.state.head) {
            self.snapshot = batch.state.head;
        }
        self.phase = phase(&batch.state);
        self.rows = projections(&batch.state);
        self.state = Arc::new(batch.state);
        self.wake = batch.wake;
        self.since = batch.began;
        self.rules = batch.rules;
        self.running.owe(batch.actions);
        batch.events
    }

    /// Listeners hear of committed events.
    pub(super) fn tell(&self, events: Vec<Event>) {
        self.post.live.tell(events.into_iter().map(Arc::new));
    }

    /// Something happened inside: it is recorded, however long the store
    /// takes, and performed. What is stale by now is dropped.
    pub(super) async fn happened(&mut self, mut cues: Vec<Cue>) -> Result<(), Over> {
        let blobs = self.prepared(&mut cues).await?;
        let mut batch = self.batch(&By::default());
        batch.blobs = blobs;
        for cue in cues {
            match batch.cue(cue) {
                Ok(()) | Err(Refused::Stale) => {}
                Err(refused) => {
                    tracing::warn!(session = %self.id().session, %refused,
                        "what happened in a session does not fit it");
                }
            }
        }
        if batch.events.is_empty() {
            self.wake = batch.wake;
            self.running.owe(batch.actions);
            self.perform();
            return Ok(());
        }
        let mut unit = Unit::new("sessions.step");
        self.append(&mut unit, &batch)?;
        match self.settle_surely(unit).await {
            Ok(()) => {
                let events = self.committed(batch);
                self.tell(events);
                self.perform();
                Ok(())
            }
            Err(Doom::Lost) => Err(Over::Lost),
            Err(Doom::Not(error) | Doom::Broken(error)) => Err(Over::Failed(error.into())),
        }
    }

    /// Reads what a decision needs and stows what it is too large for, however
    /// long the stores take: what happened must not be lost to that.
    async fn prepared(&mut self, cues: &mut [Cue]) -> Result<Vec<BlobRef>, Error> {
        let mut pause = PAUSE_MIN;
        loop {
            let prepared = match self.ready().await {
                Ok(()) => self.stow(cues).await,
                Err(error) => Err(error),
            };
            match prepared {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::warn!(session = %self.id().session, %error,
                        "what happened in a session waits for the store");
                    self.inner().env().sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                prepared => return prepared,
            }
        }
    }
}
