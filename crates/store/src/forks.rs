//! Forks: sessions that begin with the events of another one, of which no copy
//! is made.
//!
//! A fork knows whose events it begins with (its [`Lineage`]), and its parent
//! knows who still needs its own (its holds). These lie with two sessions, so
//! with two units, in this order: the fork is made, its parent takes note, the
//! fork is confirmed. Until then it is not there for anybody: [`lineage`] first
//! does what is still to be done, or deletes the fork if the parent was deleted
//! meanwhile. A hold is only taken on a session that is not deleted, and what is
//! held is not swept away, so a fork that is there has all that it begins with.
//!
//! Each generation holds the one before it. A parent that is deleted lets go of
//! its own parent when nobody holds it any more.

use std::sync::Arc;

use freehold_types::{Db, DbError, ErrorKind, Row, SessionId, TenantId, Unit, UnitId, args};
use jiff::Timestamp;

use crate::deletion;
use crate::sessions::{self, NewSession};

/// The most forks of forks in a line; so many queries a page may take.
pub const MAX_GENERATIONS: u32 = 64;

/// Whose events a session begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    session: SessionId,
    generation: u32,
    ancestors: Vec<Ancestor>,
}

/// A part of what a fork begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ancestor {
    /// Whose events these are.
    pub session: SessionId,
    /// The last of them; the first comes after those of the ancestor before.
    pub up_to: u64,
    /// The key of their content, itself sealed: the fork's own copy, which
    /// stays when the ancestor's is destroyed.
    pub content_key: Option<Arc<[u8]>>,
}

/// A fork that is to be made; see [`Lineage::fork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The session that it is made of.
    pub parent: SessionId,
    /// The last event that both have; its own begin after it.
    pub base: u64,
    generation: u32,
    token: UnitId,
    ancestors: Vec<Ancestor>,
}

impl Fork {
    /// The lineage of the fork that is made under this id.
    pub fn lineage(&self, session: SessionId) -> Lineage {
        Lineage { session, generation: self.generation, ancestors: self.ancestors.clone() }
    }
}

/// Why a session cannot be forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkError {
    /// There is nothing to begin with.
    #[error("a fork begins with at least one event: name an offset from 1")]
    Empty,
    /// It would be a fork of too many forks.
    #[error(
        "this session is a fork of {MAX_GENERATIONS} forks in a line, and there may be no more: \
         fork one of its ancestors, or import a copy of it"
    )]
    TooDeep,
}

impl ForkError {
    /// What a caller can do about it.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

impl Lineage {
    /// That of a session which is no fork.
    pub fn of(session: SessionId) -> Self {
        Self { session, generation: 0, ancestors: Vec::new() }
    }

    /// The session itself.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// Whose events it begins with, in order.
    pub fn ancestors(&self) -> &[Ancestor] {
        &self.ancestors
    }

    /// The last event that it shares with its parent; 0 if it is no fork.
    pub fn base(&self) -> u64 {
        self.ancestors.last().map_or(0, |last| last.up_to)
    }

    /// The ancestor with the event at an offset; `None` if it is its own. The
    /// event's content, its blobs included, is sealed with that one's key.
    pub fn ancestor_at(&self, offset: u64) -> Option<&Ancestor> {
        self.ancestors.iter().find(|ancestor| offset <= ancestor.up_to)
    }

