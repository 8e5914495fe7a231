//! What a session's events come to, for the check of the store
//! ([`freehold_store::fsck`]): the state that they fold to, and by the same
//! functions that wrote them the rows that should lie beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use freehold_store::blobs::BlobRef;
use freehold_store::forks::Lineage;
use freehold_store::fsck::{Begin, Derive, Expected, ExpectedRow, Named, Trouble, Unopened};
use freehold_store::journal::Event as Row;
use freehold_types::{BlobError, BoxFuture, Offset, TenantId, UnitId};
use jiff::Timestamp;

use crate::archive::{Archive, Id, Reader};
use crate::decide::{Rules, due, owed};
use crate::event::{Content, DecodeError, Event, Fact, Hash, Outcome, TimerPurpose};
use crate::seal::OVERHEAD;
use crate::sessions::{Error, Options};
use crate::state::State;
use crate::worker::{phase, projections};

/// The first version whose events say which request they came of.
const SAYS_REQUESTS: u32 = 2;

/// Opens sessions, to derive what they come to.
pub struct Deriving {
    archive: Archive,
    rules: Rules,
}

impl Deriving {
    /// Over this archive.
    pub fn new(archive: Archive) -> Self {
        // How long a turn may be stuck is configured, and may have been another.
        let rules = Options::default().rules;
        Self { archive, rules: Rules { stuck_ms: u64::MAX, grace_ms: u64::MAX, ..rules } }
    }
}

impl Begin for Deriving {
    fn begin<'a>(
        &'a self,
        tenant: &'a TenantId,
        lineage: &'a Lineage,
    ) -> BoxFuture<'a, Result<Option<Box<dyn Derive>>, Unopened>> {
        Box::pin(async move {
            let id = Id { tenant: tenant.clone(), session: lineage.session() };
            let reader = match Reader::open(&self.archive, &id).await {
                Ok(reader) => reader,
                Err(Error::Store(error)) => return Err(Unopened::Away(error)),
                Err(Error::NotFound) => return Err(Unopened::Wrong("it has no profile".into())),
                Err(error) => return Err(Unopened::Wrong(error.to_string())),
            };
            let fold = Fold {
                reader,
                rules: self.rules.clone(),
                state: State::default(),
                base: Offset(lineage.base()),
                unit: None,
                since: BTreeMap::new(),
                epoch_min: 0,
            };
            Ok(Some(Box::new(fold) as _))
        })
    }
}

/// The fold of one journal.
struct Fold {
    reader: Arc<Reader>,
    rules: Rules,
    state: State,
    /// The last event that is not its own.
    base: Offset,
    /// The write that the last event came with, and when.
    unit: Option<(UnitId, Timestamp)>,
    /// Since when it waits, by the rows' names, as of the write before that.
    since: BTreeMap<Arc<str>, Timestamp>,
    /// The latest epoch in which something was started.
    epoch_min: u64,
}

impl Fold {
    fn event(&self, row: &Row) -> Result<Event, Trouble> {
        let event = self.reader.opened(Offset(row.offset), &row.body).map_err(|error| {
            let why = error.to_string();
            match error {
                Error::Decode(DecodeError::Version { .. } | DecodeError::Kind { .. }) => {
                    Trouble::Newer(why)
                }
                _ => Trouble::Damaged(why),
            }
        })?;
        let kept = |at: Timestamp| at.as_microsecond();
        if event.fact.kind() != &*row.kind || kept(event.at) != kept(row.at) {
            let (kind, at) = (event.fact.kind(), event.at);
            let why = format!(
                "its row says `{}` of {}, and what is sealed in it `{kind}` of {at}",
                row.kind, row.at
            );
            return Err(Trouble::Damaged(why));
        }
        Ok(event)
    }

    /// The rows after the last write: a wait is noted when that is whole.
    fn waits_since(&self) -> BTreeMap<Arc<str>, Timestamp> {
        let Some((_, at)) = self.unit else { return BTreeMap::new() };
        let rows = projections(&self.state);
        let since = |name: &Arc<str>| self.since.get(name).copied().unwrap_or(at);
        rows.waits.keys().map(|name| (Arc::clone(name), since(name))).collect()
    }
}

