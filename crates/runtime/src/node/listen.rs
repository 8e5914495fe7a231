//! Reads on in the sessions of other nodes to which somebody listens here.
//!
//! One query looks how far many of them are; only those that went on are read.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_store::sessions;
use freehold_types::{Offset, SessionId, TenantId};
use futures_util::StreamExt;

use crate::archive::{Id, Reader};
use crate::sessions::{Error, Inner, Live};

/// Reads that are under way at once.
const READS: usize = 8;
/// Events that are read at once.
const BATCH: usize = 128;
/// One look in so many also asks of sessions that are not found whether they
/// are gone.
const GONE: u32 = 20;

/// Those of one tenant to which somebody listens.
type Heard = BTreeMap<SessionId, Arc<Live>>;

pub(super) async fn watch(inner: Arc<Inner>) {
    let mut looks = 0_u32;
    loop {
        inner.env().sleep(inner.options.listen).await;
        looks = looks.wrapping_add(1);
        let whether_gone = looks.is_multiple_of(GONE);
        let mut tenants: BTreeMap<TenantId, Heard> = BTreeMap::new();
        for (id, live) in inner.heard_elsewhere() {
            tenants.entry(id.tenant).or_default().insert(id.session, live);
        }
        let inner = &inner;
        for (tenant, heard) in tenants {
            let moved = match look(inner, &tenant, &heard, whether_gone).await {
                Ok(moved) => moved,
                Err(error) => {
                    tracing::debug!(%error, "sessions of other nodes are not heard now");
                    continue;
                }
            };
            futures_util::stream::iter(moved)
                .for_each_concurrent(READS, |(id, live)| async move {
                    if let Err(error) = read_on(inner, &id, &live).await {
                        tracing::debug!(session = %id.session, %error, "cannot be read on now");
                    }
                })
                .await;
        }
    }
}

/// Those that went on since they were last heard. Who just began to listen
/// reads the journal by itself, up to where the bell says.
async fn look(
    inner: &Inner,
    tenant: &TenantId,
    heard: &Heard,
    whether_gone: bool,
) -> Result<Vec<(Id, Arc<Live>)>, Error> {
    let mut moved = Vec::new();
    let ids: Vec<SessionId> = heard.keys().copied().collect();
    for ids in ids.chunks(sessions::HEADS_MAX) {
        let heads = sessions::heads(inner.db(), tenant, ids).await?;
        let heads: BTreeMap<SessionId, u64> = heads.into_iter().collect();
        for id in ids {
            let Some(live) = heard.get(id) else { continue };
            match heads.get(id).copied().map(Offset) {
                Some(head) if live.head() == Offset::START => live.announce(head),
                Some(head) if head > live.head() => {
                    let id = Id { tenant: tenant.clone(), session: *id };
                    moved.push((id, Arc::clone(live)));
                }
                None if whether_gone || live.head() == Offset::START => live.end(),
                Some(_) | None => {}
            }
        }
    }
    Ok(moved)
}

async fn read_on(inner: &Inner, id: &Id, live: &Live) -> Result<(), Error> {
    let end = Offset(u64::MAX >> 1);
    let reader = Reader::open(&inner.parts.archive, id).await?;
    let events = reader.events(live.head(), end, BATCH).await?;
    live.tell(events.into_iter().map(Arc::new));
    Ok(())
}
