//! How sessions are kept: the journal's rows, snapshots and blobs, each sealed
//! with its session's key; and how they are read, through the sessions that
//! one was forked from.

mod records;
mod secrets;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use freehold_store::blobs::BlobRef;
use freehold_store::forks::{self, Ancestor, Lineage};
use freehold_store::journal::{self, MAX_EVENTS, MAX_SNAPSHOT, NewEvent};
use freehold_store::sessions::{self, Session};
use freehold_types::{BlobError, BlobName, Blobs, Db, Env, Offset, SessionId, TenantId};
use serde_json::Value;

use crate::answer::size;
use crate::content::About;
use crate::event::{BODY_DEPTH_MAX, Content, DecodeError, Event, Hash, INLINE_BYTES_MAX, VERSION};
use crate::seal::{ContentKey, KeyWrap, Place};
use crate::sessions::Error;
use crate::state::{SnapshotError, State};

/// A session of a tenant.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id {
    pub(crate) tenant: TenantId,
    pub(crate) session: SessionId,
}

/// Where sessions are kept. Cheap to clone.
#[derive(Clone)]
pub struct Archive {
    /// Time and chance.
    pub env: Arc<dyn Env>,
    /// The journal and all that is projected from it.
    pub db: Arc<dyn Db>,
    /// What is too large for the journal.
    pub blobs: Arc<dyn Blobs>,
    /// Keeps the keys of sessions' contents.
    pub keys: Arc<dyn KeyWrap>,
}

/// The most bytes of JSON that one content may have.
pub const CONTENT_BYTES_MAX: usize = 64 << 20;

/// Reads one session, and seals what is added to it.
pub(crate) struct Reader {
    archive: Archive,
    pub(crate) id: Id,
    lineage: Lineage,
    key: Arc<ContentKey>,
    /// Of those that it was forked from: up to which event each holds.
    shared: Vec<(Offset, SessionId, ContentKey)>,
    /// Its key as the profile keeps it.
    wrapped: Arc<[u8]>,
    about: Arc<About>,
    /// The same as its profile has it.
    sealed_about: Arc<str>,
}

impl Archive {
    pub(crate) fn db(&self) -> &dyn Db {
        self.db.as_ref()
    }
}

/// Levels of JSON that an event's content may have; its envelope adds some.
const CONTENT_DEPTH_MAX: usize = BODY_DEPTH_MAX - 8;

fn is_deep(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deep(item, below)),
        Value::Object(fields) => fields.values().any(|field| is_deep(field, below)),
        _ => false,
    }
}

impl Reader {
    /// Of a session that is there.
    pub(crate) async fn open(archive: &Archive, id: &Id) -> Result<Arc<Self>, Error> {
        let at = archive.env.now();
        let lineage = forks::lineage(archive.db(), &id.tenant, id.session, at).await?;
        let lineage = lineage.ok_or(Error::NotFound)?;
        let profile = sessions::profile(archive.db(), &id.tenant, id.session).await?;
        let profile = profile.ok_or(Error::NotFound)?;
        let wrapped = profile.content_key;
        let wrapped = wrapped.ok_or_else(|| Error::Content("the session has no key".into()))?;
        let key = unwrap(archive, id, id.session, &wrapped).await?;
        let mut shared = Vec::new();
        for Ancestor { session, up_to, content_key } in lineage.ancestors() {
            let lost = || Error::Content(format!("the key of the fork's origin {session} is lost"));
            let wrapped = content_key.as_ref().ok_or_else(lost)?;
            shared.push((Offset(*up_to), *session, unwrap(archive, id, *session, wrapped).await?));
        }
        let about = Arc::new(read_about(id, &key, &profile.about)?);
        let key = Arc::new(key);
        let (archive, id) = (archive.clone(), id.clone());
        let sealed_about = profile.about;
        Ok(Arc::new(Self { archive, id, lineage, key, shared, wrapped, about, sealed_about }))
    }

