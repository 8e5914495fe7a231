//! What an import has laid down so far, unseen.

use freehold_store::idempotency::Accepted;
use freehold_store::imports::{self, Import};
use freehold_store::journal::{MAX_EVENTS, NewEvent};
use freehold_store::sweeper::SweepError;
use freehold_store::{blobs, settle};
use freehold_types::{BlobName, DbError, Unit, UnitId};

use super::Error;
use super::check::{Check, Piece};
use super::import::Lines;
use crate::archive::{self, Id};
use crate::content::About;
use crate::event::{Event, Hash};
use crate::seal::{ContentKey, Place};
use crate::sessions::{self, Sessions};

/// The most bytes of events that one write lays down.
const BATCH_BYTES: usize = 1 << 20;
/// Keys and timelines that one write lays down.
const BATCH_ROWS: usize = 128;

/// An import under way.
pub(super) struct Laying<'s> {
    pub(super) sessions: &'s Sessions,
    pub(super) id: Id,
    pub(super) import: Import,
    pub(super) key: ContentKey,
    pub(super) moves: bool,
    /// The last event that lies there.
    laid: u64,
    /// Those that are to be laid next.
    events: Vec<(UnitId, NewEvent)>,
    event_bytes: usize,
    rows: Vec<Row>,
    pub(super) about: Option<About>,
}

/// What moves with a session beside its journal.
enum Row {
    Timeline { timeline: u64, base: u64 },
    Key { name: String, accepted: Accepted },
}

impl<'s> Laying<'s> {
    /// With nothing laid.
    pub(super) fn new(
        sessions: &'s Sessions,
        id: Id,
        import: Import,
        key: ContentKey,
        moves: bool,
    ) -> Self {
        Self {
            sessions,
            id,
            import,
            key,
            moves,
            laid: 0,
            events: Vec::new(),
            event_bytes: 0,
            rows: Vec::new(),
            about: None,
        }
    }

    /// Looks at all lines, and lays down what they bring.
    pub(super) async fn all(
        &mut self,
        check: &mut Check<'_>,
        lines: &mut Lines<'_>,
    ) -> Result<(), Error> {
        while let Some(line) = lines.next().await? {
            if let Some(piece) = check.line(&line)? {
                self.piece(piece).await?;
            }
        }
        self.lay_rows().await?;
        self.lay_events().await
    }

    async fn piece(&mut self, piece: Piece) -> Result<(), Error> {
        match piece {
            Piece::Head(_) => Ok(()),
            Piece::About(about) => {
                self.about = Some(*about);
                Ok(())
            }
            Piece::Timeline { timeline, base } => self.row(Row::Timeline { timeline, base }).await,
            Piece::Key { name, request, at } => {
                let request_hash = request.bytes()[..].into();
                let accepted = Accepted { request_hash, offset: at.0 };
                self.row(Row::Key { name, accepted }).await
            }
            Piece::Blob { hash, plain } => self.blob(hash, &plain).await,
            Piece::Event { event, body } => self.event(&event, &body).await,
        }
    }

    /// A copy has no cursors of before; what requests became stands in its
    /// journal.
    async fn row(&mut self, row: Row) -> Result<(), Error> {
        if self.moves || matches!(row, Row::Key { .. }) {
            self.rows.push(row);
        }
        if self.rows.len() >= BATCH_ROWS { self.lay_rows().await } else { Ok(()) }
    }

    async fn lay_rows(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut unit = self.unit();
        for row in std::mem::take(&mut self.rows) {
            match row {
                Row::Timeline { timeline, base } => self.import.timeline(&mut unit, timeline, base),
                Row::Key { name, accepted } => self.import.accepted(&mut unit, &name, &accepted),
            }
        }
        self.write(unit).await
    }

    /// The reference first: it tells whether the import is still this one's.
    async fn blob(&mut self, hash: Hash, plain: &[u8]) -> Result<(), Error> {
        let archive = &self.sessions.inner.parts.archive;
        let (sealed, blob) = archive::seal_blob(archive, &self.id, &self.key, hash, plain);
        let mut unit = self.unit();
        blobs::refer(&mut unit, &self.id.tenant, self.id.session, &blob);
        self.write(unit).await?;
        let (tenant, session) = (self.id.tenant.clone(), self.id.session);
        let name = BlobName { tenant, session, hash: *hash.bytes() };
        Ok(archive.blobs.put(&name, sealed).await?)
    }

    async fn event(&mut self, event: &Event, body: &[u8]) -> Result<(), Error> {
        let place = Place::Event(event.offset.0);
        let sealed = self.key.seal(self.sessions.inner.env(), self.id.session, place, body);
        self.event_bytes += sealed.len();
        // Also those of a fork's beginning, which its own rows do not have.
        if let Some(request) = &event.request {
            let request_hash = request.hash.bytes()[..].into();
            let accepted = Accepted { request_hash, offset: event.offset.0 };
            self.row(Row::Key { name: request.key.as_str().to_owned(), accepted }).await?;
        }
        let (kind, at) = (event.fact.kind(), event.at);
        let row = NewEvent { kind, version: Event::version_of(body), at, body: sealed.into() };
        self.events.push((event.unit, row));
        if self.events.len() >= MAX_EVENTS || self.event_bytes >= BATCH_BYTES {
            self.lay_events().await?;
        }
        Ok(())
    }

    async fn lay_events(&mut self) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.events);
        self.event_bytes = 0;
        let now = self.sessions.inner.env().now();
        let unit = self.import.lay(self.laid, &events, now).map_err(sessions::Error::from)?;
        self.write(unit).await?;
        self.laid += events.len() as u64;
        Ok(())
    }

    /// A unit that lays no event.
    fn unit(&self) -> Unit {
        self.import.unit(self.laid, self.laid, self.sessions.inner.env().now())
    }

    async fn write(&self, unit: Unit) -> Result<(), Error> {
        settle(self.sessions.inner.db(), unit).await.map_err(guarded)
    }

    /// Takes away what was laid. What cannot be taken away now is swept later.
    pub(super) async fn undo(&self, why: &Error) {
        if matches!(why, Error::TakenOver) {
            return;
        }
        let (db, archive) = (self.sessions.inner.db(), &self.sessions.inner.parts.archive);
        if let Err(error) = imports::give_up(db, &*archive.blobs, &self.import).await {
            tracing::info!(session = %self.id.session, %error, "an import is cleared away later");
        }
    }
}

pub(super) fn guarded(error: DbError) -> Error {
    match error {
        DbError::GuardFailed { .. } => Error::TakenOver,
        error => error.into(),
    }
}

pub(super) fn swept(error: SweepError) -> Error {
    match error {
        SweepError::Db(error) => guarded(error),
        SweepError::Blobs(error) => error.into(),
    }
}
