//! Writes a bundle, a piece at a time, as fast as it is taken.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use freehold_store::journal::MAX_EVENTS;
use freehold_store::sessions::Session;
use freehold_store::{blobs, idempotency, timelines};
use freehold_types::{BlobScope, Offset, SessionId, TenantId};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::digest::Digest;
use super::format::{
    AboutPart, BlobPart, END_PURPOSE, End, EventLine, FORMAT, HEAD_PURPOSE, Head, KeyLine, Line,
    PART_BYTES, Recipient, TimelineLine,
};
use super::{BLOBS_MAX, Cell, Error, references};
use crate::archive::{Id, Reader};
use crate::event::{Event, Hash};
use crate::sessions::{self, Sessions};

/// Rows that are read at one time.
const PAGE: u32 = 1_000;
/// A piece is given out when it has so many bytes.
const PIECE_BYTES: usize = 64 << 10;

/// What is known of a blob.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// It is the session's own, and no ancestor's.
    own: bool,
    /// An event of the session names it.
    named: bool,
    /// It is in the bundle.
    sent: bool,
}

/// A first look through a journal: what the bundle is named by, and which
/// blobs belong to it.
pub(super) struct Survey {
    digest: Digest,
    at: Offset,
    blobs: BTreeMap<Hash, Known>,
}

impl Survey {
    pub(super) async fn begin(reader: &Reader) -> Result<Self, Error> {
        let mut survey = Self { digest: Digest::new(), at: Offset::START, blobs: BTreeMap::new() };
        for session in reader.scopes() {
            survey.blobs_of(reader, session).await?;
        }
        Ok(survey)
    }

    async fn blobs_of(&mut self, reader: &Reader, session: SessionId) -> Result<(), Error> {
        let own = session == reader.id.session;
        let mut last = None;
        loop {
            let db = reader.db();
            let page = blobs::list(db, &reader.id.tenant, session, last.as_ref(), PAGE).await?;
            for blob in &page {
                let Ok(bytes) = <[u8; 32]>::try_from(&*blob.hash) else { continue };
                self.blobs.entry(Hash::from_bytes(bytes)).or_default().own |= own;
            }
            if self.blobs.len() > BLOBS_MAX {
                let words = format!("the session has more than {BLOBS_MAX} blobs");
                return Err(Error::TooMuch(words));
            }
            match page.into_iter().next_back() {
                Some(blob) => last = Some(blob),
                None => return Ok(()),
            }
        }
    }

    /// Reads on up to an event.
    pub(super) async fn read(&mut self, reader: &Reader, up_to: Offset) -> Result<(), Error> {
        while self.at < up_to {
            let events = reader.bodies(self.at, up_to, MAX_EVENTS).await?;
            if events.is_empty() {
                return Err(ends_early(self.at, up_to));
            }
            for (event, body) in events {
                self.digest.event(event.offset, &body);
                self.at = event.offset;
                for hash in references::mentioned(&body) {
                    if let Some(known) = self.blobs.get_mut(&hash) {
                        known.named = true;
                    } else if references::held(&event) == Some(hash) {
                        // It came after the list of them was read.
                        self.blobs.insert(hash, Known { own: true, named: true, sent: false });
                    }
                }
            }
        }
        Ok(())
    }

    /// What a bundle of these events is named by.
    pub(super) fn name(&self) -> Hash {
        self.digest.name()
    }

    /// Whether all blobs lie where they should: once the session is sealed it
    /// would be late to find that out.
    pub(super) async fn all_there(&self, reader: &Reader) -> Result<(), Error> {
        let wanted = self.blobs.iter().filter(|(_, known)| known.own || known.named);
        let mut missing: BTreeSet<Hash> = wanted.map(|(hash, _)| *hash).collect();
        for session in reader.scopes() {
            let scope = BlobScope::Session(reader.id.tenant.clone(), session);
            let mut last = None;
            while !missing.is_empty() {
                let page = reader.blobs().list(&scope, last.as_ref(), PAGE as usize).await?;
                for entry in &page {
                    missing.remove(&Hash::from_bytes(entry.name.hash));
                }
                match page.into_iter().next_back() {
                    Some(entry) => last = Some(entry.name),
                    None => break,
                }
            }
        }
        missing.first().map_or(Ok(()), |hash| Err(sessions::Error::MissingBlob(*hash).into()))
    }
}

