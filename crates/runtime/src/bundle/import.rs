//! Takes a bundle in, line by line as it arrives: what comes of it is laid
//! down where nobody finds it, and one last write makes the session.

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use freehold_store::imports::{self, Import, Outcome, Taken};
use freehold_store::journal::{self, Append, Due};
use freehold_store::sessions::{self as rows, NewSession as NewRow};
use freehold_store::{settle, sweeper};
use freehold_types::{BoxFuture, DbError, Offset, SessionId, TenantId, Unit, UnitId};
use sha2::{Digest as _, Sha256};

use super::check::{Check, Piece};
use super::format::{Head, LINE_BYTES_MAX};
use super::laying::{Laying, swept};
use super::leave::{at, unit_of};
use super::{Cell, Error};
use crate::archive::{self, Id};
use crate::content::{About, Payer};
use crate::decide::{Cue, Decision};
use crate::event::{Hash, Name};
use crate::seal::ContentKey;
use crate::sessions::{self, By, Key, Sessions, Standing};
use crate::state::State;
use crate::worker::{self, Projections};

/// Where a bundle comes from.
pub trait Source: Send {
    /// The next bytes; `None` after the last. An error is why they do not
    /// come.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, String>>;
}

/// How a bundle is to be imported.
#[derive(Clone, Debug)]
pub struct Importing {
    /// Who imports it.
    pub by: By,
    /// The id of the key that pays from now on: those of the other cell are
    /// none here. `None` leaves them, and the session asks no model before
    /// settings come that name one.
    pub payer: Option<Name>,
    /// If the client sent one: a copy that was made under it is given again.
    pub key: Option<Key>,
    /// A copy, although the session was moved to this cell.
    pub copy: bool,
    /// The most bytes that the bundle may have.
    pub bytes_max: u64,
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The session: its old id if it moved, a new one for a copy.
    pub session: SessionId,
    /// The bundle.
    pub bundle: Hash,
    /// Its last event.
    pub head: Offset,
    /// Whether it moved here, and is no copy.
    pub moved: bool,
    /// It was imported before, and is as it is now.
    pub repeated: bool,
}

/// The lines of what arrives.
pub(super) struct Lines<'s> {
    source: &'s mut dyn Source,
    buffer: BytesMut,
    /// Up to where there is no end of a line.
    seen: usize,
    /// How many came so far.
    whole: u64,
    /// How many more bytes may come.
    left: u64,
}

impl Lines<'_> {
    /// The next whole line; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<BytesMut>, Error> {
        loop {
            let fresh = self.buffer.get(self.seen..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.seen + end);
                self.buffer.advance(1);
                self.seen = 0;
                self.whole += 1;
                return Ok(Some(line));
            }
            self.seen = self.buffer.len();
            if self.seen > LINE_BYTES_MAX {
                let why = format!("it has more than {LINE_BYTES_MAX} bytes");
                return Err(Error::Damaged { line: self.whole + 1, why });
            }
            match self.source.next().await.map_err(Error::Source)? {
                Some(bytes) => {
                    let left = self.left.checked_sub(bytes.len() as u64);
                    self.left = left.ok_or_else(|| {
                        Error::TooMuch("the bundle has more bytes than one may".to_owned())
                    })?;
                    self.buffer.extend_from_slice(&bytes);
                }
                None if self.buffer.is_empty() => return Ok(None),
                // Its end is missing.
                None => return Err(Error::Cut { lines: self.whole }),
            }
        }
    }

    /// Takes what is left, so that whoever sends it hears the answer.
    async fn drain(&mut self) -> Result<(), Error> {
        while self.source.next().await.map_err(Error::Source)?.is_some() {}
        Ok(())
    }
}

