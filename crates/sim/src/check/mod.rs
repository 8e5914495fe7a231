//! What must be true of every world: as units take effect, and at its end.

pub(crate) mod leases;
pub(crate) mod steps;

mod calls;
mod counts;
mod forks;
mod journals;
mod requests;
mod timers;

use std::collections::BTreeMap;

use freehold_store::sessions::{self, Session};
use freehold_types::{PageRequest, SessionId};

use crate::journal::{self, Journal, at_once};
use crate::world::World;

/// A session and its whole journal.
pub(crate) struct Told {
    pub(crate) row: Session,
    pub(crate) journal: Journal,
}

/// Compares all that was sent, heard and done with the journals. Gives how many
/// events there are.
pub(crate) fn at_the_end(world: &World) -> u64 {
    let all = match everything(world) {
        Ok(all) => all,
        Err(error) => {
            world.wrong(error);
            return 0;
        }
    };
    let count = all.values().map(|told| told.journal.own().count() as u64).sum();
    if world.is_wrong() {
        return count;
    }
    for told in all.values() {
        journals::check(world, told);
        timers::check(world, told);
        counts::count(world, told);
    }
    forks::check(world, &all);
    calls::check(world, &all);
    requests::check(world, &all);
    count
}

/// All journals that there are.
fn everything(world: &World) -> Result<BTreeMap<SessionId, Told>, String> {
    let mut all = BTreeMap::new();
    let mut page = PageRequest::default();
    loop {
        let found = at_once(sessions::list(&*world.store, &world.tenant, None, &page));
        let found = found.ok_or("it waits")?.map_err(|error| error.to_string())?;
        for row in found.items {
            let read = journal::read(world, row.id);
            let read =
                read.map_err(|error| format!("the journal of {} cannot be read: {error}", row.id))?;
            // A fork of which its parent's end was the end is not there.
            if let Some(journal) = read {
                all.insert(row.id, Told { row, journal });
            }
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => return Ok(all),
        }
    }
}
