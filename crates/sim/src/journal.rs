//! Journals as they lie in the store, read past all faults.

use std::sync::Arc;

use freehold_control::Error;
use freehold_control::vault::KeyBytes;
use freehold_runtime::event::Event;
use freehold_runtime::seal::{ContentKey, KeyWrap, Place};
use freehold_store::{journal, sessions};
use freehold_types::{BoxFuture, Offset, PageRequest, SessionId, TenantId};
use futures_util::FutureExt;

use crate::world::World;

/// Keeps the keys of sessions as they are: who reads the store past all faults
/// reads the journals, too.
pub(crate) struct OpenKeys;

impl KeyWrap for OpenKeys {
    fn wrap<'a>(
        &'a self,
        _: &'a TenantId,
        _: SessionId,
        key: &'a KeyBytes,
    ) -> BoxFuture<'a, Result<Arc<[u8]>, Error>> {
        let wrapped = Arc::from(&key.reveal()[..]);
        Box::pin(std::future::ready(Ok(wrapped)))
    }

    fn unwrap<'a>(
        &'a self,
        _: &'a TenantId,
        session: SessionId,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<KeyBytes, Error>> {
        let key = KeyBytes::take(wrapped.to_vec()).ok_or_else(|| Error::Damaged {
            what: format!("content key of {session}"),
            why: "it is not 32 bytes".into(),
        });
        Box::pin(std::future::ready(key))
    }
}

/// What does not wait: reads of the store in memory.
pub(crate) fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

/// The key of a session's content.
pub(crate) fn key(world: &World, session: SessionId) -> Option<ContentKey> {
    let profile = sessions::profile(&*world.store, &world.tenant, session);
    let wrapped = at_once(profile)?.ok()??.content_key?;
    at_once(ContentKey::unwrap(&OpenKeys, &world.tenant, session, &wrapped))?.ok()
}

/// All events of a session that is no fork.
pub(crate) fn events(world: &World, session: SessionId) -> Result<Vec<Event>, String> {
    let key = key(world, session).ok_or("the session has no key")?;
    let mut events: Vec<Event> = Vec::new();
    loop {
        let after = events.last().map_or(0, |event| event.offset.0);
        let read = journal::read(&*world.store, &world.tenant, session, after, u64::MAX >> 1, 256);
        let rows = at_once(read).ok_or("it waits")?.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Ok(events);
        }
        for row in rows {
            let body = key.open(session, Place::Event(row.offset), &row.body);
            let body = body.map_err(|error| format!("event {}: {error}", row.offset))?;
            let event = Event::decode(Offset(row.offset), &body);
            events.push(event.map_err(|error| error.to_string())?);
        }
    }
}

/// All sessions that there are, whoever knows of them.
pub(crate) fn sessions(world: &World) -> Vec<SessionId> {
    let page = PageRequest::first();
    let found = at_once(sessions::list(&*world.store, &world.tenant, None, &page));
    let found = found.and_then(Result::ok);
    found.map(|page| page.items.into_iter().map(|row| row.id).collect()).unwrap_or_default()
}

/// The last event of a session; 0 if it is not there.
pub(crate) fn head(world: &World, session: SessionId) -> u64 {
    let row = at_once(sessions::get(&*world.store, &world.tenant, session));
    row.and_then(Result::ok).flatten().map_or(0, |row| row.head)
}