impl Sessions {
    /// Imports a bundle: as the session itself if it was moved to this cell,
    /// else as a copy. Until all of it was seen and is as it was signed,
    /// nobody finds anything of it; if it fails, nothing of it stays.
    pub async fn import(
        &self,
        cell: &Cell,
        tenant: &TenantId,
        importing: Importing,
        source: &mut dyn Source,
    ) -> Result<Imported, Error> {
        if self.inner.is_stopping() {
            return Err(sessions::Error::Stopping.into());
        }
        let _permit = self.bundle_permit()?;
        let mut lines =
            Lines { source, buffer: BytesMut::new(), seen: 0, whole: 0, left: importing.bytes_max };
        let mut check = Check::new(cell);
        let first = lines.next().await?.ok_or(Error::Cut { lines: 0 })?;
        let Some(Piece::Head(head)) = check.line(&first)? else {
            return Err(Error::Cut { lines: 1 });
        };
        let moves = !importing.copy && head.moves_to.as_ref().is_some_and(|to| cell.is(to));
        let session = match self.place(tenant, &head, moves, importing.key.as_ref()).await? {
            Placed::At(session) => session,
            Placed::Before(imported) => {
                lines.drain().await?;
                return Ok(imported);
            }
        };
        let mut laying = self.lay(tenant, session, &head, moves).await?;
        let state = laying.all(&mut check, &mut lines).await;
        let done = match state {
            Ok(()) => self.finish(&laying, check, *head, importing).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &done {
            tracing::info!(%session, %error, "an import failed");
            laying.undo(error).await;
        }
        done
    }

    /// Where the session will be, or what it is if it was imported before.
    async fn place(
        &self,
        tenant: &TenantId,
        head: &Head,
        moves: bool,
        key: Option<&Key>,
    ) -> Result<Placed, Error> {
        let db = self.inner.db();
        let bundle = head.bundle.bytes();
        let outcome = imports::outcome(db, &head.tenant, head.session, bundle).await?;
        if outcome == Some(Outcome::Refused) {
            return Err(Error::Refused(head.bundle));
        }
        if moves && head.tenant != *tenant {
            return Err(Error::Tenant(head.tenant.clone()));
        }
        let session = match (moves, key) {
            (true, _) => head.session,
            (false, Some(key)) => id_of_copy(tenant, key),
            (false, None) => SessionId::new(self.inner.env()),
        };
        if imports::outcome(db, tenant, session, bundle).await? == Some(Outcome::Imported) {
            let row = rows::get(db, tenant, session).await?.ok_or(Error::Gone(head.bundle))?;
            return Ok(Placed::Before(Imported {
                session,
                bundle: head.bundle,
                head: Offset(row.head),
                moved: moves,
                repeated: true,
            }));
        }
        match imports::taken(db, tenant, session).await? {
            Taken::Free => return Ok(Placed::At(session)),
            Taken::Alive if !moves => return Err(sessions::Error::KeyReused.into()),
            Taken::Alive => {}
            Taken::Deleted => {
                let blobs = &*self.inner.parts.archive.blobs;
                if sweeper::sweep_session(db, blobs, tenant, session)
                    .await
                    .map_err(swept)?
                    .is_some()
                {
                    return Ok(Placed::At(session));
                }
                return Err(Error::Exists(
                    session,
                    "it is deleted, and forks of it hold its events",
                ));
            }
        }
        let sealed = rows::get(db, tenant, session).await?.and_then(|row| row.sealed_for);
        Err(Error::Exists(
            session,
            match sealed {
                Some(_) => {
                    "it was moved away and comes back: delete what is left of it here first \
                        (freehold sessions delete --moved)"
                }
                None => "the id is in use",
            },
        ))
    }

    /// Notes the import, and clears what one before it left.
    async fn lay<'s>(
        &'s self,
        tenant: &TenantId,
        session: SessionId,
        head: &Head,
        moves: bool,
    ) -> Result<Laying<'s>, Error> {
        let archive = &self.inner.parts.archive;
        let id = Id { tenant: tenant.clone(), session };
        let before = imports::get(self.inner.db(), tenant, session).await?;
        let (key, content_key) = match &before {
            Some(before) => {
                let wrapped = Arc::clone(&before.content_key);
                let keys = archive.keys.as_ref();
                let key = ContentKey::unwrap(keys, tenant, session, &wrapped).await;
                (key.map_err(sessions::Error::from)?, wrapped)
            }
            None => archive::new_key(archive, &id).await?,
        };
        let import = Import {
            tenant: tenant.clone(),
            session,
            bundle: head.bundle.bytes()[..].into(),
            token: UnitId::new(self.inner.env()).as_bytes().into(),
            content_key,
            beat_at: self.inner.env().now(),
        };
        match settle(self.inner.db(), imports::begin(&import)).await {
            Ok(()) => {}
            Err(DbError::GuardFailed { .. }) => {
                return Err(Error::Exists(session, "it came just now; send the bundle again"));
            }
            Err(error) => return Err(error.into()),
        }
        // Another one may have begun since it was looked for.
        imports::clear(self.inner.db(), &*archive.blobs, &import).await.map_err(swept)?;
        Ok(Laying::new(self, id, import, key, moves))
    }

    /// Makes the session.
    async fn finish(
        &self,
        laying: &Laying<'_>,
        check: Check<'_>,
        head: Head,
        importing: Importing,
    ) -> Result<Imported, Error> {
        let Laying { id, moves, .. } = laying;
        let (state, epoch): (State, u64) = check.finish()?;
        let timeline = if *moves { head.timeline } else { self.inner.parts.timeline };
        let (from, bundle) = (head.cell.clone(), head.bundle);
        let cue = if *moves {
            Cue::Arrived { from, bundle }
        } else {
            Cue::Imported { from, session: head.session, bundle }
        };
        let standing = Standing { epoch, timeline };
        let decision = self.decided(id.session, &state, standing, cue, importing.by)?;
        let mut about = laying.about.clone().unwrap_or_default();
        if let Some(payer) = importing.payer {
            if let Some(settings) = &mut about.settings {
                settings.payer = payer.clone();
            }
            about.payer = Some(Payer { key: payer, up_to: head.head });
        }
        let unit = self.birth(laying, &head, standing, &about, &decision)?;
        match settle(self.inner.db(), unit).await {
            Ok(()) => {}
            Err(DbError::GuardFailed { .. }) => return Err(self.overtaken(laying).await?),
            Err(error) => return Err(error.into()),
        }
        tracing::info!(session = %id.session, from = %head.session, cell = %head.cell.as_str(),
            %bundle, moved = *moves, "a session was imported");
        let (session, head) = (id.session, decision.state.head);
        Ok(Imported { session, bundle, head, moved: *moves, repeated: false })
    }

    /// The write that makes the session.
    fn birth(
        &self,
        laying: &Laying<'_>,
        head: &Head,
        standing: Standing,
        about: &About,
        decision: &Decision,
    ) -> Result<Unit, Error> {
        let (env, now) = (self.inner.env(), at(self, decision));
        let Laying { id, import, key, moves, .. } = laying;
        let new = NewRow {
            tenant: id.tenant.clone(),
            id: id.session,
            created_at: if *moves { head.created_at } else { now },
            timeline: standing.timeline,
            phase: worker::phase(&decision.state),
            due_at: self.due(decision),
            node: None,
            about: archive::seal_about(env, id.session, key, about)?,
            content_key: Some(Arc::clone(&import.content_key)),
        };
        let mut unit = Unit::new("sessions.import");
        import.finish(&mut unit, &new, (head.head.0, standing.epoch), now);
        let events = decision.events.iter();
        let events = events.map(|event| archive::seal_event(env, id.session, key, event));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let append = Append {
            tenant: &id.tenant,
            session: id.session,
            after: head.head.0,
            epoch: standing.epoch,
            id: unit_of(self, decision),
            at: now,
            phase: None,
            due: Due::AsBefore,
            events: &events,
            snapshot: archive::seal_snapshot(env, id.session, key, &decision.state),
        };
        journal::append(&mut unit, &append).map_err(sessions::Error::from)?;
        let waiting = worker::projections(&decision.state);
        worker::project(&mut unit, id, &Projections::default(), &waiting, now);
        Ok(unit)
    }

    /// Why the last write was refused.
    async fn overtaken(&self, laying: &Laying<'_>) -> Result<Error, Error> {
        let (db, Import { tenant, session, bundle, .. }) = (self.inner.db(), &laying.import);
        if imports::outcome(db, tenant, *session, bundle).await? == Some(Outcome::Refused) {
            let name = <[u8; 32]>::try_from(&**bundle).unwrap_or_default();
            return Ok(Error::Refused(Hash::from_bytes(name)));
        }
        Ok(match imports::taken(db, tenant, *session).await? {
            Taken::Free => Error::TakenOver,
            Taken::Alive | Taken::Deleted => Error::Exists(*session, "it came while this one did"),
        })
    }
}

enum Placed {
    /// Under this id.
    At(SessionId),
    /// It was imported before.
    Before(Imported),
}

/// The id of a copy that is made under an idempotency key.
fn id_of_copy(tenant: &TenantId, key: &Key) -> SessionId {
    let mut hash = Sha256::new_with_prefix(b"freehold copy\0");
    hash.update(tenant.as_str().as_bytes());
    hash.update([0]);
    hash.update(key.name.as_bytes());
    let mut random = [0; 10];
    for (to, from) in random.iter_mut().zip(hash.finalize()) {
        *to = from;
    }
    SessionId::from_parts(jiff::Timestamp::UNIX_EPOCH, &random)
}
