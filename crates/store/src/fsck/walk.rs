//! Walks through one journal, a page at a time, and looks after the rows that
//! its events name.

use std::sync::Arc;

use freehold_types::{BlobError, Db, DbError, SessionId, TenantId, args};

use super::repair::Names;
use super::rows::{Expected, hex};
use super::{Derive, Error, Named, Problem, Table, Trouble};
use crate::blobs::BlobRef;
use crate::forks::Lineage;
use crate::idempotency::{self, Accepted};
use crate::journal::{self, Event, MAX_EVENTS, Snapshot};

/// Rows of a table in one batch.
const ROWS: u32 = 1_000;
/// Findings that are told of one session.
const PROBLEMS_MAX: usize = 100;

const REF: &str = "SELECT size FROM blob_refs WHERE tenant = $1 AND session = $2 AND hash = $3";
const KEYS: &str = "SELECT COUNT(*) FROM idempotency_keys WHERE tenant = $1 AND session = $2";
const KEYS_BY_NAME: &str = "SELECT name, request_hash, at_offset FROM idempotency_keys
    WHERE tenant = $1 AND session = $2 AND name > $3 ORDER BY name LIMIT $4";

/// What is wrong, as much as is told.
#[derive(Default)]
pub(super) struct Problems {
    pub(super) told: Vec<Problem>,
    more: u64,
}

impl Problems {
    pub(super) fn tell(&mut self, problem: Problem) {
        if self.told.len() < PROBLEMS_MAX {
            self.told.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn all(mut self) -> Vec<Problem> {
        if self.more > 0 {
            self.told.push(Problem::More(self.more));
        }
        self.told
    }
}

/// How far a session was looked through.
pub(super) struct Walk<'a> {
    pub(super) db: &'a dyn Db,
    pub(super) tenant: &'a TenantId,
    pub(super) session: SessionId,
    pub(super) lineage: &'a Lineage,
    pub(super) derive: Option<Box<dyn Derive>>,
    /// Of the first look.
    pub(super) snapshot: Option<Snapshot>,
    pub(super) problems: Problems,
    pub(super) names: Names,
    /// Ancestors that are deleted: nobody else looks after their blobs.
    pub(super) gone: Vec<SessionId>,
    /// Whether blobs are opened.
    pub(super) opens_blobs: bool,
    /// The last event that was read.
    last: u64,
    /// Rows of idempotency keys that events name.
    keys: u64,
    /// All events up to `last` were taken.
    whole: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        db: &'a dyn Db,
        tenant: &'a TenantId,
        lineage: &'a Lineage,
        derive: Option<Box<dyn Derive>>,
        snapshot: Option<Snapshot>,
    ) -> Self {
        // Without somebody to derive it, what is shared is its owners' affair.
        let last = if derive.is_some() { 0 } else { lineage.base() };
        let (whole, session) = (derive.is_some(), lineage.session());
        let (problems, names) = (Problems::default(), Names::default());
        Self {
            db,
            tenant,
            session,
            lineage,
            derive,
            snapshot,
            problems,
            names,
            gone: Vec::new(),
            opens_blobs: false,
            last,
            keys: 0,
            whole,
        }
    }

    /// Its own events that were read.
    pub(super) fn own(&self) -> u64 {
        self.last.saturating_sub(self.lineage.base())
    }

    /// What all events come to, if all were taken.
    pub(super) fn expected(&self) -> Option<Expected> {
        self.derive.as_ref().filter(|_| self.whole).map(|derive| derive.expected())
    }

