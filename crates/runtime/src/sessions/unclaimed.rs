//! Decisions about a session that no worker has: it is forked, or comes from
//! another cell, or leaves for one.

use freehold_types::{SessionId, UnitId};

use super::{By, Error, Sessions};
use crate::decide::{Cue, Decision, Given, decide};
use crate::state::State;

/// Under which epoch and in which timeline a decision is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    pub(crate) epoch: u64,
    pub(crate) timeline: u64,
}

impl Sessions {
    /// Decides about a session that no worker has.
    pub(crate) fn decided(
        &self,
        session: SessionId,
        state: &State,
        at: Standing,
        cue: Cue,
        by: By,
    ) -> Result<Decision, Error> {
        let env = self.inner.env();
        let mut seed = [0; 16];
        env.fill_random(&mut seed);
        let given = Given {
            session,
            now: env.now(),
            epoch: at.epoch,
            timeline: at.timeline,
            unit: UnitId::new(env),
            seed,
            actor: by.actor,
            on_behalf_of: by.on_behalf_of,
            labels: by.labels,
            rules: &self.inner.options.rules,
        };
        Ok(decide(state, cue, &given)?)
    }
}
