//! Reads on in the sessions of other nodes to which somebody listens here.

use std::sync::Arc;

use freehold_store::sessions;
use freehold_types::Offset;
use futures_util::StreamExt;

use crate::archive::{Id, Reader};
use crate::sessions::{Error, Inner, Live};

/// Reads that are under way at once.
const READS: usize = 8;
/// Events that are read at once.
const BATCH: usize = 128;

pub(super) async fn watch(inner: Arc<Inner>) {
    let mut looks = 0_u32;
    loop {
        inner.env().sleep(inner.options.listen).await;
        looks = looks.wrapping_add(1);
        let whether_gone = looks.is_multiple_of(20);
        let inner = &inner;
        futures_util::stream::iter(inner.heard_elsewhere())
            .for_each_concurrent(READS, |(id, live)| async move {
                if let Err(error) = read_on(inner, &id, &live, whether_gone).await {
                    tracing::debug!(session = %id.session, %error, "cannot be read on now");
                }
            })
            .await;
    }
}

async fn read_on(
    inner: &Arc<Inner>,
    id: &Id,
    live: &Live,
    whether_gone: bool,
) -> Result<(), Error> {
    let head = live.head();
    if head == Offset::START || whether_gone {
        match sessions::get(inner.db(), &id.tenant, id.session).await? {
            Some(row) => live.announce(Offset(row.head)),
            None => live.end(),
        }
        if head == Offset::START {
            return Ok(());
        }
    }
    let end = Offset(u64::MAX >> 1);
    let reader = Reader::open(&inner.parts.archive, id).await?;
    let events = reader.events(head, end, BATCH).await?;
    live.tell(events.into_iter().map(Arc::new));
    Ok(())
}
