//! Credentials that clients gave for a session's tools, sealed with the
//! session's key. They go with the session, or before.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, args};

const PUT: &str = "INSERT INTO session_secrets (tenant, session, name, sealed)
    VALUES ($1, $2, $3, $4) ON CONFLICT (tenant, session, name)
    DO UPDATE SET sealed = excluded.sealed";
const GET: &str =
    "SELECT sealed FROM session_secrets WHERE tenant = $1 AND session = $2 AND name = $3";
const DELETE: &str = "DELETE FROM session_secrets WHERE tenant = $1 AND session = $2";

/// Keeps a secret, in place of what the name held.
pub fn put(unit: &mut Unit, tenant: &TenantId, session: SessionId, name: &str, sealed: Arc<[u8]>) {
    unit.expect(1, PUT, args![tenant.shared(), session.to_string(), name, sealed]);
}

/// What a name holds.
pub async fn get(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    name: &str,
) -> Result<Option<Arc<[u8]>>, DbError> {
    let rows = db.read(GET, args![tenant.shared(), session.to_string(), name]).await?;
    rows.into_iter().next().map(|mut row| row.take()).transpose()
}

/// Forgets all of a session's.
pub fn delete(tenant: &TenantId, session: SessionId) -> Unit {
    let mut unit = Unit::new("session_secrets.delete");
    unit.run(DELETE, args![tenant.shared(), session.to_string()]);
    unit
}
