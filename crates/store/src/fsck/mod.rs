//! Looks whether what is stored can be right: each journal without a gap, each
//! row of a projection what the events come to, each blob in its place.
//!
//! What events come to is for whoever can open them ([`Begin`], [`Derive`]);
//! here is how all is walked through with bounded memory, whatever the number
//! of sessions and the length of one. Nothing is locked: a session is judged
//! by what was read between two looks at its row that found the same, which is
//! one moment, as all that is projected moves that row. It changes nothing, or
//! projections only, guarded by the head and epoch that they were derived for.

mod blobs;
mod orphans;
mod problem;
mod repair;
mod rows;
mod session;
mod walk;

use std::sync::Arc;

use freehold_types::{BlobError, Blobs, BoxFuture, Db, DbError, SessionId, TenantId, args};
use jiff::Timestamp;

use crate::blobs::BlobRef;
use crate::forks::Lineage;
use crate::journal::Event;
pub use problem::{Problem, Severity, Table};
pub use rows::{ByName, Expected, ExpectedRow, ExpectedWait};

/// Sessions in one batch.
const BATCH: u32 = 256;

/// Derives what the events of one session come to. They come in order and
/// whole, those that it was forked with first.
pub trait Derive: Send + Sync {
    /// One more event, and what it names. An error ends the derivation.
    fn take(&mut self, event: &Event) -> Result<Named, Trouble>;

    /// What an event names, wherever it is.
    fn named(&self, event: &Event) -> Result<Named, Trouble>;

    /// Whether this is a snapshot of what has been taken so far; if not, what
    /// is wrong with it.
    fn snapshot(&self, body: &[u8]) -> Result<(), String>;

    /// What they all come to.
    fn expected(&self) -> Expected;

    /// Whether a blob of the session is there, opens, and is what it is named.
    fn blob<'a>(&'a self, hash: &'a [u8; 32]) -> BoxFuture<'a, Result<(), BlobError>>;
}

/// What an event names beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The idempotency key of the request that it came of, and that request's
    /// hash.
    pub key: Option<(Arc<str>, Arc<[u8]>)>,
    /// Events of its version do not say whether they came of a key.
    pub is_silent: bool,
    /// The blobs that it refers to, with their sizes as they lie there.
    pub blobs: Vec<BlobRef>,
}

/// Why an event cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// A newer build wrote it.
    Newer(String),
    /// Its seal does not open, or what is in it is no event.
    Damaged(String),
    /// It is an event, and cannot come after those before it.
    Illegal(String),
}

/// Begins to derive a session, for which it may have to fetch its key; `None`
/// if nobody can.
pub trait Begin: Send + Sync {
    /// For this session.
    fn begin<'a>(
        &'a self,
        tenant: &'a TenantId,
        lineage: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, Unopened>>;
}

/// Why a session cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unopened {
    /// The store does not answer now.
    Away(DbError),
    /// It is wrong, and this is what.
    Wrong(String),
}

/// Nobody derives anything: what the store alone can tell.
pub struct Underived;

impl Begin for Underived {
    fn begin<'a>(
        &'a self,
        _: &'a TenantId,
        _: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, Unopened>> {
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
    /// It was wrong, and was made right.
    pub repaired: bool,
}

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Sessions, the deleted ones among them.
    pub sessions: u64,
    /// Events, of each session its own.
    pub events: u64,
    /// Blobs that were opened.
    pub blobs: u64,
    /// Sessions whose projections were not compared, for they were written to
    /// all the time.
    pub moving: u64,
}

/// Why it could not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store does not answer, or with what it cannot mean.
    #[error(transparent)]
    Store(#[from] DbError),
    /// The blob store does not answer.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

/// A look at all that is stored.
#[derive(Clone, Copy)]
pub struct Fsck<'a> {
    /// Where sessions are.
    pub db: &'a dyn Db,
    /// Who derives what they come to.
    pub begin: &'a dyn Begin,
    /// Where their blobs are; without, no blob is looked for.
    pub blobs: Option<&'a dyn Blobs>,
    /// The time, for what should have happened by now.
    pub now: Timestamp,
    /// Whether projections are made what they should be.
    pub repair: bool,
}

const SESSIONS: &str = "SELECT tenant, id, deleted_at FROM sessions
    WHERE (tenant, id) > ($1, $2) ORDER BY tenant, id LIMIT $3";

impl Fsck<'_> {
    /// Looks at all sessions of all tenants, then for rows of none, then for
    /// blobs of none. Each finding is told as it is found.
    pub async fn run(&self, mut found: impl FnMut(Finding) + Send) -> Result<Looked, Error> {
        let mut looked = Looked::default();
        let mut after = (String::new(), String::new());
        loop {
            let (tenant, session) = after.clone();
            let rows = self.db.read(SESSIONS, args![tenant, session, BATCH]).await?;
            if rows.is_empty() {
                break;
            }
            for mut row in rows {
                let (tenant, session): (TenantId, SessionId) = (row.parse()?, row.parse()?);
                let deleted: Option<i64> = row.take()?;
                after = (tenant.to_string(), session.to_string());
                looked.sessions += 1;
                let one = session::One { fsck: self, tenant: &tenant, session };
                let problems = if deleted.is_some() {
                    one.check_deleted().await?
                } else {
                    one.check(&mut looked).await?
                };
                for (problem, repaired) in problems {
                    found(Finding { tenant: tenant.clone(), session, problem, repaired });
                }
            }
        }
        orphans::check(self.db, &mut found).await?;
        if let Some(blobs) = self.blobs {
            blobs::unnamed(self.db, blobs, &mut found).await?;
        }
        Ok(looked)
    }
}
