//! The keys of tenants, each sealed with the master key. The key of the tenant
//! `main` is made first, and its row guards all others: whoever adds a key or
//! changes the master key takes it, so that never two masters are in use.

use std::sync::Arc;

use freehold_types::{Db, DbError, Row, TenantId, Unit, args};
use jiff::Timestamp;

/// A tenant's key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// The name of the master key that it is sealed with.
    pub master: Arc<str>,
    /// The key, sealed.
    pub sealed: Arc<[u8]>,
    /// When it was made.
    pub created_at: Timestamp,
}

const HOLD: &str = "UPDATE tenant_keys SET master = $2 WHERE tenant = $1 AND master = $2";
const INSERT: &str = "INSERT INTO tenant_keys (tenant, master, sealed, created_at)
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const MADE: &str = "SELECT tenant FROM tenant_keys WHERE tenant = $1 AND sealed = $2";
const GET: &str = "SELECT tenant, master, sealed, created_at FROM tenant_keys WHERE tenant = $1";
const LIST: &str = "SELECT tenant, master, sealed, created_at FROM tenant_keys
    WHERE tenant > $1 ORDER BY tenant LIMIT $2";
const REWRAP: &str = "UPDATE tenant_keys SET master = $3, sealed = $4
    WHERE tenant = $1 AND master = $2";
/// Whoever added a key had to hold the row of `main`, which this unit holds.
const NONE_LEFT: &str = "UPDATE tenant_keys SET master = $1 WHERE master = $1";

/// Adds a tenant's key; fails its guard if it has one, or if `main` has none
/// or has it under another master key (and this is not the one of `main`).
pub fn insert(key: &TenantKey) -> Unit {
    let mut unit = Unit::new("tenant_keys.insert");
    if key.tenant != TenantId::main() {
        unit.expect(1, HOLD, args![TenantId::main().shared(), Arc::clone(&key.master)]);
    }
    let args = args![
        key.tenant.shared(),
        Arc::clone(&key.master),
        Arc::clone(&key.sealed),
        key.created_at,
    ];
    unit.expect(1, INSERT, args);
    // Sealing is never twice the same.
    unit.proven_by(MADE, args![key.tenant.shared(), Arc::clone(&key.sealed)]);
    unit
}

/// A tenant's key.
pub async fn get(db: &dyn Db, tenant: &TenantId) -> Result<Option<TenantKey>, DbError> {
    let rows = db.read(GET, args![tenant.shared()]).await?;
    rows.into_iter().next().map(read).transpose()
}

/// The keys of the tenants after this one, by their names.
pub async fn list(
    db: &dyn Db,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Vec<TenantKey>, DbError> {
    let after = after.map_or_else(|| Arc::from(""), TenantId::shared);
    let rows = db.read(LIST, args![after, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Puts all keys under another master key; `keys` are as they will be. Fails
/// its guard if any is not under `before` any more, or if one was added that
/// is not among them.
pub fn rewrap(before: &str, keys: &[TenantKey]) -> Unit {
    let mut unit = Unit::new("tenant_keys.rewrap");
    let before: Arc<str> = before.into();
    let main = |key: &&TenantKey| key.tenant == TenantId::main();
    // The guarding row first.
    for key in keys.iter().filter(main).chain(keys.iter().filter(|key| !main(key))) {
        let args = args![
            key.tenant.shared(),
            Arc::clone(&before),
            Arc::clone(&key.master),
            Arc::clone(&key.sealed),
        ];
        unit.expect(1, REWRAP, args);
    }
    unit.expect(0, NONE_LEFT, args![before]);
    if let Some(key) = keys.first() {
        unit.proven_by(MADE, args![key.tenant.shared(), Arc::clone(&key.sealed)]);
    }
    unit
}

fn read(mut row: Row) -> Result<TenantKey, DbError> {
    Ok(TenantKey {
        tenant: row.parse()?,
        master: row.take()?,
        sealed: row.take()?,
        created_at: row.take()?,
    })
}