    /// A fork of this session after its event at `base`, which the caller knows
    /// to be there. `content_key` is this session's, as it lies in its profile;
    /// `token` names this making of a fork among all.
    pub fn fork(
        &self,
        base: u64,
        content_key: Option<Arc<[u8]>>,
        token: UnitId,
    ) -> Result<Fork, ForkError> {
        if base == 0 {
            return Err(ForkError::Empty);
        }
        if self.generation >= MAX_GENERATIONS {
            return Err(ForkError::TooDeep);
        }
        let itself = Ancestor { session: self.session, up_to: base, content_key };
        let mut ancestors = Vec::new();
        for ancestor in self.ancestors.iter().chain([&itself]) {
            let whole = ancestor.up_to < base;
            ancestors.push(Ancestor { up_to: ancestor.up_to.min(base), ..ancestor.clone() });
            if !whole {
                break;
            }
        }
        let generation = self.generation + 1;
        Ok(Fork { parent: self.session, base, generation, token, ancestors })
    }
}

const INSERT: &str = "INSERT INTO forks (tenant, session, parent, base, generation, token, held)
    VALUES ($1, $2, $3, $4, $5, $6, 0)";
const INSERT_ANCESTOR: &str =
    "INSERT INTO ancestors (tenant, session, up_to, ancestor, content_key)
    VALUES ($1, $2, $3, $4, $5)";
/// Takes the parent's row, so that it is not deleted meanwhile.
const TOUCH: &str = "UPDATE sessions SET head = head WHERE tenant = $1 AND id = $2 AND head >= $3
    AND sealed_for IS NULL AND deleted_at IS NULL";
const HOLD: &str = "INSERT INTO holds (tenant, session, child, up_to, token)
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant, session, child)
    DO UPDATE SET up_to = excluded.up_to, token = excluded.token";
const CONFIRM: &str = "UPDATE forks SET held = 1 WHERE tenant = $1 AND session = $2 AND held = 0";
/// One who was slower must not take away what another has confirmed.
const GIVE_UP: &str = "UPDATE forks SET held = 2 WHERE tenant = $1 AND session = $2 AND held = 0";
const LINEAGE: &str = "SELECT f.parent, f.base, f.generation, f.token, f.held, a.ancestor, a.up_to,
    a.content_key FROM sessions AS s
    LEFT JOIN forks AS f ON f.tenant = $1 AND f.session = $2
    LEFT JOIN ancestors AS a ON a.tenant = $1 AND a.session = $2
    WHERE s.tenant = $1 AND s.id = $2 AND s.deleted_at IS NULL ORDER BY a.up_to";
const IS_THERE: &str = "SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2
    AND deleted_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM forks WHERE tenant = $1 AND session = $2 AND held <> 1)";
const ORIGIN: &str = "SELECT parent, base, token FROM forks WHERE tenant = $1 AND session = $2";
const HOLD_OF: &str = "SELECT child, up_to, token FROM holds
    WHERE tenant = $1 AND session = $2 AND child = $3";
const HOLDS: &str = "SELECT child, up_to, token FROM holds
    WHERE tenant = $1 AND session = $2 AND child > $3 ORDER BY child LIMIT $4";
/// Of this making of it: another one of the same name is not meant.
const RELEASE: &str =
    "DELETE FROM holds WHERE tenant = $1 AND session = $2 AND child = $3 AND token = $4";
const IS_SWEPT: &str = "SELECT 1 FROM sessions WHERE tenant = $1 AND id = $2";

/// Begins a fork; fails its guard if the id is taken. Its first own events go
/// into the same unit, after offset `fork.base`, and prove it. Then ask for its
/// [`lineage`]: only if that is there, the fork is.
pub fn create(unit: &mut Unit, new: &NewSession, fork: &Fork) {
    sessions::begin(unit, new, fork.base, NewSession::EPOCH);
    let (tenant, session): (_, Arc<str>) = (new.tenant.shared(), new.id.to_string().into());
    let args = args![
        Arc::clone(&tenant),
        Arc::clone(&session),
        fork.parent.to_string(),
        fork.base,
        fork.generation,
        fork.token.as_bytes(),
    ];
    unit.expect(1, INSERT, args);
    for ancestor in &fork.ancestors {
        let args = args![
            Arc::clone(&tenant),
            Arc::clone(&session),
            ancestor.up_to,
            ancestor.session.to_string(),
            ancestor.content_key.clone(),
        ];
        unit.expect(1, INSERT_ANCESTOR, args);
    }
}

