//! Looks whether what is stored can be right: each journal without a gap, each
//! row of a projection with its event, and all of them what the events come
//! to, as far as somebody can derive that ([`Derive`]).
//!
//! It reads, and changes nothing. A session that is written to meanwhile is
//! looked at again, a few times; what is then still in motion is not judged by
//! what it comes to.

mod orphans;
mod problem;
mod session;

use freehold_types::{BoxFuture, Db, DbError, SessionId, TenantId, args};

use crate::forks::Lineage;
use crate::journal::Event;
pub use problem::{Problem, Table};
pub use session::{ByName, Projections};

/// Sessions in one batch.
const BATCH: u32 = 256;

/// Derives what the events of one session come to. They come in order and
/// whole, those that it was forked with first.
pub trait Derive: Send {
    /// One more event. An error ends the derivation, and is what is wrong.
    fn take(&mut self, event: &Event) -> Result<(), String>;

    /// What they all come to.
    fn expected(&self) -> Projections;
}

/// Begins to derive a session, for which it may have to fetch its key; `None`
/// if nobody can.
pub trait Begin: Send + Sync {
    /// For this session.
    fn begin<'a>(
        &'a self,
        tenant: &'a TenantId,
        lineage: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, String>>;
}

/// Nobody derives anything: what the store alone can tell.
pub struct Underived;

impl Begin for Underived {
    fn begin<'a>(
        &'a self,
        _: &'a TenantId,
        _: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, String>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

/// Something that cannot be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whose session.
    pub tenant: TenantId,
    /// Which session.
    pub session: SessionId,
    /// What is wrong.
    pub problem: Problem,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Sessions, the deleted ones among them.
    pub sessions: u64,
    /// Events, of each session its own.
    pub events: u64,
    /// Sessions whose projections were not compared, for they were written to
    /// all the time.
    pub moving: u64,
}

const SESSIONS: &str = "SELECT tenant, id, deleted_at FROM sessions
    WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3";

/// Looks at all sessions of all tenants, and then for rows of none. Each
/// finding is told as it is found.
pub async fn run(
    db: &dyn Db,
    begin: &dyn Begin,
    mut found: impl FnMut(Finding) + Send,
) -> Result<Looked, DbError> {
    let mut looked = Looked::default();
    let mut after = (String::new(), String::new());
    loop {
        let (tenant, session) = after.clone();
        let rows = db.read(SESSIONS, args![tenant, session, BATCH]).await?;
        if rows.is_empty() {
            break;
        }
        for mut row in rows {
            let (tenant, session): (TenantId, SessionId) = (row.parse()?, row.parse()?);
            let deleted: Option<i64> = row.take()?;
            after = (tenant.to_string(), session.to_string());
            looked.sessions += 1;
            let mut tell = |problem| found(Finding { tenant: tenant.clone(), session, problem });
            if deleted.is_some() {
                session::check_deleted(db, &tenant, session, &mut tell).await?;
            } else {
                session::check(db, begin, &tenant, session, &mut looked, &mut tell).await?;
            }
        }
    }
    orphans::check(db, &mut found).await?;
    Ok(looked)
}
