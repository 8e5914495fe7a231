//! How often something of a kind was changed: a node looks at the counters
//! each second, and reads anew what moved. No message is needed, so none can
//! be lost.

use freehold_types::{Db, DbError, Unit, args};

/// What nodes keep in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Virtual keys.
    Keys,
    /// Groups of keys.
    Groups,
    /// Budgets and their amounts.
    Budgets,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Groups => "groups",
            Self::Budgets => "budgets",
        }
    }
}

/// The counters as they were at one moment; equal if nothing was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    keys: u64,
    groups: u64,
    budgets: u64,
}

const NOTE: &str = "UPDATE changes SET version = version + 1 WHERE kind = $1";
const READ: &str = "SELECT kind, version FROM changes";

/// Counts a change in the unit that makes it, as the last that it does: until
/// it commits nobody else can change something of that kind.
pub(crate) fn note(unit: &mut Unit, kind: Kind) {
    unit.expect(1, NOTE, args![kind.word()]);
}

/// How often each was changed.
pub async fn versions(db: &dyn Db) -> Result<Versions, DbError> {
    let mut versions = Versions::default();
    for mut row in db.read(READ, args![]).await? {
        let (kind, version): (String, u64) = (row.take()?, row.take()?);
        match kind.as_str() {
            "keys" => versions.keys = version,
            "groups" => versions.groups = version,
            "budgets" => versions.budgets = version,
            // A newer version's.
            _ => {}
        }
    }
    Ok(versions)
}
