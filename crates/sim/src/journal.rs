//! Journals as they lie in the store, read past all faults.

use std::sync::Arc;

use freehold_control::Error;
use freehold_control::vault::KeyBytes;
use freehold_runtime::event::{Content, Event, Hash};
use freehold_runtime::seal::{ContentKey, KeyWrap, Place};
use freehold_store::{forks, journal, sessions};
use freehold_types::{BlobName, BoxFuture, Offset, PageRequest, SessionId, TenantId};
use futures_util::FutureExt;
use serde_json::Value as Json;

use crate::book::WORD;
use crate::world::{World, lock};

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

/// The key of a session's own content.
pub(crate) fn key(world: &World, session: SessionId) -> Option<ContentKey> {
    let profile = sessions::profile(&*world.store, &world.tenant, session);
    let wrapped = at_once(profile)?.ok()??.content_key?;
    unwrapped(world, session, &wrapped)
}

fn unwrapped(world: &World, session: SessionId, wrapped: &[u8]) -> Option<ContentKey> {
    at_once(ContentKey::unwrap(&OpenKeys, &world.tenant, session, wrapped))?.ok()
}

/// A journal and what opens it: a fork begins with events of other sessions,
/// under their keys.
pub(crate) struct Journal {
    pub(crate) events: Vec<Event>,
    /// The last event that is another session's.
    pub(crate) base: u64,
    /// Up to which event each session's key opens; its own is the last.
    keys: Vec<(u64, SessionId, ContentKey)>,
}

/// A session's whole journal; `None` if the session is not there.
pub(crate) fn read(world: &World, session: SessionId) -> Result<Option<Journal>, String> {
    let (store, tenant) = (&*world.store, &world.tenant);
    let at = crate::env::wall(world.clock.now(), 0);
    let lineage = at_once(forks::lineage(store, tenant, session, at)).ok_or("it waits")?;
    let Some(lineage) = lineage.map_err(|error| error.to_string())? else { return Ok(None) };
    let mut keys = Vec::new();
    for ancestor in lineage.ancestors() {
        let key = ancestor.content_key.as_deref();
        let key = key.and_then(|wrapped| unwrapped(world, ancestor.session, wrapped));
        keys.push((ancestor.up_to, ancestor.session, key.ok_or("a key of its origin is lost")?));
    }
    keys.push((u64::MAX, session, key(world, session).ok_or("the session has no key")?));
    let mut journal = Journal { events: Vec::new(), base: lineage.base(), keys };
    loop {
        let after = journal.events.last().map_or(0, |event| event.offset.0);
        let read = journal::read_through(store, tenant, &lineage, after, u64::MAX >> 1, 256);
        let rows = at_once(read).ok_or("it waits")?.map_err(|error| error.to_string())?;
        if rows.is_empty() {
            return Ok(Some(journal));
        }
        for row in rows {
            if is_readable(&row.body) {
                return Err(format!("event {} lies there in the open", row.offset));
            }
            let event = journal.open(row.offset, &row.body)?;
            journal.events.push(event);
        }
    }
}

/// Whether somebody without the key reads what clients wrote.
fn is_readable(sealed: &[u8]) -> bool {
    sealed.windows(WORD.len()).any(|found| found == WORD.as_bytes())
}

impl Journal {
    pub(crate) fn open(&self, offset: u64, body: &[u8]) -> Result<Event, String> {
        let mine = self.keys.iter().find(|(up_to, ..)| offset <= *up_to);
        let (_, session, key) = mine.ok_or("no key opens it")?;
        let body = key.open(*session, Place::Event(offset), body);
        let body = body.map_err(|error| format!("event {offset}: {error}"))?;
        Event::decode(Offset(offset), &body).map_err(|error| error.to_string())
    }

    /// The events that are the session's own.
    pub(crate) fn own(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(|event| event.offset.0 > self.base)
    }

    /// The JSON of a content, wherever it lies.
    pub(crate) fn content(&self, world: &World, content: &Content) -> Result<Json, String> {
        let hash = match content {
            Content::Inline(value) => return Ok(value.clone()),
            Content::Blob { hash, .. } => *hash,
        };
        for (_, session, key) in self.keys.iter().rev() {
            let tenant = world.tenant.clone();
            let name = BlobName { tenant, session: *session, hash: *hash.bytes() };
            let Some((_, sealed)) = lock(&world.shelf).get(&name.to_string()).cloned() else {
                continue;
            };
            if is_readable(&sealed) {
                return Err(format!("the blob {hash} lies there in the open"));
            }
            let plain = key.open(*session, Place::Blob(hash), &sealed);
            let plain = plain.map_err(|error| format!("the blob {hash}: {error}"))?;
            if Hash::of(&plain) != hash {
                return Err(format!("the blob {hash} has another hash"));
            }
            return serde_json::from_slice(&plain).map_err(|error| error.to_string());
        }
        Err(format!("the blob {hash} is not there"))
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