    /// Of a session that is about to be, and is no fork.
    pub(crate) async fn of_new(
        archive: &Archive,
        id: &Id,
        about: About,
    ) -> Result<Arc<Self>, Error> {
        let (key, wrapped) = new_key(archive, id).await?;
        let sealed_about = seal_about(archive.env.as_ref(), id.session, &key, &about)?;
        Ok(Arc::new(Self {
            archive: archive.clone(),
            id: id.clone(),
            lineage: Lineage::of(id.session),
            key: Arc::new(key),
            shared: Vec::new(),
            wrapped,
            about: Arc::new(about),
            sealed_about,
        }))
    }

    pub(crate) fn db(&self) -> &dyn Db {
        self.archive.db()
    }

    pub(crate) fn blobs(&self) -> &dyn Blobs {
        self.archive.blobs.as_ref()
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.archive.env.now()
    }

    /// What its events begin with.
    pub(crate) fn lineage(&self) -> &Lineage {
        &self.lineage
    }

    /// The key of its content, itself sealed.
    pub(crate) fn wrapped(&self) -> Arc<[u8]> {
        Arc::clone(&self.wrapped)
    }

    /// What it is said to be.
    pub(crate) fn about(&self) -> Arc<About> {
        Arc::clone(&self.about)
    }

    /// What it was said to be when it was opened, as its profile has it.
    pub(crate) fn profiled(&self) -> Arc<str> {
        Arc::clone(&self.sealed_about)
    }

    /// What it is to be said to be, as its profile will have it.
    pub(crate) fn sealed_about(&self, about: &About) -> Result<Arc<str>, Error> {
        seal_about(self.archive.env.as_ref(), self.id.session, &self.key, about)
    }

    /// An event as the journal keeps it.
    pub(crate) fn sealed(&self, event: &Event) -> Result<NewEvent, Error> {
        seal_event(self.archive.env.as_ref(), self.id.session, &self.key, event)
    }

    /// A snapshot as it is kept; `None` if it is too large, and then none is.
    pub(crate) fn sealed_snapshot(&self, state: &State) -> Option<Arc<[u8]>> {
        seal_snapshot(self.archive.env.as_ref(), self.id.session, &self.key, state)
    }

    /// Its row.
    pub(crate) async fn row(&self) -> Result<Session, Error> {
        let Id { tenant, session } = &self.id;
        sessions::get(self.archive.db(), tenant, *session).await?.ok_or(Error::NotFound)
    }

    /// The state up to an offset, and the offset of the snapshot that it was
    /// made from.
    pub(crate) async fn load(&self, head: Offset) -> Result<(State, Offset), Error> {
        let Id { tenant, session } = &self.id;
        let snapshot = journal::snapshot(self.archive.db(), tenant, *session).await?;
        // One of another version, or of what comes after, is as none.
        let read = snapshot.and_then(|snapshot| {
            let place = Place::Snapshot(snapshot.offset);
            let plain = self.key.open(*session, place, &snapshot.body).ok()?;
            let state = State::decode(&plain).ok()?;
            (state.head == Offset(snapshot.offset) && state.head <= head).then_some(state)
        });
        let mut state = read.unwrap_or_default();
        let at = state.head;
        while state.head < head {
            let events = self.events(state.head, head, MAX_EVENTS).await?;
            if events.is_empty() {
                return Err(Error::Content(format!(
                    "the journal ends at {} and not at {head}",
                    state.head
                )));
            }
            for event in &events {
                state.apply(event)?;
            }
        }
        Ok((state, at))
    }

    /// The state in the bytes of a snapshot; `None` if another version wrote it.
    pub(crate) fn snapshot(&self, at: Offset, body: &[u8]) -> Result<Option<State>, Error> {
        let bad = |why: &dyn std::fmt::Display| Error::Content(why.to_string());
        let plain = self.key.open(self.id.session, Place::Snapshot(at.0), body);
        match State::decode(&plain.map_err(|error| bad(&error))?) {
            Ok(state) => Ok(Some(state)),
            Err(SnapshotError::Version(_)) => Ok(None),
            Err(error) => Err(bad(&error)),
        }
    }

    /// Events after an offset and up to another.
    pub(crate) async fn events(
        &self,
        after: Offset,
        up_to: Offset,
        limit: usize,
    ) -> Result<Vec<Event>, Error> {
        let (db, tenant) = (self.archive.db(), &self.id.tenant);
        let rows =
            journal::read_through(db, tenant, &self.lineage, after.0, up_to.0, limit).await?;
        let opened = rows.into_iter().map(|row| {
            known(&row)?;
            self.opened(Offset(row.offset), &row.body)
        });
        opened.collect()
    }

