//! Deletes sessions that are too old, and takes what is left of deleted ones
//! away, their blobs included.

use std::sync::Arc;
use std::time::Duration;

use freehold_store::sweeper::{Retention, Round, Sweeper};

use crate::app::App;

/// How often deleted sessions are looked for. They are gone for all who ask
/// and cannot be read any more; what is left only takes room.
const PAUSE: Duration = Duration::from_secs(30);
/// Every so many times it is looked for old ones, for which all are read.
const OLD_EVERY: u32 = 20;

/// Sweeps until the process ends.
pub(crate) async fn run(app: Arc<App>) {
    let store = Arc::clone(&app.store) as _;
    let sweeper = Sweeper::new(store, Arc::clone(&app.blobs), Arc::clone(&app.env));
    let keep = app.config.load().sessions.retention();
    for turn in 0_u32.. {
        let look = turn.is_multiple_of(OLD_EVERY) && is_first(&app);
        sweeper.set(Retention { keep: keep.filter(|_| look) });
        match sweeper.round().await {
            Ok(round) => tell(&round),
            Err(error) => tracing::warn!(%error, "deleted sessions are not swept away now"),
        }
        app.env.sleep(PAUSE).await;
    }
}

/// Whether it is this node of them all that looks for old sessions.
fn is_first(app: &App) -> bool {
    app.members.as_ref().is_none_or(|members| members.alive().first() == Some(&members.me()))
}

fn tell(round: &Round) {
    if round.abandoned > 0 {
        tracing::info!(imports = round.abandoned, "cleared away: nobody went on with them");
    }
    if round.expired > 0 {
        tracing::info!(sessions = round.expired, "deleted: older than sessions.retention_days");
    }
    for gone in &round.gone {
        let (rows, blobs) = (gone.rows, gone.blobs);
        tracing::info!(session = %gone.session, rows, blobs, "gone: nothing is left of it");
    }
    for (session, error) in &round.failed {
        tracing::warn!(%session, %error, "it is not swept away now");
    }
}
