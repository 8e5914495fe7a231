//! Has a unit take effect, and knows afterwards whether it did.

use std::time::Duration;

use freehold_types::{DbError, Unit};

use super::Worker;

/// The first pause before a unit is sent again.
pub(super) const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a unit did not take effect.
pub(super) enum Doom {
    /// It did not and will not, and the same may work later.
    Not(DbError),
    /// Its guard: the session is not this worker's any more.
    Lost,
    /// The store refuses it, and would again.
    Broken(DbError),
}

impl Worker<'_> {
    /// Sends a unit that nobody has been promised. What is in doubt is sent
    /// until it is not; a store that takes nothing is told at once.
    pub(super) async fn settle_once(&self, unit: Unit) -> Result<(), Doom> {
        self.sent(unit, false).await
    }

    /// Sends a unit that holds what must not be lost, until it is in: a store
    /// that is away is waited for.
    pub(super) async fn settle_surely(&self, unit: Unit) -> Result<(), Doom> {
        self.sent(unit, true).await
    }

    async fn sent(&self, unit: Unit, surely: bool) -> Result<(), Doom> {
        let mut pause = PAUSE_MIN;
        let mut doubt = false;
        loop {
            let error = match freehold_store::settle(self.inner().db(), unit.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match error {
                DbError::GuardFailed { .. } => return Err(Doom::Lost),
                DbError::Corrupt(_) | DbError::Other(_) => return Err(Doom::Broken(error)),
                DbError::InDoubt(_) => doubt = true,
                DbError::Unavailable(_) | DbError::Full(_) if !doubt && !surely => {
                    return Err(Doom::Not(error));
                }
                DbError::Unavailable(_) | DbError::Full(_) => {}
            }
            tracing::warn!(session = %self.id().session, %error, "a step waits for the store");
            self.inner().env().sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
