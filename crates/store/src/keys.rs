//! Virtual keys, without the keys: only their hashes.

use std::sync::Arc;

use freehold_types::{
    Db, DbError, GroupId, KeyId, KeyName, Page, PageRequest, Row, TenantId, Unit, args,
};
use jiff::Timestamp;

use crate::changes::{self, Kind};
use crate::groups;

/// A virtual key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id, unique in the tenant.
    pub id: KeyId,
    /// The group that it belongs to.
    pub group: Option<GroupId>,
    /// What people call it; need not be unique.
    pub name: KeyName,
    /// The hash of the secret.
    pub hash: Arc<[u8]>,
    /// The secret's first characters, for people to tell keys apart.
    pub prefix: Arc<str>,
    /// Whether it may manage its installation.
    pub admin: bool,
    /// The routes that it may call as JSON; `None` is all.
    pub routes: Option<Arc<str>>,
    /// Its limits as JSON.
    pub limits: Arc<str>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

const INSERT: &str = "INSERT INTO keys (tenant, id, group_name, name, hash, prefix, admin, routes,
    limits, created_at, expires_at, revoked_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING";
const MADE: &str = "SELECT id FROM keys WHERE tenant = $1 AND id = $2 AND hash = $3";
const UPDATE: &str = "UPDATE keys SET group_name = $3, name = $4, admin = $5, routes = $6,
    limits = $7, expires_at = $8 WHERE tenant = $1 AND id = $2";
const REVOKE: &str = "UPDATE keys SET revoked_at = $3
    WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL";
const GET: &str = "SELECT tenant, id, group_name, name, hash, prefix, admin, routes, limits,
    created_at, expires_at, revoked_at FROM keys WHERE tenant = $1 AND id = $2";
const FIND: &str = "SELECT tenant, id, group_name, name, hash, prefix, admin, routes, limits,
    created_at, expires_at, revoked_at FROM keys WHERE hash = $1 LIMIT 1";
const LIST: &str = "SELECT tenant, id, group_name, name, hash, prefix, admin, routes, limits,
    created_at, expires_at, revoked_at FROM keys WHERE tenant = $1 AND id > $2
    ORDER BY id LIMIT $3";
const ALL: &str = "SELECT tenant, id, group_name, name, hash, prefix, admin, routes, limits,
    created_at, expires_at, revoked_at FROM keys WHERE (tenant, id) > ($1, $2)
    ORDER BY tenant, id LIMIT $3";

/// Adds a key; fails its guard if the id is taken or its group is not there.
pub fn insert(key: &Key) -> Unit {
    let mut unit = Unit::new("keys.insert");
    check_group(&mut unit, key);
    let args = args![
        key.tenant.shared(),
        key.id.to_string(),
        key.group.as_ref().map(GroupId::shared),
        key.name.shared(),
        &key.hash[..],
        Arc::clone(&key.prefix),
        key.admin,
        key.routes.clone(),
        Arc::clone(&key.limits),
        key.created_at,
        key.expires_at,
        key.revoked_at,
    ];
    unit.expect(1, INSERT, args);
    changes::note(&mut unit, Kind::Keys);
    // The id is the maker's alone, and so is the hash.
    unit.proven_by(MADE, args![key.tenant.shared(), key.id.to_string(), &key.hash[..]]);
    unit
}

fn check_group(unit: &mut Unit, key: &Key) {
    if let Some(group) = &key.group {
        groups::touch(unit, &key.tenant, group);
    }
}

/// Changes what may change of a key: its group, name, rights, limits and end;
/// fails its guard if there is none or its group is not there.
pub fn update(key: &Key) -> Unit {
    let mut unit = Unit::new("keys.update");
    check_group(&mut unit, key);
    let args = args![
        key.tenant.shared(),
        key.id.to_string(),
        key.group.as_ref().map(GroupId::shared),
        key.name.shared(),
        key.admin,
        key.routes.clone(),
        Arc::clone(&key.limits),
        key.expires_at,
    ];
    unit.expect(1, UPDATE, args);
    changes::note(&mut unit, Kind::Keys);
    unit
}

/// Ends a key; fails its guard if there is none, or it is revoked already.
pub fn revoke(tenant: &TenantId, id: KeyId, at: Timestamp) -> Unit {
    let mut unit = Unit::new("keys.revoke");
    unit.expect(1, REVOKE, args![tenant.shared(), id.to_string(), at]);
    changes::note(&mut unit, Kind::Keys);
    unit
}

/// One key of a tenant.
pub async fn get(db: &dyn Db, tenant: &TenantId, id: KeyId) -> Result<Option<Key>, DbError> {
    let mut rows = db.read(GET, args![tenant.shared(), id.to_string()]).await?;
    rows.pop().map(read).transpose()
}

/// The key whose secret has this hash, whatever its tenant.
pub async fn find(db: &dyn Db, hash: &[u8]) -> Result<Option<Key>, DbError> {
    let mut rows = db.read(FIND, args![hash]).await?;
    rows.pop().map(read).transpose()
}

/// A tenant's keys, oldest first; a page goes on after an id.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    page: &PageRequest,
) -> Result<Page<Key>, DbError> {
    let after = page.after.clone().unwrap_or_default();
    let rows = db.read(LIST, args![tenant.shared(), after, page.limit() + 1]).await?;
    let keys = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(keys, |key| key.id.to_string()))
}

/// The next keys of all tenants after the given one: how a node takes up the
/// snapshot that it serves from. Empty at the end.
pub async fn all(db: &dyn Db, after: Option<&Key>, limit: u32) -> Result<Vec<Key>, DbError> {
    let (tenant, id) = match after {
        Some(key) => (key.tenant.shared(), key.id.to_string()),
        None => (Arc::from(""), String::new()),
    };
    let rows = db.read(ALL, args![tenant, id, limit]).await?;
    rows.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<Key, DbError> {
    Ok(Key {
        tenant: row.parse()?,
        id: row.parse()?,
        group: row.parse_optional()?,
        name: row.parse()?,
        hash: row.take()?,
        prefix: row.take()?,
        admin: row.take()?,
        routes: row.take()?,
        limits: row.take()?,
        created_at: row.take()?,
        expires_at: row.take()?,
        revoked_at: row.take()?,
    })
}
