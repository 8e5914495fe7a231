//! The archive as tools see it.

use std::sync::Arc;

use freehold_store::blobs;
use freehold_types::{BoxFuture, Offset, SessionId, TenantId, Unit};
use serde_json::Value;

use super::{Archive, Id, Reader};
use crate::event::{Content, Event, Hash, Note};
use crate::sessions::Error;
use crate::tools::Records;

/// After all events.
const END: Offset = Offset(u64::MAX >> 1);

impl Records for Archive {
    fn read(
        &self,
        tenant: &TenantId,
        session: SessionId,
        after: Offset,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, Note>> {
        self.with(
            tenant,
            session,
            move |reader| async move { reader.events(after, END, limit).await },
        )
    }

    fn content(
        &self,
        tenant: &TenantId,
        session: SessionId,
        content: &Content,
    ) -> BoxFuture<'static, Result<Value, Note>> {
        let content = content.clone();
        self.with(tenant, session, move |reader| async move { reader.content(&content).await })
    }

    fn keep(
        &self,
        tenant: &TenantId,
        session: SessionId,
        value: Value,
    ) -> BoxFuture<'static, Result<Hash, Note>> {
        self.with(tenant, session, move |reader| async move {
            let plain = serde_json::to_vec(&value);
            let plain = plain.map_err(|error| Error::Defect(error.to_string()))?;
            let (hash, blob) = reader.keep(&plain).await?;
            let mut unit = Unit::new("blobs.keep");
            blobs::refer(&mut unit, &reader.id.tenant, reader.id.session, &blob);
            reader.archive.db().write(unit).await?;
            Ok(hash)
        })
    }

    fn kept(
        &self,
        tenant: &TenantId,
        session: SessionId,
        hash: Hash,
    ) -> BoxFuture<'static, Result<Option<Value>, Note>> {
        self.with(tenant, session, move |reader| async move {
            let Some(plain) = reader.blob(hash).await? else { return Ok(None) };
            let value = serde_json::from_slice(&plain);
            value.map(Some).map_err(|error| Error::Content(format!("the blob {hash}: {error}")))
        })
    }
}

impl Archive {
    pub(super) fn with<T, F, W>(
        &self,
        tenant: &TenantId,
        session: SessionId,
        then: W,
    ) -> BoxFuture<'static, Result<T, Note>>
    where
        F: Future<Output = Result<T, Error>> + Send,
        W: FnOnce(Arc<Reader>) -> F + Send + 'static,
    {
        let (archive, id) = (self.clone(), Id { tenant: tenant.clone(), session });
        Box::pin(async move {
            let reader = Reader::open(&archive, &id).await.map_err(|error| told(&error))?;
            then(reader).await.map_err(|error| told(&error))
        })
    }
}

fn told(error: &Error) -> Note {
    Note::cut(&error.to_string())
}