/// Has the parent keep what a fork begins with; fails its guard if the parent
/// is deleted, sealed, or has not come so far. After the fork was made.
pub fn hold(tenant: &TenantId, child: SessionId, fork: &Origin) -> Unit {
    let mut unit = Unit::new("forks.hold");
    let (tenant, parent): (_, Arc<str>) = (tenant.shared(), fork.parent.to_string().into());
    unit.expect(1, TOUCH, args![Arc::clone(&tenant), Arc::clone(&parent), fork.base]);
    let args = args![tenant, parent, child.to_string(), fork.base, Arc::clone(&fork.token)];
    unit.expect(1, HOLD, args);
    unit
}

/// Has a fork be there. After its parent holds what it begins with. Fails its
/// guard if it is confirmed or given up already.
pub fn confirm(tenant: &TenantId, child: SessionId) -> Unit {
    let mut unit = Unit::new("forks.confirm");
    unit.expect(1, CONFIRM, args![tenant.shared(), child.to_string()]);
    unit
}

/// Deletes a fork that was not confirmed and whose parent is gone; fails its
/// guard if it is confirmed.
pub fn give_up(tenant: &TenantId, child: SessionId, at: Timestamp) -> Unit {
    let mut unit = Unit::new("forks.give_up");
    unit.expect(1, GIVE_UP, args![tenant.shared(), child.to_string()]);
    deletion::add(&mut unit, tenant, child, at);
    unit
}

/// What a fork was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The session that it was made of.
    pub parent: SessionId,
    /// The last event that both have.
    pub base: u64,
    /// Names that making of a fork.
    pub token: Arc<[u8]>,
}

impl From<&Fork> for Origin {
    fn from(fork: &Fork) -> Self {
        Self { parent: fork.parent, base: fork.base, token: fork.token.as_bytes().into() }
    }
}

/// Whose events a session begins with; `None` if the session is not there, or
/// is a fork whose making ends here, for its parent is gone. It never changes:
/// load it once.
///
/// A fork that was made and not confirmed is confirmed by this; `at` is when.
pub async fn lineage(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    at: Timestamp,
) -> Result<Option<Lineage>, DbError> {
    for _ in 0..3 {
        let origin = match load(db, tenant, session).await? {
            Loaded::Missing => return Ok(None),
            Loaded::There(lineage) => return Ok(Some(lineage)),
            Loaded::Unheld(origin) => origin,
        };
        // A guard that fails tells that another one was faster.
        match db.write(hold(tenant, session, &origin)).await {
            Ok(_) => passed(db.write(confirm(tenant, session)).await)?,
            Err(DbError::GuardFailed { .. }) => {
                passed(db.write(give_up(tenant, session, at)).await)?;
            }
            Err(error) => return Err(error),
        }
    }
    Err(DbError::Unavailable(format!("the fork {session} is neither confirmed nor given up")))
}

