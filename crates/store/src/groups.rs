//! Groups of keys, which nest within their tenant.

use std::sync::Arc;

use freehold_types::{Db, DbError, GroupId, Page, PageRequest, Row, TenantId, Unit, args};
use jiff::Timestamp;

use crate::changes::{self, Kind};

/// A group as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its name, unique in the tenant.
    pub name: GroupId,
    /// The group that it is part of.
    pub parent: Option<GroupId>,
    /// Its limits as JSON.
    pub limits: Arc<str>,
    /// When it was made.
    pub created_at: Timestamp,
}

const INSERT: &str = "INSERT INTO groups (tenant, name, parent, limits, created_at)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
const UPDATE: &str = "UPDATE groups SET parent = $3, limits = $4 WHERE tenant = $1 AND name = $2";
/// Takes a group's row, so that it is there when the unit commits, and nobody
/// else puts something into it or takes it away meanwhile.
const TOUCH: &str = "UPDATE groups SET name = name WHERE tenant = $1 AND name = $2";
const DELETE: &str = "DELETE FROM groups WHERE tenant = $1 AND name = $2
    AND NOT EXISTS (SELECT 1 FROM groups AS child WHERE child.tenant = $1 AND child.parent = $2)
    AND NOT EXISTS (SELECT 1 FROM keys WHERE keys.tenant = $1 AND keys.group_name = $2
        AND keys.revoked_at IS NULL)";
const LIST: &str = "SELECT tenant, name, parent, limits, created_at FROM groups
    WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3";
const ALL: &str = "SELECT tenant, name, parent, limits, created_at FROM groups
    WHERE (tenant, name) > ($1, $2) ORDER BY tenant, name LIMIT $3";

/// Adds a group; fails its guard if the name is taken or the parent is not
/// there.
pub fn insert(group: &Group) -> Unit {
    let mut unit = Unit::new("groups.insert");
    check_parent(&mut unit, group);
    let args = args![
        group.tenant.shared(),
        group.name.shared(),
        group.parent.as_ref().map(GroupId::shared),
        Arc::clone(&group.limits),
        group.created_at,
    ];
    unit.expect(1, INSERT, args);
    changes::note(&mut unit, Kind::Groups);
    unit
}

/// Changes a group's parent and limits; fails its guard if it or the parent is
/// not there. That groups do not go round in a ring is for the caller to see.
pub fn update(group: &Group) -> Unit {
    let mut unit = Unit::new("groups.update");
    check_parent(&mut unit, group);
    let args = args![
        group.tenant.shared(),
        group.name.shared(),
        group.parent.as_ref().map(GroupId::shared),
        Arc::clone(&group.limits),
    ];
    unit.expect(1, UPDATE, args);
    changes::note(&mut unit, Kind::Groups);
    unit
}

fn check_parent(unit: &mut Unit, group: &Group) {
    if let Some(parent) = &group.parent {
        touch(unit, &group.tenant, parent);
    }
}

/// Has the unit fail its guard unless the group is there, and stay there until
/// it commits.
pub(crate) fn touch(unit: &mut Unit, tenant: &TenantId, name: &GroupId) {
    unit.expect(1, TOUCH, args![tenant.shared(), name.shared()]);
}

/// Removes a group; fails its guard if it is not there, or has groups or live
/// keys in it.
pub fn delete(tenant: &TenantId, name: &GroupId) -> Unit {
    let mut unit = Unit::new("groups.delete");
    // Taken first: what the next statement looks at is of after that.
    touch(&mut unit, tenant, name);
    unit.expect(1, DELETE, args![tenant.shared(), name.shared()]);
    changes::note(&mut unit, Kind::Groups);
    unit
}

/// A tenant's groups by name; a page goes on after a name.
pub async fn list(
    db: &dyn Db,
    tenant: &TenantId,
    page: &PageRequest,
) -> Result<Page<Group>, DbError> {
    let after = page.after.clone().unwrap_or_default();
    let rows = db.read(LIST, args![tenant.shared(), after, page.limit() + 1]).await?;
    let groups = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    Ok(page.page(groups, |group: &Group| group.name.to_string()))
}

/// The next groups of all tenants after the given one. Empty at the end.
pub async fn all(db: &dyn Db, after: Option<&Group>, limit: u32) -> Result<Vec<Group>, DbError> {
    let (tenant, name) = match after {
        Some(group) => (group.tenant.shared(), group.name.shared()),
        None => (Arc::from(""), Arc::from("")),
    };
    let rows = db.read(ALL, args![tenant, name, limit]).await?;
    rows.into_iter().map(read).collect()
}

fn read(mut row: Row) -> Result<Group, DbError> {
    Ok(Group {
        tenant: row.parse()?,
        name: row.parse()?,
        parent: row.parse_optional()?,
        limits: row.take()?,
        created_at: row.take()?,
    })
}