    /// Goes on up to a head.
    pub(super) async fn up_to(&mut self, head: u64) -> Result<(), Error> {
        let base = self.lineage.base();
        while self.last < head {
            let (db, last) = (self.db, self.last);
            let page =
                journal::read_through(db, self.tenant, self.lineage, last, head, MAX_EVENTS).await;
            let events = match page {
                Ok(events) => events,
                Err(DbError::Corrupt(why)) if last < base => {
                    self.problems.tell(Problem::Lineage { why });
                    self.whole = false;
                    self.last = base;
                    continue;
                }
                Err(DbError::Corrupt(why)) => {
                    self.problems.tell(Problem::Unreadable { after: last, why });
                    self.whole = false;
                    self.last = head;
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            };
            if events.is_empty() {
                self.problems.tell(Problem::Short { head, last });
                self.whole = false;
                self.last = head;
                return Ok(());
            }
            for event in &events {
                if event.offset != self.last + 1 {
                    let (after, next) = (self.last, event.offset);
                    self.problems.tell(Problem::Gap { after, next });
                    self.whole = false;
                }
                self.last = event.offset;
                self.event(event).await?;
            }
        }
        Ok(())
    }

    async fn event(&mut self, event: &Event) -> Result<(), Error> {
        let Some(derive) = &mut self.derive else { return Ok(()) };
        let named = if self.whole { derive.take(event) } else { derive.named(event) };
        let (offset, own) = (event.offset, event.offset > self.lineage.base());
        match named {
            Ok(named) if own => self.names_of(offset, named).await?,
            Ok(named) => self.shared(offset, &named).await?,
            Err(trouble) => {
                self.whole = false;
                self.problems.tell(match trouble {
                    Trouble::Newer(why) => Problem::Newer { offset, why },
                    Trouble::Damaged(why) => Problem::Damaged { offset, why },
                    Trouble::Illegal(why) => Problem::Illegal { offset, why },
                });
            }
        }
        let snapshot = self.snapshot.as_ref().filter(|snapshot| snapshot.offset == offset);
        if let (true, Some(snapshot), Some(derive)) = (self.whole, snapshot, &self.derive)
            && let Err(why) = derive.snapshot(&snapshot.body)
        {
            self.problems.tell(Problem::SnapshotDiffers { offset, why });
        }
        Ok(())
    }

    /// Looks after the rows that an event of its own names.
    async fn names_of(&mut self, offset: u64, named: Named) -> Result<(), Error> {
        if let Some((name, request_hash)) = named.key {
            let should = Accepted { request_hash, offset };
            let found = idempotency::find(self.db, self.tenant, self.session, &name).await?;
            let table = Table::IdempotencyKeys;
            self.keys += u64::from(found.is_some());
            if found.as_ref() != Some(&should) {
                self.names.key(&name, Some(should.clone()));
                let expected = shown(&should);
                self.problems.tell(match found {
                    None => Problem::Missing { table, name, expected },
                    Some(found) => Problem::Differs { table, name, found: shown(&found), expected },
                });
            }
        }
        for blob in &named.blobs {
            let hash = Arc::clone(&blob.hash);
            let args = args![self.tenant.shared(), self.session.to_string(), hash];
            let row = self.db.read(REF, args).await?.into_iter().next();
            let size = row.map(|mut row| row.take::<u64>()).transpose()?;
            if size == Some(blob.size) {
                continue;
            }
            self.names.blob(blob);
            let (table, name) = (Table::BlobRefs, hex(&blob.hash).into());
            let expected = format!("{} bytes", blob.size);
            self.problems.tell(match size {
                None => Problem::Missing { table, name, expected },
                Some(found) => {
                    Problem::Differs { table, name, found: format!("{found} bytes"), expected }
                }
            });
            // No row says so: it is looked for here.
            self.blob(&blob.hash).await?;
        }
        Ok(())
    }

    /// What is shared with an ancestor is that one's affair, as long as it is
    /// there.
    async fn shared(&mut self, offset: u64, named: &Named) -> Result<(), Error> {
        let of_gone = self.lineage.ancestor_at(offset);
        if of_gone.is_some_and(|ancestor| self.gone.contains(&ancestor.session)) {
            for blob in &named.blobs {
                self.blob(&blob.hash).await?;
            }
        }
        Ok(())
    }

    /// Whether a blob is there and whole. True if somebody could tell.
    async fn blob(&mut self, hash: &[u8]) -> Result<bool, Error> {
        let Some(derive) = self.derive.as_ref().filter(|_| self.opens_blobs) else {
            return Ok(false);
        };
        let Ok(bytes) = <&[u8; 32]>::try_from(hash) else { return Ok(false) };
        let hash = hex(hash);
        match derive.blob(bytes).await {
            Ok(()) => {}
            Err(BlobError::Missing(_)) => self.problems.tell(Problem::BlobMissing { hash }),
            Err(BlobError::Damaged { why, .. }) => {
                self.problems.tell(Problem::BlobDamaged { hash, why });
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Opens each blob to which the session refers; gives their number.
    pub(super) async fn blobs(&mut self) -> Result<u64, Error> {
        let (mut last, mut opened): (Option<BlobRef>, u64) = (None, 0);
        if !self.opens_blobs {
            return Ok(0);
        }
        loop {
            let (db, tenant) = (self.db, self.tenant);
            let page = crate::blobs::list(db, tenant, self.session, last.as_ref(), ROWS).await?;
            if page.is_empty() {
                return Ok(opened);
            }
            for blob in &page {
                opened += u64::from(self.blob(&blob.hash).await?);
            }
            last = page.into_iter().next_back();
        }
    }

    /// Looks for keys that no event names, if there are more rows than events
    /// with keys.
    pub(super) async fn extra_keys(&mut self, head: u64) -> Result<(), Error> {
        let args = args![self.tenant.shared(), self.session.to_string()];
        let row = self.db.read(KEYS, args).await?.into_iter().next();
        let rows: u64 = row.map_or(Ok(0), |mut row| row.take())?;
        if rows == self.keys && self.whole {
            return Ok(());
        }
        let mut last: Arc<str> = Arc::from("");
        loop {
            let args =
                args![self.tenant.shared(), self.session.to_string(), Arc::clone(&last), ROWS];
            let page = self.db.read(KEYS_BY_NAME, args).await?;
            if page.is_empty() {
                return Ok(());
            }
            for mut row in page {
                let name: Arc<str> = row.take()?;
                last = Arc::clone(&name);
                let found = Accepted { request_hash: row.take()?, offset: row.take()? };
                self.key(name, &found, head).await?;
            }
        }
    }

    async fn key(&mut self, name: Arc<str>, found: &Accepted, head: u64) -> Result<(), Error> {
        let (table, offset) = (Table::IdempotencyKeys, found.offset);
        if !(1..=head).contains(&offset) {
            self.names.key(&name, None);
            self.problems.tell(Problem::NoEvent { table, name, offset });
            return Ok(());
        }
        let (db, tenant, session) = (self.db, self.tenant, self.session);
        let event = journal::read(db, tenant, session, offset - 1, offset, 1).await?;
        let Some((event, derive)) = event.first().zip(self.derive.as_ref()) else { return Ok(()) };
        match derive.named(event) {
            Ok(named) if named.is_silent => {}
            // One that another event names is told as different already.
            Ok(named) if named.key.as_ref().is_some_and(|(key, _)| *key == name) => {}
            Ok(_) if self.is_told(&name) => {}
            Ok(_) => {
                self.names.key(&name, None);
                self.problems.tell(Problem::Extra { table, name, found: shown(found) });
            }
            // It is told already.
            Err(_) => {}
        }
        Ok(())
    }

    fn is_told(&self, key: &str) -> bool {
        self.problems.told.iter().any(|problem| {
            matches!(problem, Problem::Differs { table: Table::IdempotencyKeys, name, .. }
                if &**name == key)
        })
    }
}

fn shown(accepted: &Accepted) -> String {
    format!("event {}, request {}", accepted.offset, hex(&accepted.request_hash))
}
