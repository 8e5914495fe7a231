//! Takes what is left of deleted sessions away, their blobs included.

use std::sync::Arc;
use std::time::Duration;

use freehold_store::blob_store::Removal;
use freehold_store::deletion;
use freehold_store::sweeper::sweep_session;
use freehold_types::DbError;

use crate::app::App;

/// How often deleted sessions are looked for. They are gone for all who ask
/// and cannot be read any more; what is left only takes room.
const PAUSE: Duration = Duration::from_secs(30);

/// Sessions that are looked at together.
const BATCH: u32 = 100;

/// Sweeps until the process ends.
pub(crate) async fn run(app: Arc<App>) {
    loop {
        match all(&app).await {
            Ok(0) => {}
            Ok(sessions) => tracing::info!(sessions, "deleted sessions are swept away"),
            Err(error) => tracing::warn!(%error, "deleted sessions are not swept away now"),
        }
        app.env.sleep(PAUSE).await;
    }
}

/// Goes over all deleted sessions once; gives how many are gone for good. One
/// whose blobs cannot be removed does not keep the others.
async fn all(app: &App) -> Result<usize, DbError> {
    let removal = Removal(Arc::clone(&app.blobs));
    let mut gone = 0;
    let mut after = None;
    loop {
        let after_row = after.as_ref().map(|(tenant, session)| (tenant, *session));
        let found = deletion::deleted(&*app.store, after_row, BATCH).await?;
        for (tenant, session) in &found {
            match sweep_session(&*app.store, &removal, tenant, *session).await {
                Ok(whole) => gone += usize::from(whole),
                Err(error) => tracing::warn!(%tenant, %session, %error, "it is not swept away now"),
            }
        }
        match found.into_iter().last() {
            Some(last) => after = Some(last),
            None => return Ok(gone),
        }
    }
}