impl Derive for Fold {
    fn take(&mut self, row: &Row) -> Result<Named, Trouble> {
        let event = self.event(row)?;
        if self.unit.is_some_and(|(unit, _)| unit != event.unit) {
            self.since = self.waits_since();
        }
        if event.offset == self.base.next() {
            // The fork's own rows begin with its own events.
            self.since.clear();
        }
        self.unit = Some((event.unit, event.at));
        self.state.apply(&event).map_err(|error| Trouble::Illegal(error.to_string()))?;
        if let Fact::ToolStarted(started) = &event.fact
            && event.offset > self.base
        {
            self.epoch_min = self.epoch_min.max(started.epoch);
        }
        Ok(named(&event, row.version))
    }

    fn named(&self, row: &Row) -> Result<Named, Trouble> {
        Ok(named(&self.event(row)?, row.version))
    }

    fn snapshot(&self, body: &[u8]) -> Result<(), String> {
        match self.reader.snapshot(self.state.head, body) {
            Ok(Some(state)) if state != self.state => Err("it has another state".into()),
            // Nobody reads one of another version.
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn expected(&self) -> Expected {
        let state = &self.state;
        let due = if owed(state).is_empty() {
            due(state, &self.rules)
        } else {
            Some(Timestamp::UNIX_EPOCH)
        };
        let row = ExpectedRow {
            phase: phase(state).into(),
            sealed_for: state.sealed.as_ref().map(|cell| cell.as_str().into()),
            epoch_min: self.epoch_min,
            timeline_min: state.timeline,
            due,
        };
        let rows = projections(state);
        let mut since = self.waits_since();
        let waits = rows.waits.into_iter().filter_map(|(name, wait)| {
            let since = since.remove(&name)?;
            Some((name, (wait.kind.into(), since, wait.expires, wait.offset.0)))
        });
        let timers = rows.timers.into_iter().map(|(name, (due, set))| (name, (due, set.0)));
        Expected { row: Some(row), timers: Some(timers.collect()), waits: Some(waits.collect()) }
    }

    fn blob<'a>(&'a self, hash: &'a [u8; 32]) -> BoxFuture<'a, Result<(), BlobError>> {
        Box::pin(async move {
            let hash = Hash::from_bytes(*hash);
            let name = self.reader.blob_name(self.reader.id.session, hash);
            match self.reader.blob(hash).await {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(BlobError::Missing(name)),
                Err(Error::Blob(error)) => Err(error),
                Err(error) => Err(BlobError::Damaged { name, why: error.to_string() }),
            }
        })
    }
}

/// What an event of a version names.
fn named(event: &Event, version: u32) -> Named {
    let key = event.request.as_ref();
    let key = key.map(|request| (request.key.as_str().into(), request.hash.bytes()[..].into()));
    let blobs = content_of(&event.fact).into_iter().filter_map(|content| match content {
        Content::Inline(_) => None,
        Content::Blob { hash, bytes } => {
            let size = bytes.saturating_add(OVERHEAD as u64);
            Some(BlobRef { hash: hash.bytes()[..].into(), size })
        }
    });
    Named { key, is_silent: version < SAYS_REQUESTS, blobs: blobs.collect() }
}

/// The content of a fact, if it has one.
pub(crate) fn content_of(fact: &Fact) -> Option<&Content> {
    match fact {
        Fact::InputAccepted(fact) => Some(&fact.content),
        Fact::SignalReceived(fact) => Some(&fact.content),
        Fact::ToolsListed(fact) => Some(&fact.content),
        Fact::ModelDelta(fact) => Some(&fact.content),
        Fact::ModelAnswered(fact) => Some(&fact.content),
        Fact::TimerSet(fact) => match &fact.purpose {
            TimerPurpose::Input(content) => Some(content),
            TimerPurpose::Call(_) => None,
        },
        Fact::ToolOutcome(fact) => match &fact.outcome {
            Outcome::Ok(content) | Outcome::Failed(content) => Some(content),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        },
        _ => None,
    }
}