    /// The same, each with its bytes as its journal keeps them.
    pub(crate) async fn bodies(
        &self,
        after: Offset,
        up_to: Offset,
        limit: usize,
    ) -> Result<Vec<(Event, Vec<u8>)>, Error> {
        let (db, tenant) = (self.archive.db(), &self.id.tenant);
        let rows =
            journal::read_through(db, tenant, &self.lineage, after.0, up_to.0, limit).await?;
        let opened = rows.into_iter().map(|row| {
            known(&row)?;
            let (offset, body) = (Offset(row.offset), self.plain(Offset(row.offset), &row.body)?);
            Ok((Event::decode(offset, &body)?, body))
        });
        opened.collect()
    }

    /// An event of which the journal has these bytes.
    pub(crate) fn opened(&self, offset: Offset, body: &[u8]) -> Result<Event, Error> {
        Ok(Event::decode(offset, &self.plain(offset, body)?)?)
    }

    /// The bytes of an event.
    fn plain(&self, offset: Offset, body: &[u8]) -> Result<Vec<u8>, Error> {
        let shared = self.shared.iter().find(|(up_to, ..)| offset <= *up_to);
        let (session, key) = match shared {
            Some((_, session, key)) => (*session, key),
            None => (self.id.session, &*self.key),
        };
        let plain = key.open(session, Place::Event(offset.0), body);
        plain.map_err(|error| Error::Content(format!("event {offset}: {error}")))
    }

    /// What a content is: its JSON, wherever it lies. A fork's may lie with
    /// those that it was forked from.
    pub(crate) async fn content(&self, content: &Content) -> Result<Value, Error> {
        let hash = match content {
            Content::Inline(value) => return Ok(value.clone()),
            Content::Blob { hash, .. } => *hash,
        };
        let plain = self.blob(hash).await?.ok_or(Error::MissingBlob(hash))?;
        serde_json::from_slice(&plain)
            .map_err(|error| Error::Content(format!("the blob {hash} is no JSON: {error}")))
    }

