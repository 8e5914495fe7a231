//! Exchanges are forgotten when they are old enough; sums by day stay.

use std::time::Duration;

use freehold_store::exchanges;
use freehold_types::ExchangeId;
use jiff::SignedDuration;

use crate::{Control, Error};

/// Exchanges that are forgotten in one unit: usage that is written meanwhile
/// waits for no longer than that takes.
const BATCH: u32 = 500;
/// Between two batches, for everything else that the store has to do.
const PAUSE: Duration = Duration::from_millis(20);

impl Control {
    /// Forgets the exchanges that have ended and began longer ago than
    /// [`UsageSettings::keep`](crate::UsageSettings::keep), and gives their
    /// number. To be called now and then; it is in no hurry.
    pub async fn forget_old_exchanges(&self) -> Result<u64, Error> {
        let keep = self.books.keep().and_then(|keep| SignedDuration::try_from(keep).ok());
        // Longer than there has been time: for ever.
        let before = keep.and_then(|keep| self.env.now().checked_sub(keep).ok());
        let Some(before) = before else { return Ok(0) };
        let floor = ExchangeId::floor(before);
        let (mut forgotten, mut tenant) = (0_u64, None);
        while let Some((next, oldest)) = exchanges::oldest(&*self.db, tenant.as_ref()).await? {
            // Most times there is nothing to forget, and nothing is written.
            while oldest.to_string() < floor {
                let receipt = self.db.write(exchanges::prune(&next, before, BATCH)).await?;
                let rows = receipt.changed.last().copied().unwrap_or_default();
                forgotten = forgotten.saturating_add(rows);
                if rows < u64::from(BATCH) {
                    break;
                }
                self.env.sleep(PAUSE).await;
            }
            tenant = Some(next);
        }
        Ok(forgotten)
    }
}
