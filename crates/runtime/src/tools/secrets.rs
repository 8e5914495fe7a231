//! Credentials that clients give for the MCP servers that they name.

use freehold_types::{BoxFuture, Secret, SessionId, TenantId};

use crate::event::{Name, Note};

/// Secrets of sessions. They are kept sealed, never in the journal, and go
/// with their session.
pub trait Secrets: Send + Sync + 'static {
    /// Keeps a secret under a name; in place of what the name held.
    fn put(
        &self,
        tenant: &TenantId,
        session: SessionId,
        name: &Name,
        secret: Secret,
    ) -> BoxFuture<'static, Result<(), Note>>;

    /// What a name holds.
    fn get(
        &self,
        tenant: &TenantId,
        session: SessionId,
        name: &Name,
    ) -> BoxFuture<'static, Result<Option<Secret>, Note>>;

    /// Forgets all of a session's.
    fn delete(&self, tenant: &TenantId, session: SessionId)
    -> BoxFuture<'static, Result<(), Note>>;
}
