//! After a crash: the ends of exchanges that nobody saw.

use std::sync::Arc;

use freehold_store::exchanges::{self, Opened};
use freehold_types::{Db, DbError};
use jiff::Timestamp;

use crate::identity::Registry;
use crate::usage::batch::add_spends;
use crate::usage::{Ending, How};

/// Exchanges that are settled in one unit.
const PAGE: u32 = 500;

/// Settles every exchange that began and did not end at what it had reserved,
/// charges it to its budgets, in the periods in which it began, and gives the
/// list. Nothing may be writing usage yet.
pub(crate) async fn recover(
    db: &dyn Db,
    registry: &Registry,
    now: Timestamp,
) -> Result<Vec<Opened>, DbError> {
    let mut all = Vec::new();
    loop {
        let page = exchanges::still_open(db, all.last(), PAGE).await?;
        if page.is_empty() {
            return Ok(all);
        }
        let endings: Vec<_> = page
            .iter()
            .map(|opened| Ending {
                posts: registry.posts(opened),
                opened: Arc::new(opened.clone()),
                how: How::Interrupted,
            })
            .collect();
        let mut unit = exchanges::interrupt(&page, now);
        add_spends(&mut unit, &endings);
        db.write(unit).await?;
        all.extend(page);
    }
}
