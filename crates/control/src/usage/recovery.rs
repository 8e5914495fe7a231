//! After a crash: the ends of exchanges that nobody saw.

use std::sync::Arc;
use std::time::Duration;

use freehold_store::exchanges::{self, Opened};
use freehold_types::{Db, DbError, Unit};
use jiff::Timestamp;

use crate::identity::Registry;
use crate::usage::batch::add_spends;
use crate::usage::{Ending, How};

/// Exchanges that are settled in one unit.
pub(crate) const PAGE: u32 = 500;

/// Settles every exchange that began longer than `after` ago and did not end at
/// what it had reserved, charges it to its budgets, in the periods in which it
/// began, and gives the list. Nothing may be writing usage of these.
pub(crate) async fn recover(
    db: &dyn Db,
    registry: &Registry,
    now: Timestamp,
    after: Duration,
) -> Result<Vec<Opened>, DbError> {
    let mut all = Vec::new();
    let mut last: Option<Opened> = None;
    loop {
        let mut page = exchanges::still_open(db, last.as_ref(), PAGE).await?;
        last = page.last().cloned();
        if last.is_none() {
            return Ok(all);
        }
        page.retain(|opened| {
            let age = now.duration_since(opened.opened_at);
            after.is_zero() || Duration::try_from(age).is_ok_and(|age| age >= after)
        });
        if page.is_empty() {
            continue;
        }
        db.write(interrupt(registry, &page, now)).await?;
        all.extend(page);
    }
}

/// Settles exchanges that nobody will close any more.
pub(crate) fn interrupt(registry: &Registry, lost: &[Opened], now: Timestamp) -> Unit {
    let ending = |opened: &Opened| Ending {
        posts: registry.posts(opened),
        opened: Arc::new(opened.clone()),
        how: How::Interrupted,
    };
    let endings: Vec<_> = lost.iter().map(ending).collect();
    let mut unit = exchanges::interrupt(lost, now);
    add_spends(&mut unit, &endings);
    unit
}
