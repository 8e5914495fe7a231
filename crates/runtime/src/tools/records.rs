//! What tools read and keep of the session that they are called in.

use freehold_types::{BoxFuture, Offset, SessionId, TenantId};
use serde_json::Value;

use crate::event::{Content, Event, Hash, Note};

/// The journal and the blobs of sessions, as tools see them.
pub trait Records: Send + Sync + 'static {
    /// Events after an offset, oldest first, at most so many; those of before
    /// a compaction as well.
    fn read(
        &self,
        tenant: &TenantId,
        session: SessionId,
        after: Offset,
        limit: usize,
    ) -> BoxFuture<'static, Result<Vec<Event>, Note>>;

    /// What a content is, from its event or its blob.
    fn content(
        &self,
        tenant: &TenantId,
        session: SessionId,
        content: &Content,
    ) -> BoxFuture<'static, Result<Value, Note>>;

    /// Keeps a value as a blob of the session, until the session is deleted.
    fn keep(
        &self,
        tenant: &TenantId,
        session: SessionId,
        value: Value,
    ) -> BoxFuture<'static, Result<Hash, Note>>;

    /// What was kept; `None` if the session has no such blob.
    fn kept(
        &self,
        tenant: &TenantId,
        session: SessionId,
        hash: Hash,
    ) -> BoxFuture<'static, Result<Option<Value>, Note>>;
}