/// A bundle that is being written.
pub struct Export {
    reader: Arc<Reader>,
    cell: Cell,
    head: Head,
    stage: Stage,
    sum: Sha256,
    lines: u64,
    out: Vec<u8>,
    blobs: BTreeMap<Hash, Known>,
    /// What goes out before anything else.
    sending: VecDeque<Hash>,
    /// An event with the blobs that it names going out before it.
    held: VecDeque<(Event, Vec<u8>)>,
    /// A content that goes out in parts.
    content: Option<Content>,
    _permit: OwnedSemaphorePermit,
}

struct Content {
    /// `None` for what the session is said to be.
    hash: Option<Hash>,
    plain: Vec<u8>,
    sent: usize,
}

/// What comes next.
#[derive(Clone, Debug)]
enum Stage {
    Head,
    About,
    Timelines(u64),
    Keys(String),
    Events(Offset),
    Rest,
    End,
    Done,
}

impl Sessions {
    /// A copy of a session as it stands, as a bundle.
    pub async fn export(
        &self,
        cell: &Cell,
        tenant: &TenantId,
        session: SessionId,
    ) -> Result<Export, Error> {
        let id = Id { tenant: tenant.clone(), session };
        let permit = self.bundle_permit()?;
        let reader = Reader::open(&self.inner.parts.archive, &id).await?;
        let row = reader.row().await?;
        let mut survey = Survey::begin(&reader).await?;
        survey.read(&reader, Offset(row.head)).await?;
        survey.all_there(&reader).await?;
        let bundle = survey.name();
        Export::new(cell, reader, row, survey, bundle, None, permit).await
    }

    pub(super) fn bundle_permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = Arc::clone(&self.inner.bundles).try_acquire_owned();
        permit.map_err(|_| {
            let words = "as many exports and imports are under way as may; try again later";
            freehold_types::DbError::Unavailable(words.to_owned()).into()
        })
    }
}

