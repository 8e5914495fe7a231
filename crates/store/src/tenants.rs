//! Going round the tenants that have something due.

use std::sync::Arc;

use freehold_types::{Db, DbError, TenantId, args};
use jiff::Timestamp;

/// The next tenant after this one whose first entry is due by then. `sql`
/// gives the next tenant with any entry, and when its first is due: so each
/// tenant costs one step along an index, and none reads another's entries.
pub(crate) async fn next(
    db: &dyn Db,
    sql: &'static str,
    after: Option<&TenantId>,
    now: Timestamp,
) -> Result<Option<TenantId>, DbError> {
    let mut after = after.map_or_else(|| Arc::from(""), TenantId::shared);
    loop {
        let rows = db.read(sql, args![Arc::clone(&after)]).await?;
        let Some(mut row) = rows.into_iter().next() else { return Ok(None) };
        let tenant: TenantId = row.parse()?;
        if row.take::<Timestamp>()? <= now {
            return Ok(Some(tenant));
        }
        after = tenant.shared();
    }
}