    /// The sessions whose blobs may be this one's: its own, and those that it was
    /// forked from.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = SessionId> {
        std::iter::once(self.id.session).chain(self.shared.iter().map(|(_, session, _)| *session))
    }

    /// The plain bytes of a blob; `None` if the session has none of this hash.
    pub(crate) async fn blob(&self, hash: Hash) -> Result<Option<Vec<u8>>, Error> {
        let own = (self.id.session, &*self.key);
        let shared = self.shared.iter().rev().map(|(_, session, key)| (*session, key));
        for (session, key) in std::iter::once(own).chain(shared) {
            let name = self.blob_name(session, hash);
            let sealed = match self.archive.blobs.get(&name).await {
                Ok(sealed) => sealed,
                Err(BlobError::Missing(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let damaged = |why: String| Error::Blob(BlobError::Damaged { name: name.clone(), why });
            let plain = key.open(session, Place::Blob(hash), &sealed);
            let plain = plain.map_err(|error| damaged(error.to_string()))?;
            if Hash::of(&plain) != hash {
                return Err(damaged("its hash is another".into()));
            }
            return Ok(Some(plain));
        }
        Ok(None)
    }

    /// Keeps bytes as a blob. It is durable when this is over; whatever names
    /// it comes after, with its reference.
    pub(crate) async fn keep(&self, plain: &[u8]) -> Result<(Hash, BlobRef), Error> {
        let hash = Hash::of(plain);
        let (sealed, blob) = seal_blob(&self.archive, &self.id, &self.key, hash, plain);
        self.archive.blobs.put(&self.blob_name(self.id.session, hash), sealed).await?;
        Ok((hash, blob))
    }

    /// A content that an event can hold: a large one goes into a blob.
    pub(crate) async fn stowed(&self, content: &mut Content) -> Result<Option<BlobRef>, Error> {
        let Some(plain) = large(content)? else { return Ok(None) };
        if plain.len() > CONTENT_BYTES_MAX {
            return Err(Error::Content(format!(
                "a content of {} bytes; the most is {CONTENT_BYTES_MAX}",
                plain.len()
            )));
        }
        let (hash, blob) = self.keep(&plain).await?;
        *content = Content::Blob { hash, bytes: plain.len() as u64 };
        Ok(Some(blob))
    }

    pub(crate) fn blob_name(&self, session: SessionId, hash: Hash) -> BlobName {
        BlobName { tenant: self.id.tenant.clone(), session, hash: *hash.bytes() }
    }
}

/// The JSON of a content that no event can hold.
pub(crate) fn large(content: &Content) -> Result<Option<Vec<u8>>, Error> {
    let Content::Inline(value) = content else { return Ok(None) };
    if size::of(value) <= INLINE_BYTES_MAX && !is_deep(value, CONTENT_DEPTH_MAX) {
        return Ok(None);
    }
    serde_json::to_vec(value).map(Some).map_err(|error| Error::Defect(error.to_string()))
}

/// Of a newer version not even the seal need be what we know.
fn known(row: &journal::Event) -> Result<(), Error> {
    if row.version > VERSION {
        let (found, kind) = (row.version, row.kind.to_string());
        return Err(DecodeError::Version { found, kind }.into());
    }
    Ok(())
}

/// A new session's key, and how its profile keeps it.
pub(crate) async fn new_key(archive: &Archive, id: &Id) -> Result<(ContentKey, Arc<[u8]>), Error> {
    let key = ContentKey::random(archive.env.as_ref());
    let wrapped = key.wrap(archive.keys.as_ref(), &id.tenant, id.session).await?;
    Ok((key, wrapped))
}

async fn unwrap(
    archive: &Archive,
    id: &Id,
    session: SessionId,
    wrapped: &[u8],
) -> Result<ContentKey, Error> {
    let keys = archive.keys.as_ref();
    Ok(ContentKey::unwrap(keys, &id.tenant, session, wrapped).await?)
}

fn read_about(id: &Id, key: &ContentKey, text: &str) -> Result<About, Error> {
    let bad = |why: &dyn std::fmt::Display| {
        Error::Content(format!("what the session is said to be cannot be read: {why}"))
    };
    let sealed = STANDARD.decode(text).map_err(|error| bad(&error))?;
    let plain = key.open(id.session, Place::About, &sealed).map_err(|error| bad(&error))?;
    serde_json::from_slice(&plain).map_err(|error| bad(&error))
}

/// What a session is said to be, as its profile keeps it.
pub(crate) fn seal_about(
    env: &dyn Env,
    session: SessionId,
    key: &ContentKey,
    about: &About,
) -> Result<Arc<str>, Error> {
    let plain = serde_json::to_vec(about).map_err(|error| Error::Defect(error.to_string()))?;
    Ok(STANDARD.encode(key.seal(env, session, Place::About, &plain)).into())
}

/// A blob as it is kept, and the reference to it.
pub(crate) fn seal_blob(
    archive: &Archive,
    id: &Id,
    key: &ContentKey,
    hash: Hash,
    plain: &[u8],
) -> (Bytes, BlobRef) {
    let sealed = key.seal(archive.env.as_ref(), id.session, Place::Blob(hash), plain);
    let blob = BlobRef { hash: hash.bytes()[..].into(), size: sealed.len() as u64 };
    (sealed.into(), blob)
}

/// An event as the journal keeps it.
pub(crate) fn seal_event(
    env: &dyn Env,
    session: SessionId,
    key: &ContentKey,
    event: &Event,
) -> Result<NewEvent, Error> {
    let body = key.seal(env, session, Place::Event(event.offset.0), &event.encode()?);
    Ok(NewEvent { kind: event.fact.kind(), version: VERSION, at: event.at, body: body.into() })
}

/// A snapshot as it is kept; `None` if it is too large, and then none is.
pub(crate) fn seal_snapshot(
    env: &dyn Env,
    session: SessionId,
    key: &ContentKey,
    state: &State,
) -> Option<Arc<[u8]>> {
    let plain = state.encode().ok()?;
    let sealed = key.seal(env, session, Place::Snapshot(state.head.0), &plain);
    (sealed.len() <= MAX_SNAPSHOT).then(|| sealed.into())
}
