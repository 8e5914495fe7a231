//! Sessions that are due: found tenant by tenant, a few of each in turn, so
//! that none starves, and taken into hand.

use std::sync::Arc;

use freehold_store::leases::{self, Claimable};
use freehold_types::TenantId;
use futures_util::StreamExt;

use super::CLAIMS;
use crate::archive::Id;
use crate::sessions::{Error, Inner, Turn};

/// The most sessions of one tenant that are taken in its turn.
const TURN: u32 = 32;

/// Looks for what is due until the node stops.
pub(super) async fn watch(inner: Arc<Inner>) {
    let mut after: Option<TenantId> = None;
    loop {
        match round(&inner, &mut after).await {
            // As long as there is something, look on at once.
            Ok(true) => {}
            Ok(false) => inner.env().sleep(inner.options.look).await,
            Err(error) => {
                tracing::warn!(%error, "what is due is not found now");
                inner.env().sleep(inner.options.look * 5).await;
            }
        }
        if inner.is_stopping() {
            return;
        }
    }
}

/// One tenant's turn. False if none has anything due.
async fn round(inner: &Arc<Inner>, after: &mut Option<TenantId>) -> Result<bool, Error> {
    let now = inner.env().now();
    let mut next = leases::next_tenant(inner.db(), after.as_ref(), now).await?;
    if next.is_none() && after.take().is_some() {
        next = leases::next_tenant(inner.db(), None, now).await?;
    }
    let Some(tenant) = next else { return Ok(false) };
    let room = inner.options.live_max.saturating_sub(inner.in_hand());
    let turn = TURN.min(u32::try_from(room).unwrap_or(u32::MAX));
    if turn == 0 {
        return Ok(false);
    }
    let due = leases::due(inner.db(), &tenant, now, turn).await?;
    *after = Some(tenant);
    // What somebody holds is due to its holder, dead or alive.
    let free: Vec<Claimable> = due.into_iter().filter(|row| row.node.is_none()).collect();
    let some = !free.is_empty();
    futures_util::stream::iter(free)
        .for_each_concurrent(CLAIMS, |row| async move {
            take(inner, row).await;
        })
        .await;
    Ok(some)
}

/// Takes one session into hand, if nobody claimed it since it was found.
pub(super) async fn take(inner: &Arc<Inner>, found: Claimable) {
    let id = Id { tenant: found.tenant, session: found.session };
    if inner.is_stopping() {
        return;
    }
    let Some(turn) = Turn::of(inner, &id) else { return };
    if let Err(error) = inner.claim(turn, found.epoch).await {
        tracing::debug!(session = %id.session, %error, "a session is not taken now");
    }
}