impl Export {
    pub(super) async fn new(
        cell: &Cell,
        reader: Arc<Reader>,
        row: Session,
        survey: Survey,
        bundle: Hash,
        moves_to: Option<Recipient>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Error> {
        let (state, _) = reader.load(Offset(row.head)).await?;
        let exported_at = if moves_to.is_some() { row.updated_at } else { reader.now() };
        let head = Head {
            freehold_bundle: FORMAT,
            cell: cell.name.clone(),
            key: cell.key.public(),
            tenant: row.tenant,
            session: row.id,
            head: Offset(row.head),
            timeline: row.timeline,
            created_at: row.created_at,
            exported_at,
            labels: state.labels,
            bundle,
            moves_to,
        };
        Ok(Self {
            reader,
            cell: cell.clone(),
            head,
            stage: Stage::Head,
            sum: Sha256::new(),
            lines: 0,
            out: Vec::new(),
            blobs: survey.blobs,
            sending: VecDeque::new(),
            held: VecDeque::new(),
            content: None,
            _permit: permit,
        })
    }

    /// What the bundle says of itself.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The next piece; `None` after the last. An error is told in the bundle as
    /// well, if [`Export::failed`] goes out as its last piece.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.out.len() < PIECE_BYTES && !matches!(self.stage, Stage::Done) {
            self.step().await?;
        }
        let piece = std::mem::take(&mut self.out);
        Ok((!piece.is_empty()).then(|| piece.into()))
    }

    /// The piece that says why the bundle ends here.
    pub fn failed(error: &Error) -> Bytes {
        let mut line = serde_json::to_vec(&Line::Failed(error.to_string())).unwrap_or_default();
        line.push(b'\n');
        line.into()
    }

    async fn step(&mut self) -> Result<(), Error> {
        if self.content.is_some() {
            return self.part();
        }
        if let Some(hash) = self.sending.pop_front() {
            let plain = self.reader.blob(hash).await?;
            let plain = plain.ok_or(sessions::Error::MissingBlob(hash))?;
            self.content = Some(Content { hash: Some(hash), plain, sent: 0 });
            return self.part();
        }
        if let Some((event, body)) = self.held.pop_front() {
            return self.event(&event, &body);
        }
        let moves = self.head.moves_to.is_some();
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Head => self.first()?,
            Stage::About => {
                let plain = serde_json::to_vec(&*self.reader.about()).map_err(defect)?;
                self.content = Some(Content { hash: None, plain, sent: 0 });
                if moves { Stage::Timelines(0) } else { Stage::Keys(String::new()) }
            }
            Stage::Timelines(after) => self.timelines(after).await?,
            Stage::Keys(after) => self.keys(&after).await?,
            Stage::Events(after) => self.events(after).await?,
            Stage::Rest => {
                let own = self.blobs.iter_mut().filter(|(_, known)| known.own && !known.sent);
                for (hash, known) in own {
                    known.sent = true;
                    self.sending.push_back(*hash);
                }
                Stage::End
            }
            Stage::End => self.end()?,
            Stage::Done => Stage::Done,
        };
        Ok(())
    }

    fn first(&mut self) -> Result<Stage, Error> {
        let head = serde_json::to_string(&self.head).map_err(defect)?;
        let signature = self.cell.key.sign(HEAD_PURPOSE, head.as_bytes());
        let mut line = String::new();
        write!(line, "{{\"head\":{head},\"signature\":\"{signature}\"}}").map_err(defect)?;
        self.push(line.as_bytes());
        Ok(Stage::About)
    }

    async fn timelines(&mut self, after: u64) -> Result<Stage, Error> {
        let Id { tenant, session } = &self.reader.id;
        let page = timelines::list(self.reader.db(), tenant, *session, after, PAGE).await?;
        let Some((last, _)) = page.last().copied() else { return Ok(Stage::Keys(String::new())) };
        for (timeline, base) in page {
            self.line(&Line::Timeline(TimelineLine { timeline, base }))?;
        }
        Ok(Stage::Timelines(last))
    }

    async fn keys(&mut self, after: &str) -> Result<Stage, Error> {
        let Id { tenant, session } = &self.reader.id;
        let page = idempotency::list(self.reader.db(), tenant, *session, after, PAGE).await?;
        let Some(last) = page.last().map(|(name, _)| String::from(&**name)) else {
            return Ok(Stage::Events(Offset::START));
        };
        for (name, accepted) in page {
            let request = <[u8; 32]>::try_from(&*accepted.request_hash);
            let request = request.map_err(|_| {
                sessions::Error::Content("an idempotency key's hash is none".to_owned())
            })?;
            let (name, request) = (String::from(&*name), Hash::from_bytes(request));
            self.line(&Line::Key(KeyLine { name, request, at: Offset(accepted.offset) }))?;
        }
        Ok(Stage::Keys(last))
    }

    async fn events(&mut self, after: Offset) -> Result<Stage, Error> {
        if after >= self.head.head {
            return Ok(Stage::Rest);
        }
        let events = self.reader.bodies(after, self.head.head, MAX_EVENTS).await?;
        let last = events.last().map(|(event, _)| event.offset);
        self.held.extend(events);
        last.map(Stage::Events).ok_or_else(|| ends_early(after, self.head.head))
    }

    /// An event, or first the blobs that it names.
    fn event(&mut self, event: &Event, body: &[u8]) -> Result<(), Error> {
        for hash in references::mentioned(body) {
            let Some(known) = self.blobs.get_mut(&hash).filter(|known| !known.sent) else {
                continue;
            };
            known.sent = true;
            self.sending.push_back(hash);
        }
        if !self.sending.is_empty() {
            self.held.push_front((event.clone(), body.to_vec()));
            return Ok(());
        }
        let body = std::str::from_utf8(body).map_err(defect)?;
        let body: &RawValue = serde_json::from_str(body).map_err(defect)?;
        self.line(&Line::Event(EventLine { at: event.offset, body }))
    }

    fn part(&mut self) -> Result<(), Error> {
        let Some(mut content) = self.content.take() else { return Ok(()) };
        let rest = content.plain.get(content.sent..).unwrap_or_default();
        let part = rest.get(..PART_BYTES).unwrap_or(rest);
        let (bytes, data) = (content.plain.len() as u64, STANDARD.encode(part));
        content.sent += part.len();
        let line = match content.hash {
            Some(hash) => Line::Blob(BlobPart { hash, bytes, data }),
            None => Line::About(AboutPart { bytes, data }),
        };
        self.line(&line)?;
        if content.sent < content.plain.len() {
            self.content = Some(content);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Stage, Error> {
        let sha256 = Hash::from_bytes(self.sum.clone().finalize().into());
        let signature = self.cell.key.sign(END_PURPOSE, sha256.bytes());
        self.line(&Line::End(End { lines: self.lines, sha256, signature }))?;
        Ok(Stage::Done)
    }

    fn line(&mut self, line: &Line<'_>) -> Result<(), Error> {
        let line = serde_json::to_vec(line).map_err(defect)?;
        self.push(&line);
        Ok(())
    }

    fn push(&mut self, line: &[u8]) {
        for bytes in [line, b"\n"] {
            self.sum.update(bytes);
            self.out.extend_from_slice(bytes);
        }
        self.lines += 1;
    }
}

fn ends_early(at: Offset, expected: Offset) -> Error {
    let words = format!("the journal ends at {at} and not at {expected}");
    sessions::Error::Content(words).into()
}

fn defect(error: impl std::fmt::Display) -> Error {
    sessions::Error::Defect(error.to_string()).into()
}
