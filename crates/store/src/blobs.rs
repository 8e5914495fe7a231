//! Which blobs a session refers to. Blobs are sealed with their session's key,
//! so none belongs to two.

use std::sync::Arc;

use freehold_types::{Db, DbError, SessionId, TenantId, Unit, args};

/// A reference to content that lies beside the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The hash that it lies under.
    pub hash: Arc<[u8]>,
    /// How many bytes it has.
    pub size: u64,
}

const REFER: &str = "INSERT INTO blob_refs (tenant, session, hash, size)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const LIST: &str = "SELECT hash, size FROM blob_refs
    WHERE tenant = $1 AND session = $2 AND hash > $3 ORDER BY hash LIMIT $4";
const FORGET: &str = "DELETE FROM blob_refs WHERE tenant = $1 AND session = $2 AND hash = $3";

/// Refers to a blob, which is in its place already. After the event that names
/// it, in the same unit; a second reference is the same.
pub fn refer(unit: &mut Unit, tenant: &TenantId, session: SessionId, blob: &BlobRef) {
    let args = args![tenant.shared(), session.to_string(), Arc::clone(&blob.hash), blob.size];
    unit.run(REFER, args);
}

/// A session's blobs by their hashes, deleted or not, by the batch.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    after: Option<&BlobRef>,
    limit: u32,
) -> Result<Vec<BlobRef>, DbError> {
    let after: Arc<[u8]> = after.map_or_else(|| Arc::from([]), |blob| Arc::clone(&blob.hash));
    let rows = db.read(LIST, args![tenant.shared(), session.to_string(), after, limit]).await?;
    rows.into_iter().map(|mut row| Ok(BlobRef { hash: row.take()?, size: row.take()? })).collect()
}

/// Forgets blobs that were removed from their place.
pub fn forget(tenant: &TenantId, session: SessionId, blobs: &[BlobRef]) -> Unit {
    let mut unit = Unit::new("blobs.forget");
    let session: Arc<str> = session.to_string().into();
    for blob in blobs {
        let args = args![tenant.shared(), Arc::clone(&session), Arc::clone(&blob.hash)];
        unit.run(FORGET, args);
    }
    unit
}
