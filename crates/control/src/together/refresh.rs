//! What others changed of keys, groups and budgets.

use std::sync::PoisonError;

use freehold_store::changes;

use crate::{Control, Error};

impl Control {
    /// Takes up what the store has now, if anything was changed since; tells
    /// whether it was. To be called every [`REFRESH`](crate::REFRESH).
    pub async fn refresh(&self) -> Result<bool, Error> {
        let now = changes::versions(&*self.db).await?;
        let known = *self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if now == known {
            return Ok(false);
        }
        let _turn = self.turn.lock().await;
        self.reload_in_turn().await?;
        Ok(true)
    }
}
