//! Decisions that are committed together.

use std::sync::Arc;
use std::time::Duration;

use freehold_store::blobs::BlobRef;
use freehold_types::{SessionId, UnitId};
use jiff::Timestamp;

use super::Worker;
use crate::decide::{Action, Cue, Given, Refused, Rules, decide};
use crate::event::Event;
use crate::sessions::By;
use crate::state::State;

/// What follows of some happenings, in their order.
pub(super) struct Batch {
    pub(super) state: State,
    pub(super) events: Vec<Event>,
    pub(super) actions: Vec<Action>,
    pub(super) wake: Option<Timestamp>,
    pub(super) now: Timestamp,
    /// When it was begun, on the monotonic clock.
    pub(super) began: Duration,
    pub(super) unit: UnitId,
    pub(super) rules: Arc<Rules>,
    /// Blobs that the events name.
    pub(super) blobs: Vec<BlobRef>,
    session: SessionId,
    epoch: u64,
    timeline: u64,
    seed: [u8; 16],
    by: By,
}

impl Worker<'_> {
    /// An empty batch on top of what is committed.
    pub(super) fn batch(&self, by: &By) -> Batch {
        let env = self.inner().env();
        let mut seed = [0; 16];
        env.fill_random(&mut seed);
        Batch {
            state: State::clone(&self.state),
            events: Vec::new(),
            actions: Vec::new(),
            wake: self.wake,
            now: env.now(),
            began: env.monotonic(),
            unit: UnitId::new(env),
            rules: Arc::clone(&self.rules),
            blobs: Vec::new(),
            session: self.id().session,
            epoch: self.epoch,
            timeline: self.timeline,
            seed,
            by: by.clone(),
        }
    }
}

impl Batch {
    /// Decides about one more; nothing of a refused one is in the batch.
    pub(super) fn cue(&mut self, cue: Cue) -> Result<(), Refused> {
        // Each decision's ids come of a seed of its own.
        for (byte, count) in self.seed.iter_mut().zip(self.state.head.0.to_le_bytes()) {
            *byte ^= count;
        }
        let given = Given {
            session: self.session,
            now: self.now,
            epoch: self.epoch,
            timeline: self.timeline,
            unit: self.unit,
            seed: self.seed,
            actor: self.by.actor.clone(),
            on_behalf_of: self.by.on_behalf_of.clone(),
            labels: self.by.labels.clone(),
            rules: &self.rules,
        };
        let decision = decide(&self.state, cue, &given)?;
        self.state = decision.state;
        self.events.extend(decision.events);
        self.actions.extend(decision.actions);
        self.wake = decision.wake;
        Ok(())
    }
}