/// The lineage of a session that is there, without doing what is left of its
/// making; `None` for one that is not there, or not confirmed.
pub(crate) async fn peek(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Option<Lineage>, DbError> {
    Ok(match load(db, tenant, session).await? {
        Loaded::There(lineage) => Some(lineage),
        Loaded::Missing | Loaded::Unheld(_) => None,
    })
}

fn passed<T>(outcome: Result<T, DbError>) -> Result<(), DbError> {
    match outcome {
        Ok(_) | Err(DbError::GuardFailed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

enum Loaded {
    Missing,
    Unheld(Origin),
    There(Lineage),
}

async fn load(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Result<Loaded, DbError> {
    let rows = db.read(LINEAGE, args![tenant.shared(), session.to_string()]).await?;
    let mut loaded = Loaded::Missing;
    let mut ancestors = Vec::new();
    for mut row in rows {
        let fork = read_fork(&mut row)?;
        if let Some(ancestor) = row.parse_optional()? {
            let (up_to, content_key) = (row.take()?, row.take()?);
            ancestors.push(Ancestor { session: ancestor, up_to, content_key });
        }
        loaded = match fork {
            None => Loaded::There(Lineage::of(session)),
            Some((_, generation, 1)) => {
                Loaded::There(Lineage { session, generation, ancestors: Vec::new() })
            }
            Some((origin, ..)) => Loaded::Unheld(origin),
        };
    }
    if let Loaded::There(lineage) = &mut loaded {
        lineage.ancestors = ancestors;
    }
    Ok(loaded)
}

/// With its generation, and whether it is held; `None` for what is no fork.
fn read_fork(row: &mut Row) -> Result<Option<(Origin, u32, i64)>, DbError> {
    let parent: Option<SessionId> = row.parse_optional()?;
    let (base, generation): (Option<u64>, Option<u32>) = (row.take()?, row.take()?);
    let (token, held): (Option<Arc<[u8]>>, Option<i64>) = (row.take()?, row.take()?);
    let whole = parent.zip(base).zip(generation).zip(token.zip(held));
    Ok(whole.map(|(((parent, base), generation), (token, held))| {
        (Origin { parent, base, token }, generation, held)
    }))
}

/// Whether a session is there, and confirmed if it is a fork.
pub(crate) async fn is_there(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<bool, DbError> {
    Ok(!db.read(IS_THERE, args![tenant.shared(), session.to_string()]).await?.is_empty())
}

/// What a session was forked from, also if it is deleted, until nobody needs
/// that any more.
pub async fn origin(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
) -> Result<Option<Origin>, DbError> {
    let rows = db.read(ORIGIN, args![tenant.shared(), session.to_string()]).await?;
    let row = rows.into_iter().next();
    row.map(|mut row| Ok(Origin { parent: row.parse()?, base: row.take()?, token: row.take()? }))
        .transpose()
}

/// One who needs a session's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The fork.
    pub child: SessionId,
    /// The last event that it needs.
    pub up_to: u64,
    /// Names the making of the fork.
    pub token: Arc<[u8]>,
}

/// Who needs a session's events, by the batch.
pub async fn holds(
    db: &dyn Db,
    tenant: &TenantId,
    session: SessionId,
    after: Option<SessionId>,
    limit: u32,
) -> Result<Vec<Hold>, DbError> {
    let after = after.map_or_else(String::new, |child| child.to_string());
    let rows = db.read(HOLDS, args![tenant.shared(), session.to_string(), after, limit]).await?;
    rows.into_iter().map(read_hold).collect()
}

/// What a fork needs of its parent, as the parent has noted it.
pub(crate) async fn hold_of(
    db: &dyn Db,
    tenant: &TenantId,
    parent: SessionId,
    child: SessionId,
) -> Result<Option<Hold>, DbError> {
    let args = args![tenant.shared(), parent.to_string(), child.to_string()];
    let row = db.read(HOLD_OF, args).await?.into_iter().next();
    row.map(read_hold).transpose()
}

fn read_hold(mut row: Row) -> Result<Hold, DbError> {
    Ok(Hold { child: row.parse()?, up_to: row.take()?, token: row.take()? })
}

/// Whether nothing is left of a session, which lets go of its parent.
pub async fn is_swept(db: &dyn Db, tenant: &TenantId, session: SessionId) -> Result<bool, DbError> {
    Ok(db.read(IS_SWEPT, args![tenant.shared(), session.to_string()]).await?.is_empty())
}

/// Lets go of what a fork began with, once nothing is left of that fork.
pub fn release(tenant: &TenantId, parent: SessionId, child: SessionId, token: &[u8]) -> Unit {
    let mut unit = Unit::new("forks.release");
    let args = args![tenant.shared(), parent.to_string(), child.to_string(), token];
    unit.run(RELEASE, args);
    unit
}
